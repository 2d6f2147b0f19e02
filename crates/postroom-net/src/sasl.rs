//! The messages of SASL mechanisms, in base64 as both protocols send them.
//!
//! Standards: RFC 4616 (PLAIN), RFC 4954 §4 and RFC 9051 §6.2.2 (base64), XOAUTH2 and LOGIN as
//! their inventors describe them.

mod encoding;
mod exchange;
mod login_ways;
mod mechanism;
mod scram;

use crate::bearer;
use crate::credentials::Credentials;
use crate::sasl::encoding::encode;
use crate::sasl::encoding::exposed;
use secrecy::ExposeSecret;
use secrecy::SecretString;

pub use crate::sasl::exchange::ProofMark;
pub use crate::sasl::exchange::SaslExchange;
pub use crate::sasl::login_ways::LoginWay;
pub use crate::sasl::login_ways::LoginWays;
pub use crate::sasl::mechanism::Mechanism;
pub use crate::sasl::mechanism::SaslLink;

/// The message of PLAIN: no authorization identity, login, password (RFC 4616 §2).
#[must_use]
pub fn plain(credentials: &Credentials) -> SecretString {
    encode(&format!("\0{}\0{}", credentials.login, exposed(credentials)))
}

/// The first answer of LOGIN: the login.
#[must_use]
pub fn login_name(credentials: &Credentials) -> SecretString {
    encode(&credentials.login)
}

/// The second answer of LOGIN: the password.
#[must_use]
pub fn login_password(credentials: &Credentials) -> SecretString {
    encode(exposed(credentials))
}

/// The message of XOAUTH2: login and access token.
#[must_use]
pub fn xoauth2(credentials: &Credentials) -> SecretString {
    let token = exposed(credentials);
    encode(&format!("user={}\x01auth=Bearer {token}\x01\x01", credentials.login))
}

impl Credentials {
    /// Whether a text of a server contains the secret, because some servers echo the command that
    /// they refuse. The secret is searched as it is, and in each base64 form in which it may have
    /// been sent.
    #[must_use]
    pub fn is_echoed_in(&self, text: &str) -> bool {
        let secret = exposed(self);
        // A quoted string has a backslash before each of the two (RFC 3501 §4.3).
        let quoted = SecretString::from(secret.replace('\\', "\\\\").replace('"', "\\\""));
        let mut sent = vec![plain(self), login_password(self), xoauth2(self)];
        sent.extend(bearer::oauthbearer(self));
        let is_there = |form: &str| text.contains(form.trim_end_matches('='));
        !secret.is_empty()
            && (stands_in(text, secret)
                || stands_in(text, quoted.expose_secret())
                || sent.iter().any(|form| is_there(form.expose_secret())))
    }
}

/// Whether a text contains a secret. A short secret counts only as a whole word, because its
/// letters also occur in other words, and the text is needed.
fn stands_in(text: &str, secret: &str) -> bool {
    const SHORT_CHARS: usize = 6;
    let is_short = secret.chars().count() < SHORT_CHARS;
    let mut places = text.match_indices(secret);
    places.any(|(at, _)| {
        let before = text.get(..at).and_then(|it| it.chars().next_back());
        let behind = text.get(at + secret.len()..).and_then(|it| it.chars().next());
        !is_short || [before, behind].into_iter().flatten().all(|char| !char.is_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Secret;

    #[test]
    fn messages_are_those_of_the_standards() {
        let password = SecretString::from("tanstaaftanstaaf");
        let tim = Credentials { login: "tim".to_owned(), secret: Secret::Password(password) };
        assert_eq!(plain(&tim).expose_secret(), "AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
        assert_eq!(login_name(&tim).expose_secret(), "dGlt");
        assert_eq!(login_password(&tim).expose_secret(), "dGFuc3RhYWZ0YW5zdGFhZg==");
        assert!(!format!("{tim:?}").contains("tanstaaf"));
    }

    #[test]
    fn a_secret_is_known_in_each_form_in_which_it_was_sent() {
        let of = |secret: &str| {
            let secret = Secret::Password(SecretString::from(secret));
            Credentials { login: "tim".to_owned(), secret }
        };
        #[rustfmt::skip]
        let table = [
            ("hush",             "unknown command: LOGIN tim hush",           true),
            ("hush",             "unknown command: LOGIN tim \"hush\"",       true),
            ("hu\"sh",           "unknown command: LOGIN tim \"hu\\\"sh\"",   true),
            ("tanstaaftanstaaf", "bad: AHRpbQB0YW5zdGFhZnRhbnN0YWFm",         true),
            ("tanstaaftanstaaf", "bad: dGFuc3RhYWZ0YW5zdGFhZg==",             true),
            ("tanstaaftanstaaf", "bad: dGFuc3RhYWZ0YW5zdGFhZg",               true),
            ("hush",             "authentication failed for tim",             false),
            ("",                 "authentication failed for tim",             false),
            ("p",                "too many login attempts, please wait",      false),
            ("p",                "the password is not p",                     true),
        ];
        for (secret, text, want) in table {
            assert_eq!(of(secret).is_echoed_in(text), want, "{secret}: {text}");
        }
        let token = Secret::OAuth2(SecretString::from("ya29.token"));
        let token = Credentials { login: "tim".to_owned(), secret: token };
        let message = xoauth2(&token);
        assert!(token.is_echoed_in(&format!("bad: {}", message.expose_secret())));
    }
}
