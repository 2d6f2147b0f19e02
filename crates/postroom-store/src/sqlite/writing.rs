//! The requests to the writer, and the channel to it.

use crate::database::Answer;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Statement;
use crate::error::Error;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::sync::oneshot;

/// Where an answer goes.
pub(crate) type ReplySender<T> = oneshot::Sender<Result<T, Error>>;

/// A batch to be written.
pub(crate) struct Write {
    pub batch: Vec<Statement>,
    pub room: Room,
    pub reply: ReplySender<Vec<Outcome>>,
}

/// A request to the writer.
pub(crate) enum Ask {
    Write(Write),
    /// Gives back a little space, and empties the log if there is none. The answer says whether
    /// there is more to give back.
    Tidy(ReplySender<bool>),
}

/// Sends a request. If the writer has ended, the reply is dropped, and the answer is
/// [`Error::Closed`].
type Line = Box<dyn Fn(Ask) + Send>;

/// The channel to the writer, until it is closed.
pub(crate) struct WriteChannel(Mutex<Option<Line>>);

impl WriteChannel {
    /// A channel that sends requests with `send`.
    pub(crate) fn new(send: impl Fn(Ask) + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(send))))
    }

    /// Writes a batch.
    pub(crate) fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        self.ask(|reply| Ask::Write(Write { batch, room, reply }))
    }

    /// Gives back a little space.
    pub(crate) fn tidy(&self) -> Answer<bool> {
        self.ask(Ask::Tidy)
    }

    /// Takes no more requests. The writer ends after the requests that it has.
    pub(crate) fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn ask<T: Send + 'static>(&self, ask: impl FnOnce(ReplySender<T>) -> Ask) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        if let Some(send) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            send(ask(reply));
        }
        Box::pin(async move { answer.await.unwrap_or(Err(Error::Closed)) })
    }
}

impl fmt::Debug for WriteChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteChannel").finish_non_exhaustive()
    }
}
