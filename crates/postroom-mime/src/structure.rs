//! The structure of a message: its parts, each with the places of its header and body.
//!
//! ```text
//!   source ──► header ──► content fields ──► multipart? ──► next delimiter ──► header ──► ..
//!                                              └─► leaf: the body ends before the delimiter
//! ```
//!
//! The parser makes one pass over the bytes without recursion. Time is linear, and memory depends
//! only on the number of parts. Bodies are searched only for lines that could be delimiters, and
//! not at all if no multipart is open. `message/rfc822` is a leaf. Beyond the limits, the rest is
//! one opaque part. If a declared boundary delimits nothing, or the body is a multipart that the
//! header does not declare, the boundary is guessed from the body, and a second pass is made.
//!
//! Standards: RFC 2045, 2046.

use crate::content::ContentFields;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::header;
use crate::header::FieldRange;
use crate::header::LineEnd;
use crate::header::Scan;
use crate::limits::ParserLimits;
use crate::source::ByteSource;
use crate::structure::boundary::Boundaries;
use crate::structure::boundary::Delimiter;
use crate::structure::boundary::delimiter_at;
use crate::structure::guess::Guessed;
use crate::transfer::SAMPLE_BYTES;
use crate::transfer::TransferEncoding;
use memchr::memmem::Finder;
use std::io;
use std::sync::LazyLock;

mod boundary;
mod encoding;
mod entity;
mod guess;
mod untyped;

pub use crate::structure::entity::MimeEntity;
pub(crate) use crate::structure::guess::shows_parts;

/// What a delimiter line begins with, and the end of the line before it.
static DASHES_BEHIND_LF: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n--"));
static DASHES_BEHIND_CR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r--"));
/// How much of a body is searched at once.
const STEP_BYTES: usize = 64 << 10;
/// How much of a field about the content is read.
const FIELD_BYTES_MAX: usize = 512 << 10;

/// The structure of a message.
#[derive(Debug, Clone, Default)]
pub struct Structure {
    /// The parts in the order of their beginnings. The message comes first.
    pub entities: Vec<MimeEntity>,
    /// The fields of the message's own header.
    pub fields: Vec<FieldRange>,
}

/// A delimiter line in its place.
struct FoundDelimiter {
    delimiter: Delimiter,
    start: u64,
    end: u64,
}

struct Scanner<'a, S> {
    source: &'a mut S,
    size_bytes: u64,
    line_end: LineEnd,
    limits: &'a ParserLimits,
    defects: &'a mut Defects,
    boundaries: Boundaries,
    /// The entity of each open boundary.
    open: Vec<usize>,
    structure: Structure,
    /// Boundaries that the bodies tell better than the headers.
    guessed: &'a Guessed,
}

/// Finds the parts of a message.
///
/// # Errors
///
/// Those of the file.
pub fn scan<S: ByteSource>(
    source: &mut S,
    limits: &ParserLimits,
    defects: &mut Defects,
) -> io::Result<Structure> {
    let start = source.window(0, STEP_BYTES)?;
    let line_end = LineEnd::detect(start.get(..STEP_BYTES).unwrap_or(start));
    if line_end.0 == b'\r' {
        defects.note(Defect::BareCr);
    }
    let mut guessed = Guessed::default();
    loop {
        let mut met = defects.clone();
        let mut scanner = Scanner {
            size_bytes: source.size_bytes(),
            source,
            line_end,
            limits,
            defects: &mut met,
            boundaries: Boundaries::default(),
            open: vec![],
            structure: Structure::default(),
            guessed: &guessed,
        };
        scanner.run()?;
        let mut structure = scanner.structure;
        if !guessed.learn(source, &structure.entities, limits.boundary_passes_max)? {
            encoding::check(source, &mut structure.entities, line_end, &mut met)?;
            untyped::check(source, &mut structure.entities)?;
            *defects = met;
            return Ok(structure);
        }
    }
}

impl<S: ByteSource> Scanner<'_, S> {
    fn run(&mut self) -> io::Result<()> {
        let mut at = self.entity(0)?;
        if self.boundaries.count() == 0 {
            return self.close_to(0, self.size_bytes);
        }
        let finder = if self.line_end.0 == b'\r' { &*DASHES_BEHIND_CR } else { &*DASHES_BEHIND_LF };
        while self.boundaries.count() > 0 {
            let Some(found) = self.next_delimiter(at, finder)? else {
                break;
            };
            at = found.end;
            self.boundaries.learn(found.delimiter);
            self.close_to(found.delimiter.level + 1, found.start)?;
            if found.delimiter.has_junk {
                self.defects.note(Defect::BoundaryJunk);
            }
            if found.delimiter.is_close {
                let name = self.boundaries.name(found.delimiter.level);
                self.close(found.delimiter.level, found.end)?;
                self.look_behind(found.end, &name)?;
            } else if self.structure.entities.len() >= self.limits.parts_max {
                self.rest(found.end);
                return Ok(());
            } else {
                at = self.entity(found.end)?;
            }
        }
        if self.boundaries.count() > 0 {
            self.defects.note(Defect::BoundaryUnclosed);
        }
        self.close_to(0, self.size_bytes)
    }

    /// Adds the part that begins at `start`; returns where to look for the next delimiter.
    fn entity(&mut self, start: u64) -> io::Result<u64> {
        let is_root = self.structure.entities.is_empty();
        let scan = Scan { start, line_end: self.line_end, is_root, limits: self.limits };
        let boundaries = &self.boundaries;
        let is_delimiter = |line: &[u8]| boundaries.find(line).is_some();
        let header = header::scan(self.source, scan, is_delimiter, self.defects)?;
        let parent = self.open.last().copied();
        let is_digest = parent
            .and_then(|parent| self.structure.entities.get(parent))
            .is_some_and(|parent| parent.content.media_type == "multipart/digest");
        let mut content = self.content(&header.fields, is_digest)?;
        let guessed = self.guessed.media_type(start).zip(self.guessed.boundary(start));
        if let Some((media_type, boundary)) = guessed {
            self.defects.note(Defect::MultipartUndeclared);
            content.become_multipart(media_type, boundary.clone());
        }
        let depth = self.open.len();
        let boundary = self.boundary(&content, depth, start);
        let is_opaque = content.is_multipart() && depth >= self.limits.depth_max;
        let body = encoding::body_start(self.source, &header, &mut content, self.line_end)?;
        let body = body.min(self.size_bytes);
        self.push(MimeEntity {
            parent,
            depth,
            header: start..body,
            body: body..self.size_bytes,
            content,
            has_parts: false,
            is_opaque,
        });
        if is_root {
            self.structure.fields = header.fields;
        }
        if let Some(boundary) = boundary {
            self.boundaries.push(boundary);
            self.open.push(self.structure.entities.len() - 1);
        }
        Ok(header.cut.unwrap_or(body))
    }

    /// The description of the content from the fields of a header.
    fn content(&mut self, fields: &[FieldRange], is_digest: bool) -> io::Result<ContentFields> {
        let mut content = ContentFields::new(is_digest);
        for field in fields {
            // Most fields are told by the length of their names.
            let name_bytes = field.name.end - field.name.start;
            if !(10..=25).contains(&name_bytes) {
                continue;
            }
            let length = usize::try_from(field.value.end - field.name.start).unwrap_or(usize::MAX);
            let length = length.min(FIELD_BYTES_MAX);
            let window = self.source.window(field.name.start, length)?;
            if !matches!(window.first(), Some(b'c' | b'C')) {
                continue;
            }
            let window = window.get(..length).unwrap_or(window);
            let name = usize::try_from(name_bytes).unwrap_or(usize::MAX);
            let value = usize::try_from(field.value.start - field.name.start).unwrap_or(usize::MAX);
            let name = window.get(..name).unwrap_or_default();
            content.field(name, window.get(value..).unwrap_or_default(), self.defects);
        }
        content.end();
        Ok(content)
    }

    /// The boundary of a multipart that is to be opened, whose header begins at `start`.
    fn boundary(&mut self, content: &ContentFields, depth: usize, start: u64) -> Option<Vec<u8>> {
        if !content.is_multipart() {
            return None;
        }
        if depth >= self.limits.depth_max {
            self.defects.note(Defect::DepthOver);
            return None;
        }
        if content.boundary.is_none() {
            self.defects.note(Defect::BoundaryMissing);
        }
        if content.encoding != TransferEncoding::Identity {
            self.defects.note(Defect::TransferEncodingComposite);
        }
        let guessed = self.guessed.boundary(start);
        if guessed.is_some() && content.boundary.is_some() && guessed != content.boundary.as_ref() {
            self.defects.note(Defect::BoundaryUnused);
        }
        guessed.cloned().or_else(|| content.boundary.clone())
    }

    /// Finds the next delimiter line at or behind `at`, which begins a line.
    fn next_delimiter(
        &mut self,
        mut at: u64,
        finder: &Finder<'_>,
    ) -> io::Result<Option<FoundDelimiter>> {
        let line_bytes_max = self.boundaries.line_bytes_max() + 2;
        let mut is_line_start = true;
        loop {
            let window = self.source.window(at, STEP_BYTES + line_bytes_max)?;
            let is_last = at + window.len() as u64 >= self.size_bytes;
            let mut from = 0;
            loop {
                let rest = window.get(from..).unwrap_or_default();
                let line = if is_line_start && rest.starts_with(b"--") {
                    from
                } else if let Some(found) = finder.find(rest) {
                    from + found + 1
                } else {
                    break;
                };
                is_line_start = false;
                if !is_last && line + line_bytes_max > window.len() {
                    // The line is too close to the end of the window, so it begins the next window.
                    break;
                }
                let rest = window.get(line..).unwrap_or_default();
                let found = delimiter_at(rest, &self.boundaries, self.line_end);
                if let Some((delimiter, length)) = found {
                    let start = at + line as u64;
                    return Ok(Some(FoundDelimiter {
                        delimiter,
                        start,
                        end: start + length as u64,
                    }));
                }
                from = line;
            }
            if is_last {
                return Ok(None);
            }
            // The line end before a delimiter must be seen again.
            at += window.len().saturating_sub(line_bytes_max).max(1) as u64;
            is_line_start = false;
        }
    }

    /// Ends the leaf before a delimiter, and the multiparts that it does not belong to.
    fn close_to(&mut self, count: usize, at: u64) -> io::Result<()> {
        let end = self.before_line_end(at)?;
        let is_leaf_last =
            self.structure.entities.len().checked_sub(1) != self.open.last().copied();
        if let Some(last) = self.structure.entities.last_mut()
            && is_leaf_last
            && last.body.end == self.size_bytes
        {
            last.body.end = end.max(last.body.start);
        }
        if self.open.len() > count && at < self.size_bytes {
            self.defects.note(Defect::BoundaryCrossed);
        }
        while self.open.len() > count
            && let Some(entity) = self.open.pop()
        {
            self.end_multipart(entity, end);
        }
        self.boundaries.truncate(count);
        Ok(())
    }

    /// Ends the multipart whose close delimiter is the line before `at`. The end of that line may
    /// belong to a delimiter of an outer multipart.
    fn close(&mut self, level: usize, at: u64) -> io::Result<()> {
        let end = self.before_line_end(at)?;
        if let Some(entity) = self.open.pop() {
            self.end_multipart(entity, end);
        }
        self.boundaries.truncate(level);
        Ok(())
    }

    /// Takes note of a delimiter of a closed multipart soon behind its end, at `at`, unless it is
    /// one of a multipart that is open.
    fn look_behind(&mut self, at: u64, name: &[u8]) -> io::Result<()> {
        let epilogue = encoding::sample(self.source.window(at, SAMPLE_BYTES)?);
        let is_open = |line: &[u8]| self.boundaries.find(line).is_some();
        if guess::has_part(epilogue, name, is_open) {
            self.defects.note(Defect::PartsBehindEnd);
        }
        Ok(())
    }

    fn end_multipart(&mut self, entity: usize, end: u64) {
        if let Some(entity) = self.structure.entities.get_mut(entity) {
            entity.body.end = end.max(entity.body.start);
            if !entity.has_parts {
                self.defects.note(Defect::BoundaryUnused);
            }
        }
    }

    /// Makes one part of everything from `start` on.
    fn rest(&mut self, start: u64) {
        self.defects.note(Defect::PartsOver);
        self.push(MimeEntity {
            parent: self.open.last().copied(),
            depth: self.open.len(),
            header: start..start,
            body: start..self.size_bytes,
            content: ContentFields::opaque(),
            has_parts: false,
            is_opaque: true,
        });
    }

    /// Adds an entity, and tells the multipart that holds it.
    fn push(&mut self, entity: MimeEntity) {
        let holder = entity.parent.and_then(|parent| self.structure.entities.get_mut(parent));
        if let Some(holder) = holder {
            holder.has_parts = true;
        }
        self.structure.entities.push(entity);
    }

    /// The end of what stands before the line at `at`: its line end belongs to the delimiter.
    fn before_line_end(&mut self, at: u64) -> io::Result<u64> {
        if at >= self.size_bytes || at == 0 {
            return Ok(at);
        }
        let from = at.saturating_sub(2);
        let length = usize::try_from(at - from).unwrap_or(usize::MAX);
        let before = self.source.window(from, length)?.get(..length).unwrap_or_default();
        let bytes = match (before, self.line_end.0) {
            ([b'\r', b'\n'], b'\n') => 2,
            ([.., last], end) if *last == end => 1,
            _ => 0,
        };
        Ok(at - bytes)
    }
}
