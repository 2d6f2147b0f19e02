//! The events of a FETCH, as its caller reads them.

use crate::error::Error;
use crate::response::Fetched;
use bytes::Bytes;
use tokio::sync::mpsc;

/// One event of a FETCH.
///
/// A message is one event, unless it is large: then `BodyStart`, `Chunk`s and `BodyEnd` come
/// first, and the `Message` that follows has [`crate::Body::Streamed`].
#[derive(Debug, Clone, PartialEq)]
pub enum FetchEvent {
    /// Everything that the server said about one message.
    Message(Fetched),
    /// A large message begins.
    BodyStart {
        /// The size that the server announced.
        size_bytes: u64,
    },
    /// The next bytes of the large message.
    Chunk(Bytes),
    /// The bytes of the large message are complete.
    BodyEnd,
}

/// What the connection's task sends to the reader of a FETCH.
#[derive(Debug)]
pub(crate) enum FetchBatch {
    /// The events of one read.
    Events(Vec<FetchEvent>),
    /// The end, good or bad.
    Done(Result<(), Error>),
}

/// A running FETCH. Dropping it gives it up. The connection stays usable if little is left to read.
#[derive(Debug)]
pub struct Fetch<'a> {
    deliveries: Option<mpsc::Receiver<FetchBatch>>,
    events: std::vec::IntoIter<FetchEvent>,
    connection: std::marker::PhantomData<&'a mut ()>,
}

impl Fetch<'_> {
    pub(crate) fn new(deliveries: mpsc::Receiver<FetchBatch>) -> Self {
        Self {
            deliveries: Some(deliveries),
            events: vec![].into_iter(),
            connection: std::marker::PhantomData,
        }
    }

    /// The next event; `None` after the last. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// What ended the connection, or [`Error::Refused`] if the server did not complete it. Events
    /// before the error are valid.
    pub async fn next(&mut self) -> Result<Option<FetchEvent>, Error> {
        loop {
            if let Some(event) = self.events.next() {
                return Ok(Some(event));
            }
            let Some(deliveries) = &mut self.deliveries else {
                return Ok(None);
            };
            match deliveries.recv().await {
                Some(FetchBatch::Events(events)) => self.events = events.into_iter(),
                Some(FetchBatch::Done(result)) => {
                    self.deliveries = None;
                    result?;
                }
                None => {
                    self.deliveries = None;
                    return Err(Error::Ended);
                }
            }
        }
    }
}
