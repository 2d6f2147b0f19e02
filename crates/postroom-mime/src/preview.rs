//! The beginning of what a message says, in one line.

/// The first `chars_max` characters of a text without quotes, blanks joined; `None` if there are
/// none.
#[must_use]
pub fn preview(text: &str, chars_max: usize) -> Option<String> {
    let is_own = |line: &str| !line.starts_with('>');
    joined(text, chars_max, is_own).or_else(|| joined(text, chars_max, |_| true))
}

/// Joins the lines that `is_shown` allows.
fn joined(text: &str, chars_max: usize, is_shown: impl Fn(&str) -> bool) -> Option<String> {
    let (mut preview, mut left) = (String::with_capacity(chars_max.min(text.len())), chars_max);
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |end| end + 1);
        let (mut line, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = after;
        if !is_shown(line) {
            continue;
        }
        while let Some(word) = next_word(&mut line) {
            if is_rule(word) {
                continue;
            }
            if !preview.is_empty() && left > 0 {
                preview.push(' ');
                left -= 1;
            }
            let chars = word.chars().count();
            if chars >= left {
                let kept = word.char_indices().nth(left).map_or(word.len(), |(at, _)| at);
                preview.push_str(word.get(..kept).unwrap_or_default());
                return Some(preview);
            }
            preview.push_str(word);
            left -= chars;
        }
    }
    (!preview.is_empty()).then_some(preview)
}

/// Takes the next word off the front of a line.
fn next_word<'a>(line: &mut &'a str) -> Option<&'a str> {
    let is_usual = |byte: &u8| byte.is_ascii_graphic();
    let is_blank = |char: char| char.is_whitespace() || char.is_control() || is_filler(char);
    let mut rest = line.trim_ascii_start();
    if !rest.as_bytes().first().is_some_and(is_usual) {
        rest = rest.trim_start_matches(is_blank);
    }
    let mut end = 0;
    loop {
        // Most characters are told by their byte alone.
        let bytes = rest.as_bytes().get(end..).unwrap_or_default();
        end += bytes.iter().position(|byte| !is_usual(byte)).unwrap_or(bytes.len());
        match rest.get(end..).and_then(|rest| rest.chars().next()) {
            Some(char) if !char.is_ascii() && !is_blank(char) => end += char.len_utf8(),
            _ => break,
        }
    }
    let (word, after) = rest.split_at_checked(end)?;
    *line = after;
    (!word.is_empty()).then_some(word)
}

/// Whether a word is a line that is drawn.
fn is_rule(word: &str) -> bool {
    let is_drawn = |byte| matches!(byte, b'-' | b'_' | b'=' | b'*' | b'#' | b'~');
    word.len() > 3 && word.bytes().all(is_drawn)
}

/// Invisible characters that newsletters fill their preview with.
fn is_filler(char: char) -> bool {
    matches!(char, '\u{200B}' | '\u{200C}' | '\u{FEFF}' | '\u{34F}' | '\u{AD}' | '\u{2007}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_are_one_line() {
        #[rustfmt::skip]
        let table = [
            ("one\n  two\tthree",            9,  Some("one two t")),
            ("> quoted\nnew\n> again",       50, Some("new")),
            ("> quoted only",                50, Some("> quoted only")),
            ("a\u{200c} \u{200c} b",         50, Some("a b")),
            ("------\nafter the rule",       50, Some("after the rule")),
            ("grün",                         3,  Some("grü")),
            (" \n ",                         50, None),
        ];
        for (text, chars_max, want) in table {
            assert_eq!(preview(text, chars_max).as_deref(), want, "{text:?}");
        }
    }
}
