//! The login of an account at a server.

use secrecy::SecretString;

/// A login name and a secret. The debug output shows no secret.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The login name.
    pub login: String,
    /// The password or token.
    pub secret: Secret,
}

/// The secret of a login.
#[derive(Debug, Clone)]
pub enum Secret {
    /// A password.
    Password(SecretString),
    /// An OAuth 2.0 access token (RFC 6750).
    OAuth2(SecretString),
}
