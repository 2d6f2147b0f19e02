//! Base64, and the secret of a login.

use crate::credentials::Credentials;
use crate::credentials::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use secrecy::SecretString;

/// The secret itself, to be sent or compared.
pub(crate) fn exposed(credentials: &Credentials) -> &str {
    match &credentials.secret {
        Secret::Password(secret) | Secret::OAuth2(secret) => secret.expose_secret(),
    }
}

/// A message in base64.
pub(crate) fn encode(text: &str) -> SecretString {
    SecretString::from(STANDARD.encode(text))
}
