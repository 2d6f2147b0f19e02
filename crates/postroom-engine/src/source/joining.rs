//! Joins the events of a fetch to messages with their bytes. The bytes of a large message are in a
//! spool file.

use crate::error::Error;
use crate::original::Original;
use crate::original::Spool;
use crate::original::SpoolPlace;
use crate::source::message::MessageEvent;
use crate::source::message::SourceBody;
use crate::source::message::SourceMessage;

/// A message with its bytes, or with the reason why there are none.
#[derive(Debug)]
pub(crate) struct JoinedMessage {
    /// What the source said about it. Its body is in `content`.
    pub message: SourceMessage,
    /// Its bytes, or why there are none.
    pub content: Result<Original, NoContent>,
}

/// Why there are no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoContent {
    /// The source gave no bytes, and no reason.
    Missing,
    /// The message is larger than the limit of the fetch.
    TooBig {
        /// The announced size.
        size_bytes: u64,
    },
    /// They cannot be used, and why.
    Unusable(&'static str),
}

/// Joins the events of one fetch.
#[derive(Debug)]
pub(crate) struct EventJoin<'a> {
    place: SpoolPlace<'a>,
    spool: Option<Spool>,
}

impl<'a> EventJoin<'a> {
    /// Makes a join that keeps its spool files in this place.
    #[must_use]
    pub(crate) fn new(place: SpoolPlace<'a>) -> Self {
        Self { place, spool: None }
    }

    /// Takes an event. Returns the message if the event completes one.
    ///
    /// # Errors
    ///
    /// When the spool file cannot be written.
    pub(crate) async fn take(
        &mut self,
        event: MessageEvent,
    ) -> Result<Option<JoinedMessage>, Error> {
        let mut message = match event {
            MessageEvent::Begin => {
                self.spool = Some(Spool::create(self.place).map_err(Error::Spool)?);
                return Ok(None);
            }
            MessageEvent::Chunk(bytes) => {
                if let Some(spool) = &mut self.spool {
                    spool.write(bytes).await.map_err(Error::Spool)?;
                }
                return Ok(None);
            }
            MessageEvent::Message(message) => message,
        };
        let content = match (std::mem::take(&mut message.body), self.spool.take()) {
            (SourceBody::Bytes(bytes), _) => Ok(Original::Memory(bytes)),
            (SourceBody::Streamed, Some(spool)) => {
                Ok(spool.finish().await.map_err(Error::Spool)?)
            }
            (SourceBody::Streamed | SourceBody::Missing, _) => Err(NoContent::Missing),
            (SourceBody::TooBig { size_bytes }, _) => Err(NoContent::TooBig { size_bytes }),
            (SourceBody::Unusable(reason), _) => Err(NoContent::Unusable(reason)),
        };
        Ok(Some(JoinedMessage { message, content }))
    }
}
