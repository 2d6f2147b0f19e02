//! The events of an html text.

/// A piece of html.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A start tag; its attributes follow.
    Open(&'a str),
    /// An attribute of the last start tag; entities are as they are written.
    Attribute {
        /// Its name.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// An end tag.
    Close(&'a str),
    /// The content of a `style` element.
    Style(&'a str),
    /// Text, with its entities.
    Text(&'a str),
}

/// Reads html and calls `each` until it returns `false`. Time is linear.
pub fn scan<'a>(html: &'a str, mut each: impl FnMut(Event<'a>) -> bool) {
    let mut rest = html;
    let mut comments_end = false;
    while !rest.is_empty() {
        let open = memchr::memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
        let (text, tag) = rest.split_at_checked(open).unwrap_or((rest, ""));
        if !text.is_empty() && !each(Event::Text(text)) {
            return;
        }
        let Some(inner) = tag.strip_prefix('<') else {
            return;
        };
        if let Some(comment) = inner.strip_prefix("!--") {
            // What is conditional is shown by some.
            let is_conditional = comment.trim_start().starts_with('[');
            let end = if is_conditional || comments_end { None } else { comment.find("-->") };
            comments_end |= end.is_none() && !is_conditional;
            rest = end.and_then(|end| comment.get(end + 3..)).unwrap_or(comment);
        } else if let Some(close) = inner.strip_prefix('/') {
            let name = name(close);
            let end = memchr::memchr(b'>', close.as_bytes()).map_or(close.len(), |end| end + 1);
            rest = close.get(end..).unwrap_or_default();
            if !each(Event::Close(name)) {
                return;
            }
        } else if inner.starts_with(|char: char| char.is_ascii_alphabetic()) {
            let name = name(inner);
            if !each(Event::Open(name)) {
                return;
            }
            rest = attributes(inner.get(name.len()..).unwrap_or_default(), &mut each);
            if name.eq_ignore_ascii_case("style") || name.eq_ignore_ascii_case("script") {
                let (content, after) = raw_text(rest, name);
                if name.eq_ignore_ascii_case("style") && !each(Event::Style(content)) {
                    return;
                }
                rest = after;
            }
        } else if inner.starts_with(['!', '?']) {
            let end = memchr::memchr(b'>', inner.as_bytes()).map_or(inner.len(), |end| end + 1);
            rest = inner.get(end..).unwrap_or_default();
        } else {
            if !each(Event::Text("<")) {
                return;
            }
            rest = inner;
        }
    }
}

fn name(tag: &str) -> &str {
    let end = tag.find(|char: char| char.is_whitespace() || matches!(char, '>' | '/' | '<'));
    tag.get(..end.unwrap_or(tag.len())).unwrap_or_default()
}

/// Reads the attributes of a start tag; returns what follows it.
fn attributes<'a>(mut rest: &'a str, each: &mut impl FnMut(Event<'a>) -> bool) -> &'a str {
    loop {
        rest = rest.trim_start_matches(|char: char| char.is_whitespace() || char == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return after;
        }
        if rest.is_empty() || rest.starts_with('<') {
            return rest;
        }
        let is_end = |char: char| char.is_whitespace() || matches!(char, '=' | '>' | '/' | '<');
        let end = rest.find(is_end).filter(|end| *end > 0);
        // An equals sign at the front belongs to the name.
        let end = end.unwrap_or_else(|| rest.chars().next().map_or(0, char::len_utf8));
        let (name, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = after.trim_start();
        let Some(after) = rest.strip_prefix('=') else {
            continue;
        };
        let after = after.trim_start();
        let quote = after.chars().next().filter(|char| matches!(char, '"' | '\''));
        let (value, after) = match quote {
            Some(quote) => {
                let inner = after.get(1..).unwrap_or_default();
                inner.split_once(quote).unwrap_or((inner, ""))
            }
            None => {
                let end = after.find(|char: char| char.is_whitespace() || char == '>');
                after.split_at_checked(end.unwrap_or(after.len())).unwrap_or((after, ""))
            }
        };
        each(Event::Attribute { name, value });
        rest = after;
    }
}

/// The content of an element that holds no tags, and what follows it.
fn raw_text<'a>(rest: &'a str, name: &str) -> (&'a str, &'a str) {
    let is_end = |at: &usize| {
        let after = rest.get(at + 2..at + 2 + name.len());
        after.is_some_and(|after| after.eq_ignore_ascii_case(name))
    };
    let end = memchr::memmem::find_iter(rest.as_bytes(), b"</").find(is_end);
    rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""))
}
