//! The address that stands between brackets or among words.

use crate::address::token::AddressToken;
use crate::address::token::AddressTokens;
use crate::compose::Address;
use crate::defect::Defect;
use crate::field_text::FieldText;
use std::borrow::Cow;

/// What was read where an address is expected.
#[derive(Debug, Default)]
pub(crate) struct Spec {
    /// The address. Empty if there is none.
    pub address: String,
    /// Words before it, or instead of it.
    pub words: Option<String>,
    /// Addresses behind it, with nothing but blanks between them.
    pub others: Vec<String>,
}

/// Reads an address without what may stand around it: a source route, comments, blanks.
pub(crate) fn read(text: &str, field: &mut FieldText<'_>) -> Spec {
    let mut text = text.trim();
    if is_simple(text) {
        return Spec { address: in_unicode(text.to_owned()), ..Spec::default() };
    }
    if text.starts_with('@')
        && let Some((_, routed)) = text.split_once(':')
    {
        text = routed;
    }
    text = without_scheme(text);
    let written = field.words(without_comments(text));
    let spec = match pieces(&written).as_slice() {
        [] => Spec::default(),
        _ if let Some(Address { name, address }) = mailbox(&written) => {
            Spec { address, words: name, ..Spec::default() }
        }
        [whole] => Spec { address: in_unicode(unquoted((*whole).to_owned())), ..Spec::default() },
        pieces => among(pieces),
    };
    let is_sound = spec
        .address
        .split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if !is_sound || spec.words.is_some() {
        field.defects.note(Defect::AddressMalformed);
    }
    spec
}

/// The text without `mailto:`, or `SMTP:` as Exchange writes the kind of an address.
fn without_scheme(text: &str) -> &str {
    let is_scheme = |(scheme, _): &(&str, &str)| {
        scheme.eq_ignore_ascii_case("mailto") || scheme.eq_ignore_ascii_case("smtp")
    };
    text.split_once(':').filter(is_scheme).map_or(text, |(_, rest)| rest)
}

/// The text without comments, and without the blanks that are allowed beside `@` and dots.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut add = |text: &str, is_quoted: bool, is_glued: bool| {
        let joins = |char: Option<char>| matches!(char, Some('@' | '.') | None);
        let is_joined =
            joins(plain.chars().next_back()) || (joins(text.chars().next()) && !is_quoted);
        if !is_glued && !is_joined {
            plain.push(' ');
        }
        if is_quoted {
            plain.push('"');
            plain.push_str(text);
            plain.push('"');
        } else {
            plain.push_str(text);
        }
    };
    let mut tokens = AddressTokens::new(text);
    while let Some(token) = tokens.next_token() {
        match token {
            AddressToken::Word { text, is_quoted, is_glued } => add(text, is_quoted, is_glued),
            AddressToken::Angle(inner) => add(inner.trim(), false, true),
            AddressToken::Colon { .. } => add(":", false, true),
            AddressToken::Comma => add(",", false, true),
            AddressToken::Comment(_) => {}
        }
    }
    plain
}

/// What blanks part, outside of quotes.
fn pieces(text: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_blank = |char: char| {
        let was_escaped = std::mem::take(&mut is_escaped);
        is_escaped = is_quoted && !was_escaped && char == '\\';
        is_quoted ^= char == '"' && !was_escaped;
        !is_quoted && char.is_whitespace()
    };
    text.split(is_blank).filter(|piece| !piece.is_empty()).collect()
}

/// The addresses among several words: joined they would be one that does not exist.
fn among(pieces: &[&str]) -> Spec {
    let is_address = |piece: &&str| {
        let domain = piece.rsplit_once('@').map(|(_, domain)| domain);
        is_simple(piece) && domain.is_some_and(|domain| domain.trim_matches('.').contains('.'))
    };
    let first = pieces.iter().position(is_address);
    let (words, rest) = pieces.split_at_checked(first.unwrap_or(pieces.len())).unwrap_or_default();
    let mut addresses =
        rest.iter().copied().filter(is_address).map(|one| in_unicode(one.to_owned()));
    Spec {
        address: addresses.next().unwrap_or_default(),
        words: trimmed(words.join(" ").trim_matches('"').to_owned()),
        others: addresses.collect(),
    }
}

/// Whether a text is an address that needs no second look.
pub(crate) fn is_simple(text: &str) -> bool {
    let mut at_sign = None;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'+' => {}
            b'@' if at > 0 && at_sign.is_none() => at_sign = Some(at),
            _ => return false,
        }
    }
    at_sign.is_some_and(|at| at + 1 < text.len())
}

/// The address that was encoded or quoted together with its name and its brackets.
pub(crate) fn mailbox(text: &str) -> Option<Address> {
    let (name, address) = text.strip_suffix('>')?.rsplit_once('<')?;
    is_simple(address).then(|| Address {
        name: trimmed(name.trim().trim_matches('"').to_owned()),
        address: in_unicode(address.to_owned()),
    })
}

/// A text without blanks around it. `None` if there is nothing else.
pub(crate) fn trimmed(text: String) -> Option<String> {
    let inner = text.trim();
    match inner.len() {
        0 => None,
        length if length == text.len() => Some(text),
        _ => Some(inner.to_owned()),
    }
}

/// A text of quotes or comments without its backslashes.
pub(crate) fn unescaped(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next().unwrap_or(char) } else { char });
    }
    Cow::Owned(plain)
}

/// An address without quotes that it does not need: around all of it, or around its local part.
/// Apostrophes are characters like any other (RFC 5322 §3.2.3), and stay.
fn unquoted(address: String) -> String {
    let Some(inner) = address.strip_prefix('"') else {
        return address;
    };
    if let Some(whole) = inner.strip_suffix('"')
        && whole.contains('@')
        && !whole.contains('"')
    {
        return whole.to_owned();
    }
    match inner.rsplit_once("\"@") {
        Some((local, domain)) if is_dot_atom(&unescaped(local)) => {
            format!("{}@{domain}", unescaped(local))
        }
        _ => address,
    }
}

/// Whether a local part needs no quotes.
fn is_dot_atom(local: &str) -> bool {
    let is_atom = |char: char| {
        !char.is_ascii() && !char.is_whitespace()
            || char.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(char)
    };
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom))
}

/// The address with its domain in Unicode.
pub(crate) fn in_unicode(address: String) -> String {
    if memchr::memchr(b'-', address.as_bytes()).is_none() {
        return address;
    }
    let Some((local, domain)) = address.rsplit_once('@') else {
        return address;
    };
    let is_encoded =
        |label: &str| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    if !domain.split('.').any(is_encoded) {
        return address;
    }
    match idna::domain_to_unicode(domain) {
        (domain, Ok(())) => format!("{local}@{domain}"),
        (_, Err(_)) => address,
    }
}
