//! FETCH: its forms, and its events as those of a source.
//!
//! A server may fail in one form and not in another, because different code of the server answers
//! them.

use crate::error::Error;
use crate::source::contract::MessageStream;
use crate::source::imap::uids::set_of;
use crate::source::message::FetchScope;
use crate::source::message::MessageEvent;
use crate::source::message::SourceBody;
use crate::source::message::SourceMessage;
use postroom_imap::Body;
use postroom_imap::Fetch;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::Fetched;
use postroom_imap::ImapConnection;
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
pub(crate) struct ImapMessages<'a>(Fetch<'a>);

/// Begins to fetch.
///
/// # Errors
///
/// What ended the connection.
pub(crate) async fn fetch<'a>(
    connection: &'a mut ImapConnection,
    keys: &[SourceKey],
    scope: FetchScope<FetchForm>,
) -> Result<ImapMessages<'a>, Error> {
    let items = match scope {
        FetchScope::Whole => FetchItems::Message,
        FetchScope::UpTo(bytes_max) => FetchItems::MessageUpTo(bytes_max),
        FetchScope::Form(FetchForm::Partial) => FetchItems::MessagePartial,
        FetchScope::Form(FetchForm::Old) => FetchItems::MessageOld,
        FetchScope::Form(FetchForm::Sequence(number)) => {
            let uid = keys.first().copied().unwrap_or_default().uid();
            let fetch = connection.fetch(number, uid, FetchItems::Message).await?;
            return Ok(ImapMessages(fetch));
        }
        FetchScope::Header => FetchItems::Header,
        FetchScope::Witness => FetchItems::Witness,
        FetchScope::Sizes => FetchItems::Sizes,
    };
    Ok(ImapMessages(connection.uid_fetch(&set_of(keys), items).await?))
}

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
