//! Chunks: the pieces that contents are kept in, and the ids of blobs.

use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// How many bytes of content a chunk has, but for the last.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// How many chunks a blob may have: the low bits of a chunk's id. The bits above hold milliseconds
/// since 1970 until the year 2248.
const CHUNKS_MAX: i64 = 1 << 20;
/// The chunk is as it is.
const PLAIN: i64 = 0;
/// The chunk is compressed with zstd.
const ZSTD: i64 = 1;
/// Fast enough that the disk is slower.
const ZSTD_LEVEL: i32 = 1;

/// A blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobId(pub(crate) i64);

/// Gives out the ids of blobs.
#[derive(Debug)]
pub struct BlobCounter(AtomicI64);

impl BlobCounter {
    /// Goes on after the last chunk there is, and after all that came before `now_ms`: what was
    /// thrown away keeps its id, so that no validator of a client means another content.
    #[must_use]
    pub fn after(last_chunk: i64, now_ms: i64) -> Self {
        Self(AtomicI64::new((last_chunk / CHUNKS_MAX + 1).max(now_ms)))
    }

    /// The next id.
    pub fn next(&self) -> BlobId {
        BlobId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Blobs that were written ahead and let go, and when.
#[derive(Debug, Default)]
pub struct Abandoned(Mutex<Vec<(Instant, BlobId)>>);

impl Abandoned {
    /// Adds one that was let go at that time.
    pub fn add(&self, at: Instant, blob: BlobId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((at, blob));
    }

    /// Takes those that were let go at least `after` ago.
    pub fn take(&self, after: Duration) -> Vec<(Instant, BlobId)> {
        let mut abandoned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        abandoned.extract_if(.., |(at, _)| at.elapsed() >= after).collect()
    }
}

/// One chunk as it is kept.
#[derive(Debug, Clone)]
pub struct Chunk {
    codec: i64,
    bytes: Vec<u8>,
}

impl Chunk {
    /// Compresses a piece; keeps it as it is when that saves less than a tenth.
    pub fn prepare(plain: &[u8]) -> Self {
        match zstd::bulk::compress(plain, ZSTD_LEVEL) {
            Ok(bytes) if bytes.len() < plain.len() - plain.len() / 10 => {
                Self { codec: ZSTD, bytes }
            }
            Ok(_) | Err(_) => Self { codec: PLAIN, bytes: plain.to_vec() },
        }
    }

    /// Whether a chunk that was read is the same: equal contents are compressed to equal bytes.
    pub fn equals(&self, row: &Row) -> bool {
        row.whole(0) == Some(self.codec) && row.bytes(1) == Some(self.bytes.as_slice())
    }

    /// The statement that keeps it as chunk `number` of a blob.
    pub fn insert(self, blob: BlobId, number: i64) -> Statement {
        Statement::new("INSERT INTO \"chunk\" (\"id\", \"codec\", \"bytes\") VALUES ($1, $2, $3)")
            .bind(blob.0 * CHUNKS_MAX + number)
            .bind(self.codec)
            .bind(self.bytes)
    }
}

/// The statement that reads a chunk of a blob.
pub fn select(blob: BlobId, number: i64) -> Statement {
    let sql = "SELECT \"codec\", \"bytes\" FROM \"chunk\" WHERE \"id\" = $1";
    Statement::new(sql).bind(blob.0 * CHUNKS_MAX + number)
}

/// The content of a chunk that was read.
///
/// # Errors
///
/// [`Error::Damaged`] when it is not what was written.
pub fn plain(row: &Row) -> Result<Vec<u8>, Error> {
    const DAMAGED: Error = Error::Damaged { what: "a blob" };
    let stored = row.bytes(1).ok_or(DAMAGED)?;
    match row.whole(0) {
        Some(PLAIN) => Ok(stored.to_vec()),
        Some(ZSTD) => zstd::bulk::decompress(stored, CHUNK_BYTES).map_err(|_| DAMAGED),
        Some(_) | None => Err(DAMAGED),
    }
}

/// The statement that throws away a blob.
pub fn delete(blob: BlobId) -> Statement {
    Statement::new("DELETE FROM \"chunk\" WHERE \"id\" >= $1 AND \"id\" < $2")
        .bind(blob.0 * CHUNKS_MAX)
        .bind((blob.0 + 1) * CHUNKS_MAX)
}
