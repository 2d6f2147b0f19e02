//! The whole of a long text: decoded from its place in the message, piece by piece.
//!
//! ```text
//!   bytes ──► transfer encoding ──► charset ──► lines ended by LF ──► flowed lines joined
//! ```
//! The result is what [`crate::Message::text`] would have without a limit, if the text is in one
//! part. Memory does not depend on the size of the text.
//!
//! Standards: RFC 2045 §6, RFC 3676.

use crate::charset;
use crate::flowed::FlowedLines;
use crate::plain::PlainLines;
use crate::transfer::TransferDecoder;
use crate::transfer::TransferEncoding;

/// Where the plain text of a message is, if it is in one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPlace {
    /// The first byte.
    pub offset: u64,
    /// How many bytes, as they are written.
    pub length: u64,
    /// How they are written.
    pub encoding: TransferEncoding,
    /// The charset. `None`: UTF-8 or ASCII.
    pub charset: Option<String>,
    /// Whether the text is flowed, and then whether `DelSp` is set.
    pub flowed: Option<bool>,
}

/// Decodes the text at a [`TextPlace`].
#[derive(Debug)]
pub struct TextDecoder {
    transfer: TransferDecoder,
    charset: charset::Decoder,
    lines: PlainLines,
    flow: Option<FlowedLines>,
}

impl TextPlace {
    /// Begins to decode.
    #[must_use]
    pub fn decoder(&self) -> TextDecoder {
        TextDecoder {
            transfer: self.encoding.decoder(),
            charset: charset::decoder(self.charset.as_deref().unwrap_or("utf-8")),
            lines: PlainLines::default(),
            flow: self.flowed.map(FlowedLines::new),
        }
    }
}

impl TextDecoder {
    /// Decodes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut content = vec![];
        self.transfer.push(bytes, &mut content);
        let text = self.charset.push(&content);
        self.plain(&text)
    }

    /// Returns what was held back: call once, after the last bytes.
    pub fn finish(&mut self) -> String {
        let mut content = vec![];
        self.transfer.finish(&mut content);
        let mut text = self.charset.push(&content);
        text.push_str(&self.charset.finish());
        let mut plain = self.plain(&text);
        if let Some(flow) = &mut self.flow {
            plain.push_str(&flow.finish());
        }
        plain
    }

    fn plain(&mut self, text: &str) -> String {
        let plain = self.lines.push(text);
        match &mut self.flow {
            Some(flow) => flow.push(&plain),
            None => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParserLimits;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// The whole text, decoded in pieces of so many bytes from the place that the parser gives.
    fn in_pieces(message: &[u8], piece_bytes: usize) -> String {
        let limits = ParserLimits { text_bytes_max: 8, ..ParserLimits::default() };
        let parsed = crate::parse_reader(Cursor::new(message), &limits).unwrap();
        let place = parsed.text_place.expect("one part");
        let from = usize::try_from(place.offset).unwrap();
        let to = from + usize::try_from(place.length).unwrap();
        let mut decoder = place.decoder();
        let mut text: String =
            message[from..to].chunks(piece_bytes).map(|piece| decoder.push(piece)).collect();
        text.push_str(&decoder.finish());
        text
    }

    #[test]
    fn a_long_text_is_the_same_in_pieces() {
        let flowed = "Content-Type: text/plain; charset=utf-8; format=flowed\r\n";
        let latin = "Content-Type: text/plain; charset=iso-8859-1\r\n\
                     Content-Transfer-Encoding: quoted-printable\r\n";
        let table = [
            (flowed, "one \r\ntwo\r\n> three \r\n> four\r\nfive \r\n-- \r\nAnna\r\n".to_owned()),
            (flowed, "word ".repeat(40_000) + "\r\n -- \r\n"),
            (latin, "gr=FCn=\r\n lines\r\nand a\rb\r\n".repeat(50)),
            ("Content-Type: text/plain\r\n", "plain \u{fc}\r\n\0text\r\n".repeat(20)),
            (
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n",
                "Z3LDvG4NCg==".to_owned(),
            ),
        ];
        for (fields, body) in table {
            let message = format!("Subject: a\r\n{fields}\r\n{body}");
            let whole = crate::parse(message.as_bytes()).text.unwrap();
            for piece_bytes in [1, 2, 3, 7, 4096, usize::MAX] {
                let got = in_pieces(message.as_bytes(), piece_bytes);
                assert!(got == whole, "{fields} {piece_bytes}: {got:.200?} {whole:.200?}");
            }
        }
    }

    proptest! {
        #[test]
        fn flowed_lines_are_joined_the_same_in_pieces(
            text in "[a >\n\r\0-]{0,40}", at in 0..40_usize, del_sp: bool,
        ) {
            let whole = crate::plain::plain(text.clone(), usize::MAX, &mut crate::Defects::default());
            let whole = crate::unflow(&whole, del_sp);
            let (one, two) = text.split_at(at.min(text.len()));
            let (mut lines, mut flow) = (PlainLines::default(), FlowedLines::new(del_sp));
            let mut got = String::new();
            for piece in [one, two] {
                got.push_str(&flow.push(&lines.push(piece)));
            }
            got.push_str(&flow.finish());
            prop_assert_eq!(got, whole);
        }
    }

    #[test]
    fn a_text_of_several_parts_has_no_place() {
        let several = "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
            --b\r\nContent-Type: text/plain\r\n\r\none\r\n\
            --b\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--b--\r\n";
        let html = "Content-Type: text/html\r\n\r\n<p>one";
        for message in [several, html] {
            assert_eq!(crate::parse(message.as_bytes()).text_place, None, "{message}");
        }
    }
}
