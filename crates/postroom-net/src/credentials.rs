//! Who we are at a server.

use secrecy::SecretString;

/// A login name and what proves it. Its debug output shows no secret.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The login name.
    pub login: String,
    /// What proves it.
    pub secret: Secret,
}

/// What proves a login.
#[derive(Debug, Clone)]
pub enum Secret {
    /// A password.
    Password(SecretString),
    /// An OAuth 2.0 access token (RFC 6750).
    OAuth2(SecretString),
}
