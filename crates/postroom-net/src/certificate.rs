//! What a certificate says of itself, for people who must decide whether to trust it. Nothing here
//! verifies anything.
//!
//! Standards: RFC 5280 §4.1 and §4.2.1.6.

use std::net::IpAddr;

/// How many names of a server are shown.
const NAMES_MAX: usize = 20;
/// How long each text may be.
const TEXT_CHARS_MAX: usize = 200;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
/// The number in the field `version` of X.509 version 3.
const VERSION_3: u8 = 2;

/// The attributes of a name that are shown: the last octet of 2.5.4.n, and its short name.
const ATTRIBUTES: [(u8, &str); 4] = [(3, "CN"), (10, "O"), (11, "OU"), (6, "C")];

/// What a certificate says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it is for, such as `CN=mail.example`.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// From when on it is valid, in UTC, such as `2026-01-31T00:00:00Z`.
    pub not_before: String,
    /// Until when it is valid.
    pub not_after: String,
    /// The first 20 names and addresses that it is for.
    pub names: Vec<String>,
    /// The last common name of the subject, which was the name of the server before certificates
    /// had [`names`](Self::names). `None`: there is none.
    pub subject_cn: Option<String>,
}

/// The key of a certificate of X.509 version 1 or 2, which the TLS library does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EarlierKey<'a> {
    /// The whole `SubjectPublicKeyInfo` in DER.
    pub info: &'a [u8],
    /// What `AlgorithmIdentifier` has in it.
    pub algorithm: &'a [u8],
    /// The bits of the key.
    pub key: &'a [u8],
}

impl<'a> EarlierKey<'a> {
    /// The key of a certificate in DER. `None`: it is of version 3 or later, or cannot be read.
    pub(crate) fn of(der: &'a [u8]) -> Option<Self> {
        let mut certificate = Der(Der(der).expect(SEQUENCE)?);
        let mut fields = Der(certificate.expect(SEQUENCE)?);
        if fields.peek() == Some(VERSION)
            && *Der(fields.next()?.content).expect(INTEGER)?.last()? >= VERSION_3
        {
            return None;
        }
        // The serial number, the algorithm of the signature, issuer, validity and subject.
        fields.expect(INTEGER)?;
        for _ in 0..4 {
            fields.expect(SEQUENCE)?;
        }
        let from_key = fields.0;
        let mut key = Der(fields.expect(SEQUENCE)?);
        let info = from_key.get(..from_key.len().checked_sub(fields.0.len())?)?;
        let algorithm = key.expect(SEQUENCE)?;
        // The first octet says how many bits at the end do not count.
        let (&0, key) = key.expect(BIT_STRING)?.split_first()? else { return None };
        Some(Self { info, algorithm, key })
    }
}

impl CertificateFacts {
    /// Reads a certificate in DER. `None`: it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut certificate = Der(Der(der).expect(SEQUENCE)?);
        let mut fields = Der(certificate.expect(SEQUENCE)?);
        if fields.peek() == Some(VERSION) {
            fields.next()?;
        }
        // The serial number and the algorithm of the signature.
        fields.next()?;
        fields.expect(SEQUENCE)?;
        let issuer = name(fields.expect(SEQUENCE)?);
        let mut validity = Der(fields.expect(SEQUENCE)?);
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let subject_content = fields.expect(SEQUENCE)?;
        let (subject, subject_cn) = (name(subject_content), subject_cn(subject_content));
        let mut names = vec![];
        while let Some(element) = fields.next() {
            if element.tag == EXTENSIONS {
                names = alternative_names(element.content).unwrap_or_default();
            }
        }
        Some(Self { subject, issuer, not_before, not_after, names, subject_cn })
    }
}

/// What is left of some elements of DER.
struct Der<'a>(&'a [u8]);

struct DerElement<'a> {
    tag: u8,
    content: &'a [u8],
}

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element. `None`: there is none, or it is not whole.
    fn next(&mut self) -> Option<DerElement<'a>> {
        const LENGTH_OCTETS_MAX: usize = 4;
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let octets = usize::from(first & 0x7f);
            if octets > LENGTH_OCTETS_MAX {
                return None;
            }
            let (digits, behind) = rest.split_at_checked(octets)?;
            length = digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit));
            rest = behind;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(DerElement { tag, content })
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|element| element.tag == tag).map(|element| element.content)
    }
}

/// The known attributes of a name.
fn name(content: &[u8]) -> String {
    let shown = attributes(content).map(|(short, value)| format!("{short}={value}"));
    shown.collect::<Vec<_>>().join(", ")
}

/// The last common name in a name.
fn subject_cn(content: &[u8]) -> Option<String> {
    attributes(content).filter(|(short, _)| *short == "CN").last().map(|(_, value)| value)
}

/// The known attributes of a name: short name and value.
fn attributes(content: &[u8]) -> impl Iterator<Item = (&'static str, String)> {
    let mut sets = Der(content);
    std::iter::from_fn(move || sets.expect(SET)).filter_map(|set| {
        let mut attribute = Der(Der(set).expect(SEQUENCE)?);
        let (oid, value) = (attribute.expect(OID)?, attribute.next()?);
        let [0x55, 0x04, last] = oid else { return None };
        let (_, short) = ATTRIBUTES.iter().find(|(known, _)| known == last)?;
        Some((*short, text(value.content)))
    })
}

/// A text without control characters, cut if it is long.
fn text(octets: &[u8]) -> String {
    let text = match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.escape_ascii().to_string(),
    };
    let plain = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    plain.take(TEXT_CHARS_MAX).collect()
}

/// A time, as `20260131000000Z` or without the century.
fn time(element: DerElement<'_>) -> Option<String> {
    let text = std::str::from_utf8(element.content).ok()?;
    let digits = text.strip_suffix('Z').filter(|it| it.bytes().all(|it| it.is_ascii_digit()))?;
    let digits = match (element.tag, digits.len()) {
        (UTC_TIME, 12) if digits < "50" => format!("20{digits}"),
        (UTC_TIME, 12) => format!("19{digits}"),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        (_, _) => return None,
    };
    let part = |range| digits.get(range);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(8..10)?, part(10..12)?, part(12..14)?);
    Some(format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// The names of the extension `subjectAltName`.
fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut extensions = Der(Der(extensions).expect(SEQUENCE)?);
    while let Some(extension) = extensions.expect(SEQUENCE) {
        let mut extension = Der(extension);
        if extension.expect(OID)? != SUBJECT_ALT_NAME {
            continue;
        }
        // A flag may stand before the value.
        let mut value = extension.next()?;
        if value.tag != OCTET_STRING {
            value = extension.next()?;
        }
        let mut names = Der(Der(value.content).expect(SEQUENCE)?);
        let mut shown = vec![];
        while let Some(name) = names.next()
            && shown.len() < NAMES_MAX
        {
            match name.tag {
                DNS_NAME => shown.push(text(name.content)),
                IP_ADDRESS => shown.extend(address(name.content)),
                _ => {}
            }
        }
        return Some(shown);
    }
    None
}

fn address(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::CertificateParams;
    use rcgen::DnType;
    use rcgen::KeyPair;

    fn certificate() -> Vec<u8> {
        let names = vec!["mail.test".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "mail\n.test");
        params.distinguished_name.push(DnType::OrganizationName, "Tests");
        params.not_before = rcgen::date_time_ymd(2026, 1, 31);
        params.not_after = rcgen::date_time_ymd(2051, 2, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_tells_whom_it_is_for_and_until_when() {
        let facts = CertificateFacts::read(&certificate()).unwrap();
        assert_eq!(facts.names, ["mail.test", "127.0.0.1"]);
        assert!(facts.subject.contains("CN=mail .test"), "{}", facts.subject);
        assert!(facts.issuer.contains("O=Tests"), "{}", facts.issuer);
        assert_eq!(facts.not_before, "2026-01-31T00:00:00Z");
        assert_eq!(facts.not_after, "2051-02-01T00:00:00Z");
    }

    #[test]
    fn no_damage_does_harm() {
        let whole = certificate();
        for end in 0..whole.len() {
            assert_eq!(CertificateFacts::read(&whole[..end]), None, "{end}");
            assert_eq!(EarlierKey::of(&whole[..end]), None, "{end}");
        }
        for at in 0..whole.len() {
            for octet in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = octet;
                // Whatever comes out, nothing panics.
                let _ = CertificateFacts::read(&damaged);
                let _ = EarlierKey::of(&damaged);
            }
        }
    }
}
