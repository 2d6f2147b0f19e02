//! Html as far as mail needs it: its references, its text, and the charset that it names.
//!
//! This is a scanner, not a parser. It reads tags, attributes, styles and text in one pass without
//! recursion. It fetches nothing and makes nothing safe. Comments end as in browsers. Some programs
//! show conditional comments, so their references count, but their text does not.
//!
//! Standards: the WHATWG's HTML, RFC 2392 (cid), RFC 2557 (Content-Location).

use crate::html::scan::HtmlToken;
use crate::html::shown::ShownText;
use std::ops::Range;

mod entity;
mod scan;
mod shown;

mod blank;

pub(crate) use crate::html::blank::is_blank;

/// Attributes whose values are addresses of what is shown with the html.
const LINKS: [&str; 12] = [
    "src",
    "href",
    "background",
    "poster",
    "data",
    "srcset",
    "lowsrc",
    "dynsrc",
    "xlink:href",
    "longdesc",
    "imagesrcset",
    "content",
];
/// What the names of attributes end with that hold several addresses.
const SET: &str = "srcset";
/// A longer address in a style is none.
const URL_BYTES_MAX: usize = 1024;
/// A longer id is none.
const ID_BYTES_MAX: usize = 4 << 10;
/// How much of a body is searched for the charset it names.
pub const META_BYTES_MAX: usize = 4096;

/// Calls `each` with what an html body refers to, as it is written but for entities: addresses in
/// attributes and in styles.
pub fn references(html: &str, mut each: impl FnMut(&str)) {
    scan::scan(html, |event| {
        let HtmlToken::Comment(comment) = event else {
            reference(event, &mut each);
            return true;
        };
        if comment.trim_start().starts_with('[') {
            scan::scan(comment, |event| {
                reference(event, &mut each);
                true
            });
        }
        true
    });
}

fn reference(event: HtmlToken<'_>, each: &mut impl FnMut(&str)) {
    match event {
        HtmlToken::Attribute { name, value } => {
            let is_set = name.len().checked_sub(SET.len()).and_then(|at| name.get(at..));
            if name.eq_ignore_ascii_case("style") {
                css(&entity::decode_attribute(value), each);
            } else if is_set.is_some_and(|end| end.eq_ignore_ascii_case(SET)) {
                let value = entity::decode_attribute(value);
                value.split(',').filter_map(|one| one.split_whitespace().next()).for_each(each);
            } else if is_one_of(name, &LINKS) || is_cid(value) {
                each(&entity::decode_attribute(value.trim()));
            }
        }
        HtmlToken::Style(text) => css(text, each),
        HtmlToken::Open(_) | HtmlToken::Close(_) | HtmlToken::Text(_) | HtmlToken::Comment(_) => {}
    }
}

/// Puts other addresses in the place of those that name a part by its Content-ID (`cid:…`).
/// `address` gives the address for an id. `None` leaves it as it is. An address must be free of
/// quotes, blanks, brackets, commas and `&`, so that it means the same wherever it stands.
///
/// Addresses are found wherever they stand, in attributes, sets and styles alike. All other bytes
/// stay.
///
/// # Errors
///
/// The first error of `address`.
pub fn with_addresses<E>(
    html: &str,
    mut address: impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<String, E> {
    let (mut shown, mut done, mut seen) = (String::with_capacity(html.len()), 0, 0);
    for colon in memchr::memchr_iter(b':', html.as_bytes()) {
        let Some(at) = colon.checked_sub(3).filter(|at| *at >= seen) else { continue };
        let is_scheme = html.get(at..colon).is_some_and(|word| word.eq_ignore_ascii_case("cid"));
        let before = html.get(..at).and_then(|before| before.chars().next_back());
        if !is_scheme || before.is_some_and(|char| char.is_alphanumeric() || "+-._%".contains(char))
        {
            continue;
        }
        let bound = html.floor_char_boundary(colon.saturating_add(ID_BYTES_MAX).min(html.len()));
        let rest = html.get(colon + 1..bound).unwrap_or_default();
        let is_end = |char: char| char.is_whitespace() || "\"'<>(),`\\".contains(char);
        let end = rest.find(is_end).unwrap_or(rest.len());
        let Some(written) = rest.get(..end).filter(|written| !written.is_empty()) else { continue };
        // What looks like an address within an identifier is none.
        seen = colon + 1 + end;
        if let Some(address) = address(&entity::decode_attribute(written))? {
            shown.push_str(html.get(done..at).unwrap_or_default());
            shown.push_str(&address);
            done = seen;
        }
    }
    shown.push_str(html.get(done..).unwrap_or_default());
    Ok(shown)
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|one| name.eq_ignore_ascii_case(one))
}

fn is_cid(value: &str) -> bool {
    value.trim_start().get(..4).is_some_and(|start| start.eq_ignore_ascii_case("cid:"))
}

/// Addresses in a style: `url(..)` and `@import`. Each ends at the latest where the next one
/// begins, so that time is linear.
fn css(text: &str, each: &mut impl FnMut(&str)) {
    let lower = text.to_ascii_lowercase();
    for (word, ends) in [("url(", ")\n"), ("@import", ";\n")] {
        let mut starts = memchr::memmem::find_iter(lower.as_bytes(), word).peekable();
        while let Some(at) = starts.next() {
            let start = at + word.len();
            let next = starts.peek().copied().unwrap_or(text.len());
            let end = text.floor_char_boundary(next.min(start + URL_BYTES_MAX));
            let rest = text.get(start..end).unwrap_or_default().trim_start();
            let inner = match rest.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    rest.get(1..).and_then(|rest| rest.split(quote).next())
                }
                Some(_) | None => rest.split(|char| ends.contains(char)).next(),
            };
            inner.map(str::trim).into_iter().for_each(&mut *each);
        }
    }
}

/// What an html body says, as plain text of at most `bytes_max` bytes or a little more: blanks are
/// joined as browsers do, and blocks begin lines.
#[must_use]
pub fn text(html: &str, bytes_max: usize) -> String {
    let mut shown = ShownText::default();
    scan::scan(html, |event| {
        match event {
            HtmlToken::Open(name) => shown.open(name),
            HtmlToken::Close(name) => shown.close(name),
            HtmlToken::Text(piece) => shown.text(&entity::decode(piece)),
            HtmlToken::Attribute { .. } | HtmlToken::Style(_) | HtmlToken::Comment(_) => {}
        }
        shown.len() < bytes_max
    });
    shown.finish()
}

/// A plain text as html.
#[must_use]
pub(crate) fn of_text(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + text.len() / 16 + 16);
    html.push_str("<p>");
    for char in text.trim_end().chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '\n' => html.push_str("<br>\n"),
            other => html.push(other),
        }
    }
    html.push_str("</p>\n");
    html
}

/// The charset that an html body names in a `meta` element, else in its XML declaration.
#[must_use]
pub fn charset(html: &[u8]) -> Option<String> {
    let start = html.get(..META_BYTES_MAX).unwrap_or(html);
    let start: String = start.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    let named = named(start.as_bytes()).next()?;
    start.get(named.label).map(str::to_owned)
}

/// Corrects the charset that an html body names, because the body is UTF-8 now. `start` is the
/// beginning of the body. The length stays the same. If there is no room for the new label, the
/// body no longer names a charset.
pub fn name_utf8(start: &mut [u8]) {
    let end = start.len().min(META_BYTES_MAX);
    let start = start.get_mut(..end).unwrap_or_default();
    let lower = start.to_ascii_lowercase();
    for Named { word, label } in named(&lower) {
        if matches!(lower.get(label.clone()), Some(b"utf-8" | b"utf8")) {
            continue;
        }
        let Some(room) = start.get_mut(label) else { continue };
        room.fill(b' ');
        if let Some(room) = room.get_mut(..UTF_8.len()) {
            room.copy_from_slice(UTF_8);
        } else if let Some(room) = room.get_mut(..UTF8.len()) {
            room.copy_from_slice(UTF8);
        } else if let Some(word) = start.get_mut(word) {
            word.fill(b'x');
        }
    }
}

const UTF_8: &[u8] = b"utf-8";
const UTF8: &[u8] = b"utf8";

/// Where a charset is named.
struct Named {
    /// The word before it.
    word: Range<usize>,
    /// Its label.
    label: Range<usize>,
}

/// The places where charsets are named, in html of small letters. Those of `meta` elements first,
/// as in browsers. What stands in a comment names none.
fn named(html: &[u8]) -> impl Iterator<Item = Named> {
    let all = |open: &'static str, word: &'static str| {
        let mut comments = Comments { html, next: 0..0 };
        let tags = memchr::memmem::find_iter(html, open).filter(move |at| {
            let behind = html.get(at + open.len());
            let is_whole = behind.is_none_or(|byte| !byte.is_ascii_alphanumeric());
            is_whole && !comments.has(*at)
        });
        tags.filter_map(move |at| named_in(html, at, word))
    };
    all("<meta", "charset").chain(all("<?xml", "encoding"))
}

/// The comments of html, looked for as far as they are asked about.
struct Comments<'a> {
    html: &'a [u8],
    /// The comment that was found last.
    next: Range<usize>,
}

impl Comments<'_> {
    /// Whether a place is in a comment. The places ascend.
    fn has(&mut self, at: usize) -> bool {
        let find = |word: &str, from: usize| {
            memchr::memmem::find(self.html.get(from..)?, word.as_bytes()).map(|found| from + found)
        };
        while self.next.end <= at {
            let start = find("<!--", self.next.end).unwrap_or(usize::MAX);
            // `<!-->` is a whole comment.
            let end = find("-->", start.saturating_add(2)).map(|end| end + 3);
            self.next = start..end.unwrap_or(usize::MAX);
        }
        self.next.contains(&at)
    }
}

/// The charset that the tag at `tag` names behind a word.
fn named_in(html: &[u8], tag: usize, word: &str) -> Option<Named> {
    let element = html.get(tag..)?;
    let end = memchr::memchr(b'>', element).unwrap_or(element.len());
    let element = element.get(..end)?;
    let at = memchr::memmem::find(element, word.as_bytes())?;
    let behind = at + word.len();
    let is_mark = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'"' | b'\'');
    let start = behind + element.get(behind..)?.iter().take_while(|byte| is_mark(byte)).count();
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"\"';/?>".contains(byte);
    let length = element.get(start..)?.iter().take_while(|byte| !is_end(byte)).count();
    let (start, word) = (tag + start, tag + at..tag + behind);
    (length > 0).then_some(Named { word, label: start..start + length })
}

#[cfg(test)]
mod tests;
