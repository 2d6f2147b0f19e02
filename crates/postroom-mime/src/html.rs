//! Html as far as mail needs it: what it refers to, what it says, the charset it names.
//!
//! A scanner, no parser: tags, attributes, styles and text in one pass without recursion, whatever
//! is nested. Nothing is fetched and nothing is made safe here.
//!
//! Standards: RFC 2392 (cid), RFC 2557 (Content-Location).

use crate::html::scan::Event;

mod entity;
mod scan;

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
/// How much of a body is searched for the charset it names.
const META_BYTES_MAX: usize = 4096;

/// Calls `each` with what an html body refers to, as it is written but for entities: addresses in
/// attributes and in styles.
pub fn references(html: &str, mut each: impl FnMut(&str)) {
    scan::scan(html, |event| {
        match event {
            Event::Attribute { name, value } => {
                let is_set = name.len().checked_sub(SET.len()).and_then(|at| name.get(at..));
                if name.eq_ignore_ascii_case("style") {
                    css(&entity::decode(value), &mut each);
                } else if is_set.is_some_and(|end| end.eq_ignore_ascii_case(SET)) {
                    let value = entity::decode(value);
                    value
                        .split(',')
                        .filter_map(|one| one.split_whitespace().next())
                        .for_each(&mut each);
                } else if is_one_of(name, &LINKS) || is_cid(value) {
                    each(&entity::decode(value.trim()));
                }
            }
            Event::Style(text) => css(text, &mut each),
            Event::Open(_) | Event::Close(_) | Event::Text(_) => {}
        }
        true
    });
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

/// What an html body says, as plain text of at most `bytes_max` bytes or a little more.
#[must_use]
pub fn text(html: &str, bytes_max: usize) -> String {
    let mut text = String::new();
    let mut hidden = 0_usize;
    scan::scan(html, |event| {
        match event {
            Event::Open(name) | Event::Close(name) => match (element(name), &event) {
                (Element::Hidden, Event::Open(_)) => hidden += 1,
                (Element::Hidden, _) => hidden = hidden.saturating_sub(1),
                (Element::Body, Event::Open(_)) => hidden = 0,
                (Element::Block, _) if !text.is_empty() && !text.ends_with('\n') => {
                    text.push('\n');
                }
                _ => {}
            },
            Event::Text(piece) if hidden == 0 => text.push_str(&entity::decode(piece)),
            Event::Text(_) | Event::Attribute { .. } | Event::Style(_) => {}
        }
        text.len() < bytes_max
    });
    text
}

/// What an element means for the text.
enum Element {
    /// It is not shown.
    Hidden,
    /// What is shown begins.
    Body,
    /// It begins a line of its own.
    Block,
    /// Nothing.
    Other,
}

fn element(name: &str) -> Element {
    // The longest of these names.
    let mut lower = [0; 10];
    let Some(lower) = lower.get_mut(..name.len()) else {
        return Element::Other;
    };
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"title" | b"head" => Element::Hidden,
        b"body" => Element::Body,
        b"p" | b"div" | b"br" | b"tr" | b"td" | b"th" | b"li" | b"ul" | b"ol" | b"table" => {
            Element::Block
        }
        b"h1" | b"h2" | b"h3" | b"h4" | b"hr" | b"blockquote" | b"pre" | b"section" => {
            Element::Block
        }
        _ => Element::Other,
    }
}

/// The charset that an html body names in a `meta` element.
#[must_use]
pub fn charset(html: &[u8]) -> Option<String> {
    let start = html.get(..META_BYTES_MAX).unwrap_or(html);
    let start: String = start.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    let mut rest = start.as_str();
    while let Some((_, after)) = rest.split_once("<meta") {
        let element = after.split('>').next().unwrap_or(after);
        if let Some((_, value)) = element.split_once("charset") {
            let value = value.trim_start_matches([' ', '=', '"', '\'']);
            let end = value.find([' ', '"', '\'', ';', '/', '>']).unwrap_or(value.len());
            return value.get(..end).filter(|label| !label.is_empty()).map(str::to_owned);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests;
