//! Addresses with their display names, as they stand in address fields and in the envelope.
//!
//! Standards: RFC 5322 §3.4, RFC 6532 (non-ASCII local parts), RFC 5891 (domains in ASCII).

use postroom_model::address;
use postroom_model::address::problem;

use crate::compose::field::FieldWriter;
use crate::compose::word;
use crate::compose::word::WordContext;

/// Names up to this length are written in one piece, quoted if need be.
const NAME_CHARS_WHOLE: usize = 60;

/// An address with its display name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// The display name, any characters but CR, LF and NUL.
    pub name: Option<String>,
    /// `local-part@domain`, bare; the domain may be in Unicode.
    pub address: String,
}

/// An address as it goes over the wire, in a header field or in the envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireAddress {
    /// `local-part@domain`, the domain in ASCII.
    pub address: String,
    /// Whether the local part is not ASCII (RFC 6531).
    pub needs_smtp_utf8: bool,
}

/// Brings a bare address into the form of the wire: a domain in Unicode becomes its ASCII form, a
/// local part that is no dot-atom is quoted, and any other is not.
///
/// # Errors
///
/// What keeps it from being an address, worded to follow its name.
pub fn wire_address(address: &str) -> Result<WireAddress, &'static str> {
    if let Some(problem) = problem(address) {
        return Err(problem);
    }
    let (local, domain) = address.rsplit_once('@').unwrap_or_default();
    let domain = if domain.is_ascii() {
        domain.to_owned()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| "has an invalid domain")?
    };
    // Servers may not know that quotes which are unnecessary mean nothing (RFC 5321 §4.1.2).
    let local = address::unquoted(local);
    let address = if local.starts_with('"') || is_dot_atom(&local) {
        format!("{local}@{domain}")
    } else {
        format!("\"{local}\"@{domain}")
    };
    // Mapping to ASCII can bring out characters that were hidden in wide forms.
    if let Some(problem) = problem(&address) {
        return Err(problem);
    }
    Ok(WireAddress { needs_smtp_utf8: !address.is_ascii(), address })
}

/// Tells whether a local part whose characters are all fit for atoms has its dots in place
/// (`a..b` has not, and is in use).
fn is_dot_atom(local: &str) -> bool {
    local.split('.').all(|atom| !atom.is_empty())
}

/// Writes one address of a list: display name, address, `tail`.
pub(crate) fn write(
    field: &mut FieldWriter<'_>,
    name: Option<&str>,
    address: &WireAddress,
    tail: &str,
) {
    let Some(name) = name.filter(|name| !name.trim().is_empty()) else {
        field.token(&format!("{}{tail}", address.address));
        return;
    };
    write_phrase(field, name);
    field.token(&format!("<{}>{tail}", address.address));
}

/// Writes a phrase (RFC 5322 §3.2.5): as it is, quoted, or in encoded words. Nothing when empty.
pub(crate) fn write_phrase(field: &mut FieldWriter<'_>, name: &str) {
    if name.is_empty() {
        return;
    }
    let plain = word::is_plain(name) && name.len() <= NAME_CHARS_WHOLE && !name.contains("  ");
    if plain && name.split(' ').all(is_atom) {
        field.token(name);
    } else if plain {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        field.token(&format!("\"{escaped}\""));
    } else {
        field.words(name, WordContext::Phrase);
    }
}

/// Writes the name and the address as the name of an empty group (RFC 6857 §3.1.7).
pub(crate) fn write_without_address(field: &mut FieldWriter<'_>, address: &Address, tail: &str) {
    let name = address.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let shown =
        name.map_or_else(|| address.address.clone(), |name| format!("{name} {}", address.address));
    field.words(&shown, WordContext::Phrase);
    field.glue(":;");
    field.glue(tail);
}

/// Tells whether `text` is an atom (RFC 5322 §3.2.3).
fn is_atom(text: &str) -> bool {
    let atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    !text.is_empty() && text.bytes().all(atext)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_on_the_wire() {
        let table = [
            ("anna@b.test", Ok(("anna@b.test", false))),
            ("Anna.B+tag@B.test", Ok(("Anna.B+tag@B.test", false))),
            ("a@bücher.test", Ok(("a@xn--bcher-kva.test", false))),
            ("jürgen@bücher.test", Ok(("jürgen@xn--bcher-kva.test", true))),
            ("\"a b\"@b.test", Ok(("\"a b\"@b.test", false))),
            ("\"anna\"@b.test", Ok(("anna@b.test", false))),
            ("\"a..b\"@b.test", Ok(("\"a..b\"@b.test", false))),
            ("a..b@b.test", Ok(("\"a..b\"@b.test", false))),
            ("a.@b.test", Ok(("\"a.\"@b.test", false))),
            ("a@[127.0.0.1]", Ok(("a@[127.0.0.1]", false))),
            ("a@b\u{ff1e}c.test", Err("has an invalid domain")),
        ];
        for (address, want) in table {
            let want = want.map(|(address, needs_smtp_utf8)| WireAddress {
                address: address.to_owned(),
                needs_smtp_utf8,
            });
            assert_eq!(wire_address(address), want, "{address}");
        }
    }

    #[test]
    fn display_names() {
        let table = [
            ("Anna Berg", "To: Anna Berg <a@b.test>"),
            ("Berg, Anna", "To: \"Berg, Anna\" <a@b.test>"),
            ("A (b) <c> \"d\" \\e", "To: \"A (b) <c> \\\"d\\\" \\\\e\" <a@b.test>"),
            ("Jürgen, Öz", "To: =?utf-8?B?SsO8cmdlbiwgw5Z6?= <a@b.test>"),
            ("=?utf-8?Q?x?=", "To: =?utf-8?B?PT91dGYtOD9RP3g/PQ==?= <a@b.test>"),
            (" a ", "To: =?utf-8?Q?_a_?= <a@b.test>"),
            ("  ", "To: a@b.test"),
        ];
        for (name, want) in table {
            let mut out = vec![];
            let mut field = FieldWriter::begin(&mut out, "To");
            write(&mut field, Some(name), &wire_address("a@b.test").unwrap(), "");
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
