//! The original of a message: its bytes as the server gave them, in memory or in a spool file.

use crate::error::Error;
use crate::shared::Shared;
use bytes::Bytes;
use bytes::BytesMut;
use postroom_mime::Message;
use postroom_mime::ParserLimits;
use postroom_mime::Part;
use postroom_store::FileRow;
use postroom_store::FileSource;
use postroom_store::Store;
use postroom_store::Work;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Cursor;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;

/// How much of a message is searched for the end of its header.
const START_BYTES: usize = 64 << 10;

/// The bytes of a message.
#[derive(Debug)]
pub(crate) enum Original {
    /// In memory.
    Memory(Bytes),
    /// In a file of the spool directory. Dropping this value deletes the file.
    Spool {
        /// The file.
        file: NamedTempFile,
        /// How many bytes it has.
        size_bytes: u64,
    },
}

/// Why a stored original was not read.
#[derive(Debug)]
pub(crate) enum UnreadOriginal {
    /// The store failed.
    Store(postroom_store::Error),
    /// The spool directory failed.
    Spool(io::Error),
}

impl From<postroom_store::Error> for UnreadOriginal {
    fn from(error: postroom_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<UnreadOriginal> for Error {
    fn from(error: UnreadOriginal) -> Self {
        match error {
            UnreadOriginal::Store(error) => error.into(),
            UnreadOriginal::Spool(error) => Self::Spool(error),
        }
    }
}

impl Original {
    /// Reads a stored original. One of more than `in_memory_bytes_max` bytes goes through the spool
    /// directory.
    ///
    /// # Errors
    ///
    /// When the store or the spool directory fails.
    pub(crate) async fn read(
        store: &Store,
        row: &FileRow,
        place: SpoolPlace<'_>,
        in_memory_bytes_max: u64,
    ) -> Result<Self, UnreadOriginal> {
        let (FileSource::Blob(blob) | FileSource::Part { blob, .. }) = row.source;
        let mut reader = store.blob_read(blob, 0..row.size_bytes);
        if row.size_bytes <= in_memory_bytes_max {
            let mut bytes = BytesMut::new();
            while let Some(piece) = reader.next().await? {
                bytes.extend_from_slice(&piece);
            }
            return Ok(Self::Memory(bytes.freeze()));
        }
        let mut spool = Spool::create(place).map_err(UnreadOriginal::Spool)?;
        while let Some(piece) = reader.next().await? {
            spool.write(piece).await.map_err(UnreadOriginal::Spool)?;
        }
        spool.finish().await.map_err(UnreadOriginal::Spool)
    }

    /// How many bytes the message has.
    #[must_use]
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spool { size_bytes, .. } => *size_bytes,
        }
    }

    /// How many bytes of memory the message takes.
    #[must_use]
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Spool { .. } => 0,
        }
    }

    /// Parses the message.
    ///
    /// # Errors
    ///
    /// When the spool file cannot be read.
    pub(crate) fn parse(&self) -> io::Result<Message> {
        match self {
            Self::Memory(bytes) => Ok(postroom_mime::parse(bytes)),
            Self::Spool { .. } => self.parse_within(&ParserLimits::default()),
        }
    }

    /// Parses the message within other limits.
    ///
    /// # Errors
    ///
    /// When the spool file cannot be read.
    pub(crate) fn parse_within(&self, limits: &ParserLimits) -> io::Result<Message> {
        match self {
            Self::Memory(bytes) => postroom_mime::parse_reader(Cursor::new(bytes), limits),
            Self::Spool { file, .. } => postroom_mime::parse_reader(file.reopen()?, limits),
        }
    }

    /// The bytes of one of its parts, after the transfer encoding is decoded.
    ///
    /// # Errors
    ///
    /// When the spool file cannot be read.
    pub(crate) fn decode(&self, part: &Part) -> io::Result<Vec<u8>> {
        match self {
            Self::Memory(bytes) => Ok(part.decode(bytes)),
            Self::Spool { file, .. } => part.decode_from(file.path()),
        }
    }

    /// The hash by which the message is recognised in another epoch of its mailbox. Fields in which
    /// servers write the state of a message are left out.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub(crate) fn hash(&self) -> io::Result<[u8; 16]> {
        match self {
            Self::Memory(bytes) => Ok(hash_of(bytes)),
            Self::Spool { file, .. } => {
                let mut hasher = blake3::Hasher::new();
                let start = self.start()?;
                let rest = hash_header(&mut hasher, &start);
                hasher.update(rest);
                let mut file = BufReader::new(file.reopen()?);
                file.seek_relative(i64::try_from(start.len()).unwrap_or(i64::MAX))?;
                io::copy(&mut file, &mut hasher)?;
                Ok(finished(&hasher))
            }
        }
    }

    /// The first bytes of the message. They contain the header, unless it is very long.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub(crate) fn start(&self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(start_of(bytes)),
            Self::Spool { file, .. } => {
                let mut start = Vec::with_capacity(START_BYTES);
                file.reopen()?.take(START_BYTES as u64).read_to_end(&mut start)?;
                Ok(Bytes::from(start))
            }
        }
    }
}

/// The first bytes that [`Original::start`] gives, of bytes in memory.
#[must_use]
pub(crate) fn start_of(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len().min(START_BYTES))
}

/// The hash that [`Original::hash`] gives, of bytes in memory.
#[must_use]
pub(crate) fn hash_of(bytes: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    let (start, rest) = bytes.split_at(bytes.len().min(START_BYTES));
    let after_header = hash_header(&mut hasher, start);
    hasher.update(after_header);
    hasher.update(rest);
    finished(&hasher)
}

/// Adds the header to a hash, without the fields that servers write. Gives the bytes after it.
fn hash_header<'a>(hasher: &mut blake3::Hasher, start: &'a [u8]) -> &'a [u8] {
    let mut rest = start;
    let mut is_skipped = false;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, later) = rest.split_at(end + 1);
        if line.trim_ascii().is_empty() {
            break;
        }
        let is_continued = matches!(line.first(), Some(b' ' | b'\t'));
        is_skipped = if is_continued { is_skipped } else { is_written_by_servers(line) };
        if !is_skipped {
            hasher.update(line);
        }
        rest = later;
    }
    rest
}

/// Fields in which servers with mbox files write UIDs and flags into the message.
fn is_written_by_servers(line: &[u8]) -> bool {
    const FIELDS: [&[u8]; 6] =
        [b"X-IMAPbase", b"X-IMAP", b"X-UID", b"X-Keywords", b"X-Status", b"Status"];
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
    name.len() < line.len() && FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field))
}

fn finished(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut hash = [0; 16];
    hasher.finalize_xof().fill(&mut hash);
    hash
}

/// Where spool files are made, and where their reads and writes run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpoolPlace<'a> {
    directory: &'a Path,
    work: Work,
}

impl<'a> SpoolPlace<'a> {
    /// The spool place of the engine.
    pub(crate) fn of(shared: &'a Shared) -> Self {
        Self::in_directory(&shared.settings.spool_directory, shared.store.work())
    }

    /// A spool place in this directory.
    pub(crate) fn in_directory(directory: &'a Path, work: Work) -> Self {
        Self { directory, work }
    }
}

/// A message on its way into a spool file.
#[derive(Debug)]
pub(crate) struct Spool {
    path: NamedTempFile,
    work: Work,
    /// The file. `None` while a write has it.
    file: Option<File>,
    /// The last write, which gives the file back.
    writing: Option<JoinHandle<io::Result<File>>>,
    size_bytes: u64,
}

impl Spool {
    /// Makes a spool file.
    ///
    /// # Errors
    ///
    /// When the directory does not take the file.
    pub(crate) fn create(place: SpoolPlace<'_>) -> io::Result<Self> {
        let path = NamedTempFile::new_in(place.directory)?;
        let file = Some(path.reopen()?);
        Ok(Self { path, work: place.work, file, writing: None, size_bytes: 0 })
    }

    /// How many bytes came so far.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Takes a piece of the message. The piece is written while the next one comes.
    ///
    /// # Errors
    ///
    /// When this piece or the one before could not be written.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let mut file = self.written().await?;
        self.size_bytes += bytes.len() as u64;
        self.writing = Some(self.work.spawn(move || {
            file.write_all(&bytes)?;
            Ok(file)
        }));
        Ok(())
    }

    /// Ends the message, and gives it as an original.
    ///
    /// # Errors
    ///
    /// When the last piece could not be written.
    pub(crate) async fn finish(mut self) -> io::Result<Original> {
        self.written().await?;
        Ok(Original::Spool { file: self.path, size_bytes: self.size_bytes })
    }

    /// Waits for the last write, and gives the file.
    async fn written(&mut self) -> io::Result<File> {
        if let Some(writing) = &mut self.writing {
            let written = writing.await;
            self.writing = None;
            return written.map_err(io::Error::other)?;
        }
        self.file.take().ok_or_else(|| io::Error::other("an earlier piece could not be written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_write_into_a_message_does_not_make_it_another() {
        let plain = hash_of(b"Subject: a\r\nTo: b\r\n\r\nStatus: open\r\n");
        let written = b"X-IMAPbase: 1764000000 12\r\n $Label1\r\nSubject: a\r\nStatus: RO\r\n\
            X-UID: 7\r\nX-Keywords:\r\n\tx\r\nTo: b\r\n\r\nStatus: open\r\n";
        assert_eq!(hash_of(written), plain);
        for other in [
            &b"Subject: a\r\nTo: b\r\n\r\nStatus: closed\r\n"[..],
            b"Subject: a\r\n To: b\r\n\r\nStatus: open\r\n",
            b"Subject: a\r\nTo: b\r\nX-Status-Page: c\r\n\r\nStatus: open\r\n",
        ] {
            assert_ne!(hash_of(other), plain, "{}", other.escape_ascii());
        }
    }
}
