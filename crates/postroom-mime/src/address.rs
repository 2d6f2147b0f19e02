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
use crate::compose::Address;
use crate::defect::Defect;
use crate::field_text::FieldText;

mod token;

/// How many addresses of one field are kept.
const ADDRESSES_MAX: usize = 100_000;

/// Reads a list of addresses.
#[must_use]
pub fn parse(value: &[u8], field: &mut FieldText<'_>) -> Vec<Address> {
    let text = field.unfolded(value);
    let mut list = List {
        field,
        found: vec![],
        words: vec![],
        comments: vec![],
        is_addressed: false,
        loose: Loose::No,
    };
    let mut tokens = Tokens::new(&text);
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

/// One word of what was read since the last separator.
struct Word<'a> {
    text: &'a str,
    is_quoted: bool,
    /// Whether no blank stands before it.
    is_glued: bool,
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
        let is_list = inner.contains(',') && !inner.contains(['"', '(', ':']);
        let Some((first, others)) = inner.split_once(',').filter(|_| is_list) else {
            self.bracketed(inner);
            return;
        };
        self.bracketed(first);
        for other in others.split(',').filter(|other| !other.trim().is_empty()) {
            let address = self.spec(other);
            if !address.is_empty() {
                self.found.push(Address { name: None, address });
            }
        }
    }

    fn bracketed(&mut self, inner: &'a str) {
        let words = std::mem::take(&mut self.words);
        // Two addresses without a comma, the first one bare: `a@b <c@d>` is a name all the same.
        let mut name = self.name(&words);
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
        let words = std::mem::take(&mut self.words);
        let is_addressed = std::mem::take(&mut self.is_addressed);
        if words.is_empty() {
            self.after_address();
            return;
        }
        if is_addressed && !words.iter().any(Word::has_at) {
            // Something behind an address that is none itself.
            self.field.defects.note(Defect::AddressMalformed);
            self.comments.clear();
            return;
        }
        self.loose = match self.loose {
            _ if words.iter().any(Word::has_at) => Loose::No,
            Loose::No => Loose::Once,
            Loose::Once | Loose::Often => Loose::Often,
        };
        let count = self.found.len();
        for group in bare_addresses(&words) {
            match group {
                Bare::Address(words) => {
                    let text: String = words.iter().map(Word::source).collect();
                    let address = self.spec(&text);
                    let name = self.comment();
                    if !address.is_empty() {
                        self.found.push(Address { name, address });
                    }
                }
                Bare::Name(words) => {
                    self.field.defects.note(Defect::AddressMalformed);
                    match self.name(words) {
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
        if self.found.len() == count {
            self.loose = Loose::No;
        }
        self.comments.clear();
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
        let text = self.field.words(unescaped(comment.trim()));
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The display name that words make.
    fn name(&mut self, words: &[Word<'_>]) -> Option<String> {
        let mut name = String::new();
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
        let name = self.field.words(name);
        let name = name.trim();
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// An address without what may stand around it: a source route, comments, blanks.
    fn spec(&mut self, text: &str) -> String {
        let mut text = text.trim();
        if text.starts_with('@')
            && let Some((_, routed)) = text.split_once(':')
        {
            text = routed;
        }
        if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("mailto:")) {
            text = text.get(7..).unwrap_or_default();
        }
        if is_simple(text) {
            return in_unicode(text.to_owned());
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
        if address.contains("=?") {
            address = self.field.words(address);
        }
        let address = unquoted(address);
        let is_sound = address
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if !is_sound {
            self.field.defects.note(Defect::AddressMalformed);
        }
        in_unicode(address)
    }
}

/// Words that are an address, or are none.
enum Bare<'w, 'a> {
    Address(&'w [Word<'a>]),
    Name(&'w [Word<'a>]),
}

impl Word<'_> {
    /// The word as it is written.
    fn source(&self) -> String {
        if self.is_quoted { format!("\"{}\"", self.text) } else { self.text.to_owned() }
    }

    /// Whether it may be a user of this very server.
    fn is_local(&self) -> bool {
        let is_named = self.text.contains(char::is_alphanumeric);
        is_named && !self.is_quoted && !self.text.contains("=?")
    }

    fn has_at(&self) -> bool {
        !self.is_quoted && self.text.contains('@')
    }
}

/// Finds the addresses among words without angle brackets.
fn bare_addresses<'w, 'a>(words: &'w [Word<'a>]) -> Vec<Bare<'w, 'a>> {
    let at_signs = words.iter().filter(|word| word.has_at()).count();
    match (at_signs, words) {
        // A local user, or nothing that is an address.
        (0, [word]) if word.is_local() => vec![Bare::Address(words)],
        (0, _) => vec![Bare::Name(words)],
        // Blanks around the signs of one address.
        (1, _) if is_one_address(words) => vec![Bare::Address(words)],
        _ => {
            let is_edge = |word: &&Word<'_>| word.has_at();
            let pieces = words.chunk_by(|_, next| next.is_glued);
            pieces
                .filter(|piece| piece.iter().any(|word| is_edge(&word)))
                .map(Bare::Address)
                .collect()
        }
    }
}

/// Whether words with blanks between them are one address: each blank is beside `@` or a dot.
fn is_one_address(words: &[Word<'_>]) -> bool {
    words.windows(2).all(|pair| match pair {
        [a, b] => b.is_glued || a.text.ends_with(['@', '.']) || b.text.starts_with(['@', '.']),
        _ => true,
    })
}

/// Whether a text is an address that needs no second look.
fn is_simple(text: &str) -> bool {
    let is_usual =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    text.split_once('@').is_some_and(|(local, domain)| {
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_usual);
        is_part(local) && is_part(domain)
    })
}

/// A text of quotes or comments without its backslashes.
fn unescaped(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next().unwrap_or(char) } else { char });
    }
    plain
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
    let Some((local, domain)) = address.rsplit_once('@') else {
        return address;
    };
    let is_encoded =
        |label: &str| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    let may_be_encoded = domain.bytes().any(|byte| byte == b'-');
    if !may_be_encoded || !domain.split('.').any(is_encoded) {
        return address;
    }
    match idna::domain_to_unicode(domain) {
        (domain, Ok(())) => format!("{local}@{domain}"),
        (_, Err(_)) => address,
    }
}

#[cfg(test)]
mod tests;
