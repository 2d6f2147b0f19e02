//! FETCH: its forms, and its events as those of a source.
//!
//! A server may fail in one form and not in another, because different code of the server answers
//! them.

use crate::error::Error;
use crate::source::contract::MessageStream;
use crate::source::message::MessageEvent;
use crate::source::message::SourceBody;
use crate::source::message::SourceMessage;
use postroom_imap::Body;
use postroom_imap::Fetch;
use postroom_imap::FetchEvent;
use postroom_imap::Fetched;
use postroom_store::SourceKey;

/// How a message is asked for that did not come as a whole by `BODY.PEEK[]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchForm {
    /// From the first octet on (RFC 3501 §6.4.5).
    Partial,
    /// By this sequence number.
    Sequence(u32),
    /// `RFC822`, which sets `\Seen` unless the mailbox was opened by EXAMINE.
    Old,
}

/// A running FETCH.
pub(crate) struct ImapMessages<'a>(pub(super) Fetch<'a>);

impl MessageStream for ImapMessages<'_> {
    async fn next(&mut self) -> Result<Option<MessageEvent>, Error> {
        while let Some(event) = self.0.next().await? {
            match event {
                FetchEvent::BodyStart { .. } => return Ok(Some(MessageEvent::Begin)),
                FetchEvent::Chunk(bytes) => return Ok(Some(MessageEvent::Chunk(bytes))),
                FetchEvent::BodyEnd => {}
                FetchEvent::Message(message) => {
                    if let Some(uid) = message.uid {
                        return Ok(Some(MessageEvent::Message(given(uid, message))));
                    }
                }
            }
        }
        Ok(None)
    }
}

fn given(uid: u64, fetched: Fetched) -> SourceMessage {
    SourceMessage {
        key: SourceKey::of_uid(uid),
        flags: fetched.flags,
        internal_date_ms: fetched.internal_date_ms,
        size_bytes: fetched.size_bytes,
        header: fetched.header,
        body: match fetched.body {
            Body::Missing => SourceBody::Missing,
            Body::Bytes(bytes) => SourceBody::Bytes(bytes),
            Body::Streamed => SourceBody::Streamed,
            Body::TooBig { size_bytes } => SourceBody::TooBig { size_bytes },
            Body::Nil => SourceBody::Unusable("the server gave NIL for its body"),
            Body::WrongSize => {
                SourceBody::Unusable("the server gave another size than it announced")
            }
        },
    }
}
