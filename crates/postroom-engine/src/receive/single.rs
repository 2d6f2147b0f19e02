//! Fetches one message alone, as a whole or in another form of its source.

use crate::error::Error;
use crate::original::Original;
use crate::original::Spool;
use crate::original::SpoolPlace;
use crate::source::contract::MessageStream;
use crate::source::contract::Source;
use crate::source::failure::is_refusal;
use crate::source::message::FetchScope;
use crate::source::message::MessageEvent;
use crate::source::message::SourceBody;
use crate::source::message::SourceMessage;
use postroom_store::SourceKey;

/// What came.
#[derive(Debug)]
pub(crate) enum Single {
    /// Octets, which may be the whole message or not.
    Given(SourceMessage, Original),
    /// None, and why.
    Missed(String),
}

/// Asks for a message.
///
/// # Errors
///
/// What ended the connection, or the spool directory.
pub(crate) async fn ask<S: Source>(
    source: &mut S,
    key: SourceKey,
    scope: FetchScope<S::Form>,
    spool: SpoolPlace<'_>,
) -> Result<Single, Error> {
    match fetch(source, key, scope, spool).await {
        Err(error) if is_refusal(&error) => Ok(Single::Missed(error.to_string())),
        result => result,
    }
}

async fn fetch<S: Source>(
    source: &mut S,
    key: SourceKey,
    scope: FetchScope<S::Form>,
    place: SpoolPlace<'_>,
) -> Result<Single, Error> {
    let mut messages = source.fetch(&[key], scope).await?;
    let mut spool: Option<Spool> = None;
    let mut single = Single::Missed("the server returns no body".to_owned());
    while let Some(event) = messages.next().await? {
        match event {
            MessageEvent::Begin => {
                spool = Some(Spool::create(place).map_err(Error::Spool)?);
            }
            MessageEvent::Chunk(bytes) => {
                if let Some(spool) = &mut spool {
                    spool.write(bytes).await.map_err(Error::Spool)?;
                }
            }
            MessageEvent::Message(message) => {
                let spool = spool.take();
                let is_it = message.key == key && message.body != SourceBody::Missing;
                if is_it && !matches!(single, Single::Given(..)) {
                    single = given(message, spool).await?;
                }
            }
        }
    }
    Ok(single)
}

async fn given(mut message: SourceMessage, spool: Option<Spool>) -> Result<Single, Error> {
    let missed = |reason: &str| Ok(Single::Missed(reason.to_owned()));
    match (std::mem::take(&mut message.body), spool) {
        (SourceBody::Bytes(bytes), _) => Ok(Single::Given(message, Original::Memory(bytes))),
        (SourceBody::Streamed, Some(spool)) => {
            let original = spool.finish().await.map_err(Error::Spool)?;
            Ok(Single::Given(message, original))
        }
        (SourceBody::Unusable(reason), _) => missed(reason),
        (SourceBody::TooBig { .. }, _) => missed("the message is larger than message_bytes_max"),
        (SourceBody::Streamed | SourceBody::Missing, _) => missed("the server returns no body"),
    }
}
