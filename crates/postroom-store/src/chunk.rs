//! Chunks: the pieces that contents are kept in, and the ids of blobs.

use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use bytes::Bytes;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// How many bytes of content a chunk has. The last one may have fewer.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;
/// How many chunks a blob may have: the low bits of a chunk's id. The bits above hold the id of the
/// blob, of which there may be 2^43.
pub(crate) const CHUNKS_MAX: i64 = 1 << 20;
/// The bytes of the chunk are not compressed.
const PLAIN: i64 = 0;
/// The chunk is compressed with zstd.
const ZSTD: i64 = 1;
/// The bytes of the chunk are in an object, uncompressed or compressed. The row says where.
const OBJECT_PLAIN: i64 = 2;
const OBJECT_ZSTD: i64 = 3;
/// How many bytes of an object are read at once.
pub(crate) const OBJECT_READ_BYTES: u64 = 4 * 1024 * 1024;
/// How many chunks that is.
pub(crate) const OBJECT_READ_CHUNKS: usize = 16;
/// At this level, compression is faster than the disk.
const ZSTD_LEVEL: i32 = 1;

/// A blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobId(pub(crate) i64);

/// The ids of blobs that this process may give out. It takes ranges of them from the database. No
/// id is given twice, so that the ETag of a file never matches other content.
#[derive(Debug, Default)]
pub(crate) struct BlobIds(Mutex<Range<i64>>);

impl BlobIds {
    /// The next id. `None` when all are given out.
    pub(crate) fn next(&self) -> Option<BlobId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next().map(BlobId)
    }

    /// Takes new ones, when all are given out.
    pub(crate) fn refill(&self, ids: Range<i64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ids;
    }
}

/// Blobs that were written ahead and that nothing holds any more, and since when.
#[derive(Debug, Default)]
pub(crate) struct Abandoned(Mutex<Vec<(Instant, BlobId)>>);

impl Abandoned {
    /// Adds a blob that nothing holds since this time.
    pub(crate) fn add(&self, at: Instant, blob: BlobId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((at, blob));
    }

    /// Takes the blobs that nothing has held for `after`.
    pub(crate) fn take(&self, after: Duration) -> Vec<(Instant, BlobId)> {
        let mut abandoned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        abandoned.extract_if(.., |(at, _)| at.elapsed() >= after).collect()
    }
}

/// Blobs that were found damaged since the start.
#[derive(Debug, Default)]
pub(crate) struct Damage(Mutex<HashSet<BlobId>>);

impl Damage {
    /// Adds a blob. `false`: it is known, or too many are known already.
    pub(crate) fn add(&self, blob: BlobId) -> bool {
        const KNOWN_MAX: usize = 10_000;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < KNOWN_MAX && known.insert(blob)
    }

    /// Forgets one that is no longer kept.
    pub(crate) fn forget(&self, blob: BlobId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&blob);
    }

    /// All of them.
    pub(crate) fn known(&self) -> Vec<BlobId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// One chunk as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    codec: i64,
    bytes: Vec<u8>,
    /// The checksum of the bytes as they are kept.
    sum: i64,
    /// How many bytes of content it has.
    plain_bytes: u64,
}

impl Chunk {
    /// Compresses a piece. It stays uncompressed if less than a tenth would be saved.
    pub(crate) fn prepare(plain: &[u8]) -> Self {
        let (codec, bytes) = match zstd::bulk::compress(plain, ZSTD_LEVEL) {
            Ok(bytes) if bytes.len() < plain.len() - plain.len() / 10 => (ZSTD, bytes),
            Ok(_) | Err(_) => (PLAIN, plain.to_vec()),
        };
        let sum = sum(&bytes);
        Self { codec, bytes, sum, plain_bytes: plain.len() as u64 }
    }

    /// Whether a chunk that was read is the same: equal contents are compressed to equal bytes.
    pub(crate) fn equals(&self, row: &Row) -> bool {
        row.whole(0) == Some(self.codec) && row.bytes(1) == Some(self.bytes.as_slice())
    }

    /// Splits a chunk into the row that says where in an object its bytes are, and those bytes.
    /// They begin at `start`.
    pub(crate) fn away(self, start: u64) -> (Self, Bytes) {
        let codec = if self.codec == ZSTD { OBJECT_ZSTD } else { OBJECT_PLAIN };
        let end = start + self.bytes.len() as u64;
        let place = [start, end, self.plain_bytes].map(u64::to_be_bytes).concat();
        let Self { sum, plain_bytes, .. } = self;
        (Self { codec, bytes: place, sum, plain_bytes }, self.bytes.into())
    }

    /// The statement that keeps it as chunk `number` of a blob.
    pub(crate) fn insert(self, blob: BlobId, number: i64) -> Statement {
        let sql = "INSERT INTO \"chunk\" (\"id\", \"codec\", \"bytes\", \"sum\")
            VALUES ($1, $2, $3, $4)";
        let id = blob.0 * CHUNKS_MAX + number;
        Statement::new(sql)
            .bind(id)
            .bind(self.codec)
            .bind(self.bytes)
            .bind(placed(self.sum, id, self.codec))
    }
}

/// The checksum of bytes as they are stored: 64 bits of BLAKE3. It takes a twentieth of the time of
/// the compression. It detects damage, but not forgery.
fn sum(kept: &[u8]) -> i64 {
    let mut first = [0; 8];
    blake3::Hasher::new().update(kept).finalize_xof().fill(&mut first);
    i64::from_le_bytes(first)
}

/// The checksum combined with the id and the codec of the chunk, so that a row with a wrong id or
/// codec counts as damaged.
fn placed(sum: i64, id: i64, codec: i64) -> i64 {
    /// An odd number with irregular bits, so that neighbouring ids give very different results.
    const SPREAD: i64 = 0x1E37_79B9_7F4A_7C15;
    sum ^ id.wrapping_mul(SPREAD).wrapping_add(codec)
}

/// Where the bytes of a chunk are in the object of its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub blob: BlobId,
    pub start: u64,
    pub end: u64,
    /// How many bytes of content it has.
    pub plain_bytes: u64,
}

/// Where the bytes of a chunk that was read are. `None`: in the row.
pub(crate) fn location(row: &Row) -> Option<Location> {
    row.whole(0).filter(|codec| [OBJECT_PLAIN, OBJECT_ZSTD].contains(codec))?;
    let (numbers, []) = row.bytes(1)?.as_chunks::<8>() else { return None };
    let [start, end, plain_bytes] = *numbers else { return None };
    let [start, end, plain_bytes] = [start, end, plain_bytes].map(u64::from_be_bytes);
    // No chunk is larger, so a row that says so is damaged.
    let is_possible = end.checked_sub(start)? <= OBJECT_READ_BYTES;
    let blob = BlobId(row.whole(3)? / CHUNKS_MAX);
    is_possible.then_some(Location { blob, start, end, plain_bytes })
}

/// The row as it would be if the bytes of the chunk were in it. `bytes` are those of an object from
/// `start` on. If a part of the chunk is missing in them, the checksum does not match.
pub(crate) fn resolved(row: Row, start: u64, bytes: &Bytes) -> Row {
    let (Some(at), Some(codec), Some(id)) = (location(&row), row.whole(0), row.whole(3)) else {
        return row;
    };
    let place = |end: u64| usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
    let found = bytes.get(place(at.start)..place(at.end)).unwrap_or_default();
    let here = if codec == OBJECT_ZSTD { ZSTD } else { PLAIN };
    let sum = row.value(2).clone();
    let sum = row.whole(2).map_or(sum, |sum| placed(placed(sum, id, codec), id, here).into());
    Row(vec![here.into(), found.to_vec().into(), sum, id.into()])
}

/// The statement that reads chunks of a blob from `number` on.
pub(crate) fn select_some(blob: BlobId, number: i64, count: usize) -> Statement {
    let sql = "SELECT \"codec\", \"bytes\", \"sum\", \"id\" FROM \"chunk\"
        WHERE \"id\" >= $1 AND \"id\" < $2 ORDER BY \"id\" LIMIT $3";
    let end = blob.0 * CHUNKS_MAX + CHUNKS_MAX;
    Statement::new(sql).bind(blob.0 * CHUNKS_MAX + number).bind(end).bind(count as u64)
}

/// Whether a chunk that was read is the one of this number.
pub(crate) fn is_at(row: &Row, number: i64) -> bool {
    row.whole(3).is_some_and(|id| id % CHUNKS_MAX == number)
}

/// The content of a chunk that was read. Chunks up to the id `unsummed` may lack a checksum.
///
/// # Errors
///
/// [`Error::Damaged`] when it is not what was written.
pub(crate) fn plain(row: &Row, unsummed: i64) -> Result<Vec<u8>, Error> {
    const DAMAGED: Error = Error::Damaged { what: "a file" };
    let stored = row.bytes(1).ok_or(DAMAGED)?;
    if !is_sound(row, unsummed) {
        return Err(DAMAGED);
    }
    match row.whole(0) {
        Some(PLAIN) => Ok(stored.to_vec()),
        Some(ZSTD) => zstd::bulk::decompress(stored, CHUNK_BYTES).map_err(|_| DAMAGED),
        Some(_) | None => Err(DAMAGED),
    }
}

/// Whether a chunk that was read matches its checksum. The chunks up to the id `unsummed`, which an
/// earlier version wrote, may lack one.
fn is_sound(row: &Row, unsummed: i64) -> bool {
    let (Some(codec), Some(bytes), Some(id)) = (row.whole(0), row.bytes(1), row.whole(3)) else {
        return false;
    };
    let written = row.value(2);
    if *written == Value::Null {
        return id <= unsummed;
    }
    *written == Value::Whole(placed(sum(bytes), id, codec))
}

/// The statement that deletes the chunks of a blob.
pub(crate) fn delete(blob: BlobId) -> Statement {
    Statement::new("DELETE FROM \"chunk\" WHERE \"id\" >= $1 AND \"id\" < $2")
        .bind(blob.0 * CHUNKS_MAX)
        .bind((blob.0 + 1) * CHUNKS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The row that is read of a chunk that was written.
    fn row(chunk: &Chunk, id: i64) -> Row {
        let sum = placed(chunk.sum, id, chunk.codec);
        Row(vec![chunk.codec.into(), chunk.bytes.clone().into(), sum.into(), id.into()])
    }

    #[test]
    fn any_flipped_bit_of_a_chunk_is_found() {
        let text = b"so and so on and so on ".repeat(40);
        for content in [&b"too short to be compressed"[..], &text, b""] {
            let chunk = Chunk::prepare(content);
            let sound = row(&chunk, 77);
            assert_eq!(plain(&sound, 0).unwrap(), content);
            for bit in 0..chunk.bytes.len() * 8 {
                let mut damaged = chunk.clone();
                damaged.bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(plain(&row_with(&damaged, &sound), 0).is_err(), "bit {bit}");
            }
            let mut shorter = chunk.clone();
            if shorter.bytes.pop().is_some() {
                assert!(plain(&row_with(&shorter, &sound), 0).is_err());
            }
        }
    }

    fn row_with(chunk: &Chunk, sound: &Row) -> Row {
        Row(vec![
            chunk.codec.into(),
            chunk.bytes.clone().into(),
            sound.value(2).clone(),
            sound.value(3).clone(),
        ])
    }

    #[test]
    fn a_chunk_in_the_place_of_another_is_damage() {
        let chunk = Chunk::prepare(b"here");
        let mut moved = row(&chunk, 5);
        moved.0[3] = Value::Whole(6);
        assert!(plain(&moved, 0).is_err());
    }

    #[test]
    fn a_chunk_in_an_object_is_the_one_that_was_written() {
        let text = b"so and so on and so on ".repeat(40);
        for content in [&b"too short to be compressed"[..], &text] {
            let (away, bytes) = Chunk::prepare(content).away(3);
            let read = row(&away, 77);
            let object = Bytes::from([b"abc", &bytes[..], b"def"].concat());
            assert_eq!(plain(&resolved(read.clone(), 0, &object), 0).unwrap(), content);
            let mut other = object.to_vec();
            other[5] ^= 1;
            assert!(plain(&resolved(read.clone(), 0, &other.into()), 0).is_err());
            let short = object.slice(..bytes.len());
            assert!(plain(&resolved(read.clone(), 0, &short), 0).is_err(), "too short");
            assert!(plain(&resolved(read.clone(), 0, &Bytes::new()), 0).is_err(), "missing");
            assert!(plain(&read, 0).is_err(), "its place is not its content");
        }
    }

    #[test]
    fn only_chunks_of_an_earlier_version_may_lack_a_checksum() {
        let chunk = Chunk::prepare(b"old");
        let mut old = row(&chunk, 5);
        old.0[2] = Value::Null;
        assert_eq!(plain(&old, 5).unwrap(), b"old");
        assert!(plain(&old, 4).is_err());
    }
}
