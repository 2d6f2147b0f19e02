//! Blobs: contents in chunks of at most 256 KiB, in the same database as the entities. A chunk is
//! compressed if that makes it smaller.
//!
//! Content of a few chunks is written in the batch that refers to it. Large content is written
//! ahead, in batches of its own. A row of the table `unfinished` marks it until the batch that
//! refers to it is committed, and names its owner. If nothing in this process holds such content
//! any more, it is deleted soon after. If its owner has ended, another process deletes it.
//!
//! Content above a configured size becomes an object of S3, and its chunks say where in the object
//! they are. The mark names the object before its first byte is written, and the object is complete
//! before the batch that refers to it.

use crate::chunk;
use crate::chunk::BlobId;
use crate::chunk::CHUNK_BYTES;
use crate::chunk::Chunk;
use crate::database::Lock;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::object;
use crate::objects::Object;
use crate::objects::Upload;
use crate::store::Store;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many bytes are held in memory before they are written ahead.
const HOLD_BYTES: usize = 4 * 1024 * 1024;

/// How long S3 is not asked to take received contents after it failed.
const OBJECTS_REST: Duration = Duration::from_secs(30);

/// Content that a batch can refer to. It is compressed, and large content is written ahead.
#[derive(Debug, Clone)]
pub struct Content {
    /// How many bytes it has.
    pub size_bytes: u64,
    chunks: Vec<Chunk>,
    /// The blob in which it was written ahead. `None`: all of it is in memory.
    ahead: Option<Ahead>,
}

/// A blob that is written ahead.
#[derive(Debug, Clone)]
struct Ahead {
    begun: Arc<Begun>,
    /// How many chunks of it are written.
    written: i64,
    /// The object that has its bytes. `None`: there is none, or it is not complete.
    object: Option<Object>,
}

/// Held as long as a batch may still refer to an unfinished blob.
#[derive(Debug)]
struct Begun {
    store: Store,
    blob: BlobId,
}

impl Drop for Begun {
    fn drop(&mut self) {
        // A batch refers to most of these blobs. The sweep finds those to which no batch refers.
        self.store.inner.abandoned.add(Instant::now(), self.blob);
    }
}

impl Ahead {
    async fn new(store: &Store) -> Result<Self, Error> {
        let (store, blob) = (store.clone(), store.blob_id().await?);
        Ok(Self { begun: Arc::new(Begun { store, blob }), written: 0, object: None })
    }

    /// The statements that mark the blob as unfinished, before anything of it is written.
    fn begun(&self, object: Option<&str>) -> Vec<Statement> {
        let Begun { store, blob } = &*self.begun;
        let begun =
            "INSERT INTO \"unfinished\" (\"blob\", \"owner\", \"object\") VALUES ($1, $2, $3)";
        let begun = Statement::new(begun).bind(blob.0).bind(store.inner.owner);
        vec![store.present(), begun.bind(object.map(str::to_owned))]
    }
}

/// Splits chunks into the rows that say where in an object their bytes are, and those bytes. The
/// first byte is at `start`, which is advanced.
fn away(chunks: Vec<Chunk>, start: &mut u64) -> (Vec<Chunk>, Vec<Bytes>) {
    let moved = chunks.into_iter().map(|chunk| {
        let (chunk, bytes) = chunk.away(*start);
        *start += bytes.len() as u64;
        (chunk, bytes)
    });
    moved.unzip()
}

impl Content {
    /// Makes content of bytes in memory. This compresses them, so call it on a blocking thread.
    #[must_use]
    pub fn prepare(bytes: &[u8]) -> Self {
        let chunks = bytes.chunks(CHUNK_BYTES).map(Chunk::prepare).collect();
        Self { size_bytes: bytes.len() as u64, chunks, ahead: None }
    }

    /// The chunks that are in memory. These are all chunks, unless content was written ahead.
    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Writes content that is large enough into an object, unless this was done before.
    ///
    /// # Errors
    ///
    /// When the store or the object store fails.
    pub(crate) async fn put_away(&mut self, store: &Store) -> Result<(), Error> {
        let own = store.inner.objects.own.as_ref();
        let Some(own) = own.filter(|own| own.objects.takes(self.size_bytes)) else {
            return Ok(());
        };
        if self.ahead.is_some() {
            return Ok(());
        }
        let mut ahead = Ahead::new(store).await?;
        let name = store.object_name(&own.id, ahead.begun.blob);
        store.write(ahead.begun(Some(&name))).await?;
        let mut start = 0;
        let (chunks, pieces) = away(self.chunks.clone(), &mut start);
        ahead.object = Some(Box::pin(own.objects.put(name, pieces)).await?);
        self.chunks = chunks;
        self.ahead = Some(ahead);
        Ok(())
    }

    /// The same for a received message. If S3 failed a moment ago, it is not asked again, so that
    /// this message keeps no other one waiting.
    ///
    /// # Errors
    ///
    /// As [`Self::put_away`].
    pub(crate) async fn put_received_away(&mut self, store: &Store) -> Result<(), Error> {
        if self.ahead.is_none() {
            store.takes_received(self.size_bytes)?;
        }
        self.put_away(store).await
    }

    /// The statements that belong in the batch that refers to this content, and its blob.
    ///
    /// # Errors
    ///
    /// When the store fails to give an id, or the object store fails.
    pub(crate) async fn statements(
        mut self,
        store: &Store,
    ) -> Result<(BlobId, Vec<Statement>), Error> {
        Box::pin(self.put_away(store)).await?;
        let (blob, written) = match &self.ahead {
            Some(ahead) => (ahead.begun.blob, ahead.written),
            None => (store.blob_id().await?, 0),
        };
        let mut statements: Vec<_> = self
            .chunks
            .into_iter()
            .zip(written..)
            .map(|(chunk, at)| chunk.insert(blob, at))
            .collect();
        if self.size_bytes == 0 {
            // An empty chunk is written, so that the id of the blob is used.
            statements.push(Chunk::prepare(&[]).insert(blob, 0));
        }
        if let Some(ahead) = &self.ahead {
            let object = ahead.object.as_ref();
            statements.extend(object.map(|object| object::insert(blob, object)));
            let finished = "DELETE FROM \"unfinished\" WHERE \"blob\" = $1";
            statements.push(Statement::new(finished).bind(blob.0).must_change(Failed::Finished));
        }
        Ok((blob, statements))
    }
}

/// Makes content of pieces, and holds only a few chunks in memory.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    content: Content,
    piece: Vec<u8>,
    held_bytes: usize,
    /// The object into which it is written. `None`: it is written into rows.
    upload: Option<Box<Upload>>,
    /// Whether it is a received message, which keeps others waiting.
    is_received: bool,
}

impl BlobWriter {
    /// Takes more of the content.
    ///
    /// # Errors
    ///
    /// When the store fails. What was written ahead is deleted later.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.content.size_bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.piece.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == CHUNK_BYTES {
                self.cut();
            }
            if self.held_bytes >= HOLD_BYTES {
                Box::pin(self.write_ahead()).await?;
            }
        }
        Ok(())
    }

    /// Ends the content. It is durable with the batch that refers to it.
    ///
    /// # Errors
    ///
    /// When the object store fails. What was written ahead is deleted later.
    pub async fn finish(mut self) -> Result<Content, Error> {
        if self.upload.is_some() {
            return Box::pin(self.finish_ahead()).await;
        }
        self.cut();
        Box::pin(self.content.put_away(&self.store)).await?;
        Ok(self.content)
    }

    /// Ends the content with all of it written ahead, so that no memory is held for it until the
    /// batch that refers to it.
    ///
    /// # Errors
    ///
    /// When the store fails. What was written ahead is deleted later.
    pub async fn finish_ahead(mut self) -> Result<Content, Error> {
        self.cut();
        if self.is_received && self.content.ahead.is_none() {
            self.store.takes_received(self.content.size_bytes)?;
        }
        Box::pin(self.content.put_away(&self.store)).await?;
        if !self.content.chunks.is_empty() {
            Box::pin(self.write_ahead()).await?;
        }
        if let (Some(upload), Some(ahead)) = (self.upload.take(), &mut self.content.ahead) {
            ahead.object = Some(Box::pin(upload.complete()).await?);
        }
        Ok(self.content)
    }

    fn cut(&mut self) {
        if !self.piece.is_empty() {
            let chunk = Chunk::prepare(&self.piece);
            self.held_bytes += self.piece.len();
            self.content.chunks.push(chunk);
            self.piece.clear();
        }
    }

    async fn write_ahead(&mut self) -> Result<(), Error> {
        let (mut ahead, mut batch) = match &self.content.ahead {
            // If this process did not renew its row in time, another one has deleted the content.
            Some(ahead) => (ahead.clone(), vec![is_unfinished(ahead.begun.blob)]),
            None => Box::pin(self.begin()).await?,
        };
        let mut chunks = std::mem::take(&mut self.content.chunks);
        if let Some(upload) = &mut self.upload {
            let (located, pieces) = away(chunks, &mut upload.length_bytes());
            Box::pin(upload.write(pieces)).await?;
            chunks = located;
        }
        let count = i64::try_from(chunks.len()).unwrap_or(0);
        let numbered = chunks.into_iter().zip(ahead.written..);
        batch.extend(numbered.map(|(chunk, at)| chunk.insert(ahead.begun.blob, at)));
        self.held_bytes = 0;
        ahead.written += count;
        self.content.ahead = Some(ahead);
        self.store.write(batch).await.map(drop)
    }

    /// Begins a blob, and the statements that go before its first chunks.
    async fn begin(&mut self) -> Result<(Ahead, Vec<Statement>), Error> {
        if self.is_received {
            self.store.takes_received(self.content.size_bytes)?;
        }
        let ahead = Ahead::new(&self.store).await?;
        let own = self.store.inner.objects.own.as_ref();
        let Some(own) = own.filter(|own| own.objects.takes(self.content.size_bytes)) else {
            let begun = ahead.begun(None);
            return Ok((ahead, begun));
        };
        let name = self.store.object_name(&own.id, ahead.begun.blob);
        self.store.write(ahead.begun(Some(&name))).await?;
        self.upload = Some(Box::new(own.objects.begin(name).await?));
        let unfinished = is_unfinished(ahead.begun.blob);
        Ok((ahead, vec![unfinished]))
    }
}

/// The condition that content that was written ahead still exists.
fn is_unfinished(blob: BlobId) -> Statement {
    let sql = "SELECT 1 FROM \"unfinished\" WHERE \"blob\" = $1";
    Statement::new(sql).bind(blob.0).assert(Failed::Finished, Lock::Found)
}

impl Store {
    /// Begins to write content.
    #[must_use]
    pub fn blob_writer(&self) -> BlobWriter {
        let content = Content { size_bytes: 0, chunks: vec![], ahead: None };
        let (store, piece) = (self.clone(), vec![]);
        BlobWriter { store, content, piece, held_bytes: 0, upload: None, is_received: false }
    }

    /// Begins to write the content of a received message. If it becomes an object and S3 failed a
    /// moment ago, it is refused at once, so that it keeps no other message waiting.
    #[must_use]
    pub fn received_writer(&self) -> BlobWriter {
        BlobWriter { is_received: true, ..self.blob_writer() }
    }

    /// Whether a received content of so many bytes has a place now.
    ///
    /// # Errors
    ///
    /// [`Error::Objects`] when it becomes an object, and S3 failed a moment ago.
    fn takes_received(&self, size_bytes: u64) -> Result<(), Error> {
        let own = self.inner.objects.own.as_ref().filter(|own| own.objects.takes(size_bytes));
        let trouble = own.and_then(|own| own.objects.trouble());
        match trouble.filter(|trouble| trouble.met < OBJECTS_REST) {
            Some(trouble) => Err(Error::Objects { place: trouble.place, reason: trouble.reason }),
            None => Ok(()),
        }
    }

    /// Deletes content that was written ahead, that nothing has held for `after`, and to which no
    /// batch refers.
    pub(crate) async fn blob_sweep_abandoned(&self, after: Duration) -> Result<(), Error> {
        let let_go = self.inner.abandoned.take(after);
        let mut result = Ok(());
        for (at, blob) in let_go {
            let unfinished = "DELETE FROM \"unfinished\" WHERE \"blob\" = $1";
            let unfinished = Statement::new(unfinished).bind(blob.0).must_change(Failed::Finished);
            let gone = object::unfinished_gone(blob);
            match self.write_at_need(vec![gone, unfinished, chunk::delete(blob)]).await {
                // It is finished: something refers to it.
                Ok(_) | Err(Error::Condition(Failed::Finished)) => {}
                Err(error) => {
                    result = Err(error);
                    self.inner.abandoned.add(at, blob);
                }
            }
        }
        result
    }

    /// Deletes unfinished content whose owner has ended.
    pub(crate) async fn blob_sweep(&self) -> Result<(), Error> {
        const OWNED: &str = "COALESCE(\"owner\", 0) IN (SELECT \"id\" FROM \"owner\")";
        let left = format!("SELECT \"blob\" FROM \"unfinished\" WHERE NOT {OWNED}");
        let rows = self.read(Statement::new(left)).await?;
        for blob in rows.iter().filter_map(|row| row.whole(0)) {
            // The condition is checked again, because the owner may have renewed its row meanwhile.
            let sql = format!("DELETE FROM \"unfinished\" WHERE \"blob\" = $1 AND NOT {OWNED}");
            let left = Statement::new(sql).bind(blob).must_change(Failed::Finished);
            let blob = BlobId(blob);
            let gone = object::unfinished_gone(blob);
            match self.write_at_need(vec![gone, left, chunk::delete(blob)]).await {
                Ok(_) | Err(Error::Condition(Failed::Finished)) => {}
                // A full disk is no reason not to start: this can wait.
                Err(Error::Full) => self.inner.abandoned.add(Instant::now(), blob),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Time;
    use crate::fixture::store_in;
    use postroom_testkit::on_both;

    async fn open(directory: &std::path::Path) -> Store {
        store_in(directory, crate::Clock::system(), crate::Work::Threads).await
    }

    async fn count(store: &Store, table: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM \"{table}\"");
        store.read(Statement::new(sql)).await.unwrap()[0].whole(0).unwrap()
    }

    #[on_both]
    async fn what_is_abandoned_is_thrown_away() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).await;
        let mut writer = store.blob_writer();
        writer.write(&vec![7; HOLD_BYTES + 1]).await.unwrap();
        assert!(count(&store, "chunk").await > 0);
        store.blob_sweep_abandoned(Duration::ZERO).await.unwrap();
        assert_eq!(count(&store, "unfinished").await, 1, "somebody still holds it");
        drop(writer);
        store.blob_sweep_abandoned(Duration::from_secs(3600)).await.unwrap();
        assert_eq!(count(&store, "unfinished").await, 1, "its batch may be on its way");
        store.blob_sweep_abandoned(Duration::ZERO).await.unwrap();
        assert_eq!((count(&store, "chunk").await, count(&store, "unfinished").await), (0, 0));
    }

    #[on_both]
    async fn no_id_is_given_twice() {
        let directory = tempfile::tempdir().unwrap();
        let mut ids = vec![];
        for content in [&b""[..], b"a", b""] {
            let store = open(directory.path()).await;
            let (blob, statements) = Content::prepare(content).statements(&store).await.unwrap();
            store.write(statements).await.unwrap();
            ids.push(blob.0);
        }
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    }
    #[on_both]
    async fn an_id_is_not_given_again_when_its_content_is_gone_or_the_clock_is_set_back() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let mut ids = vec![];
        for now_ms in [5_000_000, 6_000_000, 1_000_000] {
            time.set(now_ms);
            let store = store_in(directory.path(), time.clock(), crate::Work::Threads).await;
            let (blob, statements) = Content::prepare(b"a").statements(&store).await.unwrap();
            store.write(statements).await.unwrap();
            if now_ms == 5_000_000 {
                // No chunk tells of it any more.
                store.write(vec![chunk::delete(blob)]).await.unwrap();
            }
            ids.push(blob.0);
        }
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    }
}
