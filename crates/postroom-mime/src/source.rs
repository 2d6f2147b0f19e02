//! The source of the bytes of a message: memory, or windows of a file.
//!
//! The parser reads only windows, so that the same code handles messages of any size.

use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::ops::Range;

/// How many bytes are read from a file at once.
const READ_BYTES: usize = 128 << 10;

/// How many bytes before a window stay readable, because line ends are read again.
const BEHIND_BYTES: usize = 64;

/// The bytes of one message.
pub trait ByteSource {
    /// How many bytes there are.
    fn size_bytes(&self) -> u64;

    /// The bytes from `at` on: at least `want` of them unless the message ends before.
    ///
    /// # Errors
    ///
    /// Those of the file.
    fn window(&mut self, at: u64, want: usize) -> io::Result<&[u8]>;
}

/// A message in memory.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a>(pub &'a [u8]);

impl ByteSource for Slice<'_> {
    fn size_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn window(&mut self, at: u64, _: usize) -> io::Result<&[u8]> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        Ok(self.0.get(at..).unwrap_or_default())
    }
}

/// A message in a file, of which a window is in memory.
#[derive(Debug)]
pub struct Windows<R> {
    file: R,
    size_bytes: u64,
    read_bytes: usize,
    /// Where the window begins.
    start: u64,
    window: Vec<u8>,
}

impl<R: Read + Seek> Windows<R> {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn new(file: R) -> io::Result<Self> {
        Self::with_read_bytes(file, READ_BYTES)
    }

    /// The same, with `read_bytes` read at once.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn with_read_bytes(mut file: R, read_bytes: usize) -> io::Result<Self> {
        let size_bytes = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, size_bytes, read_bytes: read_bytes.max(1), start: 0, window: vec![] })
    }

    fn end(&self) -> u64 {
        self.start + self.window.len() as u64
    }
}

impl<R: Read + Seek> ByteSource for Windows<R> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn window(&mut self, at: u64, want: usize) -> io::Result<&[u8]> {
        let at = at.min(self.size_bytes);
        let need = (at + want as u64).min(self.size_bytes);
        let is_within = (self.start..=self.end()).contains(&at);
        if !is_within || need > self.end() {
            if is_within {
                let passed = usize::try_from(at - self.start).unwrap_or(usize::MAX);
                let passed = passed.saturating_sub(BEHIND_BYTES).min(self.window.len());
                self.window.drain(..passed);
                self.start += passed as u64;
            } else {
                self.window.clear();
                self.start = at;
            }
            let missing = usize::try_from(need - self.end().min(need)).unwrap_or(usize::MAX);
            let more = missing.max(self.read_bytes);
            self.file.seek(SeekFrom::Start(self.end()))?;
            (&mut self.file).take(more as u64).read_to_end(&mut self.window)?;
            if self.end() < need {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        Ok(self.window.get(from..).unwrap_or_default())
    }
}

/// Copies a range of the message, at most `max` bytes.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn read<S: ByteSource>(
    source: &mut S,
    range: &Range<u64>,
    max: usize,
) -> io::Result<Vec<u8>> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    let length = length.min(max);
    let window = source.window(range.start, length)?;
    Ok(window.get(..length).unwrap_or(window).to_vec())
}

/// Calls `each` with the bytes of a range, in pieces of any size.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn pieces<S: ByteSource>(
    source: &mut S,
    range: &Range<u64>,
    mut each: impl FnMut(&[u8]) -> bool,
) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let window = source.window(at, 1)?;
        let length = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let piece = window.get(..length).unwrap_or(window);
        if piece.is_empty() || !each(piece) {
            break;
        }
        at += piece.len() as u64;
    }
    Ok(())
}
