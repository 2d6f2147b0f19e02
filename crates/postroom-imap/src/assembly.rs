//! Assembles responses from frames, and decides about each literal: keep, hand on or discard.
//!
//! ```text
//!   a message that fits in memory   kept, arrives with its response
//!   a larger message                handed on in chunks while it arrives
//!   a message larger than allowed   thrown away and reported, or the end if there is too much
//!   another string                  kept if it is short, else thrown away
//! ```
//!
//! Servers announce wrong sizes. A blank line after a literal is tolerated. A literal that includes
//! the closing parenthesis is reported. If the end of the message is not known, the session ends.
//!
//! Standards: RFC 3501 §2.2.2, §4.3.

use crate::error::Error;
use crate::frame::Frame;
use crate::frame::Framer;
use crate::frame::LiteralUse;
use crate::frame::TextEnd;
use crate::limits::ImapLimits;
use crate::response::is_whole_body;
use crate::token::Segment;
use crate::token::Token;
use crate::token::Tokens;
use crate::token::is_open;
use bytes::Bytes;
use bytes::BytesMut;

/// The result of assembling.
#[derive(Debug)]
pub(crate) enum Assembled {
    /// A response.
    Response {
        /// Its pieces, at least one; give them back to [`Assembly::recycle`].
        segments: Vec<Segment>,
        /// Whether a literal in it had another size than announced.
        is_broken: bool,
        /// Whether it is a later piece of a long SEARCH response.
        is_more_search: bool,
    },
    /// The beginning of a message that is handed on in chunks.
    BodyStart {
        /// The announced size.
        size_bytes: u64,
    },
    /// A piece of that message.
    Chunk(Bytes),
    /// The end of that message.
    BodyEnd,
}

/// The state of the current response, without its pieces.
#[derive(Debug, Default)]
struct OpenResponse {
    has_body: bool,
    kept_bytes: usize,
    skipped_bytes: u64,
    /// A blank line came after a literal while a list is open. It may be the end of the response or
    /// a surplus line.
    is_undecided: bool,
    is_more_search: bool,
}

/// The response that is arriving.
#[derive(Debug)]
pub(crate) struct Assembly {
    framer: Framer,
    segments: Vec<Segment>,
    progress: OpenResponse,
    failed: Option<Error>,
}

impl Assembly {
    /// At the start of a stream.
    pub(crate) fn new() -> Self {
        Self {
            framer: Framer::new(),
            segments: vec![],
            progress: OpenResponse::default(),
            failed: None,
        }
    }

    /// How many more octets are needed, at least, before anything comes out.
    pub(crate) fn wanted(&self, buffer: &BytesMut) -> usize {
        self.framer.wanted(buffer)
    }

    /// Whether a response has begun whose first line has no end yet.
    pub(crate) fn is_in_first_line(&self, buffer: &BytesMut) -> bool {
        self.segments.is_empty() && self.framer.is_in_first_line(buffer)
    }

    /// Takes the list of a finished response back, to reuse its memory.
    pub(crate) fn recycle(&mut self, mut segments: Vec<Segment>) {
        segments.clear();
        if self.segments.capacity() == 0 {
            self.segments = segments;
        }
    }

    /// Gives back memory that is not needed while nothing comes in.
    pub(crate) fn shrink(&mut self) {
        self.segments.shrink_to_fit();
    }

    /// Reads from the buffer up to the next event. `None`: more bytes are needed. Messages are kept
    /// or handed on only up to `body_bytes_max`. `None`: they are not wanted.
    ///
    /// # Errors
    ///
    /// A limit, or a message whose end is unknown.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut BytesMut,
        limits: &ImapLimits,
        body_bytes_max: Option<u64>,
    ) -> Result<Option<Assembled>, Error> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.progress.is_undecided {
                match buffer.first() {
                    None => return Ok(None),
                    Some(b')' | b' ') => {
                        self.progress.is_undecided = false;
                        self.framer.go_on();
                    }
                    Some(_) => return Ok(Some(self.finish(true))),
                }
            }
            let Some(frame) = self.framer.next(buffer, limits)? else {
                return Ok(None);
            };
            let assembled = match frame {
                Frame::Text(text, after) => self.text(text, after, limits, body_bytes_max)?,
                Frame::Literal(bytes) => {
                    self.segments.push(Segment::Literal(bytes));
                    None
                }
                Frame::Chunk(bytes) => Some(Assembled::Chunk(bytes)),
                // Its kind was noted when it was announced.
                Frame::LiteralEnd if self.segments.last() == Some(&Segment::Streamed) => {
                    Some(Assembled::BodyEnd)
                }
                Frame::LiteralEnd => None,
            };
            if assembled.is_some() {
                return Ok(assembled);
            }
        }
    }

    fn text(
        &mut self,
        text: Bytes,
        after: TextEnd,
        limits: &ImapLimits,
        body_bytes_max: Option<u64>,
    ) -> Result<Option<Assembled>, Error> {
        let after_literal = !matches!(self.segments.last(), Some(Segment::Text(_)) | None);
        if after_literal && !matches!(text.first(), None | Some(b' ' | b')')) && self.is_fetch() {
            // The announced size is wrong: this text belongs to the message, or the literal holds
            // more than the message.
            let what = "a literal has another size than announced";
            self.failed = Some(Error::Protocol { what });
            return Ok(Some(self.finish(true)));
        }
        let is_blank = text.is_empty();
        if !is_blank {
            self.segments.push(Segment::Text(text));
        }
        match after {
            TextEnd::End if is_blank && after_literal && is_open(&self.segments) => {
                self.progress.is_undecided = true;
                Ok(None)
            }
            TextEnd::End if self.segments.is_empty() => Ok(None),
            TextEnd::End => Ok(Some(self.finish(false))),
            TextEnd::Literal(size) => self.announced(size, limits, body_bytes_max),
            TextEnd::More => {
                let piece = self.finish(false);
                self.progress.is_more_search = true;
                Ok(Some(piece))
            }
        }
    }

    /// Decides what becomes of an announced literal.
    fn announced(
        &mut self,
        size: u64,
        limits: &ImapLimits,
        body_bytes_max: Option<u64>,
    ) -> Result<Option<Assembled>, Error> {
        let whole = usize::try_from(size).unwrap_or(usize::MAX);
        let room = limits.line_bytes_max.saturating_sub(self.progress.kept_bytes);
        if !self.is_body() {
            if whole <= limits.string_bytes_max.min(room) {
                self.progress.kept_bytes += whole;
                self.framer.deliver(LiteralUse::Whole(whole));
                return Ok(None);
            }
            self.segments.push(Segment::Skipped);
        } else if body_bytes_max.is_some_and(|bytes_max| size <= bytes_max) {
            self.progress.has_body = true;
            if whole <= limits.literal_in_memory_bytes {
                self.framer.deliver(LiteralUse::Whole(whole));
                return Ok(None);
            }
            self.framer.deliver(LiteralUse::Chunks(size));
            self.segments.push(Segment::Streamed);
            return Ok(Some(Assembled::BodyStart { size_bytes: size }));
        } else {
            self.progress.has_body = true;
            let is_wanted = body_bytes_max.is_some();
            self.segments.push(if is_wanted { Segment::TooBig(size) } else { Segment::Skipped });
        }
        self.skip(size, limits)
    }

    fn skip(&mut self, size: u64, limits: &ImapLimits) -> Result<Option<Assembled>, Error> {
        self.progress.skipped_bytes = self.progress.skipped_bytes.saturating_add(size);
        if self.progress.skipped_bytes > limits.skip_bytes_max {
            // The items that came before the literal are reported first.
            self.failed =
                Some(Error::Limit { what: "bytes in a literal", max: limits.skip_bytes_max });
            return Ok(Some(self.finish(false)));
        }
        self.framer.deliver(LiteralUse::Skip(size));
        Ok(None)
    }

    /// Whether the response is a FETCH.
    fn is_fetch(&self) -> bool {
        let third = Tokens::new(&self.segments).nth(2);
        third.as_ref().and_then(Token::atom).is_some_and(|word| word.eq_ignore_ascii_case(b"FETCH"))
    }

    /// Whether the literal that was just announced is the message itself.
    fn is_body(&self) -> bool {
        let Some(Segment::Text(text)) = self.segments.last() else {
            return false;
        };
        let text = text.trim_ascii_end();
        let start = memchr::memrchr3(b' ', b'(', b')', text).map_or(0, |at| at + 1);
        let name = text.get(start..).unwrap_or_default();
        is_whole_body(name) && !self.progress.has_body && self.is_fetch()
    }

    fn finish(&mut self, is_broken: bool) -> Assembled {
        let segments = std::mem::take(&mut self.segments);
        let is_more_search = std::mem::take(&mut self.progress).is_more_search;
        Assembled::Response { segments, is_broken, is_more_search }
    }
}
