//! Cuts the byte stream into lines and literals. Any bytes can be cut; only sizes are checked.
//!
//! ```text
//!   * 1 FETCH (UID 5 BODY[] {3}CRLF  abc  )CRLF
//!   └──── text, announces 3 ─────┘ literal └text┘ ──► the response ends
//! ```
//!
//! The result does not depend on how the stream was split into reads, except for the sizes of
//! chunks.
//!
//! Standards: RFC 3501 §2.2, §4.3; RFC 7888 §4 (`{n+}`); RFC 3516 §4.4 (`~{n}`).

use crate::error::Error;
use crate::limits::ImapLimits;
use crate::response::is_state_line;
use crate::token::size;
use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;

/// A SEARCH response longer than this is handed on in pieces, because no useful limit exists for
/// its line.
const SEARCH_PIECE_BYTES: usize = 64 << 10;

/// A piece of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Text without its line end, and without the announcement of the literal that follows.
    Text(Bytes, TextEnd),
    /// A literal, whole.
    Literal(Bytes),
    /// A part of a literal.
    Chunk(Bytes),
    /// The end of a literal that was handed on or discarded.
    LiteralEnd,
}

/// What follows a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextEnd {
    /// Another response.
    End,
    /// A literal of so many octets. [`Framer::deliver`] decides about it.
    Literal(u64),
    /// More of this SEARCH or ESEARCH response.
    More,
}

/// What to do with a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LiteralUse {
    /// Hand it on as one piece of so many octets.
    Whole(usize),
    /// Hand it on in chunks, so many octets in all.
    Chunks(u64),
    /// Discard so many octets.
    Skip(u64),
}

/// Where in the stream we are.
#[derive(Debug)]
pub(crate) struct Framer {
    inside: Option<LiteralUse>,
    /// How many octets of the buffer are known to have no line end.
    scanned: usize,
    /// Octets of text of the running response; `None` before its first.
    text_bytes: Option<usize>,
    /// The separator between the UIDs of the long SEARCH or ESEARCH response that is being read.
    separator: Option<u8>,
}

impl Framer {
    /// At the start of a stream.
    pub(crate) fn new() -> Self {
        Self { inside: None, scanned: 0, text_bytes: None, separator: None }
    }

    /// How many more octets are needed, at least, before anything comes out.
    pub(crate) fn wanted(&self, buffer: &BytesMut) -> usize {
        match self.inside {
            Some(LiteralUse::Whole(left)) => left.saturating_sub(buffer.len()),
            Some(LiteralUse::Chunks(_) | LiteralUse::Skip(_)) | None => 1,
        }
    }

    /// Whether a response has begun whose first line has no end yet.
    pub(crate) fn is_in_first_line(&self, buffer: &BytesMut) -> bool {
        let is_first = self.inside.is_none() && self.text_bytes.is_none();
        is_first && self.separator.is_none() && !buffer.is_empty()
    }

    /// Says what is to become of the literal that was just announced.
    pub(crate) fn deliver(&mut self, delivery: LiteralUse) {
        self.inside = Some(delivery);
    }

    /// The text that seemed to end the response did not end it.
    pub(crate) fn go_on(&mut self) {
        self.text_bytes.get_or_insert(0);
    }

    /// Takes the next piece from the buffer; `None` if it is not there yet.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] if a response has too much text.
    pub(crate) fn next(
        &mut self,
        buffer: &mut BytesMut,
        limits: &ImapLimits,
    ) -> Result<Option<Frame>, Error> {
        let Some(delivery) = self.inside else {
            return self.text(buffer, limits);
        };
        let (frame, inside) = match delivery {
            LiteralUse::Whole(size) if buffer.len() >= size => {
                (Some(Frame::Literal(buffer.split_to(size).freeze())), None)
            }
            LiteralUse::Whole(_) => (None, Some(delivery)),
            LiteralUse::Chunks(0) | LiteralUse::Skip(0) => (Some(Frame::LiteralEnd), None),
            LiteralUse::Chunks(_) | LiteralUse::Skip(_) if buffer.is_empty() => {
                (None, Some(delivery))
            }
            LiteralUse::Chunks(left) => {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                let chunk = buffer.split_to(length).freeze();
                (Some(Frame::Chunk(chunk)), Some(LiteralUse::Chunks(left - length as u64)))
            }
            LiteralUse::Skip(left) => {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                buffer.advance(length);
                match left - length as u64 {
                    0 => (Some(Frame::LiteralEnd), None),
                    left => (None, Some(LiteralUse::Skip(left))),
                }
            }
        };
        self.inside = inside;
        Ok(frame)
    }

    fn text(&mut self, buffer: &mut BytesMut, limits: &ImapLimits) -> Result<Option<Frame>, Error> {
        let unseen = buffer.get(self.scanned..).unwrap_or_default();
        let end = memchr::memchr(b'\n', unseen).map(|at| self.scanned + at);
        let length = end.unwrap_or(buffer.len());
        if length > SEARCH_PIECE_BYTES
            && let Some(separator) = self.separator.or_else(|| self.search_begun(buffer))
        {
            self.scanned = 0;
            return self.search_piece(buffer, separator).map(Some);
        }
        let text_bytes = self.text_bytes.unwrap_or(0).saturating_add(length);
        self.check_length(buffer.get(..length).unwrap_or_default(), text_bytes, limits)?;
        let Some(end) = end else {
            self.scanned = buffer.len();
            return Ok(None);
        };
        self.scanned = 0;
        let mut line = buffer.split_to(end + 1).freeze();
        let mut kept = end;
        while line.get(..kept).is_some_and(|kept| kept.ends_with(b"\r")) {
            kept -= 1;
        }
        line.truncate(kept);
        let fresh = self.text_bytes.is_none();
        if fresh {
            // QUIRK: some servers send NULs before a response, see imapflow's stream reader.
            let nuls = line.iter().take_while(|byte| **byte == 0).count();
            line.advance(nuls);
        }
        let after = match announced(&line, fresh) {
            Some((length, size)) => {
                line.truncate(length);
                self.text_bytes = Some(text_bytes);
                TextEnd::Literal(size)
            }
            None => {
                self.text_bytes = None;
                self.separator = None;
                TextEnd::End
            }
        };
        Ok(Some(Frame::Text(line, after)))
    }

    fn check_length(
        &self,
        line: &[u8],
        text_bytes: usize,
        limits: &ImapLimits,
    ) -> Result<(), Error> {
        let short = text_bytes > limits.status_line_bytes_max
            && self.text_bytes.is_none()
            && (is_state_line(line) || !line.starts_with(b"*"));
        let max = if short { limits.status_line_bytes_max } else { limits.line_bytes_max };
        if text_bytes <= max {
            return Ok(());
        }
        Err(Error::Limit { what: "bytes in a line", max: max as u64 })
    }

    /// What stands between the UIDs, if the line begins as a result of a search does.
    fn search_begun(&self, line: &[u8]) -> Option<u8> {
        const BEGINNINGS: [(&[u8], u8); 2] = [(b"* SEARCH ", b' '), (b"* ESEARCH ", b',')];
        let is_there =
            |word: &[u8]| line.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
        let found = BEGINNINGS.iter().find(|(word, _)| is_there(word));
        found.filter(|_| self.text_bytes.is_none()).map(|(_, separator)| *separator)
    }

    /// Cuts a long SEARCH or ESEARCH response at the last separator within one piece; the next
    /// piece begins with it.
    fn search_piece(&mut self, buffer: &mut BytesMut, separator: u8) -> Result<Frame, Error> {
        let piece = buffer.get(..SEARCH_PIECE_BYTES).unwrap_or_default();
        let Some(at) = memchr::memrchr(separator, piece).filter(|at| *at > 0) else {
            return Err(Error::Limit {
                what: "digits in a number",
                max: SEARCH_PIECE_BYTES as u64,
            });
        };
        self.separator = Some(separator);
        self.go_on();
        Ok(Frame::Text(buffer.split_to(at).freeze(), TextEnd::More))
    }
}

/// The literal that a text announces: where its announcement begins, and its size.
///
/// Status responses, and lines that are not untagged responses, announce none, whatever they end
/// with.
fn announced(line: &[u8], fresh: bool) -> Option<(usize, u64)> {
    let inside = line.strip_suffix(b"}")?;
    if fresh && (!line.starts_with(b"*") || is_state_line(line)) {
        return None;
    }
    let open = memchr::memrchr(b'{', inside)?;
    let digits = inside.get(open + 1..)?;
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let before = inside.get(..open)?;
    let before = before.strip_suffix(b"~").unwrap_or(before);
    Some((before.len(), size(digits)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Announced = Option<(usize, u64)>;

    fn check(line: &[u8], fresh: bool, want: Announced) {
        assert_eq!(announced(line, fresh), want, "{}", line.escape_ascii());
    }

    #[test]
    fn only_data_announces_literals() {
        #[rustfmt::skip]
        let table: &[(&[u8], bool, Announced)] = &[
            (b"* 1 FETCH (BODY[] {5}",   true,  Some((18, 5))),
            (b"* 1 FETCH (BODY[] {5+}",  true,  Some((18, 5))),
            (b"* 1 FETCH (X ~{5}",       true,  Some((13, 5))),
            (b"* X {99999999999999999999999}", true, Some((4, i64::MAX.unsigned_abs()))),
            (b" BODY[] {5}",             false, Some((8, 5))),
            (b"A1 OK {5}",               false, Some((6, 5))),
            (b"* OK see item {5}",       true,  None),
            (b"A1 OK {5}",               true,  None),
            (b"+ {5}",                   true,  None),
            (b"* X {}",                  true,  None),
            (b"* X {-1}",                true,  None),
            (b"* X {5",                  true,  None),
            (b"* X 5}",                  true,  None),
            (b"}",                       false, None),
        ];
        for (line, fresh, want) in table {
            check(line, *fresh, *want);
        }
    }

    #[test]
    fn lines_are_bounded_by_their_kind() {
        let limits = ImapLimits::default();
        let framed = |start: &[u8], length: usize| {
            let mut buffer = BytesMut::from(start);
            buffer.resize(length, b'x');
            let early = Framer::new().next(&mut buffer.clone(), &limits).is_err();
            buffer.extend_from_slice(b"\r\n");
            let late = Framer::new().next(&mut buffer, &limits).is_err();
            assert_eq!(early, late);
            !early
        };
        #[rustfmt::skip]
        let table: &[(&[u8], usize, bool)] = &[
            (b"* OK ",     (64 << 10) - 1,  true),
            (b"* OK ",     (64 << 10) + 2,  false),
            (b"+ ",        (64 << 10) + 2,  false),
            (b"x",         (64 << 10) + 2,  false),
            (b"* 1 FETCH", (64 << 10) + 2,  true),
            (b"* 1 FETCH", (1 << 20) - 2,   true),
            (b"* 1 FETCH", (1 << 20) + 2,   false),
            (b"* SEARCH x", (64 << 10) + 2, true),
        ];
        for (start, length, want) in table {
            assert_eq!(framed(start, *length), *want, "{} {length}", start.escape_ascii());
        }
    }

    #[test]
    fn a_search_is_as_long_as_it_likes_but_a_number_is_not() {
        let limits = ImapLimits::default();
        let mut buffer = BytesMut::from(&b"* SEARCH"[..]);
        for uid in 0..200_000 {
            buffer.extend_from_slice(format!(" {uid}").as_bytes());
        }
        buffer.extend_from_slice(b"\r\n");
        let (mut framer, mut pieces) = (Framer::new(), 0);
        while let Some(frame) = framer.next(&mut buffer, &limits).unwrap() {
            pieces += 1;
            assert!(matches!(frame, Frame::Text(text, _) if text.len() <= SEARCH_PIECE_BYTES));
        }
        assert!(pieces > 10 && buffer.is_empty());

        for begun in ["* SEARCH 1 ", "* ESEARCH (TAG \"P1\") UID ALL 1,"] {
            let (mut framer, mut endless) = (Framer::new(), BytesMut::from(begun));
            endless.resize(SEARCH_PIECE_BYTES * 2, b'7');
            assert!(matches!(framer.next(&mut endless, &limits), Ok(Some(_))));
            assert!(matches!(framer.next(&mut endless, &limits), Err(Error::Limit { .. })));
        }
    }
}
