//! Asks a provider for a token, and says what its answer means.
//!
//! Standards: RFC 6749 §5 (answers of a token endpoint) and §6 (refresh tokens).

use crate::http_exchange;
use crate::http_exchange::FormAnswer;
use crate::http_exchange::FormRequest;
use crate::retry_after::RetryAfter;
use postroom_model::AccountId;
use postroom_model::oauth::OAuthApp;
use postroom_model::oauth_answer::Consenter;
use postroom_model::oauth_answer::TokenAnswer;
use postroom_net::Dialer;
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
    /// The app itself (RFC 6749 §4.4).
    ClientCredentials,
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

/// Asks for a token.
///
/// # Errors
///
/// Why there is none.
pub(crate) async fn ask(
    dialer: &Dialer,
    request: &TokenRequest<'_>,
) -> Result<GrantedToken, TokenFailure> {
    let Some(url) = &request.app.token_url else {
        let reason = "it has no `tokenUrl`".to_owned();
        return Err(TokenFailure::Refused { by: Consenter::Administrator, reason });
    };
    let form = request.form();
    let bearer = request.client_secret.as_ref().filter(|_| request.is_external());
    match http_exchange::post(dialer, FormRequest { url, form, bearer }).await {
        Ok(answer) => request.read(&answer),
        Err(error) => {
            let is_open = error.may_be_sent();
            let (authority, cause) = (&url.authority, postroom_net::cause(&error));
            let reason = format!("{authority} gives no answer: {cause}");
            Err(TokenFailure::Passing { reason, after: None, is_open })
        }
    }
}

impl TokenRequest<'_> {
    fn form(&self) -> SecretString {
        let mut form = FormFields(String::with_capacity(4096));
        match &self.grant {
            Grant::RefreshToken(token) => {
                form.add("grant_type", "refresh_token");
                form.add("refresh_token", token.expose_secret());
            }
            Grant::ClientCredentials => form.add("grant_type", "client_credentials"),
            Grant::External { account, address } => {
                form.add("account", &account.to_string());
                form.add("address", address);
            }
        }
        if !self.app.scope.is_empty() {
            form.add("scope", &self.app.scope);
        }
        if let Some(id) = &self.app.client_id {
            form.add("client_id", id);
        }
        if let Some(secret) = self.client_secret.as_ref().filter(|_| !self.is_external()) {
            form.add("client_secret", secret.expose_secret());
        }
        SecretString::from(form.0)
    }

    fn is_external(&self) -> bool {
        matches!(self.grant, Grant::External { .. })
    }

    /// The secret of the grant.
    fn entitlement(&self) -> Option<&SecretString> {
        match &self.grant {
            Grant::RefreshToken(token) => Some(token),
            Grant::ClientCredentials | Grant::External { .. } => None,
        }
    }

    /// What an answer means.
    fn read(&self, answer: &FormAnswer) -> Result<GrantedToken, TokenFailure> {
        let json: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        let error = json.get("error").and_then(Json::as_str);
        let reason = || format!("it answers {}{}", answer.status, self.words(error, &json));
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
    fn words(&self, error: Option<&str>, json: &Json) -> String {
        let Some(error) = error else {
            return ", which is no answer of a token endpoint".to_owned();
        };
        let described = json.get("error_description").and_then(Json::as_str);
        let mut words = format!(": {error}");
        if let Some(described) = described {
            let _ = write!(words, " ({})", described.trim());
        }
        let secrets = [self.entitlement(), self.client_secret.as_ref()];
        let is_echo = secrets.into_iter().flatten().any(|one| words.contains(one.expose_secret()));
        if is_echo {
            return ": (not shown)".to_owned();
        }
        let readable = |char: char| if char.is_control() { ' ' } else { char };
        words.chars().map(readable).take(WORDS_CHARS_MAX).collect()
    }
}

/// A form (`application/x-www-form-urlencoded`).
struct FormFields(String);

impl FormFields {
    fn add(&mut self, name: &str, value: &str) {
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
        FormAnswer { status, retry_after: None, body: body.as_bytes().to_vec() }
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
        for secret in ["1//r+t", "h&sh"] {
            let body = json!({"error": "invalid_grant", "error_description": secret}).to_string();
            let Err(TokenFailure::Refused { reason, .. }) = request(&app).read(&answer(400, &body))
            else {
                panic!("{secret}")
            };
            assert_eq!(reason, "it answers 400: (not shown)");
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
