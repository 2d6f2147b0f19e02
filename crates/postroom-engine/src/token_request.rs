//! Asks a provider for a token, and says what its answer means.
//!
//! Standards: RFC 6749 §4.1.3 (authorisation codes), §5 (answers of a token endpoint) and §6
//! (refresh tokens), RFC 7636 (PKCE), RFC 8628 §3.4 (device codes).

use crate::account::Account;
use crate::http_exchange;
use crate::http_exchange::FormAnswer;
use crate::http_exchange::FormRequest;
use crate::proxied::through_proxy;
use crate::retry_after::RetryAfter;
use crate::settings::Redial;
use postroom_model::AccountId;
use postroom_model::oauth::OAuthApp;
use postroom_model::oauth_answer::Consenter;
use postroom_model::oauth_answer::TokenAnswer;
use postroom_store::AccountRow;
use postroom_store::Store;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value as Json;
use std::fmt::Write;
use std::time::Duration;

/// How many characters of an explanation are shown.
const WORDS_CHARS_MAX: usize = 300;

/// What a token is asked for with.
#[derive(Debug)]
pub(crate) struct TokenRequest<'a> {
    /// The app.
    pub app: &'a OAuthApp,
    /// Its secret.
    pub client_secret: Option<SecretString>,
    /// What entitles the app to a token.
    pub grant: Grant,
}

/// What entitles an app to a token.
#[derive(Debug)]
pub(crate) enum Grant {
    /// A refresh token (RFC 6749 §6).
    RefreshToken(SecretString),
    /// What the provider gave the browser of somebody who has just consented (RFC 6749 §4.1.3).
    Code {
        /// The code.
        code: SecretString,
        /// What proves that the one who asked for the consent brings the code (RFC 7636 §4.5).
        verifier: SecretString,
        /// Where the code was sent to.
        redirect_uri: String,
    },
    /// What the provider gave for a consent on another device (RFC 8628 §3.4).
    DeviceCode(SecretString),
    /// The app itself (RFC 6749 §4.4).
    ClientCredentials,
    /// What a service account says, signed with its key (RFC 7523 §2.1).
    Assertion(SecretString),
    /// Software of a client has the tokens. The secret of the app says who asks.
    External {
        /// The account.
        account: AccountId,
        /// Its address.
        address: String,
    },
}

/// A token that was given.
#[derive(Debug)]
pub(crate) struct GrantedToken {
    /// The access token.
    pub access_token: SecretString,
    /// For how long it is good.
    pub life: Duration,
    /// What takes the place of the refresh token.
    pub refresh_token: Option<SecretString>,
}

/// Why there is no token. The words are shown to people and have no secret.
#[derive(Debug)]
pub(crate) enum TokenFailure {
    /// It may pass.
    Passing {
        /// Why.
        reason: String,
        /// How long the provider asks to wait.
        after: Option<RetryAfter>,
        /// Whether the provider may have given a token, and its answer was lost.
        is_open: bool,
    },
    /// Somebody has to do something.
    Refused {
        /// Who.
        by: Consenter,
        /// What the provider says.
        reason: String,
    },
}

/// Asks for a token for an account, through the proxy of its profile or of the configuration.
///
/// # Errors
///
/// Why there is none.
pub(crate) async fn ask(
    store: &Store,
    redial: &Redial,
    row: &AccountRow,
    request: &TokenRequest<'_>,
) -> Result<GrantedToken, TokenFailure> {
    request.read(&answer(store, redial, row, request).await?)
}

/// Asks in the same way, and gives the answer as it is.
///
/// # Errors
///
/// Why there is none.
pub(crate) async fn answer(
    store: &Store,
    redial: &Redial,
    row: &AccountRow,
    request: &TokenRequest<'_>,
) -> Result<FormAnswer, TokenFailure> {
    let Some(url) = &request.app.token_url else {
        let reason = "it has no `tokenUrl`".to_owned();
        return Err(TokenFailure::Refused { by: Consenter::Administrator, reason });
    };
    let form = request.form();
    let bearer = request.client_secret.as_ref().filter(|_| request.is_external());
    exchanged(store, redial, row, FormRequest { url, form, bearer }).await
}

/// Sends a form to the provider of an account, through the proxy of its profile or of the
/// configuration.
///
/// # Errors
///
/// Why there is no answer.
pub(crate) async fn exchanged(
    store: &Store,
    redial: &Redial,
    row: &AccountRow,
    form: FormRequest<'_>,
) -> Result<FormAnswer, TokenFailure> {
    let passing = |error: &(dyn std::error::Error + 'static), reason: String, is_open| {
        let reason = format!("{reason}{}", postroom_net::cause(error));
        TokenFailure::Passing { reason, after: None, is_open }
    };
    let url = form.url;
    let (dialer, outgoing) = (redial.dialing.dialer.clone(), &redial.outgoing);
    let dialer = through_proxy(dialer, outgoing, store, &Account::from_row(row)).await;
    let dialer = dialer.map_err(|error| passing(&error, String::new(), false))?;
    let dialer = outgoing.for_oauth(&row.domain, dialer);
    http_exchange::post(&dialer, form).await.map_err(|error| {
        let said = format!("{} gives no answer: ", url.authority);
        passing(&error, said, error.may_be_sent())
    })
}

impl TokenRequest<'_> {
    fn form(&self) -> SecretString {
        let mut form = FormFields::default();
        match &self.grant {
            Grant::RefreshToken(token) => {
                form.add("grant_type", "refresh_token");
                form.add("refresh_token", token.expose_secret());
            }
            Grant::Code { code, verifier, redirect_uri } => {
                form.add("grant_type", "authorization_code");
                form.add("code", code.expose_secret());
                form.add("redirect_uri", redirect_uri);
                form.add("code_verifier", verifier.expose_secret());
            }
            Grant::DeviceCode(code) => {
                form.add("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
                form.add("device_code", code.expose_secret());
            }
            Grant::ClientCredentials => form.add("grant_type", "client_credentials"),
            Grant::Assertion(assertion) => {
                form.add("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.add("assertion", assertion.expose_secret());
            }
            Grant::External { account, address } => {
                form.add("account", &account.to_string());
                form.add("address", address);
            }
        }
        // The scopes of a code were chosen when it was asked for.
        let is_chosen = matches!(self.grant, Grant::Code { .. } | Grant::DeviceCode(_));
        if !self.app.scope.is_empty() && !is_chosen {
            form.add("scope", &self.app.scope);
        }
        // An assertion says by itself whose it is.
        let id = self.app.client_id.as_ref();
        if let Some(id) = id.filter(|_| !matches!(self.grant, Grant::Assertion(_))) {
            form.add("client_id", id);
        }
        if let Some(secret) = self.client_secret.as_ref().filter(|_| !self.is_external()) {
            form.add("client_secret", secret.expose_secret());
        }
        SecretString::from(form.into_text())
    }

    fn is_external(&self) -> bool {
        matches!(self.grant, Grant::External { .. })
    }

    /// The secret of the grant.
    fn entitlement(&self) -> Option<&SecretString> {
        match &self.grant {
            Grant::RefreshToken(token)
            | Grant::Code { code: token, .. }
            | Grant::DeviceCode(token) => Some(token),
            Grant::ClientCredentials | Grant::Assertion(_) | Grant::External { .. } => None,
        }
    }

    /// What an answer means.
    ///
    /// # Errors
    ///
    /// Why it has no token.
    pub(crate) fn read(&self, answer: &FormAnswer) -> Result<GrantedToken, TokenFailure> {
        let json: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        let reason = || self.said(answer);
        match TokenAnswer::read(answer.status, &json) {
            TokenAnswer::Granted(parts) => Ok(GrantedToken {
                access_token: SecretString::from(parts.access_token),
                life: parts.life,
                refresh_token: parts
                    .refresh_token
                    .filter(|_| self.entitlement().is_some())
                    .map(SecretString::from),
            }),
            TokenAnswer::Refused(by) => {
                let by = if self.entitlement().is_none() { Consenter::Administrator } else { by };
                Err(TokenFailure::Refused { by, reason: reason() })
            }
            TokenAnswer::Passing { is_open } => {
                let after = answer.retry_after;
                Err(TokenFailure::Passing { reason: reason(), after, is_open })
            }
        }
    }

    /// What the provider says, without secrets that it may echo.
    pub(crate) fn said(&self, answer: &FormAnswer) -> String {
        let more = match &self.grant {
            Grant::Code { verifier: more, .. } | Grant::Assertion(more) => Some(more),
            Grant::RefreshToken(_)
            | Grant::DeviceCode(_)
            | Grant::ClientCredentials
            | Grant::External { .. } => None,
        };
        let secrets = [self.entitlement(), more, self.client_secret.as_ref()];
        said(answer, AskedEndpoint::Token, secrets.into_iter().flatten())
    }
}

/// What of a provider was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskedEndpoint {
    /// What gives tokens (RFC 6749 §3.2).
    Token,
    /// What gives codes for consents on other devices (RFC 8628 §3.1).
    Device,
}

impl AskedEndpoint {
    /// What an answer is not that has no error to show.
    fn no_answer(self) -> &'static str {
        match self {
            Self::Token => "which is no answer of a token endpoint",
            Self::Device => "which is no answer of an endpoint for device codes: check `deviceUrl`",
        }
    }
}

/// What a provider says, without these secrets, which it may echo.
pub(crate) fn said<'a>(
    answer: &FormAnswer,
    endpoint: AskedEndpoint,
    secrets: impl IntoIterator<Item = &'a SecretString>,
) -> String {
    let json: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    let status = answer.status;
    let Some(error) = json.get("error").and_then(Json::as_str) else {
        return format!("it answers {status}, {}", endpoint.no_answer());
    };
    let described = json.get("error_description").and_then(Json::as_str);
    let mut words = format!(": {error}");
    if let Some(described) = described {
        let _ = write!(words, " ({})", described.trim());
    }
    if secrets.into_iter().any(|one| is_echoed(&words, one.expose_secret())) {
        return format!("it answers {status}: (not shown)");
    }
    let readable = |char: char| if char.is_control() { ' ' } else { char };
    let words: String = words.chars().map(readable).take(WORDS_CHARS_MAX).collect();
    format!("it answers {status}{words}")
}

/// Whether a text shows a secret, or nearly all of it, as it is or in the form in which it was
/// sent.
fn is_echoed(text: &str, secret: &str) -> bool {
    // Less of a short secret also occurs in other words.
    const LONG_BYTES: usize = 12;
    let kept = if secret.len() < LONG_BYTES { secret.len() } else { secret.len() * 3 / 4 };
    let ends = [secret.get(..kept), secret.get(secret.len() - kept..)];
    let decoded = decoded(text);
    let shows = |text: &str| ends.iter().flatten().any(|part| text.contains(part));
    !secret.is_empty() && (shows(text) || shows(&decoded))
}

/// A text without the escapes of a form. What is no escape stays.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [byte, behind @ ..] = rest {
        let escape = behind.get(..2).filter(|_| *byte == b'%');
        let escape = escape.and_then(|digits| std::str::from_utf8(digits).ok());
        let escape = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escape.unwrap_or(*byte));
        rest = if escape.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A form (`application/x-www-form-urlencoded`).
pub(crate) struct FormFields(String);

impl Default for FormFields {
    /// There is room, so that a secret is not left behind where a text had to move.
    fn default() -> Self {
        Self(String::with_capacity(4096))
    }
}

impl FormFields {
    /// The form as text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// Adds a field.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                // Writing into a text cannot fail.
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::Entity;
    use postroom_model::EntityId;
    use serde_json::json;

    fn app() -> OAuthApp {
        let values = json!({
            "name": "ours", "tokenUrl": "https://a.test/", "clientId": "a b", "scopes": ["x", "y"],
        });
        OAuthApp::of(&Entity::new(EntityId::nil(), values.as_object().unwrap().clone()))
    }

    fn request(app: &OAuthApp) -> TokenRequest<'_> {
        let client_secret = Some(SecretString::from("h&sh"));
        let grant = Grant::RefreshToken(SecretString::from("1//r+t"));
        TokenRequest { app, client_secret, grant }
    }

    fn answer(status: u16, body: &str) -> FormAnswer {
        FormAnswer { status, retry_after: None, location: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_form_is_encoded() {
        let app = app();
        let form = request(&app).form();
        assert_eq!(
            form.expose_secret(),
            "grant_type=refresh_token&refresh_token=1%2F%2Fr%2Bt&scope=x%20y&client_id=a%20b\
             &client_secret=h%26sh"
        );
    }

    #[test]
    fn an_app_that_needs_no_consent_asks_by_itself() {
        let app = app();
        let asked = |grant| TokenRequest { grant, ..request(&app) };
        let own = asked(Grant::ClientCredentials);
        assert_eq!(
            own.form().expose_secret(),
            "grant_type=client_credentials&scope=x%20y&client_id=a%20b&client_secret=h%26sh"
        );
        let account = AccountId::of(EntityId::from_u128(7));
        let external = asked(Grant::External { account, address: "a@b.test".to_owned() });
        let form = external.form();
        let form = form.expose_secret();
        assert!(form.ends_with("&address=a%40b.test&scope=x%20y&client_id=a%20b"), "{form}");
        let code = Grant::Code {
            code: SecretString::from("c/1"),
            verifier: SecretString::from("v"),
            redirect_uri: "https://a.test/x".to_owned(),
        };
        assert_eq!(
            asked(code).form().expose_secret(),
            "grant_type=authorization_code&code=c%2F1&redirect_uri=https%3A%2F%2Fa.test%2Fx\
             &code_verifier=v&client_id=a%20b&client_secret=h%26sh"
        );
        // Nobody could consent, and a refresh token would be of no use.
        let refused = own.read(&answer(400, r#"{"error": "invalid_grant"}"#));
        let by = Consenter::Administrator;
        assert!(matches!(refused, Err(TokenFailure::Refused { by: of, .. }) if of == by));
        let granted = own.read(&answer(200, r#"{"access_token": "a", "refresh_token": "r"}"#));
        assert!(granted.unwrap().refresh_token.is_none());
    }

    #[test]
    fn an_answer_that_echoes_a_secret_is_not_shown() {
        let app = app();
        for (described, is_shown) in [
            ("1//r+t", false),
            ("h&sh", false),
            ("refresh_token=1%2F%2fr%2Bt&x", false),
            ("1//r+", true),
            ("100 % of it, %zz, %", true),
        ] {
            let body = json!({"error": "invalid_grant", "error_description": described});
            let Err(TokenFailure::Refused { reason, .. }) =
                request(&app).read(&answer(400, &body.to_string()))
            else {
                panic!("{described}")
            };
            let hidden = "it answers 400: (not shown)";
            assert_eq!(reason != hidden, is_shown, "{described}: {reason}");
        }
        let secret = "1//03abcdefghijklmnop";
        for (text, want) in [
            ("token 1//03abcdefghijklmno is not known", true),
            ("token /03abcdefghijklmnop is not known", true),
            ("token 1%2F%2F03abcdefghijklmno", true),
            ("token 1//03abc", false),
        ] {
            assert_eq!(is_echoed(text, secret), want, "{text}");
        }
        let long = json!({"error": "invalid_grant", "error_description": "x\n".repeat(9_000)});
        let Err(TokenFailure::Refused { reason, .. }) =
            request(&app).read(&answer(400, &long.to_string()))
        else {
            panic!("{long}")
        };
        assert!(reason.len() < 400 && !reason.contains('\n'), "{reason}");
    }
}
