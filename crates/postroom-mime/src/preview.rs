//! The preview: the beginning of the text in one line.

/// Longer lines are taken word by word.
const PLAIN_BYTES_MAX: usize = 1_000;

/// The first `chars_max` characters of a text without quotes, blanks joined. `None` if there are
/// none.
#[must_use]
pub(crate) fn preview(text: &str, chars_max: usize) -> Option<String> {
    let is_own = |line: &str| !line.starts_with('>');
    joined(text, chars_max, is_own).or_else(|| joined(text, chars_max, |_| true))
}

/// Joins the lines that `is_shown` allows.
fn joined(text: &str, chars_max: usize, is_shown: impl Fn(&str) -> bool) -> Option<String> {
    let (mut preview, mut left) = (String::with_capacity(chars_max.min(text.len())), chars_max);
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |end| end + 1);
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = after;
        if !is_shown(line) {
            continue;
        }
        let mut line = line.trim_ascii();
        let next = if is_plain(line) { whole } else { next_word };
        while let Some((word, chars)) = next(&mut line) {
            if is_rule(word) {
                continue;
            }
            if !preview.is_empty() && left > 0 {
                preview.push(' ');
                left -= 1;
            }
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

/// Takes all of a line.
fn whole<'a>(line: &mut &'a str) -> Option<(&'a str, usize)> {
    let whole = std::mem::take(line);
    (!whole.is_empty()).then_some((whole, whole.len()))
}

/// Whether a line needs no change: ASCII words with single blanks, and no drawn line among them.
/// Many bytes are checked at once.
fn is_plain(line: &str) -> bool {
    let bytes = line.as_bytes();
    if bytes.len() > PLAIN_BYTES_MAX {
        return false;
    }
    let is_drawn = |byte| matches!(byte, b'-' | b'_' | b'=' | b'*' | b'#' | b'~');
    let is_other = |byte: u8| byte.wrapping_sub(b' ') > b'~' - b' ';
    let next = bytes.get(1..).unwrap_or_default();
    let pairs = bytes.iter().zip(next).fold(false, |found, (&a, &b)| {
        found | ((a == b' ') & (b == b' ')) | (is_drawn(a) & is_drawn(b))
    });
    !pairs && !bytes.iter().fold(false, |found, byte| found | is_other(*byte))
}

/// Takes the next word off the front of a line; with it, how many characters it has.
fn next_word<'a>(line: &mut &'a str) -> Option<(&'a str, usize)> {
    let rest = line.trim_ascii_start();
    // Most words are ASCII up to a blank.
    let end = usual(rest.as_bytes());
    if end > 0 && matches!(rest.as_bytes().get(end), None | Some(b' ' | b'\n')) {
        let (word, after) = rest.split_at_checked(end)?;
        *line = after;
        return Some((word, end));
    }
    let (word, after) = any_word(rest)?;
    *line = after;
    (!word.is_empty()).then(|| (word, word.chars().count()))
}

/// The next word of any characters, and what follows it. Invisible characters around words fill a
/// preview; within words they join or part letters.
fn any_word(rest: &str) -> Option<(&str, &str)> {
    let is_blank = |char: char| char.is_whitespace() || char.is_control();
    let is_around = |char: char| is_blank(char) || is_filler(char);
    let rest = rest.trim_start_matches(is_around);
    let mut end = 0;
    loop {
        end += usual(rest.as_bytes().get(end..).unwrap_or_default());
        match rest.get(end..).and_then(|rest| rest.chars().next()) {
            Some(char) if !char.is_ascii() && !is_blank(char) => end += char.len_utf8(),
            _ => break,
        }
    }
    let (word, after) = rest.split_at_checked(end)?;
    Some((word.trim_end_matches(is_filler), after))
}

/// How many characters at the front are told by their byte alone.
fn usual(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(bytes.len())
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
        ("\u{34f}\u{200c}\u{a0}\u{feff} b", 50, Some("b")),
        ("می\u{200c}خواهم",              50, Some("می\u{200c}خواهم")),
            ("------\nafter the rule",       50, Some("after the rule")),
            ("=-=-=-=\nafter - it\n",        50, Some("after - it")),
            ("one\n\ntwo",                   4,  Some("one ")),
            ("one\ntwo three\n",             8,  Some("one two ")),
            ("grün",                         3,  Some("grü")),
            (" \n ",                         50, None),
        ];
        for (text, chars_max, want) in table {
            assert_eq!(preview(text, chars_max).as_deref(), want, "{text:?}");
        }
    }
}
