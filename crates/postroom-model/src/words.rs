//! Words: what `match` looks for, and what of a message it looks at.
//!
//! ```text
//!   subject · from · file names · to · text ──► words, folded ──► " rechnung nr 7 ¦ anna x ¦ …"
//! ```
//! Databases keep these words and take no text apart themselves, so a word is the same in all of
//! them. A word is a run of letters, digits and the marks on them. Whatever else there is separates
//! words. Scripts that are written without spaces have a word in each character. Compatible forms
//! are one (NFKC: `ﬁ` is `fi`, `é` is one character or two), and case is folded ([`crate::fold`]).
//! An accent makes another word: `resume` is not `résumé`.

use crate::builtin::names;
use crate::entity::Entity;
use crate::fold::fold;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use std::borrow::Cow;

/// How many characters of the text of a message are taken apart.
pub const INDEXED_TEXT_CHARS_MAX: usize = 100_000;

/// How many octets the words of a message may have.
const INDEXED_BYTES_MAX: usize = 256 * 1024;

/// How many octets of a field are taken apart at once.
const PIECE_BYTES: usize = 16 * 1024;

/// Further characters of a word are ignored.
const WORD_CHARS_MAX: usize = 64;

/// Stands between fields, so that no phrase goes from one into the next. It is no word.
const BOUNDARY: &str = "¦";

/// The blocks of scripts that are written without spaces: Thai, Lao, Myanmar, Khmer, kana and Han.
const UNSPACED: [(char, char); 10] = [
    ('\u{e00}', '\u{eff}'),
    ('\u{1000}', '\u{109f}'),
    ('\u{1780}', '\u{17ff}'),
    ('\u{3040}', '\u{30ff}'),
    ('\u{31f0}', '\u{31ff}'),
    ('\u{3400}', '\u{4dbf}'),
    ('\u{4e00}', '\u{9fff}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{1b000}', '\u{1b16f}'),
    ('\u{20000}', '\u{3ffff}'),
];

/// The words of a text, in their order.
#[must_use]
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut found = Words::default();
    for char in folded(text).chars() {
        found.add(char);
    }
    found.end();
    found.words
}

/// Whether a word is a character of a script that is written without spaces.
pub(crate) fn is_unspaced_word(word: &str) -> bool {
    word.chars().next().is_some_and(is_unspaced)
}

/// The words of a message, of which `match` finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedWords(String);

impl IndexedWords {
    /// The words of fields. No phrase goes from one field into the next. What is beyond the limit
    /// is left out.
    #[must_use]
    pub fn of<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        let mut joined = " ".to_owned();
        for field in fields {
            let begin = joined.len();
            let mut rest = field;
            while !rest.is_empty() && joined.len() < INDEXED_BYTES_MAX {
                let (piece, behind) = piece(rest);
                for word in words(piece) {
                    joined.push_str(&word);
                    joined.push(' ');
                }
                rest = behind;
            }
            if joined.len() > begin {
                joined.push_str(BOUNDARY);
                joined.push(' ');
            }
        }
        Self(joined)
    }

    /// The words with a space before and behind each. Between fields is what is no word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The words of a message with files of these names: of its subject, sender, files, recipients and
/// the beginning of its text.
#[must_use]
pub fn indexed_words(message: &Entity, file_names: &[String]) -> IndexedWords {
    let text = message.text(names::TEXT).unwrap_or_default();
    let end = text.char_indices().nth(INDEXED_TEXT_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    let first = [names::SUBJECT, names::FROM].map(|name| message.text(name).unwrap_or_default());
    let fields = first.into_iter().chain(file_names.iter().map(String::as_str));
    let fields = fields.chain(message.texts(names::TO)).chain(text.get(..end));
    IndexedWords::of(fields)
}

/// A piece of a text and what is behind it. It ends between words, unless one is that long.
fn piece(text: &str) -> (&str, &str) {
    let mut end = PIECE_BYTES;
    let space = text.as_bytes().get(..end).and_then(|bytes| {
        bytes.iter().rposition(|byte| byte.is_ascii_whitespace()).filter(|at| *at > 0)
    });
    end = space.unwrap_or(end).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if text.len() <= PIECE_BYTES { (text, "") } else { text.split_at(end) }
}

fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    let nfkc = const { ComposingNormalizerBorrowed::new_nfkc() };
    let folded = fold(&nfkc.normalize(text));
    // Folding takes some characters apart.
    Cow::Owned(nfkc.normalize(&folded).into_owned())
}

#[derive(Default)]
struct Words {
    words: Vec<String>,
    word: String,
    chars: usize,
}

impl Words {
    fn add(&mut self, char: char) {
        if is_unspaced(char) && char.is_alphanumeric() && !is_mark(char) {
            self.end();
        } else if !is_of_word(char) || (self.word.is_empty() && is_mark(char)) {
            self.end();
            return;
        } else if !is_mark(char) && is_unspaced_word(&self.word) {
            self.end();
        }
        if self.chars < WORD_CHARS_MAX {
            self.word.push(char);
            self.chars += 1;
        }
    }

    fn end(&mut self) {
        if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
        self.chars = 0;
    }
}

fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || is_mark(char)
}

fn is_mark(char: char) -> bool {
    !char.is_ascii()
        && matches!(
            CodePointMapData::<GeneralCategory>::new().get(char),
            GeneralCategory::NonspacingMark
                | GeneralCategory::SpacingMark
                | GeneralCategory::EnclosingMark
        )
}

fn is_unspaced(char: char) -> bool {
    UNSPACED.iter().any(|(first, last)| (*first..=*last).contains(&char))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_letters_digits_and_their_marks_without_case() {
        #[rustfmt::skip]
        let table = [
            ("Hello, World!",          "hello world"),
            ("anna@x-y.test",          "anna x y test"),
            ("Привет МИР",             "привет мир"),
            ("STRASSE Straße",         "strasse strasse"),
            ("ΟΔΟΣ οδος",              "οδοσ οδοσ"),
            ("re\u{301}sume\u{301}",   "résumé"),
            ("ﬁle Ａ１ x²",            "file a1 x2"),
            ("नमस्ते दुनिया",                "नमस्ते दुनिया"),
            ("日本語abcタワー",           "日 本 語 abc タ ワ ー"),
            ("\u{301}a _b_ ¦ c\u{0}d", "a b c d"),
            ("ไม่ดี",                    "ไ ม่ ดี"),
            ("",                       ""),
        ];
        for (text, want) in table {
            assert_eq!(words(text).join(" "), want, "{text}");
        }
        assert_eq!(words(&"x".repeat(100)), ["x".repeat(WORD_CHARS_MAX)]);
    }

    #[test]
    fn fields_are_bounded_and_apart() {
        assert_eq!(IndexedWords::of(["a B", "", "!", "c"]).as_str(), " a b ¦ c ¦ ");
        let long = IndexedWords::of(["ab ".repeat(INDEXED_BYTES_MAX).as_str(), "last"]);
        assert!(long.as_str().len() < INDEXED_BYTES_MAX + 2 * PIECE_BYTES);
        assert!(!long.as_str().contains("last"));
        // Pieces end between words, and one without an end is not endless.
        let text = format!("{} ", "word".repeat(8)).repeat(2000);
        assert_eq!(IndexedWords::of([text.as_str()]).as_str().split(' ').count(), 2003);
        let text = "ж".repeat(PIECE_BYTES);
        assert!(IndexedWords::of([text.as_str()]).as_str().starts_with(" жж"));
    }

    proptest! {
        #[test]
        fn words_taken_apart_again_are_the_same(text in "\\PC{0,40}") {
            let once = words(&text);
            prop_assert_eq!(words(&once.join(" ")), once);
        }
    }
}
