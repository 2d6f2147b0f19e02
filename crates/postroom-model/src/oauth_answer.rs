//! Answers of token endpoints: a token, or who has to do what, or nothing for now.
//!
//! Standards: RFC 6749 §5 (answers of a token endpoint), OpenID Connect Core 1.0 §3.1.2.6 (further
//! errors).

use serde_json::Value as Json;
use std::time::Duration;

/// How long a token lives whose provider does not say so.
const LIFE_USUAL: Duration = Duration::from_secs(3600);
/// No token counts as good for longer than this.
const LIFE_LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAnswer<'a> {
    /// A token.
    Granted(TokenParts<'a>),
    /// Somebody has to do something.
    Refused(Consenter),
    /// It may pass.
    Passing {
        /// Whether the provider may have given a token that cannot be read.
        is_open: bool,
    },
}

/// A token, as it is sent in a line or a header field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenParts<'a> {
    /// The access token.
    pub access_token: &'a str,
    /// For how long it is good.
    pub life: Duration,
    /// The refresh token that comes with it. It is sent in forms, which carry any character.
    pub refresh_token: Option<&'a str>,
}

impl std::fmt::Debug for TokenParts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenParts").field("life", &self.life).finish_non_exhaustive()
    }
}

/// Who has to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consenter {
    /// The owner of the mailbox, who has to consent again.
    Owner,
    /// The administrator of the organisation that has the mailbox. A consent alone does not help.
    Organisation,
    /// Whoever has registered the app.
    Administrator,
}

/// What an error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    For(Consenter),
    /// Nothing: it may pass.
    Patience,
}

/// What errors ask for, by their names. Others may pass.
const BY_NAME: [(&str, Consenter); 14] = [
    ("invalid_grant", Consenter::Owner),
    ("interaction_required", Consenter::Owner),
    ("login_required", Consenter::Owner),
    ("consent_required", Consenter::Owner),
    // Google, for apps that an organisation does not allow.
    ("admin_policy_enforced", Consenter::Organisation),
    ("org_internal", Consenter::Administrator),
    ("deleted_client", Consenter::Administrator),
    ("disabled_client", Consenter::Administrator),
    ("invalid_client", Consenter::Administrator),
    ("unauthorized_client", Consenter::Administrator),
    ("invalid_scope", Consenter::Administrator),
    ("invalid_request", Consenter::Administrator),
    ("unsupported_grant_type", Consenter::Administrator),
    ("access_denied", Consenter::Administrator),
];

/// What stands before the code of Microsoft in a description. The code says more than the name,
/// which is `invalid_grant` for nearly all of them.
const CODE_MARK: &str = "AADSTS";

/// What codes of Microsoft ask for, where that differs from what the name asks for.
const BY_CODE: [(u32, Asks); 12] = [
    // The account is disabled.
    (50_057, Asks::For(Consenter::Organisation)),
    // The user is not assigned to the app.
    (50_105, Asks::For(Consenter::Organisation)),
    // Conditional access: the device, the app or the place is not allowed.
    (53_000, Asks::For(Consenter::Organisation)),
    (53_001, Asks::For(Consenter::Organisation)),
    (53_002, Asks::For(Consenter::Organisation)),
    (53_003, Asks::For(Consenter::Organisation)),
    (530_003, Asks::For(Consenter::Organisation)),
    // An administrator has to consent for the organisation.
    (90_094, Asks::For(Consenter::Organisation)),
    // The app, or what it wants to use, is switched off in the directory.
    (500_014, Asks::For(Consenter::Organisation)),
    (7_000_112, Asks::For(Consenter::Organisation)),
    // It was asked too often within a short time.
    (50_196, Asks::Patience),
    // The directory does not answer at the moment.
    (90_033, Asks::Patience),
];

impl<'a> TokenAnswer<'a> {
    /// Reads an answer. `status` is that of HTTP. `body` is null if it is no JSON.
    #[must_use]
    pub fn read(status: u16, body: &'a Json) -> Self {
        let is_done = (200..300).contains(&status);
        if is_done && let Some(parts) = parts(body) {
            return Self::Granted(parts);
        }
        let error = body.get("error").and_then(Json::as_str);
        let described = body.get("error_description").and_then(Json::as_str);
        let passes = matches!(status, 408 | 425 | 429 | 500..);
        match error.and_then(|error| who(error, described)).filter(|_| !passes) {
            Some(consenter) => Self::Refused(consenter),
            // An answer of 2yz that cannot be read, or a 5yz, may hide a token.
            None => Self::Passing { is_open: (is_done && error.is_none()) || status >= 500 },
        }
    }
}

/// A token of an answer. `None`: it has none that can be sent.
fn parts(body: &Json) -> Option<TokenParts<'_>> {
    let text = |name: &str| body.get(name)?.as_str().filter(|text| !text.is_empty());
    let access_token = text("access_token")?;
    if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let life = body.get("expires_in").and_then(|life| {
        let quoted = life.as_str().and_then(|text| text.parse().ok());
        quoted.or_else(|| life.as_f64())
    });
    let life = life.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
    let life = life.unwrap_or(LIFE_USUAL).min(LIFE_LONGEST);
    Some(TokenParts { access_token, life, refresh_token: text("refresh_token") })
}

/// Who has to do something about an error. `None`: it may pass.
fn who(error: &str, described: Option<&str>) -> Option<Consenter> {
    let code = described.and_then(code);
    let by_code = BY_CODE.iter().find(|(known, _)| Some(*known) == code);
    match by_code {
        Some((_, Asks::For(consenter))) => Some(*consenter),
        Some((_, Asks::Patience)) => None,
        None => BY_NAME.iter().find(|(name, _)| *name == error).map(|(_, who)| *who),
    }
}

/// The code of Microsoft in a description.
fn code(described: &str) -> Option<u32> {
    let (_, rest) = described.split_once(CODE_MARK)?;
    let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_token_or_says_who_has_to_do_something_or_may_pass() {
        let (owner, administrator) = ("Owner", "Administrator");
        #[rustfmt::skip]
        let table = [
            (200, r#"{"access_token": "a", "expires_in": 2}"#,                         "2 s"),
            (200, r#"{"access_token": "a", "expires_in": "2"}"#,                       "2 s"),
            (200, r#"{"access_token": "a", "expires_in": -2}"#,                        "3600 s"),
            (200, r#"{"access_token": "a", "expires_in": 1e300}"#,                     "3600 s"),
            (200, r#"{"access_token": "a"}"#,                                          "3600 s"),
            (200, r#"{"access_token": ""}"#,                                           "passing, open"),
            (200, r#"{"access_token": "a\r\nb"}"#,                                     "passing, open"),
            (200, "<html>",                                                            "passing, open"),
            (200, r#"{"error": "invalid_grant"}"#,                                     owner),
            (400, r#"{"error": "invalid_grant", "error_description": "expired"}"#,     owner),
            (400, r#"{"error": "interaction_required"}"#,                              owner),
            (401, r#"{"error": "invalid_client"}"#,                                    administrator),
            (400, r#"{"error": "unauthorized_client"}"#,                               administrator),
            (400, r#"{"error": "slow_down"}"#,                                         "passing"),
            (400, "",                                                                  "passing"),
            (404, "<html>",                                                            "passing"),
            (429, r#"{"error": "invalid_grant"}"#,                                     "passing"),
            (503, r#"{"error": "invalid_grant"}"#,                                     "passing, open"),
            (500, "",                                                                  "passing, open"),
        ];
        for (status, body, want) in table {
            let json: Json = serde_json::from_str(body).unwrap_or_default();
            let read = match TokenAnswer::read(status, &json) {
                TokenAnswer::Granted(parts) => format!("{} s", parts.life.as_secs()),
                TokenAnswer::Refused(consenter) => format!("{consenter:?}"),
                TokenAnswer::Passing { is_open: true } => "passing, open".to_owned(),
                TokenAnswer::Passing { is_open: false } => "passing".to_owned(),
            };
            assert_eq!(read, want, "{status} {body}");
        }
    }

    #[test]
    fn a_refresh_token_may_have_any_character() {
        let json = serde_json::json!({"access_token": "a", "refresh_token": "1 /\u{fc}"});
        let TokenAnswer::Granted(parts) = TokenAnswer::read(200, &json) else { panic!("{json}") };
        assert_eq!(parts.refresh_token, Some("1 /\u{fc}"));
        assert!(!format!("{parts:?}").contains("1 /"), "it is a secret");
    }

    #[test]
    fn a_code_of_the_description_says_more_than_the_name_of_the_error() {
        let (owner, organisation) = (Some(Consenter::Owner), Some(Consenter::Organisation));
        let administrator = Some(Consenter::Administrator);
        #[rustfmt::skip]
        let table = [
            ("invalid_grant",          None,                               owner),
            ("invalid_grant",          Some("Token has been expired or revoked."), owner),
            ("invalid_grant",          Some("AADSTS50173: new password"),  owner),
            ("invalid_grant",          Some("AADSTS53003: blocked"),       organisation),
            ("interaction_required",   Some("AADSTS53001: no device"),     organisation),
            ("invalid_grant",          Some("AADSTS50196: a loop"),        None),
            ("invalid_grant",          Some("AADSTS: no digits"),          owner),
            ("invalid_grant",          Some("AADSTS99999999999999999999"), owner),
            ("invalid_client",         Some("AADSTS7000222: its secret"),  administrator),
            ("admin_policy_enforced",  None,                               organisation),
            ("deleted_client",         None,                               administrator),
            ("slow_down",              None,                               None),
            ("",                       None,                               None),
        ];
        for (error, described, want) in table {
            assert_eq!(who(error, described), want, "{error} {described:?}");
        }
    }
}
