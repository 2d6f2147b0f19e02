//! Lists of addresses as they stand in header fields.
//!
//! ```text
//!   Name <local@domain>, "Quoted, Name" <..>, local@domain (Name), group: a@b, c@d;
//! ```
//!
//! Read without recursion and in linear time: comments and groups of any depth, source routes,
//! missing commas, semicolons in their place, addresses without `@`, names that hold what should be
//! quoted. An encoded word is one piece, whatever stands in it. Domains are shown in Unicode.
//!
//! Standards: RFC 5322 §3.4, §4.4, RFC 6532, RFC 5890.

use crate::address::token::Token;
use crate::address::token::Tokens;
use crate::address::word::Bare;
use crate::address::word::Word;
use crate::address::word::bare_addresses;
use crate::compose::Address;
use crate::defect::Defect;
use crate::field_text::FieldText;
use std::borrow::Cow;

mod token;
mod word;

/// How many addresses of one field are kept.
const ADDRESSES_MAX: usize = 100_000;

/// Reads a list of addresses, unfolded; encoded words are as they are written.
#[must_use]
pub fn parse(text: &str, field: &mut FieldText<'_>) -> Vec<Address> {
    let mut list = List {
        field,
        found: vec![],
        words: vec![],
        comments: vec![],
        is_addressed: false,
        loose: Loose::No,
    };
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next_token() {
        if list.found.len() >= ADDRESSES_MAX {
            break;
        }
        match token {
            Token::Comma => list.end(),
            // A group's name, unless it is within an address as a port or a time would be.
            Token::Colon => list.group(),
            Token::Angle(inner) => list.angle(inner),
            Token::Comment(comment) => list.comments.push(comment),
            Token::Word { text, is_quoted, is_glued } => list.word(text, is_quoted, is_glued),
        }
    }
    list.end();
    list.found
}

struct List<'a, 'b, 'f> {
    field: &'b mut FieldText<'f>,
    found: Vec<Address>,
    words: Vec<Word<'a>>,
    comments: Vec<&'a str>,
    /// Whether angle brackets stood here since the last separator.
    is_addressed: bool,
    loose: Loose,
}

/// Whether the last one that was found has neither brackets nor an `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loose {
    No,
    /// It has not, but the one before it has.
    Once,
    /// Several have not.
    Often,
}

impl<'a> List<'a, '_, '_> {
    fn word(&mut self, text: &'a str, is_quoted: bool, is_glued: bool) {
        self.words.push(Word { text, is_quoted, is_glued });
    }

    /// What was read is the name of a group, or `mailto:`.
    fn group(&mut self) {
        if self.words.iter().any(|word| !word.is_quoted && word.text.contains('@')) {
            self.end();
        }
        self.words.clear();
        self.comments.clear();
        self.is_addressed = false;
        self.loose = Loose::No;
    }

    /// An address in angle brackets; the words before it are its name.
    fn angle(&mut self, inner: &'a str) {
        // Several addresses within one pair of brackets; commas may stand in quotes and routes.
        let is_list = |_: &_| !inner.contains(['"', '(', ':']);
        // A group without members is no address.
        let is_group = !inner.contains('@') && inner.trim_end().ends_with([':', ';']);
        let inner = if is_group { "" } else { inner };
        let Some((first, others)) = inner.split_once([',', ';']).filter(is_list) else {
            self.bracketed(inner);
            return;
        };
        self.bracketed(first);
        for other in others.split([',', ';']).filter(|other| !other.trim().is_empty()) {
            let address = self.spec(other);
            if !address.is_empty() {
                self.found.push(Address { name: None, address });
            }
        }
    }

    fn bracketed(&mut self, inner: &'a str) {
        let mut words = std::mem::take(&mut self.words);
        // Two addresses without a comma, the first one bare: `a@b <c@d>` is a name all the same.
        let mut name = self.name(&words);
        words.clear();
        self.words = words;
        if name.is_none() {
            name = self.comment();
        }
        self.comments.clear();
        self.is_addressed = true;
        let mut address = self.spec(inner);
        if address.is_empty() {
            self.field.defects.note(Defect::AddressMalformed);
            // The brackets of an address that stands before them.
            if let Some(bare) = name.take_if(|name| is_simple(name)) {
                address = in_unicode(bare);
            }
        }
        let loose = std::mem::replace(&mut self.loose, Loose::No);
        if let Some(name) = name.as_mut().filter(|_| loose == Loose::Once && !address.is_empty()) {
            self.take_comma(name);
        }
        if !address.is_empty() || name.is_some() {
            self.found.push(Address { name, address });
        }
    }

    /// Puts what stands before a comma in front of a name: `Bee, Anna <a@b.example>`.
    fn take_comma(&mut self, name: &mut String) {
        if let Some(Address { name: first, address }) = self.found.pop() {
            *name = format!("{}, {name}", first.unwrap_or(address));
        }
    }

    /// Ends what was read: an address without angle brackets, or a mere name.
    fn end(&mut self) {
        let is_addressed = std::mem::take(&mut self.is_addressed);
        if self.words.is_empty() {
            self.after_address();
            return;
        }
        let mut words = std::mem::take(&mut self.words);
        self.bare(&words, is_addressed);
        self.comments.clear();
        words.clear();
        self.words = words;
    }

    /// Takes the words of an address without angle brackets, or of a mere name.
    fn bare(&mut self, words: &[Word<'a>], is_addressed: bool) {
        if let [word] = words
            && !word.is_quoted
            && is_simple(word.text)
        {
            // Nothing else stands here.
            self.loose = Loose::No;
            let name = self.comment();
            self.found.push(Address { name, address: in_unicode(word.text.to_owned()) });
            return;
        }
        if is_addressed && !words.iter().any(Word::has_at) {
            // Something behind an address that is none itself.
            self.field.defects.note(Defect::AddressMalformed);
            return;
        }
        self.loose = match self.loose {
            _ if words.iter().any(Word::has_at) => Loose::No,
            Loose::No => Loose::Once,
            Loose::Once | Loose::Often => Loose::Often,
        };
        let count = self.found.len();
        for group in bare_addresses(words) {
            match group {
                Bare::Named(name, words) if !is_addressed => {
                    self.field.defects.note(Defect::AddressMalformed);
                    let name = self.name(name);
                    let address = self.spec(&source(words));
                    let whole = mailbox(&address).unwrap_or(Address { name: None, address });
                    let names: Vec<_> = name.into_iter().chain(whole.name).collect();
                    let name = (!names.is_empty()).then(|| names.join(" "));
                    self.found.push(Address { name, address: whole.address });
                }
                Bare::Address(words) | Bare::Named(_, words) => {
                    let address = self.spec(&source(words));
                    let name = self.comment();
                    if let Some(whole) = mailbox(&address) {
                        self.found.push(whole);
                    } else if !address.is_empty() && !address.starts_with('@') {
                        self.found.push(Address { name, address });
                    }
                }
                Bare::Name(words) => {
                    self.field.defects.note(Defect::AddressMalformed);
                    let name = self.name(words);
                    if let Some(whole) = name.as_deref().and_then(mailbox) {
                        self.found.push(whole);
                        continue;
                    }
                    match name {
                        // It is quoted as a whole.
                        Some(name) if is_simple(&name) => {
                            self.found.push(Address { name: None, address: in_unicode(name) });
                        }
                        Some(name) if name.contains(char::is_alphanumeric) => {
                            let address = String::new();
                            self.found.push(Address { name: Some(name), address });
                        }
                        // Stray characters.
                        Some(_) | None => {}
                    }
                }
            }
        }
        let found = self.found.get(count..).unwrap_or_default();
        if found.is_empty() || found.iter().any(|found| found.address.contains('@')) {
            self.loose = Loose::No;
        }
    }

    /// A comment behind an address in angle brackets is its name if it has none.
    fn after_address(&mut self) {
        if self.comments.is_empty() {
            return;
        }
        let name = self.comment();
        self.comments.clear();
        if let Some(last) = self.found.last_mut().filter(|last| last.name.is_none()) {
            last.name = name;
        }
    }

    fn comment(&mut self) -> Option<String> {
        let comment = self.comments.first()?;
        trimmed(self.field.words(unescaped(comment.trim()).into_owned()))
    }

    /// The display name that words make.
    fn name(&mut self, words: &[Word<'_>]) -> Option<String> {
        let bytes = words.iter().map(|word| word.text.len() + 1).sum();
        let mut name = String::with_capacity(bytes);
        for word in words {
            if !word.is_glued && !name.is_empty() {
                name.push(' ');
            }
            if word.is_quoted {
                name.push_str(&unescaped(word.text));
            } else {
                name.push_str(word.text);
            }
        }
        trimmed(self.field.words(name))
    }

    /// An address without what may stand around it: a source route, comments, blanks.
    fn spec(&mut self, text: &str) -> String {
        let mut text = text.trim();
        if is_simple(text) {
            return in_unicode(text.to_owned());
        }
        if text.starts_with('@')
            && let Some((_, routed)) = text.split_once(':')
        {
            text = routed;
        }
        if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("mailto:")) {
            text = text.get(7..).unwrap_or_default();
        }
        let mut address = String::with_capacity(text.len());
        let mut tokens = Tokens::new(text);
        while let Some(token) = tokens.next_token() {
            match token {
                Token::Word { text, is_quoted: true, .. } => {
                    address.push('"');
                    address.push_str(text);
                    address.push('"');
                }
                Token::Word { text, .. } => address.push_str(text),
                Token::Angle(inner) => address.push_str(inner.trim()),
                Token::Colon => address.push(':'),
                Token::Comma => address.push(','),
                Token::Comment(_) => {}
            }
        }
        let address = unquoted(self.field.words(address));
        let is_sound = address
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if !is_sound {
            self.field.defects.note(Defect::AddressMalformed);
        }
        in_unicode(address)
    }
}

/// Words as they are written.
fn source(words: &[Word<'_>]) -> String {
    words.iter().map(Word::source).collect()
}

/// Whether a text is an address that needs no second look.
fn is_simple(text: &str) -> bool {
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
fn mailbox(text: &str) -> Option<Address> {
    let (name, address) = text.strip_suffix('>')?.rsplit_once('<')?;
    is_simple(address).then(|| Address {
        name: trimmed(name.trim().trim_matches('"').to_owned()),
        address: in_unicode(address.to_owned()),
    })
}

/// A text without blanks around it; `None` if there is nothing else.
fn trimmed(text: String) -> Option<String> {
    let inner = text.trim();
    match inner.len() {
        0 => None,
        length if length == text.len() => Some(text),
        _ => Some(inner.to_owned()),
    }
}

/// A text of quotes or comments without its backslashes.
fn unescaped(text: &str) -> Cow<'_, str> {
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

/// An address that is quoted as a whole, without its quotes. Apostrophes are characters like any
/// other (RFC 5322 §3.2.3), and stay.
fn unquoted(address: String) -> String {
    let inner = address.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
    match inner.filter(|inner| inner.contains('@') && !inner.contains('"')) {
        Some(inner) => inner.to_owned(),
        None => address,
    }
}

/// The address with its domain in Unicode.
fn in_unicode(address: String) -> String {
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

#[cfg(test)]
mod tests;
