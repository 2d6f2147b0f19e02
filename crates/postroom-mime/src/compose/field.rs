//! One header field, folded while it is written (RFC 5322 §2.2.3).

use crate::compose::word;
use crate::compose::word::WordContext;

/// Lines are folded so that they have no more characters, where the text allows (RFC 5322 §2.1.1).
const LINE_CHARS: usize = 76;

/// Writes one header field. It ends with [`FieldWriter::end`].
#[derive(Debug)]
pub(crate) struct FieldWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Characters on the present line.
    column: usize,
}

impl<'a> FieldWriter<'a> {
    /// Begins the field `name`.
    pub(crate) fn begin(out: &'a mut Vec<u8>, name: &str) -> Self {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        Self { out, column: name.len() + 1 }
    }

    /// Writes a token that is never broken, after a space or a fold. The first one stays beside the
    /// name: there are readers that take a line with nothing but the name for an empty field.
    pub(crate) fn token(&mut self, token: &str) {
        self.spaced(" ", token);
    }

    /// Writes a token, with the spaces before it, where a line may be folded.
    fn spaced(&mut self, spaces: &str, token: &str) {
        let chars = spaces.len() + token.len();
        let first = self.out.last() == Some(&b':');
        if self.column + chars > LINE_CHARS && !first {
            self.fold();
        }
        self.out.extend_from_slice(spaces.as_bytes());
        self.out.extend_from_slice(token.as_bytes());
        self.column += chars;
    }

    /// Writes `token` directly behind what was written.
    pub(crate) fn glue(&mut self, token: &str) {
        self.out.extend_from_slice(token.as_bytes());
        self.column += token.len();
    }

    /// Writes unstructured text (RFC 5322 §3.2.5), in encoded words where it must be.
    pub(crate) fn text(&mut self, text: &str) {
        if text.is_empty() {
            self.glue(" ");
            return;
        }
        if !word::is_plain(text) {
            self.words(text, WordContext::Text);
            return;
        }
        let mut spaces = 1;
        for word in text.split(' ') {
            if word.is_empty() {
                spaces += 1;
                continue;
            }
            self.spaced(&" ".repeat(spaces), word);
            spaces = 1;
        }
    }

    /// Writes all of `text` as encoded words.
    pub(crate) fn words(&mut self, text: &str, place: WordContext) {
        // One character of four bytes takes 12 characters in Q and the frame takes 12 as well.
        const WORD_CHARS_MIN: usize = 24;
        if self.column + 1 + WORD_CHARS_MIN > LINE_CHARS {
            self.fold();
        }
        let room = LINE_CHARS.saturating_sub(self.column + 1);
        for (at, word) in word::encode(text, place, room).iter().enumerate() {
            if at > 0 {
                self.fold();
            }
            self.glue(" ");
            self.glue(word);
        }
    }

    /// Ends the field.
    pub(crate) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    fn fold(&mut self) {
        self.out.extend_from_slice(b"\r\n");
        self.column = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, text: &str) -> String {
        let mut out = vec![];
        let mut field = FieldWriter::begin(&mut out, name);
        field.text(text);
        field.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_folded_before_spaces_that_stay() {
        let text = "word  and   more ".repeat(20);
        let folded = field("Subject", text.trim());
        assert!(folded.lines().all(|line| line.len() <= 76), "{folded}");
        assert_eq!(folded.replace("\r\n", ""), format!("Subject: {}", text.trim()));
        assert!(folded.lines().all(|line| !line.trim().is_empty()));
    }

    #[test]
    fn encoded_lines_stay_short_under_any_name() {
        for name_chars in 1..80 {
            let folded = field(&"X".repeat(name_chars), &"日本🦀".repeat(40));
            let mut lines = folded.lines();
            assert!(lines.next().is_some_and(|line| line.len() <= 81));
            assert!(lines.all(|line| line.len() <= 76 && line.starts_with(" =?")), "{folded}");
        }
    }
}
