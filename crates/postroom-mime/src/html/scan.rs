//! The events of an html text.

/// A piece of html.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HtmlToken<'a> {
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
    /// The content of a comment.
    Comment(&'a str),
    /// Text, with its entities.
    Text(&'a str),
}

/// Elements whose content is no markup and is not shown.
const RAW: [&str; 6] = ["style", "script", "title", "iframe", "noembed", "noframes"];

/// Reads html and calls `each` until it returns `false`. Time is linear.
pub(crate) fn scan<'a>(html: &'a str, mut each: impl FnMut(HtmlToken<'a>) -> bool) {
    let mut rest = html;
    while !rest.is_empty() {
        let open = memchr::memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
        let (text, tag) = rest.split_at_checked(open).unwrap_or((rest, ""));
        if !text.is_empty() && !each(HtmlToken::Text(text)) {
            return;
        }
        let Some(inner) = tag.strip_prefix('<') else {
            return;
        };
        if let Some(inner) = inner.strip_prefix("!--") {
            let (comment, after) = comment(inner);
            if !each(HtmlToken::Comment(comment)) {
                return;
            }
            rest = after;
        } else if let Some(close) = inner.strip_prefix('/') {
            let name = name(close);
            let end = memchr::memchr(b'>', close.as_bytes()).map_or(close.len(), |end| end + 1);
            rest = close.get(end..).unwrap_or_default();
            if !each(HtmlToken::Close(name)) {
                return;
            }
        } else if inner.starts_with(|char: char| char.is_ascii_alphabetic()) {
            let name = name(inner);
            if !each(HtmlToken::Open(name)) {
                return;
            }
            rest = attributes(inner.get(name.len()..).unwrap_or_default(), &mut each);
            if RAW.iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
                let (content, after) = raw_text(rest, name);
                if name.eq_ignore_ascii_case("style") && !each(HtmlToken::Style(content)) {
                    return;
                }
                rest = after;
            }
        } else if inner.starts_with(['!', '?']) {
            let end = memchr::memchr(b'>', inner.as_bytes()).map_or(inner.len(), |end| end + 1);
            rest = inner.get(end..).unwrap_or_default();
        } else {
            if !each(HtmlToken::Text("<")) {
                return;
            }
            rest = inner;
        }
    }
}

/// The comment behind `<!--`, and what follows it. `>` and `->` at its front end it, and so does
/// `--!>`. One that is not closed goes on to the end.
fn comment(inner: &str) -> (&str, &str) {
    let empty = inner.strip_prefix('>').or_else(|| inner.strip_prefix("->"));
    if let Some(after) = empty {
        return ("", after);
    }
    let mut dashes = memchr::memmem::find_iter(inner.as_bytes(), "--");
    let end = dashes.find_map(|at| {
        let behind = inner.get(at + 2..)?;
        let after = behind.strip_prefix('>').or_else(|| behind.strip_prefix("!>"));
        // Hyphens may stand side by side: each pair is looked at.
        let after = after.or_else(|| behind.strip_prefix("->"));
        let after = after.or_else(|| behind.strip_prefix("-!>"));
        after.map(|after| (inner.get(..at).unwrap_or_default(), after))
    });
    end.unwrap_or((inner, ""))
}

fn name(tag: &str) -> &str {
    let end = tag.find(|char: char| char.is_whitespace() || matches!(char, '>' | '/' | '<'));
    tag.get(..end.unwrap_or(tag.len())).unwrap_or_default()
}

/// Reads the attributes of a start tag; returns what follows it.
fn attributes<'a>(mut rest: &'a str, each: &mut impl FnMut(HtmlToken<'a>) -> bool) -> &'a str {
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
        each(HtmlToken::Attribute { name, value });
        rest = after;
    }
}

/// The content of an element that holds no tags, and what follows it.
fn raw_text<'a>(rest: &'a str, name: &str) -> (&'a str, &'a str) {
    let is_end = |at: &usize| {
        let after = rest.get(at + 2..).unwrap_or_default();
        let is_named = after.get(..name.len()).is_some_and(|end| end.eq_ignore_ascii_case(name));
        let behind = after.as_bytes().get(name.len());
        is_named
            && behind.is_none_or(|byte| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace())
    };
    let end = memchr::memmem::find_iter(rest.as_bytes(), b"</").find(is_end);
    rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""))
}
