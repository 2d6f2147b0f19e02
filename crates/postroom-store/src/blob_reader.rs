//! Reads blobs, and remembers which ones are damaged.

use crate::chunk;
use crate::chunk::BlobId;
use crate::chunk::CHUNK_BYTES;
use crate::chunk::OBJECT_READ_CHUNKS;
use crate::database::Row;
use crate::database::Statement;
use crate::error::DAMAGED_OBJECT;
use crate::error::Error;
use crate::store::Store;
use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// How long it may take to find out which files a damaged blob belongs to.
const LOOKUP_WITHIN: Duration = Duration::from_secs(20);

/// Reads a blob, or a range of it, chunk by chunk.
#[derive(Debug)]
pub struct BlobReader {
    store: Store,
    blob: BlobId,
    range: Range<u64>,
    /// How many chunks are read at once. It is one for rows, and more for an object.
    at_once: usize,
    /// The next chunks, which were read already.
    ready: VecDeque<Row>,
}

impl BlobReader {
    /// The next bytes. `None` at the end.
    ///
    /// # Errors
    ///
    /// When the store fails, or a chunk is damaged or missing. If the chunk is in an object, the
    /// damage is [`DAMAGED_OBJECT`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let next = self.piece().await;
        let object = match next {
            Err(Error::Damaged { what: DAMAGED_OBJECT }) => {
                self.store.object_named(self.blob).await?
            }
            Err(Error::Damaged { .. }) => None,
            next => return next,
        };
        self.store.blob_is_damaged(self.blob, object.as_deref()).await;
        next
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        const DAMAGED: Error = Error::Damaged { what: "a file" };
        if self.range.start >= self.range.end {
            return Ok(None);
        }
        let number = i64::try_from(self.range.start / CHUNK_BYTES as u64).map_err(|_| DAMAGED)?;
        if self.ready.is_empty() {
            self.ready = self.rows(number).await?.into();
        }
        let row = self.ready.pop_front().ok_or(DAMAGED)?;
        let plain = match chunk::plain(&row, self.store.inner.unsummed) {
            Err(Error::Damaged { .. }) if self.at_once == OBJECT_READ_CHUNKS => {
                return Err(Error::Damaged { what: DAMAGED_OBJECT });
            }
            plain => plain?,
        };
        let from = usize::try_from(self.range.start % CHUNK_BYTES as u64).map_err(|_| DAMAGED)?;
        let wanted = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        let to = plain.len().min(from.saturating_add(wanted));
        if from >= to {
            return Err(DAMAGED);
        }
        self.range.start += (to - from) as u64;
        Ok(Some(Bytes::from(plain).slice(from..to)))
    }
}

impl BlobReader {
    /// The chunks from `number` on, as many as are read at once.
    async fn rows(&mut self, number: i64) -> Result<Vec<Row>, Error> {
        let left = (self.range.end - 1) / CHUNK_BYTES as u64 + 1;
        let left = left.saturating_sub(number.unsigned_abs());
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.at_once);
        let rows = self.store.read(chunk::select_some(self.blob, number, count)).await?;
        let follow = rows.iter().zip(number..).all(|(row, number)| chunk::is_at(row, number));
        if !follow {
            return Err(Error::Damaged { what: "a file" });
        }
        if rows.iter().any(|row| chunk::location(row).is_some()) {
            self.at_once = OBJECT_READ_CHUNKS;
        }
        self.store.chunks_resolved(rows).await
    }
}

/// A file, as the log names it: `ID/attachments/a.pdf`.
fn said(row: &Row) -> String {
    let entity = row.id(0).map(|id| id.to_string()).unwrap_or_default();
    let (property, name) = (row.text(1).unwrap_or_default(), row.text(2).unwrap_or_default());
    format!("{entity}/{property}/{name}")
}

impl Store {
    /// Begins to read a range of a blob. It must lie within the blob.
    #[must_use]
    pub fn blob_read(&self, blob: BlobId, range: Range<u64>) -> BlobReader {
        BlobReader { store: self.clone(), blob, range, at_once: 1, ready: VecDeque::new() }
    }

    /// Logs once which files are damaged, and remembers the blob for [`Store::damage`].
    async fn blob_is_damaged(&self, blob: BlobId, object: Option<&str>) {
        if !self.inner.damage.add(blob) {
            return;
        }
        let sql = "SELECT \"entity\", \"property\", \"name\" FROM \"file\" WHERE \"blob\" = $1";
        let files = self.read(Statement::new(sql).bind(blob.0).within(LOOKUP_WITHIN)).await;
        let files: Vec<_> = files.unwrap_or_default().iter().map(said).collect();
        let place = self.inner.objects.own.as_ref().map(|own| own.objects.place());
        if let Some((object, place)) = object.zip(place) {
            tracing::error!(
                files = files.join(", "),
                place,
                object,
                "an object is missing in the bucket, or has other bytes than were written; it is \
                 not served. Bring it back from the versions of the bucket, or from a copy of it"
            );
            return;
        }
        tracing::error!(
            files = files.join(", "),
            "stored bytes are damaged, because their checksum differs; they are not served. Check \
             the disk, and restore them from a backup"
        );
    }

    /// Whether a blob that was found damaged still exists.
    pub(crate) async fn blobs_are_damaged(&self) -> Result<bool, Error> {
        for blob in self.inner.damage.known() {
            if self.read(chunk::select_some(blob, 0, 1)).await?.is_empty() {
                self.inner.damage.forget(blob);
            } else {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
