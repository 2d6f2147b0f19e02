//! Names of mailboxes: the server's bytes, unchanged, and the form that people read.

mod utf7;

use crate::mailbox::utf7::decode;
use crate::mailbox::utf7::encode;
use std::fmt::Write;

/// The name of a mailbox, byte for byte as the server gives it.
///
/// Names are compared by their bytes, except INBOX, which the protocol knows in any case
/// (RFC 3501 §5.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(Box<[u8]>);

impl MailboxName {
    /// The mailbox that every account has.
    #[must_use]
    pub fn inbox() -> Self {
        Self(Box::from(*b"INBOX"))
    }

    /// A name from the server's bytes. INBOX in upper or lower case becomes `INBOX`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        if bytes.eq_ignore_ascii_case(b"INBOX") { Self::inbox() } else { Self(Box::from(bytes)) }
    }

    /// A name from the form that people write. It is encoded as modified UTF-7 (RFC 3501 §5.1.3).
    #[must_use]
    pub fn from_display(name: &str) -> Self {
        Self::from_bytes(encode(name).as_bytes())
    }

    /// A name from the form that [`Self::to_percent_encoded`] gives. A `%` without two hexadecimal
    /// digits means `%`.
    #[must_use]
    pub fn from_percent_encoded(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match (byte, after) {
                (b'%', [high, low, later @ ..]) => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => {
                        bytes.push(high << 4 | low);
                        rest = later;
                    }
                    (_, None) | (None, _) => bytes.push(b'%'),
                },
                (byte, _) => bytes.push(*byte),
            }
        }
        Self::from_bytes(&bytes)
    }

    /// The name in printable ASCII. Any other octet, and `%` itself, becomes `%` and two
    /// hexadecimal digits.
    #[must_use]
    pub fn to_percent_encoded(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        for byte in &self.0 {
            match byte {
                b'%' | 0..0x20 | 0x7F.. => {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "%{byte:02X}");
                }
                byte => text.push(char::from(*byte)),
            }
        }
        text
    }

    /// The server's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name in the form that people read. Valid modified UTF-7 is decoded, plain UTF-8 is kept,
    /// and control characters become U+FFFD. Two different names may look alike.
    #[must_use]
    pub fn to_display(&self) -> String {
        decode(&self.0)
    }
}

impl std::fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MailboxName({})", self.to_percent_encoded())
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_survive_percent_encoding() {
        #[rustfmt::skip]
        let table: &[(&[u8], &str)] = &[
            (b"INBOX",            "INBOX"),
            (b"Sent Items",       "Sent Items"),
            (b"100%",             "100%25"),
            (b"\xC3\xA9t\xC3\xA9", "%C3%A9t%C3%A9"),
            (b"a\r\nb\0",         "a%0D%0Ab%00"),
            (b"&AOk-",            "&AOk-"),
        ];
        for (bytes, text) in table {
            let name = MailboxName::from_bytes(bytes);
            assert_eq!(name.to_percent_encoded(), *text);
            assert_eq!(MailboxName::from_percent_encoded(text), name);
        }
        assert_eq!(MailboxName::from_percent_encoded("a%zz%4").as_bytes(), b"a%zz%4");
    }

    #[test]
    fn only_inbox_is_folded() {
        assert_eq!(MailboxName::from_bytes(b"Inbox"), MailboxName::inbox());
        assert_ne!(MailboxName::from_bytes(b"sent"), MailboxName::from_bytes(b"Sent"));
        assert_ne!(MailboxName::from_bytes(b"Inbox.a"), MailboxName::from_bytes(b"INBOX.a"));
    }

    proptest! {
        #[test]
        fn any_bytes_survive_percent_encoding(bytes: Vec<u8>) {
            let name = MailboxName::from_bytes(&bytes);
            let text = name.to_percent_encoded();
            prop_assert!(text.bytes().all(|b| (0x20..0x7F).contains(&b)));
            prop_assert_eq!(MailboxName::from_percent_encoded(&text), name);
        }

        #[test]
        fn any_text_survives_modified_utf_7(text in "[^\\x00-\\x1F\\x7F-\\u{9F}\u{FFFD}]*") {
            let name = MailboxName::from_display(&text);
            prop_assert!(name.as_bytes().is_ascii());
            if !text.eq_ignore_ascii_case("INBOX") {
                prop_assert_eq!(name.to_display(), text);
            }
        }

        #[test]
        fn any_bytes_have_a_display_form(bytes: Vec<u8>) {
            let shown = MailboxName::from_bytes(&bytes).to_display();
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
