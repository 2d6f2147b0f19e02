//! Values with parameters: `Content-Type`, `Content-Disposition`.
//!
//! ```text
//!   head ; name=value ; name="value" ; name*=charset'language'%C3%BC ; name*0=one ; name*1=two
//! ```
//!
//! The parser accepts what mail contains: missing semicolons, blanks in unquoted values, quotes in
//! quoted values, backslashes of paths, gaps in continuations. If a parameter is repeated, the
//! first one counts. Time is linear, except for one sort.
//!
//! Standards: RFC 2045 §5.1, RFC 2231.

use crate::charset;
use crate::charset::Charset;
use crate::charset::Detection;
use crate::defect::Defects;
use crate::field_text::FieldText;
use crate::parameter::reader::ParameterPiece;
use crate::parameter::reader::ParameterReader;
use crate::transfer::hex;
use std::borrow::Cow;

mod reader;

/// A value with its parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// The text before the first parameter, in its original case.
    pub head: Cow<'a, [u8]>,
    /// Whether something without a semicolon follows the head.
    pub is_loose: bool,
    list: Vec<Parameter<'a>>,
}

/// One parameter, its pieces joined.
#[derive(Debug, PartialEq, Eq)]
struct Parameter<'a> {
    /// In any case, without asterisks.
    name: &'a [u8],
    rank: Rank,
    value: Cow<'a, [u8]>,
    charset: Option<Charset>,
    is_sound: bool,
}

/// Which form of a parameter is believed: the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Extended,
    Continued,
    Plain,
}

impl<'a> Parameters<'a> {
    /// Reads the value of a field.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Self {
        let mut reader = ParameterReader::new(value);
        let mut head = reader.head();
        if let Some(inner) = value.trim_ascii_start().strip_prefix(b"\"")
            && head.contains(&b';')
        {
            // Quotes stand around all of the value.
            reader = ParameterReader::new(inner);
            head = reader.head();
        }
        let is_loose = reader.is_loose();
        if head.contains(&b'=') {
            // The head is missing: a parameter stands in its place.
            head = Cow::Borrowed(&[]);
            reader = ParameterReader::new(value);
        }
        let (mut list, mut sections) = (vec![], vec![]);
        while let Some(piece) = reader.piece() {
            match piece.section {
                Some(_) => sections.push(piece),
                None => list.push(whole_piece(piece)),
            }
        }
        if !sections.is_empty() {
            list.append(&mut join(sections));
        }
        Self { head, is_loose, list }
    }

    /// The bytes of a parameter.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.find(name).map(|parameter| &*parameter.value)
    }

    /// The bytes of a parameter that a semicolon introduces and whose quote, if any, is closed.
    #[must_use]
    pub(crate) fn sound_bytes(&self, name: &str) -> Option<&[u8]> {
        let found = self.find(name).filter(|parameter| parameter.is_sound);
        found.map(|parameter| &*parameter.value)
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
        // An empty value has no use.
        let named = self.all(name).filter(|parameter| !parameter.value.is_empty());
        let parameter = named.min_by_key(|parameter| parameter.rank)?;
        let mut defects = Defects::default();
        let mut field = FieldText {
            fallback,
            words_left: WORDS_MAX,
            detection: Detection::of_field(),
            defects: &mut defects,
        };
        let text = match parameter.charset {
            Some(charset) => charset::decode_named(&parameter.value, Some(charset)),
            None => match unmarked(&parameter.value) {
                Some((charset, bytes)) => charset::decode_named(&bytes, Some(charset)),
                None => field.unfolded(&parameter.value),
            },
        };
        let text = field.words(text);
        (!text.is_empty()).then_some(text)
    }

    fn find(&self, name: &str) -> Option<&Parameter<'a>> {
        self.all(name).min_by_key(|parameter| parameter.rank)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &Parameter<'a>> {
        let is_it =
            |parameter: &&Parameter<'a>| parameter.name.eq_ignore_ascii_case(name.as_bytes());
        self.list.iter().filter(is_it)
    }
}

/// How many encoded words one parameter may have.
const WORDS_MAX: usize = 1_000;

/// Joins the numbered pieces of each parameter.
fn join(mut sections: Vec<ParameterPiece<'_>>) -> Vec<Parameter<'_>> {
    // Stable: of two pieces with one number the first comes first.
    sections.sort_by(|a, b| lower(a.name).cmp(lower(b.name)).then(a.section.cmp(&b.section)));
    let mut last_section = None;
    let mut joined: Vec<Parameter<'_>> = vec![];
    for piece in sections {
        match joined.last_mut().filter(|open| open.name.eq_ignore_ascii_case(piece.name)) {
            Some(_) if piece.section == last_section => {}
            Some(open) if piece.is_extended => {
                // A charset belongs to the first piece, and stands in others.
                let (label, text) = extended(&piece.value);
                let charset = known(label);
                let text = if charset.is_some() { text } else { &*piece.value };
                open.charset = open.charset.or(charset);
                percent(text, open.value.to_mut());
            }
            Some(open) => open.value.to_mut().extend_from_slice(&piece.value),
            None => joined.push(Parameter {
                rank: Rank::Continued,
                ..whole_piece(ParameterPiece { section: None, ..piece })
            }),
        }
        last_section = piece.section;
    }
    joined
}

fn known(label: &[u8]) -> Option<Charset> {
    std::str::from_utf8(label).ok().and_then(charset::named)
}

/// The charset and the bytes of a value that is extended and does not say so: it begins with a
/// charset that is known, and has escapes.
fn unmarked(value: &[u8]) -> Option<(Charset, Vec<u8>)> {
    memchr::memchr(b'%', value).filter(|_| memchr::memchr(b'\'', value).is_some())?;
    let (label, text) = extended(value);
    let charset = known(label)?;
    let mut bytes = Vec::with_capacity(text.len());
    percent(text, &mut bytes);
    (bytes.len() < text.len()).then_some((charset, bytes))
}

fn lower(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().map(u8::to_ascii_lowercase)
}

/// A parameter, or the first piece of one: an extended value begins with charset and language.
fn whole_piece(piece: ParameterPiece<'_>) -> Parameter<'_> {
    let ParameterPiece { name, is_extended, value, is_sound, .. } = piece;
    if !is_extended {
        return Parameter { name, rank: Rank::Plain, value, charset: None, is_sound };
    }
    let (label, text) = extended(&value);
    let text =
        text.strip_prefix(b"\"").map_or(text, |text| text.strip_suffix(b"\"").unwrap_or(text));
    let charset = known(label);
    let mut bytes = Vec::with_capacity(text.len());
    percent(text, &mut bytes);
    Parameter { name, rank: Rank::Extended, value: Cow::Owned(bytes), charset, is_sound }
}

/// The charset and the text of an extended value. If the language or both are missing, or the
/// apostrophes belong to the name, everything that may be the name is kept.
fn extended(value: &[u8]) -> (&[u8], &[u8]) {
    let mut fields = value.splitn(3, |byte| *byte == b'\'');
    let is_label = |label: &[u8]| {
        let has_digit = label.iter().any(u8::is_ascii_digit);
        let is_token = |byte: &u8| byte.is_ascii_graphic() && *byte != b'%';
        let known = || std::str::from_utf8(label).ok().and_then(Charset::for_label);
        label.iter().all(is_token) && (label.is_empty() || has_digit || known().is_some())
    };
    match (fields.next(), fields.next(), fields.next()) {
        (Some(label), Some(language), Some(text))
            if is_label(label) && !language.contains(&b' ') =>
        {
            (label, text)
        }
        (Some(label), Some(text), None) if !label.is_empty() && is_label(label) => (label, text),
        _ => (&[][..], value),
    }
}

/// Decodes percent encoding. Invalid escapes stay as they are.
pub(crate) fn percent(text: &[u8], bytes: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = match after {
            [high, low, ..] if byte == b'%' => hex(*high).zip(hex(*low)),
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
            ("a; name=b; name*=utf-8''",                         Some("b")),
            ("a; name*=utf-8''\"b%20c\"",                        Some("b c")),
            ("a; name*=utf-8'gr%C3%BCn",                         Some("grün")),
            ("a; name*=utf-8'x",                                 Some("x")),
            ("a; name*=iso-8859-1'gr%FCn",                       Some("grün")),
            ("a; name*=''gr%C3%BCn",                             Some("grün")),
            ("a; name*=it's%20mine",                             Some("it's mine")),
            ("a; name*=\"it's Anna's list\"",                    Some("it's Anna's list")),
            ("a; name*0*=utf-8'gr%C3; name*1*=%BCn",             Some("grün")),
            ("name=b",                                           Some("b")),
            ("name=\"b c\"; x=y",                                Some("b c")),
            ("; name=b",                                         Some("b")),
            ("a; name(comment)=b",                               Some("b")),
            ("a; name (comment) = (comment) \"b\" (comment) ; x=y", Some("b")),
            ("a (one (two)) ; (three) name=\"b\"(four)",         Some("b")),
            ("a; name=b (1).txt",                                Some("b (1).txt")),
            ("a; name=",                                         None),
            ("a; name",                                          None),
            ("a; name=\"b\r\n\tc\"",                             Some("b\tc")),
            // The charset in another piece, in each, or without an asterisk.
            ("a; name*0=gr; name*1*=utf-8''%C3%BCn",             Some("grün")),
            ("a; name*0=a; name*1*=koi8-r''%F0%D2%C9",           Some("aПри")),
            ("a; name*0*=utf-8''gr%C3%BC; name*1*=utf-8''n%C3%BC", Some("grünü")),
            ("a; name*1*=utf-8''gr%C3; name*2*=%BCn",            Some("grün")),
            ("a; name=\"utf-8''gr%C3%BCn\"",                     Some("grün")),
            ("a; name*0=\"utf-8''gr%C3%BC\"; name*1=n",          Some("grün")),
            ("a; name=\"utf-8''100\"",                           Some("utf-8''100")),
            ("a; name=\"it's 100%25\"",                          Some("it's 100%25")),
            // Names with blanks, an asterisk too many, and other marks for the equals sign.
            ("a; name *0* = utf-8''gr%C3; name\r\n *1*=%BCn",    Some("grün")),
            ("a; name**=utf-8''gr%C3%BCn",                       Some("grün")),
            ("a; name: \"b c\"; x=y",                            Some("b c")),
            ("a: name=b",                                        Some("b")),
            ("a; name=3D\"b c\"",                                Some("b c")),
            ("\"a; name=b\"",                                    Some("b")),
            ("a; name=\"=?utf-8?B?Z3LD?=\"\r\n \"=?utf-8?B?vG4=?=\"; x=y", Some("grün")),
            ("a; name==?utf-8?Q?gr=C3=BCn;b?=; x=y",             Some("grün;b")),
            ("a; name==?utf-8?Q?open; x=y",                      Some("=?utf-8?Q?open")),
        ];
        for (value, want) in table {
            check(value, "name", want);
        }
    }

    #[test]
    fn the_head_is_bare() {
        for (value, want) in [
            ("Text/Plain; a=b", "Text/Plain"),
            (" text / html (comment)", "text/html"),
            ("text/plain charset=utf-8", "text/plain"),
            ("\"attachment\"; a=b", "attachment"),
            ("\"text/html; charset=utf-8\"", "text/html"),
            ("", ""),
        ] {
            let head = Parameters::parse(value.as_bytes()).head;
            assert_eq!(head, want.as_bytes(), "{value}");
        }
        let parameters = Parameters::parse(b"text/plain charset=utf-8 (why) format=flowed");
        assert_eq!(parameters.token("charset").as_deref(), Some("utf-8"));
        assert_eq!(parameters.token("format").as_deref(), Some("flowed"));
    }

    #[test]
    fn sound_parameters_are_introduced_and_closed() {
        #[rustfmt::skip]
        let table: &[(&str, Option<&str>)] = &[
            ("a; boundary=b",                      Some("b")),
            ("a; boundary=\"b c\"; x=y",           Some("b c")),
            ("a;boundary=Part_(ID_1);x=y",         Some("Part_(ID_1)")),
            ("a; x=y (comment) ;; boundary=b",     Some("b")),
            ("a; boundary=b c; x=y",               Some("b c")),
            ("a; boundary= b \r\n; x=y",           Some("b")),
            ("a; boundary=b (comment); x=y",       Some("b")),
            ("a; boundary=b (x",                   Some("b (x")),
            ("a; boundary=\"b (c)\"",              Some("b (c)")),
            ("a; boundary=b\"; x=y",               Some("b\"")),
            ("a boundary=b",                       None),
            ("a; x=y\r\n boundary=b",              None),
            ("a; x=\"y\" boundary=b",              None),
            ("a; word boundary=b",                 None),
            ("a, boundary=b",                      None),
            ("a; boundary=\"b; x=y",               None),
        ];
        for (value, want) in table {
            let parameters = Parameters::parse(value.as_bytes());
            assert_eq!(parameters.sound_bytes("boundary"), want.map(str::as_bytes), "{value}");
            assert!(parameters.bytes("boundary").is_some(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(value in proptest::collection::vec(prop_oneof![
            Just(b'"'), Just(b'='), Just(b';'), Just(b'*'), Just(b'\''), Just(b'('), Just(b'0'), Just(b'n'), any::<u8>(),
        ], 0..80)) {
            let parameters = Parameters::parse(&value);
            for parameter in &parameters.list {
                let name = String::from_utf8_lossy(parameter.name);
                let _ = parameters.text(&name, None);
            }
        }
    }
}
