//! Access tokens within SASL: OAUTHBEARER, and what servers say of a token that they refuse.
//!
//! Standards: RFC 7628 (OAUTHBEARER); XOAUTH2 as its inventor describes it.

use crate::credentials::Credentials;
use crate::credentials::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value as Json;

/// The answer to a challenge that says why a token is refused: one octet, in Base64 (RFC 7628
/// §3.2.3).
pub const ABORT: &str = "AQ==";
/// How many characters of a scope are shown.
const SCOPE_CHARS_MAX: usize = 200;

/// The message of OAUTHBEARER: login and access token (RFC 7628 §3.1). `None`: the secret is no
/// token.
#[must_use]
pub fn oauthbearer(credentials: &Credentials) -> Option<SecretString> {
    let Secret::OAuth2(token) = &credentials.secret else {
        return None;
    };
    // Commas and equals signs of a name are escaped (RFC 5801 §4).
    let login = credentials.login.replace('=', "=3D").replace(',', "=2C");
    let token = token.expose_secret();
    let message = format!("n,a={login},\x01auth=Bearer {token}\x01\x01");
    Some(SecretString::from(STANDARD.encode(message)))
}

/// What a server says of a token that it refuses, in words. `challenge` is in Base64, as the server
/// sent it. `None`: it says nothing that can be read.
#[must_use]
pub fn refusal(challenge: &str) -> Option<String> {
    let bytes = STANDARD.decode(challenge.trim()).ok()?;
    let json: Json = serde_json::from_slice(&bytes).ok()?;
    let status = member(&json, "status")?;
    let scope = member(&json, "scope").filter(|scope| !scope.is_empty());
    let what = match status.as_str() {
        "400" | "401" | "invalid_token" => "the access token is not valid here, or has expired",
        "403" | "insufficient_scope" => "the access token is good, but not for this",
        "invalid_request" => "the server cannot read the request",
        _ => "the server does not accept the access token",
    };
    let readable = |text: &str| {
        let visible = text.chars().filter(|char| !char.is_control());
        visible.take(SCOPE_CHARS_MAX).collect::<String>()
    };
    let status = readable(&status);
    let scope = scope
        .map_or_else(String::new, |scope| format!("; it must have the scope {}", readable(&scope)));
    Some(format!("{what} ({status}{scope})"))
}

fn member(json: &Json, name: &str) -> Option<String> {
    json.get(name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_that_of_the_standard() {
        let token = SecretString::from("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        let credentials =
            Credentials { login: "us=er,@a.test".to_owned(), secret: Secret::OAuth2(token) };
        let message = oauthbearer(&credentials).unwrap();
        let message = STANDARD.decode(message.expose_secret()).unwrap();
        let want = "n,a=us=3Der=2C@a.test,\x01auth=Bearer \
                    vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        assert_eq!(message, want.as_bytes());
        let password = Secret::Password(SecretString::from("x"));
        let none = oauthbearer(&Credentials { login: String::new(), secret: password });
        assert!(none.is_none());
    }

    #[test]
    fn a_refusal_is_told_in_words() {
        let of = |json: &str| refusal(&STANDARD.encode(json));
        #[rustfmt::skip]
        let table = [
            (r#"{"status":"400","schemes":"Bearer","scope":"https://mail.example/"}"#,
             Some("the access token is not valid here, or has expired (400; it must have the scope https://mail.example/)")),
            (r#"{"status":"invalid_token"}"#,
             Some("the access token is not valid here, or has expired (invalid_token)")),
            (r#"{"status":"insufficient_scope","scope":"mail"}"#,
             Some("the access token is good, but not for this (insufficient_scope; it must have the scope mail)")),
            (r#"{"status":"5\n5"}"#, Some("the server does not accept the access token (55)")),
            (r#"{"status":7}"#,      None),
            ("{}",                   None),
            ("no JSON",              None),
        ];
        for (json, want) in table {
            assert_eq!(of(json).as_deref(), want, "{json}");
        }
        assert_eq!(refusal("***"), None);
        let long = format!(r#"{{"status":"400","scope":"{}"}}"#, "x".repeat(9_000));
        assert!(of(&long).unwrap().len() < 400);
    }
}
