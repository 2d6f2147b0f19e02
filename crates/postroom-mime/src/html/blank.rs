//! Whether html shows anything at all.

use crate::html::entity;
use crate::html::scan;
use crate::html::scan::HtmlToken;

/// Html that is longer is not blank.
const BYTES_MAX: usize = 32 << 10;
/// Elements that show something without text in them.
const SHOWN: [&str; 16] = [
    "img", "image", "svg", "video", "audio", "canvas", "object", "embed", "iframe", "frame",
    "input", "button", "select", "textarea", "picture", "math",
];

/// Whether an html body shows nothing: neither text nor anything else.
#[must_use]
pub(crate) fn is_blank(html: &str) -> bool {
    if html.len() > BYTES_MAX {
        return false;
    }
    let mut is_blank = true;
    scan::scan(html, |token| {
        is_blank &= match token {
            HtmlToken::Open(name) => !SHOWN.iter().any(|shown| name.eq_ignore_ascii_case(shown)),
            HtmlToken::Attribute { name, value } => {
                let is_style = name.eq_ignore_ascii_case("style");
                let is_image = name.eq_ignore_ascii_case("background");
                !(is_image || (is_style && has_image(value)))
            }
            HtmlToken::Style(text) => !has_image(text),
            HtmlToken::Text(text) => entity::decode(text).chars().all(is_nothing),
            HtmlToken::Close(_) | HtmlToken::Comment(_) => true,
        };
        is_blank
    });
    is_blank
}

fn has_image(style: &str) -> bool {
    let urls = memchr::memchr_iter(b'(', style.as_bytes());
    let word = |at: usize| style.get(at.checked_sub(3)?..at);
    urls.filter_map(word).any(|word| word.eq_ignore_ascii_case("url"))
}

/// Whether a character shows nothing.
fn is_nothing(char: char) -> bool {
    char.is_whitespace()
        || matches!(char, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\u{AD}' | '\u{34F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_shows_something_or_nothing() {
        #[rustfmt::skip]
        let table = [
            ("",                                                              true),
            (" \r\n",                                                         true),
            ("<html><head><title>A</title><style>p{a:b}</style></head><body></body></html>", true),
            ("<!-- text --><p>&nbsp;&#8203;</p><br><hr>",                     true),
            ("<script>show()</script>",                                       true),
            ("<p style=\"color:red\"></p>",                                   true),
            ("<p>a",                                                          false),
            ("text",                                                          false),
            ("<img src=a>",                                                   false),
            ("<table background=a></table>",                                  false),
            ("<p style=\"background:URL(a)\"></p>",                           false),
            ("<style>p { background: url(a) }</style>",                       false),
        ];
        for (html, want) in table {
            assert_eq!(is_blank(html), want, "{html}");
        }
        assert!(!is_blank(&" ".repeat(BYTES_MAX + 1)));
    }
}
