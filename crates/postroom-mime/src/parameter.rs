//! Values with parameters: `Content-Type`, `Content-Disposition`.
//!
//! ```text
//!   head ; name=value ; name="value" ; name*=charset'language'%C3%BC ; name*0=one ; name*1=two
//! ```
//!
//! Read as mail writes them: missing semicolons, blanks in unquoted values, quotes in quoted ones,
//! backslashes of paths, gaps in continuations. Of repeated parameters the first counts. Time is
//! linear but for one sort.
//!
//! Standards: RFC 2045 §5.1, RFC 2231.

use crate::charset;
use crate::charset::Charset;
use crate::defect::Defects;
use crate::encoded_word;
use crate::field_text::FieldText;

/// A value with its parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// What stands before the first parameter, lower case.
    pub head: String,
    /// Whether something stands behind the head that no semicolon introduces.
    pub is_loose: bool,
    list: Vec<Parameter>,
}

/// One parameter, its pieces joined.
#[derive(Debug, PartialEq, Eq)]
struct Parameter {
    /// Lower case, without asterisks.
    name: String,
    rank: Rank,
    value: Vec<u8>,
    charset: Option<Charset>,
}

/// Which form of a parameter is believed: the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Extended,
    Continued,
    Plain,
}

/// A piece of a parameter as it is written.
struct Piece {
    name: String,
    /// The number of a continuation.
    section: Option<u32>,
    is_extended: bool,
    value: Vec<u8>,
}

impl Parameters {
    /// Reads the value of a field.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let mut reader = Reader { rest: value, quotes_end: false, comments_end: false };
        let head = reader.head();
        reader.blanks();
        let is_loose = reader.rest.first().is_some_and(|byte| *byte != b';');
        let mut pieces = vec![];
        while let Some(piece) = reader.piece() {
            pieces.push(piece);
        }
        Self { head, is_loose, list: join(pieces) }
    }

    /// The bytes of a parameter.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.find(name).map(|parameter| parameter.value.as_slice())
    }

    /// A parameter that is a word of a protocol.
    #[must_use]
    pub fn token(&self, name: &str) -> Option<String> {
        let value = self.bytes(name)?.trim_ascii();
        let text = String::from_utf8(value.to_vec()).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// A parameter that people read: charsets and encoded words are decoded.
    #[must_use]
    pub fn text(&self, name: &str, fallback: Option<Charset>) -> Option<String> {
        let parameter = self.find(name)?;
        let mut defects = Defects::default();
        let mut field = FieldText { fallback, words_left: WORDS_MAX, defects: &mut defects };
        let text = match parameter.charset {
            Some(charset) => charset::decode_named(&parameter.value, Some(charset)),
            None => field.unfolded(&parameter.value),
        };
        let text = field.words(text);
        (!text.is_empty()).then_some(text)
    }

    fn find(&self, name: &str) -> Option<&Parameter> {
        let found = self.list.iter().filter(|parameter| parameter.name == name);
        found.min_by_key(|parameter| parameter.rank)
    }
}

/// How many encoded words one parameter may have.
const WORDS_MAX: usize = 1_000;

/// Joins the pieces of each parameter.
fn join(pieces: Vec<Piece>) -> Vec<Parameter> {
    if pieces.iter().all(|piece| piece.section.is_none()) {
        return pieces.into_iter().map(whole_piece).collect();
    }
    let (mut sections, whole): (Vec<_>, Vec<_>) =
        pieces.into_iter().partition(|piece| piece.section.is_some());
    // Stable: of two pieces with one number the first comes first.
    sections.sort_by(|a, b| (&a.name, a.section).cmp(&(&b.name, b.section)));
    let mut list: Vec<_> = whole.into_iter().map(whole_piece).collect();
    let mut last_section = None;
    let mut joined: Vec<Parameter> = vec![];
    for piece in sections {
        match joined.last_mut().filter(|open| open.name == piece.name) {
            Some(_) if piece.section == last_section => {}
            Some(open) if piece.is_extended => percent(&piece.value, &mut open.value),
            Some(open) => open.value.extend(&piece.value),
            None => joined.push(Parameter {
                rank: Rank::Continued,
                ..whole_piece(Piece { section: None, ..piece })
            }),
        }
        last_section = piece.section;
    }
    list.append(&mut joined);
    list
}

/// A parameter, or the first piece of one: an extended value begins with charset and language.
fn whole_piece(piece: Piece) -> Parameter {
    let Piece { name, is_extended, value, .. } = piece;
    if !is_extended {
        return Parameter { name, rank: Rank::Plain, value, charset: None };
    }
    let mut fields = value.splitn(3, |byte| *byte == b'\'');
    let (label, text) = match (fields.next(), fields.next(), fields.next()) {
        (Some(label), Some(_), Some(text)) => (label, text),
        _ => (&[][..], value.as_slice()),
    };
    let charset = std::str::from_utf8(label).ok().and_then(Charset::for_label);
    let mut bytes = Vec::with_capacity(text.len());
    percent(text, &mut bytes);
    Parameter { name, rank: Rank::Extended, value: bytes, charset }
}

/// Undoes percent encoding; what is none stays as it is.
pub fn percent(text: &[u8], bytes: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = match after {
            [high, low, ..] if byte == b'%' => {
                encoded_word::hex(*high).zip(encoded_word::hex(*low))
            }
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high << 4 | low);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(byte);
        }
    }
}

/// Reads a value from its front.
struct Reader<'a> {
    rest: &'a [u8],
    /// Whether no quote in the rest ends a parameter: known once, so that time stays linear.
    quotes_end: bool,
    /// Whether a comment in the rest is not closed.
    comments_end: bool,
}

impl<'a> Reader<'a> {
    /// What stands before the parameters, without comments.
    fn head(&mut self) -> String {
        self.blanks();
        let is_end =
            |byte: &u8| matches!(byte, b';' | b'(' | b'"' | b',') || byte.is_ascii_whitespace();
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let mut head = self.take(end).to_vec();
        // Blanks around the slash.
        self.blanks();
        let mut is_open = head.ends_with(b"/");
        if !is_open && self.rest.first() == Some(&b'/') {
            head.extend(self.take(1));
            self.blanks();
            is_open = true;
        }
        if is_open {
            let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
            head.extend(self.take(end));
        } else if head.is_empty() && self.rest.first() == Some(&b'"') {
            self.take(1);
            head = self.quoted();
        }
        head.make_ascii_lowercase();
        String::from_utf8(head).unwrap_or_default()
    }

    /// The next piece of a parameter.
    fn piece(&mut self) -> Option<Piece> {
        loop {
            self.separators();
            if self.rest.is_empty() {
                return None;
            }
            let is_end = |byte: &u8| matches!(byte, b'=' | b';') || byte.is_ascii_whitespace();
            let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
            let name = self.take(end);
            self.blanks();
            if self.rest.first() != Some(&b'=') {
                // A word without a value.
                continue;
            }
            self.take(1);
            self.blanks();
            let (name, section, is_extended) = split_name(name);
            let value = match self.rest.first() {
                Some(b'"') => {
                    self.take(1);
                    self.quoted()
                }
                _ => self.unquoted(matches!(name.as_str(), "name" | "filename")),
            };
            return Some(Piece { name, section, is_extended, value });
        }
    }

    /// A quoted value, behind its opening quote. The closing one is that which ends the parameter:
    /// names with quotes in them occur.
    fn quoted(&mut self) -> Vec<u8> {
        let mut value = Vec::new();
        let (mut at, mut first) = (0, None);
        while let Some(&byte) = self.rest.get(at) {
            if self.quotes_end && first.is_some() {
                break;
            }
            let next = self.rest.get(at + 1);
            match byte {
                b'\\' if matches!(next, Some(b'"' | b'\\')) => {
                    value.extend(next);
                    at += 1;
                }
                b'"' if self.closes(at + 1) => {
                    self.take(at + 1);
                    return value;
                }
                b'"' => {
                    first.get_or_insert((at, value.len()));
                    value.push(byte);
                }
                b'\r' | b'\n' => {}
                _ => {
                    let rest = self.rest.get(at..).unwrap_or_default();
                    let is_plain = |byte: &&u8| !matches!(byte, b'\\' | b'"' | b'\r' | b'\n');
                    let count = rest.iter().skip(1).take_while(is_plain).count();
                    value.extend_from_slice(rest.get(..=count).unwrap_or_default());
                    at += count;
                }
            }
            at += 1;
        }
        // Not closed: up to the first quote, else to the next parameter.
        self.quotes_end = true;
        if let Some((at, length)) = first {
            self.take(at + 1);
            value.truncate(length);
            return value;
        }
        self.unquoted(true)
    }

    /// Whether a quote that stands before `at` ends a parameter.
    fn closes(&self, at: usize) -> bool {
        let rest = self.rest.get(at..).unwrap_or_default();
        let blanks =
            rest.iter().take(BLANKS_MAX).take_while(|byte| byte.is_ascii_whitespace()).count();
        match rest.get(blanks) {
            None | Some(b';' | b'(' | b',') => true,
            Some(_) => blanks > 0 && begins_parameter(rest.get(blanks..).unwrap_or_default()),
        }
    }

    /// An unquoted value. That of a name may have blanks in it.
    fn unquoted(&mut self, is_name: bool) -> Vec<u8> {
        let mut end = self.rest.iter().position(|byte| *byte == b';').unwrap_or(self.rest.len());
        if !is_name {
            let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'(';
            let value = self.rest.get(..end).unwrap_or_default();
            end = value.iter().position(is_blank).unwrap_or(end);
        }
        let value = self.take(end).trim_ascii();
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
    }

    fn blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.first() != Some(&b'(') {
                return;
            }
            self.comment();
        }
    }

    fn separators(&mut self) {
        loop {
            self.blanks();
            match self.rest {
                [b';' | b',' | b'=' | b'"', after @ ..] => self.rest = after,
                _ => return,
            }
        }
    }

    /// Leaves out a comment; one that is not closed is none.
    fn comment(&mut self) {
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(byte) = self.rest.get(at).filter(|_| !self.comments_end) {
            match byte {
                b'\\' => at += 1,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        self.comments_end |= depth > 0;
        self.take(if depth == 0 && at > 0 { at } else { 1 });
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }
}

/// How many blanks may stand between two parameters.
const BLANKS_MAX: usize = 64;

/// Whether `rest` begins with a name and an equals sign.
fn begins_parameter(rest: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*' | b'_');
    let name = rest.iter().take(BLANKS_MAX).take_while(|byte| is_name(byte)).count();
    name > 0 && rest.get(name) == Some(&b'=')
}

/// Splits `name*3*` into its parts.
fn split_name(name: &[u8]) -> (String, Option<u32>, bool) {
    let name = String::from_utf8(name.to_ascii_lowercase()).unwrap_or_default();
    if !name.bytes().any(|byte| byte == b'*') {
        return (name, None, false);
    }
    let (base, is_extended) = match name.strip_suffix('*') {
        Some(base) => (base, true),
        None => (name.as_str(), false),
    };
    let section =
        base.rsplit_once('*').and_then(|(base, number)| Some((base, number.parse().ok()?)));
    match section {
        Some((base, number)) => (base.to_owned(), Some(number), is_extended),
        None => (base.to_owned(), None, is_extended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(value: &str, name: &str, want: Option<&str>) {
        let got = Parameters::parse(value.as_bytes()).text(name, None);
        assert_eq!(got.as_deref(), want, "{value}");
    }

    #[test]
    fn parameters_are_read_as_they_arrive() {
        #[rustfmt::skip]
        let table = [
            ("a; name=b",                                        Some("b")),
            ("a; NAME = \"b c\" ; x=y",                          Some("b c")),
            ("a; name=b c.txt; x=y",                             Some("b c.txt")),
            ("a; name=\"b\\\"c\\\\d\"",                          Some("b\"c\\d")),
            ("a; name=\"C:\\temp\\b.txt\"",                      Some("C:\\temp\\b.txt")),
            ("a; name=\"b \"c\" d.txt\"; x=y",                   Some("b \"c\" d.txt")),
            ("a; name=\"b.txt; x=y",                             Some("b.txt")),
            ("a; x=\"1\" name=\"b\"",                            Some("b")),
            ("a; x=1 name=b",                                    Some("b")),
            ("a; (comment) name=b",                              Some("b")),
            ("a name=b",                                         Some("b")),
            ("a; name=first; name=second",                       Some("first")),
            ("a; name=\"=?utf-8?Q?gr=C3=BCn?=\"",                Some("grün")),
            ("a; name==?utf-8?Q?gr=C3=BCn?=",                    Some("grün")),
            ("a; name*=utf-8''gr%C3%BCn",                        Some("grün")),
            ("a; name*=iso-8859-1'de'gr%FCn'",                   Some("grün'")),
            ("a; name*=\"utf-8''gr%C3%BCn\"",                    Some("grün")),
            ("a; name*=plain%20text",                            Some("plain text")),
            ("a; name=b; name*=utf-8''c",                        Some("c")),
            ("a; name*1=d; name*0=c",                            Some("cd")),
            ("a; name*0*=utf-8''gr%C3; name*1*=%BCn; name*2=%41", Some("grün%41")),
            ("a; name*0=b; name*2=d",                            Some("bd")),
            ("a; name*0=\"=?utf-8?Q?gr=C3\"; name*1=\"=BCn?=\"", Some("grün")),
            ("a; name*0*=utf-8''=?utf-8?Q?b?=",                  Some("b")),
            ("a; name=",                                         None),
            ("a; name",                                          None),
            ("a; name=\"b\r\n\tc\"",                             Some("b\tc")),
        ];
        for (value, want) in table {
            check(value, "name", want);
        }
    }

    #[test]
    fn the_head_is_lower_case_and_bare() {
        for (value, want) in [
            ("Text/Plain; a=b", "text/plain"),
            (" text / html (comment)", "text/html"),
            ("text/plain charset=utf-8", "text/plain"),
            ("\"attachment\"; a=b", "attachment"),
            ("", ""),
        ] {
            assert_eq!(Parameters::parse(value.as_bytes()).head, want, "{value}");
        }
        let parameters = Parameters::parse(b"text/plain charset=utf-8 (why) format=flowed");
        assert_eq!(parameters.token("charset").as_deref(), Some("utf-8"));
        assert_eq!(parameters.token("format").as_deref(), Some("flowed"));
    }

    proptest! {
        #[test]
        fn any_bytes(value in proptest::collection::vec(prop_oneof![
            Just(b'"'), Just(b'='), Just(b';'), Just(b'*'), Just(b'\''), Just(b'('), Just(b'0'), Just(b'n'), any::<u8>(),
        ], 0..80)) {
            let parameters = Parameters::parse(&value);
            for parameter in &parameters.list {
                let _ = parameters.text(&parameter.name, None);
            }
        }
    }
}
