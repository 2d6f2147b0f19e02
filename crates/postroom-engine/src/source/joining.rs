//! Joins the events of a fetch to messages with their bytes. The bytes of a large message are in a
//! spool file.

use crate::original::Original;
use crate::original::Spool;
use crate::original::SpoolPlace;
use crate::source::message::MessageEvent;
use crate::source::message::SourceBody;
use crate::source::message::SourceMessage;
use bytes::Bytes;
use std::io;

/// A message with its bytes, or with the reason why there are none.
#[derive(Debug)]
pub(crate) struct JoinedMessage {
    /// What the source said about it. Its body is in `content`.
    pub message: SourceMessage,
    /// Its bytes, or why there are none.
    pub content: Result<Original, NoContent>,
}

/// Why there are no bytes.
#[derive(Debug)]
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
    /// They came, and the spool directory did not take them.
    Unspooled(UnspooledBytes),
}

/// Bytes that the spool directory did not take.
#[derive(Debug)]
pub(crate) struct UnspooledBytes {
    /// Why.
    pub error: io::Error,
    /// How many bytes came.
    pub size_bytes: u64,
}

/// The bytes of a large message as they come.
#[derive(Debug)]
enum Spooling {
    /// They are written.
    Written(Spool),
    /// They are thrown away, so that the messages behind this one come.
    Lost(UnspooledBytes),
}

impl Spooling {
    fn begin(place: SpoolPlace<'_>) -> Self {
        match Spool::create(place) {
            Ok(spool) => Self::Written(spool),
            Err(error) => Self::Lost(UnspooledBytes { error, size_bytes: 0 }),
        }
    }

    async fn take(&mut self, bytes: Bytes) {
        let came = bytes.len() as u64;
        match self {
            Self::Written(spool) => {
                let size_bytes = spool.size_bytes() + came;
                if let Err(error) = spool.write(bytes).await {
                    // The file is gone with its handle.
                    *self = Self::Lost(UnspooledBytes { error, size_bytes });
                }
            }
            Self::Lost(lost) => lost.size_bytes += came,
        }
    }

    async fn finish(self) -> Result<Original, NoContent> {
        match self {
            Self::Written(spool) => {
                let size_bytes = spool.size_bytes();
                let unspooled = |error| NoContent::Unspooled(UnspooledBytes { error, size_bytes });
                spool.finish().await.map_err(unspooled)
            }
            Self::Lost(lost) => Err(NoContent::Unspooled(lost)),
        }
    }
}

/// Joins the events of one fetch.
#[derive(Debug)]
pub(crate) struct EventJoin<'a> {
    place: SpoolPlace<'a>,
    spooling: Option<Spooling>,
}

impl<'a> EventJoin<'a> {
    /// Makes a join that keeps its spool files in this place.
    #[must_use]
    pub(crate) fn new(place: SpoolPlace<'a>) -> Self {
        Self { place, spooling: None }
    }

    /// Takes an event. Returns the message if the event completes one.
    pub(crate) async fn take(&mut self, event: MessageEvent) -> Option<JoinedMessage> {
        let mut message = match event {
            MessageEvent::Begin => {
                self.spooling = Some(Spooling::begin(self.place));
                return None;
            }
            MessageEvent::Chunk(bytes) => {
                if let Some(spooling) = &mut self.spooling {
                    spooling.take(bytes).await;
                }
                return None;
            }
            MessageEvent::Message(message) => message,
        };
        let content = match (std::mem::take(&mut message.body), self.spooling.take()) {
            (SourceBody::Bytes(bytes), _) => Ok(Original::Memory(bytes)),
            (SourceBody::Streamed, Some(spooling)) => spooling.finish().await,
            (SourceBody::Streamed | SourceBody::Missing, _) => Err(NoContent::Missing),
            (SourceBody::TooBig { size_bytes }, _) => Err(NoContent::TooBig { size_bytes }),
            (SourceBody::Unusable(reason), _) => Err(NoContent::Unusable(reason)),
        };
        Some(JoinedMessage { message, content })
    }
}
