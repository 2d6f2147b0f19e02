//! Cryptographic messages of S/MIME: which kind one is, and the content that a signature holds.
//!
//! ```text
//!   SEQUENCE ──► OID: signed, enveloped, ..
//!      └─► [0] SEQUENCE ──► version, algorithms, SEQUENCE ──► OID, [0] OCTET STRING ──► content
//! ```
//!
//! The parser follows only the path to the content, in DER or BER. It compares lengths with the
//! available bytes, and a message that is cut off gives what arrived. Nothing is verified or
//! decrypted.
//!
//! Standards: RFC 8551 (S/MIME) and the CMS that it builds on, X.690 (BER).

/// What a cryptographic message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cms {
    /// It carries signatures, or only certificates.
    Signed,
    /// It is encrypted.
    Encrypted,
    /// Neither: compressed or digested.
    Other,
}

/// How deep strings may lie in one another.
const DEPTH_MAX: usize = 16;

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const OCTETS_CONSTRUCTED: u8 = 0x24;
const EXPLICIT: u8 = 0xA0;

/// The kinds, by their object identifiers.
const KINDS: [(&[u8], Cms); 7] = [
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2], Cms::Signed),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3], Cms::Encrypted),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 4], Cms::Encrypted),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 5], Cms::Other),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 6], Cms::Encrypted),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 1, 23], Cms::Encrypted),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 1, 9], Cms::Other),
];

/// The kind of the message that begins with `start`. `None` if it is none.
#[must_use]
pub fn kind(start: &[u8]) -> Option<Cms> {
    let mut reader = Ber(start);
    reader.enter(SEQUENCE)?;
    let oid = reader.value(OID)?;
    KINDS.iter().find(|kind| kind.0 == oid).map(|kind| kind.1)
}

/// What is signed, if it lies within the signature.
#[must_use]
pub fn signed_content(message: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Ber(message);
    reader.enter(SEQUENCE)?;
    reader.value(OID)?;
    reader.enter(EXPLICIT)?;
    reader.enter(SEQUENCE)?;
    reader.skip()?;
    reader.skip()?;
    let mut content = reader.inner(SEQUENCE)?;
    content.value(OID)?;
    content.enter(EXPLICIT)?;
    content.octets()
}

/// Elements that are still to be read.
#[derive(Debug, Clone, Copy)]
struct Ber<'a>(&'a [u8]);

/// The head of an element.
struct Head {
    tag: u8,
    /// `None` when its end is marked behind its content.
    length: Option<usize>,
}

impl<'a> Ber<'a> {
    fn head(&mut self) -> Option<Head> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        // Longer tags do not occur in these messages.
        if tag & 0x1F == 0x1F {
            return None;
        }
        let count = usize::from(first & 0x7F);
        let (length, rest) = match first {
            0x80 => (None, rest),
            0..0x80 => (Some(count), rest),
            _ => {
                let (bytes, rest) = rest.split_at_checked(count)?;
                let add = |sum: usize, byte: &u8| {
                    sum.checked_mul(256).and_then(|sum| sum.checked_add(usize::from(*byte)))
                };
                (Some(bytes.iter().try_fold(0, add)?), rest)
            }
        };
        self.0 = rest;
        Some(Head { tag: *tag, length })
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }

    /// Goes into an element.
    fn enter(&mut self, tag: u8) -> Option<()> {
        let head = self.head()?;
        (head.tag == tag).then_some(())
    }

    /// The elements within one. Those behind it too when its end is only marked.
    fn inner(&mut self, tag: u8) -> Option<Self> {
        let head = self.head()?;
        let inner = match head.length {
            Some(length) => Self(self.take(length)),
            None => *self,
        };
        (head.tag == tag).then_some(inner)
    }

    /// The bytes of an element whose length is told.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let head = self.head()?;
        let value = self.take(head.length?);
        (head.tag == tag).then_some(value)
    }

    /// Passes over an element.
    fn skip(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            let head = self.head()?;
            match head.length {
                None => open += 1,
                Some(0) if head.tag == 0 => open = open.saturating_sub(1),
                Some(length) => {
                    self.take(length);
                }
            }
            if open == 0 {
                return Some(());
            }
        }
    }

    /// The bytes of a string, whose pieces are joined.
    fn octets(&mut self) -> Option<Vec<u8>> {
        let mut content = vec![];
        // How many bytes stand behind each open piece. `None` where its end is marked.
        let mut open: Vec<Option<usize>> = vec![];
        loop {
            while open.last().is_some_and(|end| end.is_some_and(|end| self.0.len() <= end)) {
                open.pop();
            }
            let is_begun = !content.is_empty() || !open.is_empty();
            let Some(head) = self.head() else {
                return is_begun.then_some(content);
            };
            match (head.tag, head.length) {
                (OCTETS, Some(length)) => content.extend_from_slice(self.take(length)),
                (OCTETS_CONSTRUCTED, length) if open.len() < DEPTH_MAX => {
                    open.push(length.map(|length| self.0.len().saturating_sub(length)));
                }
                (0, Some(0)) => {
                    open.pop();
                }
                _ => return is_begun.then_some(content),
            }
            while open.last().is_some_and(|end| end.is_some_and(|end| self.0.len() <= end)) {
                open.pop();
            }
            if open.is_empty() {
                return Some(content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An element with its length, or with its end marked.
    fn element(tag: u8, content: &[u8], is_marked: bool) -> Vec<u8> {
        let mut bytes = vec![tag];
        if is_marked {
            bytes.push(0x80);
            bytes.extend_from_slice(content);
            bytes.extend([0, 0]);
            return bytes;
        }
        match u8::try_from(content.len()) {
            Ok(length @ ..0x80) => bytes.push(length),
            _ => {
                bytes.push(0x84);
                bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
            }
        }
        bytes.extend_from_slice(content);
        bytes
    }

    fn oid(last: u8) -> Vec<u8> {
        element(OID, &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, last], false)
    }

    /// A signed message around a string that is already encoded.
    fn signed(string: &[u8], is_marked: bool) -> Vec<u8> {
        let explicit = element(EXPLICIT, string, is_marked);
        let content = element(SEQUENCE, &[oid(1), explicit].concat(), is_marked);
        let algorithms = element(0x31, &element(SEQUENCE, &oid(9), is_marked), is_marked);
        let data = [element(2, &[1], false), algorithms, content, b"signers".to_vec()].concat();
        let data = element(EXPLICIT, &element(SEQUENCE, &data, is_marked), is_marked);
        element(SEQUENCE, &[oid(2), data].concat(), is_marked)
    }

    #[test]
    fn what_is_signed_is_found_in_der_and_ber() {
        let long = vec![b'x'; 300];
        let whole = |bytes: &[u8]| element(OCTETS, bytes, false);
        for is_marked in [false, true] {
            assert_eq!(signed_content(&signed(&whole(b"one"), is_marked)).unwrap(), b"one");
            assert_eq!(signed_content(&signed(&whole(&long), is_marked)).unwrap(), long);
            let pieces = [whole(b"one, "), whole(b"two")].concat();
            for inner in [false, true] {
                let pieces = element(OCTETS_CONSTRUCTED, &pieces, inner);
                let message = signed(&pieces, is_marked);
                assert_eq!(kind(&message), Some(Cms::Signed));
                assert_eq!(signed_content(&message).unwrap(), b"one, two", "{is_marked} {inner}");
            }
        }
        // Nothing within: certificates, or a signature beside its content.
        let content = element(SEQUENCE, &oid(1), false);
        let data = [element(2, &[1], false), element(0x31, &[], false), content].concat();
        let data = element(EXPLICIT, &element(SEQUENCE, &data, false), false);
        assert_eq!(signed_content(&element(SEQUENCE, &[oid(2), data].concat(), false)), None);
    }

    #[test]
    fn kinds_are_told_by_their_identifiers() {
        let start = |last| [vec![SEQUENCE, 0x82, 9, 9], oid(last)].concat();
        for (last, want) in [
            (2, Some(Cms::Signed)),
            (3, Some(Cms::Encrypted)),
            (6, Some(Cms::Encrypted)),
            (5, Some(Cms::Other)),
            (99, None),
        ] {
            assert_eq!(kind(&start(last)), want, "{last}");
        }
        for other in [&b""[..], b"\x30", b"From: a@b.example", b"\x30\x80\x06"] {
            assert_eq!(kind(other), None);
        }
    }

    #[test]
    fn what_is_cut_off_gives_what_came() {
        let message = signed(&element(OCTETS, &[b'x'; 300], false), false);
        let cut = &message[..message.len() - 200];
        assert!(signed_content(cut).is_some_and(|content| content.len() > 50));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..90_usize) {
            let _ = (kind(&bytes), signed_content(&bytes));
            let mut damaged = signed(&element(OCTETS, &bytes, false), true);
            if let Some(byte) = damaged.get_mut(at) {
                *byte = byte.wrapping_add(1);
            }
            prop_assert!(signed_content(&damaged).unwrap_or_default().len() <= damaged.len());
        }
    }
}
