//! The beginning of what a message says, in one line.

/// The first `chars_max` characters of a text without quotes, blanks joined; `None` if there are
/// none.
#[must_use]
pub fn preview(text: &str, chars_max: usize) -> Option<String> {
    let own = |line: &&str| !line.starts_with('>');
    line(text.lines().filter(own), chars_max).or_else(|| line(text.lines(), chars_max))
}

fn line<'a>(lines: impl Iterator<Item = &'a str>, chars_max: usize) -> Option<String> {
    let is_rule =
        |word: &&str| word.len() > 3 && word.bytes().all(|byte| b"-_=*#~".contains(&byte));
    let is_blank = |char: char| char.is_whitespace() || char.is_control() || is_filler(char);
    let words = lines
        .flat_map(|line| line.split(is_blank))
        .filter(|word| !word.is_empty() && !is_rule(word));
    let (mut preview, mut left) = (String::new(), chars_max);
    for word in words {
        if !preview.is_empty() && left > 0 {
            preview.push(' ');
            left -= 1;
        }
        let kept = word.char_indices().nth(left).map_or(word.len(), |(at, _)| at);
        preview.push_str(word.get(..kept).unwrap_or_default());
        left = left.saturating_sub(word.chars().count());
        if left == 0 {
            break;
        }
    }
    (!preview.is_empty()).then_some(preview)
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
