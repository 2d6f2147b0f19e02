//! The identity that a server gives a mailbox, whatever its name.
//!
//! Standards: RFC 8474 §4.1.

use std::fmt;

/// How long an identity may be, in characters.
const CHARS_MAX: usize = 255;

/// MAILBOXID: it stays when the mailbox is renamed, and no other mailbox of the server gets it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxId(Box<str>);

impl MailboxId {
    /// An identity as a server writes it, without parentheses. `None`: this cannot be one. The
    /// characters are not restricted as RFC 8474 §7 does, because only equality counts.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_written = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'"');
        let is_one = (1..=CHARS_MAX).contains(&text.len()) && text.bytes().all(is_written);
        is_one.then(|| Self(text.into()))
    }

    /// The identity as the server wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MailboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_identity_is_none() {
        let long = "a".repeat(CHARS_MAX + 1);
        for (text, want) in [
            ("F2212ea87-6097-4256-9d51-71338625", true),
            ("uni_q.1", true),
            ("", false),
            ("a b", false),
            ("(a)", false),
            ("\u{FFFD}\u{1}x", false),
            (&long, false),
        ] {
            assert_eq!(MailboxId::parse(text).is_some(), want, "{text}");
        }
    }
}
