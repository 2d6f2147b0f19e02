//! Encoded words: any text in header fields that are ASCII (RFC 2047).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest encoded word (RFC 2047 §2).
const WORD_CHARS_MAX: usize = 75;
/// `=?utf-8?B?` and `?=`.
const FRAME_CHARS: usize = 12;

/// So many blanks in a row are encoded: with a word behind them they might not fit into a line.
const BLANKS: &str = "                                                            ";

/// Where the words stand, which decides the characters that need no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WordContext {
    /// In unstructured text (RFC 2047 §5 (1)).
    Text,
    /// In a phrase, such as a display name (RFC 2047 §5 (3)).
    Phrase,
}

/// Tells whether `text` means itself in a header field: printable ASCII, no encoded word in it, no
/// space that a reader would drop, and no word that cannot be put into one line.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !text.contains("=?")
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text.split(' ').all(|word| word.len() <= 800)
        && !text.contains(BLANKS)
}

/// Encodes all of `text` as words that are to be set off by line breaks or spaces. The first has at
/// most `first_chars_max` characters, or takes one character of the text if none fits.
///
/// Words are split between characters, never inside one. The shorter of B and Q is taken.
pub(crate) fn encode(text: &str, place: WordContext, first_chars_max: usize) -> Vec<String> {
    let q_size: usize = text.chars().map(|char| q_chars(char, place)).sum();
    let b_size = text.len().div_ceil(3) * 4;
    let base64 = b_size < q_size;
    let mut words = vec![];
    let mut room = first_chars_max.min(WORD_CHARS_MAX);
    let (mut start, mut used) = (0, 0);
    for (at, char) in text.char_indices() {
        let end = at + char.len_utf8();
        let next = if base64 { (end - start).div_ceil(3) * 4 } else { used + q_chars(char, place) };
        if next + FRAME_CHARS > room && at > start {
            words.push(word(text.get(start..at).unwrap_or_default(), place, base64));
            (start, room) = (at, WORD_CHARS_MAX);
            used = q_chars(char, place);
        } else {
            used = next;
        }
    }
    words.push(word(text.get(start..).unwrap_or_default(), place, base64));
    words
}

fn word(text: &str, place: WordContext, base64: bool) -> String {
    if base64 {
        return format!("=?utf-8?B?{}?=", STANDARD.encode(text));
    }
    let mut word = String::from("=?utf-8?Q?");
    for char in text.chars() {
        match char {
            ' ' => word.push('_'),
            _ if is_q_plain(char, place) => word.push(char),
            _ => {
                for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                    word.push_str(&format!("={byte:02X}"));
                }
            }
        }
    }
    word.push_str("?=");
    word
}

fn q_chars(char: char, place: WordContext) -> usize {
    if char == ' ' || is_q_plain(char, place) { 1 } else { char.len_utf8() * 3 }
}

fn is_q_plain(char: char, place: WordContext) -> bool {
    match place {
        WordContext::Text => char.is_ascii_graphic() && !"=?_".contains(char),
        WordContext::Phrase => char.is_ascii_alphanumeric() || "!*+-/".contains(char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_between_characters() {
        for text in ["д".repeat(200), "日本語".repeat(70), "a🦀".repeat(90), "é a".repeat(90)]
        {
            for place in [WordContext::Text, WordContext::Phrase] {
                let words = encode(&text, place, 40);
                assert!(words.iter().all(|word| word.len() <= WORD_CHARS_MAX), "{words:?}");
                assert!(words.iter().take(1).all(|word| word.len() <= 40), "{words:?}");
                assert!(words.len() > 2);
            }
        }
    }

    #[test]
    fn the_shorter_encoding_is_taken() {
        assert_eq!(encode("Grüße", WordContext::Text, 75), ["=?utf-8?B?R3LDvMOfZQ==?="]);
        assert_eq!(encode("Café to go", WordContext::Text, 75), ["=?utf-8?Q?Caf=C3=A9_to_go?="]);
        assert_eq!(encode("O. é", WordContext::Phrase, 75), ["=?utf-8?B?Ty4gw6k=?="]);
    }

    #[test]
    fn what_means_itself() {
        for plain in ["", "a", "a  b", "Re: [x] (y) \"z\" = ?"] {
            assert!(is_plain(plain), "{plain:?}");
        }
        for odd in [
            " a",
            "a ",
            "a\tb",
            "é",
            "=?utf-8?Q?a?=",
            "\u{7f}",
            &"x".repeat(801),
            &format!("a{}b", " ".repeat(60)),
        ] {
            assert!(!is_plain(odd), "{odd:?}");
        }
    }
}
