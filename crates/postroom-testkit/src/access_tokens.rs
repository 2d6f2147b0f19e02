//! How a server takes access tokens.

use std::net::SocketAddr;

/// How access tokens are taken.
#[derive(Debug, Clone, Copy)]
pub struct TokenLogin {
    /// The mechanism.
    pub mechanism: TokenMechanism,
    /// Where a provider listens that says whether a token is good (RFC 7662).
    pub provider: SocketAddr,
}

/// A mechanism of SASL for access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenMechanism {
    /// That of Google and Microsoft.
    XOAuth2,
    /// That of RFC 7628.
    OAuthBearer,
}

impl TokenMechanism {
    /// Its name in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::XOAuth2 => "xoauth2",
            Self::OAuthBearer => "oauthbearer",
        }
    }

    /// The mechanism of this name, in small letters.
    pub fn of(name: &str) -> Option<Self> {
        [Self::XOAuth2, Self::OAuthBearer].into_iter().find(|one| one.name() == name)
    }
}
