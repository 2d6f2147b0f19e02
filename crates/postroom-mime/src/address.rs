//! Lists of addresses as they stand in header fields.
//!
//! ```text
//!   Name <local@domain>, "Quoted, Name" <..>, local@domain (Name), group: a@b, c@d;
//! ```
//!
//! The parser needs no recursion and linear time. It reads comments and groups of any depth, source
//! routes, missing commas, semicolons instead of commas, addresses without `@`, and names with
//! unquoted special characters. An encoded word is one piece, whatever it contains. Words with
//! blanks between them are never joined to an address that was not written. They are a name.
//! Domains are shown in Unicode.
//!
//! Standards: RFC 5322 §3.4, §4.4, RFC 6532, RFC 5890.

use crate::address::spec::Spec;
use crate::address::spec::in_unicode;
use crate::address::spec::is_simple;
use crate::address::spec::mailbox;
use crate::address::spec::trimmed;
use crate::address::spec::unescaped;
use crate::address::token::AddressToken;
use crate::address::token::AddressTokens;
use crate::address::word::AddressWord;
use crate::address::word::Bare;
use crate::address::word::bare_addresses;
use crate::compose::Address;
use crate::defect::Defect;
use crate::field_text::FieldText;

mod token;

mod word;

mod spec;

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
    let last_end = memchr::memrchr(b';', text.as_bytes());
    let mut tokens = AddressTokens::new(text);
    while let Some(token) = tokens.next_token() {
        if list.found.len() >= ADDRESSES_MAX {
            break;
        }
        match token {
            AddressToken::Comma => list.end(),
            // A group's name, if something ends the group.
            AddressToken::Colon { .. } if last_end.is_some_and(|end| end >= tokens.at()) => {
                list.group()
            }
            AddressToken::Colon { is_glued } => list.word(":", false, is_glued),
            AddressToken::Angle(inner) => list.angle(inner),
            AddressToken::Comment(comment) => list.comments.push(comment),
            AddressToken::Word { text, is_quoted, is_glued } => {
                list.word(text, is_quoted, is_glued)
            }
        }
    }
    list.end();
    list.found
}

struct List<'a, 'b, 'f> {
    field: &'b mut FieldText<'f>,
    found: Vec<Address>,
    words: Vec<AddressWord<'a>>,
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
        self.words.push(AddressWord { text, is_quoted, is_glued });
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
            let Spec { address, others, .. } = spec::read(other, self.field);
            let addresses = [address].into_iter().chain(others);
            self.found.extend(
                addresses
                    .filter(|address| !address.is_empty())
                    .map(|address| Address { name: None, address }),
            );
        }
    }

    fn bracketed(&mut self, inner: &'a str) {
        self.leave_group();
        let mut words = std::mem::take(&mut self.words);
        // Two addresses without a comma, the first one bare. In `a@b <c@d>`, the first one is still
        // a name.
        let mut name = self.name(&words);
        words.clear();
        self.words = words;
        if name.is_none() {
            name = self.comment();
        }
        self.comments.clear();
        self.is_addressed = true;
        let Spec { mut address, words: mut inner_name, others } = spec::read(inner, self.field);
        if name.is_none() {
            name = inner_name.take();
        }
        if address.is_empty() {
            self.field.defects.note(Defect::AddressMalformed);
            // The brackets of an address that stands before them.
            if let Some(bare) = name.take_if(|name| is_simple(name)) {
                address = in_unicode(bare);
                name = inner_name;
            }
        }
        // The name and the address have changed places.
        if !address.is_empty()
            && !address.contains('@')
            && let Some(bare) = name.take_if(|name| is_simple(name))
        {
            name = Some(std::mem::replace(&mut address, in_unicode(bare)));
        }
        let loose = std::mem::replace(&mut self.loose, Loose::No);
        if let Some(name) = name.as_mut().filter(|_| loose == Loose::Once && !address.is_empty()) {
            self.take_comma(name);
        }
        if !address.is_empty() || name.is_some() {
            self.found.push(Address { name, address });
        }
        self.found.extend(others.into_iter().map(|address| Address { name: None, address }));
    }

    /// Leaves out the name of a group that begins here and has no end, unless it is part of a name
    /// in front of an address in brackets.
    fn leave_group(&mut self) {
        if self.words.last().is_some_and(AddressWord::is_colon) {
            self.words.clear();
        }
    }

    /// Adds the words before a comma to a name: `Bee, Anna <a@b.example>`.
    fn take_comma(&mut self, name: &mut String) {
        if let Some(Address { name: first, address }) = self.found.pop() {
            *name = format!("{}, {name}", first.unwrap_or(address));
        }
    }

    /// Ends what was read: an address without angle brackets, or a mere name.
    fn end(&mut self) {
        let is_addressed = std::mem::take(&mut self.is_addressed);
        if let Some(colon) = self.words.iter().rposition(AddressWord::is_colon) {
            self.unended(colon);
        }
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

    /// Takes a colon that ends the name of a group without an end, or stands behind an address.
    fn unended(&mut self, colon: usize) {
        let rest = self.words.split_off(colon);
        let has_address = self.words.iter().any(AddressWord::has_at);
        let before = std::mem::replace(&mut self.words, rest.into_iter().skip(1).collect());
        if has_address && !before.iter().any(AddressWord::is_colon) {
            self.bare(&before, false);
        }
    }

    /// Takes the words of an address without angle brackets, or of a mere name.
    fn bare(&mut self, words: &[AddressWord<'a>], is_addressed: bool) {
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
        if is_addressed && !words.iter().any(AddressWord::has_at) {
            // Something behind an address that is none itself.
            self.field.defects.note(Defect::AddressMalformed);
            return;
        }
        self.loose = match self.loose {
            _ if words.iter().any(AddressWord::has_at) => Loose::No,
            Loose::No => Loose::Once,
            Loose::Once | Loose::Often => Loose::Often,
        };
        let count = self.found.len();
        for group in bare_addresses(words) {
            match group {
                Bare::Named(name, words) if !is_addressed => {
                    self.field.defects.note(Defect::AddressMalformed);
                    let name = self.name(name);
                    let Spec { address, words, .. } = spec::read(&source(words), self.field);
                    let names: Vec<_> = name.into_iter().chain(words).collect();
                    let name = (!names.is_empty()).then(|| names.join(" "));
                    self.found.push(Address { name, address });
                }
                Bare::Address(words) | Bare::Named(_, words) => {
                    let Spec { address, words, .. } = spec::read(&source(words), self.field);
                    let name = words.or_else(|| self.comment());
                    if !address.is_empty() && !address.starts_with('@') {
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
        let comment = trimmed(self.field.words(unescaped(comment.trim()).into_owned()))?;
        let inner = comment.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
        match inner.filter(|inner| !inner.contains('"')) {
            Some(inner) => trimmed(inner.to_owned()),
            None => Some(comment),
        }
    }

    /// The display name that words make.
    fn name(&mut self, words: &[AddressWord<'_>]) -> Option<String> {
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
}

/// Words as they are written.
fn source(words: &[AddressWord<'_>]) -> String {
    words.iter().map(AddressWord::source).collect()
}

#[cfg(test)]
mod tests;
