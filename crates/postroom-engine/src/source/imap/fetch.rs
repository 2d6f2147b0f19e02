//! FETCH: its forms, and the translation of its events.
//!
//! A server may fail with one form and not with another, because it has different code for them.

use crate::error::Error;
use crate::source::contract::MessageStream;
use crate::source::message::CONTRADICTION;
use crate::source::message::MessageEvent;
use crate::source::message::SourceBody;
use crate::source::message::SourceMessage;
use postroom_imap::Body;
use postroom_imap::Fetch;
use postroom_imap::FetchEvent;
use postroom_imap::Fetched;
use postroom_store::SourceKey;

/// Another way to ask for a message that did not arrive whole by `BODY.PEEK[]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchForm {
    /// A partial FETCH from the first octet on (RFC 3501 §6.4.5).
    Partial,
    /// FETCH with this sequence number, not with the UID.
    Sequence(u32),
    /// `RFC822`. It sets `\Seen` unless the mailbox was opened by EXAMINE.
    Old,
    /// `BODY.PEEK[]` with no other item, because some servers refuse one of the others, or several
    /// at once.
    Alone,
    /// `BODY[]` with no other item. It sets `\Seen` unless the mailbox was opened by EXAMINE.
    AloneOld,
}

/// A running FETCH.
pub(crate) struct ImapMessages<'a> {
    pub(super) fetch: Fetch<'a>,
    /// Whether a part of each message is asked for, which begins at the first octet.
    pub(super) is_partial: bool,
}

impl MessageStream for ImapMessages<'_> {
    async fn next(&mut self) -> Result<Option<MessageEvent>, Error> {
        while let Some(event) = self.fetch.next().await? {
            match event {
                FetchEvent::BodyStart { .. } => return Ok(Some(MessageEvent::Begin)),
                FetchEvent::Chunk(bytes) => return Ok(Some(MessageEvent::Chunk(bytes))),
                FetchEvent::BodyEnd => {}
                FetchEvent::Message(message) => {
                    if let Some(uid) = message.uid {
                        let mut message = given(uid, message);
                        message.is_called_part &= !self.is_partial;
                        return Ok(Some(MessageEvent::Message(message)));
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
        is_called_part: fetched.is_called_part,
        body: match fetched.body {
            Body::Missing => SourceBody::Missing,
            Body::Bytes(bytes) => SourceBody::Bytes(bytes),
            Body::Streamed => SourceBody::Streamed,
            Body::TooBig { size_bytes } => SourceBody::TooBig { size_bytes },
            Body::Nil => SourceBody::Unusable("the server gave NIL for its body"),
            Body::WrongSize => {
                SourceBody::Unusable("the server gave another size than it announced")
            }
            Body::Contradictory => SourceBody::Unusable(CONTRADICTION),
        },
    }
}
