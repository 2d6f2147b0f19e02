//! What a person can do about a refused login, by the code and the words of the server.
//!
//! The words are those of providers. A refusal of which nothing is known has no advice of its own.
//!
//! Standards: RFC 5530 §3.

/// A kind of refusal: words that must all be there, each in one of its spellings, and the advice.
type Kind = (&'static [&'static [&'static str]], &'static str);

const APP_PASSWORD: &str = "make an application password at the provider (QQ and NetEase call it \
    authorization code), and save it as `password` of the account";
const OAUTH: &str = "the provider takes no passwords for this account: give it an OAuth app \
    (`oauthApp_id`)";
const BROWSER: &str = "sign in to this account at the provider's web page once, and confirm there \
    that it was you; then save the account";
const NOT_ENABLED: &str = "the login and the password may be right: switch IMAP on for this \
    mailbox at the provider";
const LOCKED: &str = "the provider has locked the account: have it unlocked there, then save it \
    here";
const EXPIRED: &str = "the password has expired: change it at the provider, and save the new one \
    here";
const LICENCE: &str = "the server took the login, and gives it no mailbox: this passes if the \
    server was busy; if it stays, check that the mailbox has a licence, that IMAP is switched on \
    for it, and whether the login is that of this mailbox";
const ENCRYPTION: &str = "the server demands an encrypted connection: set `imapSecurity` to `tls` \
    or `starttls`";
const ADMINISTRATOR: &str = "ask the administrator of the server";

const CODES: &[(&str, &str)] = &[
    ("WEBALERT", BROWSER),
    ("EXPIRED", EXPIRED),
    ("PRIVACYREQUIRED", ENCRYPTION),
    ("CONTACTADMIN", ADMINISTRATOR),
];

/// The first kind that fits counts.
const KINDS: &[Kind] = &[
    (&[&["authenticated but not connected"]], LICENCE),
    (
        &[&[
            "application-specific",
            "application specific",
            "app-specific",
            "app password",
            "application password",
            "authorization code",
            "authorized code",
            "auth code",
            "two-factor",
            "two factor",
            "2-step",
            "two-step",
            "2fa",
            "授权码",
        ]],
        APP_PASSWORD,
    ),
    (&[&["basicauth", "basic auth", "legacy auth", "less secure", "modern auth"]], OAUTH),
    (&[&["web browser", "web login", "browser to sign in", "log in via your browser"]], BROWSER),
    (
        &[
            &["imap", "this protocol", "service"],
            &[
                "disabled",
                "not enabled",
                "not allowed",
                "not permitted",
                "not available for",
                "turned off",
                "switched off",
                "not open",
                "enable imap",
            ],
        ],
        NOT_ENABLED,
    ),
    (&[&["account", "user", "mailbox"], &["locked", "suspended", "blocked"]], LOCKED),
    (&[&["password"], &["expired", "must be changed"]], EXPIRED),
    (&[&["starttls", "encrypt", "ssl required", "tls required", "use ssl", "use tls"]], ENCRYPTION),
];

/// What a person can do. `None`: the server says nothing that is known.
pub(crate) fn by_words(code: Option<&str>, text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let of_code =
        CODES.iter().find(|(known, _)| code.is_some_and(|code| code.eq_ignore_ascii_case(known)));
    let says = |words: &&[&str]| words.iter().any(|word| text.contains(word));
    let of_words = KINDS.iter().find(|(all, _)| all.iter().all(says));
    of_code.map(|(_, advice)| *advice).or(of_words.map(|(_, advice)| *advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_providers_have_the_advice_that_helps() {
        #[rustfmt::skip]
        let table = [
            (None, "Application-specific password required: https://support.google.com/accounts/answer/185833", Some(APP_PASSWORD)),
            (Some("ALERT"), "Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754", Some(BROWSER)),
            (Some("WEBALERT"), "Web login required.", Some(BROWSER)),
            (None, "Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your account for IMAP access.", Some(NOT_ENABLED)),
            (None, "LOGIN failed: IMAP access is disabled for this user", Some(NOT_ENABLED)),
            (None, "Login fail. Password is incorrect or service is not open", Some(NOT_ENABLED)),
            (None, "Login fail. Please using authorized code to login. More information at http://service.mail.qq.com", Some(APP_PASSWORD)),
            (None, "AuthFailed:LogonDenied-BasicAuthBlocked-", Some(OAUTH)),
            (None, "User is authenticated but not connected.", Some(LICENCE)),
            (None, "Your account has been locked", Some(LOCKED)),
            (Some("EXPIRED"), "no", Some(EXPIRED)),
            (Some("PRIVACYREQUIRED"), "Plaintext authentication disallowed", Some(ENCRYPTION)),
            (Some("AUTHENTICATIONFAILED"), "Invalid credentials (Failure)", None),
            (None, "the door is locked", None),
            (None, "LOGIN failed", None),
        ];
        for (code, text, want) in table {
            assert_eq!(by_words(code, text), want, "{text}");
        }
    }
}
