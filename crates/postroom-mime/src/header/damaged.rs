//! Lines that were meant as fields, with blanks in their names.
//!
//! Text may hold a colon too, so that only what no sentence begins with is taken for one.

/// A longer name is a sentence.
const NAME_BYTES_MAX: usize = 60;
/// Usual names of which the hyphens became blanks, or got blanks beside them.
const NAMES: [&str; 16] = [
    "messageid",
    "inreplyto",
    "replyto",
    "returnpath",
    "deliveredto",
    "mimeversion",
    "contenttype",
    "contenttransferencoding",
    "contentdisposition",
    "contentid",
    "contentlanguage",
    "listid",
    "listunsubscribe",
    "receivedspf",
    "authenticationresults",
    "useragent",
];

/// Whether a line is a field whose name holds blanks: `X-Two words: value`, `Message Id: value`.
pub(crate) fn is_damaged(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line).filter(|colon| *colon <= NAME_BYTES_MAX) else {
        return false;
    };
    let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
    let is_followed = value.get(1).is_some_and(|byte| matches!(byte, b' ' | b'\t'));
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let is_graphic = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t');
    if !is_followed || value.trim_ascii().len() < 2 || !name.bytes().all(is_graphic) {
        return false;
    }
    let first = name.split([' ', '\t']).next().unwrap_or_default();
    is_own(first) || is_usual(name)
}

/// Whether a word begins the name of a field: `X`, or words joined by hyphens that all have
/// capital letters.
fn is_own(word: &str) -> bool {
    let mut parts = word.split('-');
    let is_capital = |part: &str| part.starts_with(|char: char| char.is_ascii_uppercase());
    word.eq_ignore_ascii_case("x")
        || word.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
        || (word.contains('-') && parts.all(is_capital))
}

fn is_usual(name: &str) -> bool {
    let letters: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|char| char.to_ascii_lowercase())
        .collect();
    NAMES.contains(&letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_sentence_begins_with_is_a_field() {
        #[rustfmt::skip]
        let table = [
            ("X-A B/c: one\r\n",          true),
            ("X-A\tB: one\r\n",           true),
            ("x-spam level: 5\n",         true),
            ("X Priority: 3\n",           true),
            ("Message ID: <a@b>\n",       true),
            ("Content - Type: text/html\n", true),
            ("List-Id x: <a>\n",          true),
            ("X-A B:\n",                  false),
            ("X-A B:one\n",               false),
            ("Dear Anna: hello\n",        false),
            ("Follow-up on this: hello\n", false),
            ("Note to all: the server is down\n", false),
            ("one and\n",                 false),
        ];
        for (line, want) in table {
            assert_eq!(is_damaged(line.as_bytes()), want, "{line}");
        }
    }
}
