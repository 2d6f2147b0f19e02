//! The original of a message: its bytes as the server gave them, in memory or in a spool file.

use bytes::Bytes;
use postroom_mime::Message;
use postroom_mime::Part;
use std::io;
use std::io::BufReader;
use std::path::Path;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

/// The bytes of a message.
#[derive(Debug)]
pub enum Original {
    /// In memory.
    Memory(Bytes),
    /// In a file of the spool directory, which goes away with this value.
    Spool {
        /// The file.
        file: NamedTempFile,
        /// How many bytes it has.
        size_bytes: u64,
    },
}

impl Original {
    /// How many bytes the message has.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spool { size_bytes, .. } => *size_bytes,
        }
    }

    /// How much memory it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Spool { .. } => 0,
        }
    }

    /// Takes the message apart.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn parse(&self) -> io::Result<Message> {
        match self {
            Self::Memory(bytes) => Ok(postroom_mime::parse(bytes)),
            Self::Spool { file, .. } => {
                postroom_mime::parse_reader(file.reopen()?, &postroom_mime::Limits::default())
            }
        }
    }

    /// The bytes of one of its parts, the transfer encoding undone.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn decode(&self, part: &Part) -> io::Result<Vec<u8>> {
        match self {
            Self::Memory(bytes) => Ok(part.decode(bytes)),
            Self::Spool { file, .. } => part.decode_from(file.path()),
        }
    }

    /// What the message is known by under another UIDVALIDITY.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn hash(&self) -> io::Result<[u8; 16]> {
        let mut hasher = blake3::Hasher::new();
        match self {
            Self::Memory(bytes) => {
                hasher.update(bytes);
            }
            Self::Spool { file, .. } => {
                io::copy(&mut BufReader::new(file.reopen()?), &mut hasher)?;
            }
        }
        let mut hash = [0; 16];
        hasher.finalize_xof().fill(&mut hash);
        Ok(hash)
    }
}

/// A message on its way into a spool file.
#[derive(Debug)]
pub struct Spool {
    path: NamedTempFile,
    file: tokio::fs::File,
    size_bytes: u64,
}

impl Spool {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// Those of the directory.
    pub fn create(directory: &Path) -> io::Result<Self> {
        let path = NamedTempFile::new_in(directory)?;
        let file = tokio::fs::File::from_std(path.reopen()?);
        Ok(Self { path, file, size_bytes: 0 })
    }

    /// Takes more of the message.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size_bytes += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    /// Ends the message.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub async fn finish(mut self) -> io::Result<Original> {
        self.file.flush().await?;
        Ok(Original::Spool { file: self.path, size_bytes: self.size_bytes })
    }
}
