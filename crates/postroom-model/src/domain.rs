//! The tenant that a row belongs to.

use std::fmt;

/// The name of a domain: 1 to 63 of `a-z 0-9 - _ .`, first a letter or digit.
///
/// Every row belongs to one domain, and a token sees only its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(String);

/// The text is not the name of a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a domain is 1 to 63 of a-z, 0-9, '-', '_' and '.', and begins with a letter or digit")]
pub struct NotADomain;

impl Domain {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`NotADomain`] when it is empty, too long, or has other characters.
    pub fn new(name: &str) -> Result<Self, NotADomain> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = name.bytes().next().is_some_and(plain);
        let rest = name.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'_' | b'.'));
        if first && rest && name.len() <= 63 {
            return Ok(Self(name.to_owned()));
        }
        Err(NotADomain)
    }

    /// The domain that exists from the start.
    #[must_use]
    pub fn default_domain() -> Self {
        Self("default".to_owned())
    }

    /// The administrative domain.
    #[must_use]
    pub fn master() -> Self {
        Self("master".to_owned())
    }

    /// The domains that exist from the start.
    #[must_use]
    pub fn of_the_start() -> [Self; 2] {
        [Self::default_domain(), Self::master()]
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["default", "master", "a", "9-x_y.z"] {
            assert!(Domain::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "A", "a b", "a/b", "ä", long.as_str()] {
            assert!(Domain::new(bad).is_err(), "{bad}");
        }
    }
}
