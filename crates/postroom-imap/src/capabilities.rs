//! The capabilities of a server.
//!
//! Standards: RFC 3501 §7.2.1.

use crate::token::readable;

/// The capabilities that the server sent last. Upper and lower case are the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities(Box<str>);

impl Capabilities {
    /// Reads names that are separated by blanks.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let text = readable(text).to_ascii_uppercase();
        let names: Vec<_> = text.split_ascii_whitespace().collect();
        Self(names.join(" ").into_boxed_str())
    }

    /// Whether the server has a capability, such as `UIDPLUS` or `AUTH=PLAIN`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The names, in upper case, in the server's order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_ascii_whitespace()
    }

    /// The same without one that the server turned out not to have.
    #[must_use]
    pub(crate) fn without(&self, name: &str) -> Self {
        let others: Vec<_> =
            self.iter().filter(|known| !known.eq_ignore_ascii_case(name)).collect();
        Self(others.join(" ").into_boxed_str())
    }

    /// Whether the server has sent none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for Capabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case() {
        let capabilities = Capabilities::parse(b"IMAP4rev1  uidplus AUTH=Plain ");
        for name in ["imap4REV1", "UIDPLUS", "AUTH=PLAIN"] {
            assert!(capabilities.has(name), "{name}");
        }
        assert!(!capabilities.has("UID"));
        assert_eq!(capabilities.to_string(), "IMAP4REV1 UIDPLUS AUTH=PLAIN");
    }
}
