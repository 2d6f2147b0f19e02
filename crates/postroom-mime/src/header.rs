//! The header of a message or part: where its fields are, whatever stands between them.
//!
//! A line that is not a field is skipped if another field follows, or if it looks like a damaged
//! field and a blank line follows. Otherwise the body begins at this line. The body also begins at
//! a line that looks like a delimiter, or after a line of blanks. Byte order marks before a field
//! are ignored. Blanks before the colon are allowed. The value of a field about the content goes on
//! in a line without a blank before it, if it is open and the line can be nothing else. Time is
//! linear.
//!
//! Standards: RFC 5322 §2.2, §4.5.

use crate::defect::Defect;
use crate::defect::Defects;
use crate::header::damaged::is_damaged;
use crate::header::line::HeaderLine;
use crate::header::line::classify;
use crate::header::unfolded::OpenField;
use crate::limits::ParserLimits;
use crate::source::ByteSource;
use std::io;
use std::ops::Range;

mod damaged;
mod line;
mod marks;
mod unfolded;

/// For how many fields of a message there is room from the start.
const FIELDS_USUAL: usize = 32;
/// How much of a header is looked at at once.
const STEP_BYTES: usize = 4096;
/// The space reserved for the fields after one that is too large.
const RESERVE_BYTES: u64 = 64 << 10;

/// Where a field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRange {
    /// Its name.
    pub name: Range<u64>,
    /// Its value: what follows the colon, without the end of its last line.
    pub value: Range<u64>,
}

/// Where a header is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its fields, in order. Those beyond the limits are missing.
    pub fields: Vec<FieldRange>,
    /// Where the body begins.
    pub body: u64,
    /// Where the body begins after the blank line, if lines before the blank line may belong to it.
    pub behind_blank: Option<u64>,
    /// The position of the delimiter that cuts the header off.
    pub cut: Option<u64>,
}

/// A line in its place.
#[derive(Clone, Copy)]
struct PlacedLine<'a> {
    /// Where it begins in the message.
    at: u64,
    /// Its bytes with its end; of a long one only the beginning.
    bytes: &'a [u8],
    /// How many bytes it has.
    length: u64,
}

/// How a message ends its lines: LF, with or without CR, or CR alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineEnd(pub u8);

/// What a header is read for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan<'a> {
    /// Where it begins.
    pub start: u64,
    /// How lines end.
    pub line_end: LineEnd,
    /// Whether it is the message's own.
    pub is_root: bool,
    /// The limits.
    pub limits: &'a ParserLimits,
}

/// The state of a header that is being read.
struct Reading<'a> {
    scan: Scan<'a>,
    header: Header,
    /// The position of the first line after the last field that is not a field.
    junk: Option<u64>,
    /// Whether these lines are fields with damaged names, and their continuations.
    is_damaged: bool,
    kept_bytes: u64,
    /// Whether the field that is open is kept.
    is_kept: bool,
    is_done: bool,
    /// Whether blank lines stand before everything else.
    is_late: bool,
    /// Whether the last line continues a field with nothing but blanks.
    is_bare: bool,
    /// The field about the content whose value the last line leaves open.
    open: Option<OpenField>,
}

impl LineEnd {
    /// Finds out how lines end, from the first bytes of a message.
    #[must_use]
    pub(crate) fn detect(start: &[u8]) -> Self {
        let is_cr =
            memchr::memchr(b'\n', start).is_none() && memchr::memchr(b'\r', start).is_some();
        Self(if is_cr { b'\r' } else { b'\n' })
    }
}

/// Reads a header; `is_delimiter` tells whether a line ends the part that it belongs to.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn scan<S: ByteSource>(
    source: &mut S,
    scan: Scan<'_>,
    is_delimiter: impl Fn(&[u8]) -> bool,
    defects: &mut Defects,
) -> io::Result<Header> {
    let fields = Vec::with_capacity(if scan.is_root { FIELDS_USUAL } else { FIELDS_USUAL / 8 });
    let header = Header { fields, body: scan.start, ..Header::default() };
    let mut reading = Reading {
        scan,
        header,
        junk: None,
        is_damaged: false,
        kept_bytes: 0,
        is_kept: false,
        is_done: false,
        is_late: false,
        is_bare: false,
        open: None,
    };
    let size_bytes = source.size_bytes();
    let mut at = scan.start + mark_bytes(step(source, scan.start)?, scan.is_root);
    if at > scan.start {
        defects.note(Defect::HeaderJunk);
    }
    while !reading.is_done && at < size_bytes {
        // Whole lines; of a long one the beginning says what it is.
        let last = memchr::memrchr(scan.line_end.0, step(source, at)?);
        let end = match last {
            Some(last) => at + last as u64 + 1,
            None => at + line_length(source, at, scan.line_end)?,
        };
        let mut rest = step(source, at)?;
        while !reading.is_done && at < end {
            let line_bytes = memchr::memchr(scan.line_end.0, rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at_checked(line_bytes).unwrap_or((rest, &[]));
            let length = if after.is_empty() { end - at } else { line.len() as u64 };
            reading.line(PlacedLine { at, bytes: line, length }, &is_delimiter, defects);
            at += length;
            rest = after;
        }
    }
    Ok(reading.finish(size_bytes, defects))
}

/// What is looked at at once.
fn step<S: ByteSource>(source: &mut S, at: u64) -> io::Result<&[u8]> {
    let window = source.window(at, STEP_BYTES)?;
    Ok(window.get(..STEP_BYTES).unwrap_or(window))
}

/// How many bytes the byte order marks before a field have.
fn mark_bytes(start: &[u8], is_root: bool) -> u64 {
    let length = marks::length(start, is_root);
    let line = start.get(length..).unwrap_or_default();
    let is_field =
        length > 0 && matches!(classify(line), HeaderLine::Field { .. } | HeaderLine::Mbox);
    if is_field { length as u64 } else { 0 }
}

/// The length of a line, with its end.
fn line_length<S: ByteSource>(source: &mut S, start: u64, line_end: LineEnd) -> io::Result<u64> {
    let mut at = start;
    loop {
        let window = source.window(at, STEP_BYTES)?;
        if let Some(end) = memchr::memchr(line_end.0, window) {
            return Ok(at - start + end as u64 + 1);
        }
        if window.is_empty() {
            return Ok(at - start);
        }
        at += window.len() as u64;
    }
}

impl Reading<'_> {
    /// Takes the next line.
    fn line(
        &mut self,
        placed: PlacedLine<'_>,
        is_delimiter: &impl Fn(&[u8]) -> bool,
        defects: &mut Defects,
    ) {
        let PlacedLine { at, bytes: line, length } = placed;
        let is_whole = line.len() as u64 == length;
        if is_whole && line.starts_with(b"--") && is_delimiter(line) {
            self.header.cut = Some(at);
            self.is_done = true;
            return;
        }
        let is_first = self.header.fields.is_empty() && self.kept_bytes == 0;
        let is_behind_bare = std::mem::take(&mut self.is_bare);
        let open = self.open.take().filter(|_| is_whole);
        if let Some(open) = open
            && open.goes_on(line)
        {
            defects.note(Defect::HeaderJunk);
            self.extend(placed, defects);
            self.open = open.behind(line);
            return;
        }
        match classify(line) {
            // Only the beginning of it.
            HeaderLine::Blank if !is_whole => {
                self.junk.get_or_insert(at);
            }
            HeaderLine::Blank if is_first && self.scan.is_root && self.junk.is_none() => {
                defects.note(Defect::BlankFirstLine);
                self.is_late = true;
            }
            HeaderLine::Blank => {
                self.header.body = at + length;
                self.is_done = true;
            }
            HeaderLine::Continuation if is_first || self.junk.is_some() => {
                self.junk.get_or_insert(at);
            }
            HeaderLine::Continuation => {
                self.extend(placed, defects);
                self.is_bare = is_whole && line.trim_ascii_start().is_empty();
                self.open = open.and_then(|open| open.behind(line));
            }
            HeaderLine::Field { name_bytes, colon } => {
                if self.junk.take().is_some() {
                    defects.note(Defect::HeaderJunk);
                }
                if colon > name_bytes {
                    defects.note(Defect::BlankBeforeColon);
                }
                self.field(placed, name_bytes, colon, defects);
                self.trim(placed);
                self.open = OpenField::of(line, name_bytes, colon);
            }
            HeaderLine::Mbox if is_first && self.scan.is_root && self.junk.is_none() => {
                defects.note(Defect::MboxLine);
            }
            HeaderLine::Mbox | HeaderLine::Other => {
                self.is_done |= is_behind_bare;
                self.no_field(placed, is_first);
            }
        }
    }

    /// Takes a line that is no field.
    fn no_field(&mut self, placed: PlacedLine<'_>, is_first: bool) {
        let PlacedLine { at, bytes: line, length } = placed;
        let is_whole = line.len() as u64 == length;
        let is_open = self.junk.is_none() || self.is_damaged;
        self.is_damaged = is_open && !is_first && is_whole && is_damaged(line);
        self.junk.get_or_insert(at);
        // Blank lines and then text are not a header. After fields, a line of blanks was meant to
        // end them, and a single word after two hyphens is a delimiter of the body.
        let is_delimiter = line.starts_with(b"--") && !line.trim_ascii_end().contains(&b' ');
        self.is_done |= (!is_first && is_delimiter) || (is_first && self.is_late);
    }

    fn field(
        &mut self,
        line: PlacedLine<'_>,
        name_bytes: usize,
        colon: usize,
        defects: &mut Defects,
    ) {
        let PlacedLine { at, length, .. } = line;
        let limits = self.scan.limits;
        let max = limits.header_bytes_max as u64;
        let is_over = self.kept_bytes + length > max;
        self.is_kept = self.header.fields.len() < limits.header_fields_max
            && (!is_over || self.kept_bytes + RESERVE_BYTES < max);
        if self.header.fields.len() >= limits.header_fields_max {
            defects.note(Defect::HeaderFieldsOver);
        } else if is_over {
            defects.note(Defect::HeaderBytesOver);
        }
        if self.is_kept {
            let end = at + length.min(max.saturating_sub(self.kept_bytes + RESERVE_BYTES).max(1));
            let end = if is_over { end } else { at + length };
            let value = (at + colon as u64 + 1).min(end);
            self.header
                .fields
                .push(FieldRange { name: at..at + name_bytes as u64, value: value..end });
            self.kept_bytes += end - at;
            self.is_kept = !is_over;
        } else {
            self.kept_bytes = self.kept_bytes.max(1);
        }
    }

    /// Adds a continuation to the field that is open.
    fn extend(&mut self, line: PlacedLine<'_>, defects: &mut Defects) {
        let PlacedLine { at, length, .. } = line;
        if !self.is_kept {
            return;
        }
        let max = self.scan.limits.header_bytes_max as u64;
        if self.kept_bytes + length + RESERVE_BYTES > max && self.kept_bytes + RESERVE_BYTES <= max
            || self.kept_bytes + length > max
        {
            defects.note(Defect::HeaderBytesOver);
            self.is_kept = false;
            return;
        }
        if let Some(field) = self.header.fields.last_mut() {
            self.kept_bytes += at + length - field.value.end;
            field.value.end = at + length;
        }
        self.trim(line);
    }

    /// Leaves the end of the last line out of the field.
    fn trim(&mut self, line: PlacedLine<'_>) {
        let PlacedLine { at, bytes, length } = line;
        let Some(field) = self.header.fields.last_mut() else {
            return;
        };
        if bytes.len() as u64 == length && field.value.end == at + length {
            let content = bytes.trim_ascii_end().len() as u64;
            field.value.end = field.value.start.max(at + content);
        }
    }

    fn finish(mut self, size_bytes: u64, defects: &mut Defects) -> Header {
        let is_blank_ended = self.is_done && self.header.cut.is_none();
        let end = self.header.cut.unwrap_or(size_bytes);
        let has_fields = !self.header.fields.is_empty() || self.kept_bytes > 0;
        if !has_fields {
            // There is no header, so everything is body. RFC 2046 §5.1 allows this for parts.
            if self.junk.is_some() || (self.scan.is_root && !is_blank_ended) {
                self.header.body = self.scan.start;
            } else if !is_blank_ended {
                self.header.body = end;
            }
            return self.header;
        }
        match self.junk.filter(|_| !(self.is_damaged && is_blank_ended)) {
            // Only text follows the last field: the blank line is missing.
            Some(junk) => {
                defects.note(Defect::HeaderUnterminated);
                self.header.behind_blank = Some(self.header.body).filter(|body| *body > junk);
                self.header.body = junk;
            }
            None if !is_blank_ended => {
                if self.header.cut.is_some() {
                    defects.note(Defect::HeaderUnterminated);
                }
                self.header.body = end;
            }
            None if self.junk.is_some() => defects.note(Defect::HeaderJunk),
            None => {}
        }
        self.header
    }
}
