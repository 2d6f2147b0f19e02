//! Fetches one message alone, by the usual way or by another way of its source.

use crate::error::Error;
use crate::original::Original;
use crate::original::SpoolPlace;
use crate::receive::witness;
use crate::receive::witness::Facts;
use crate::source::answer_so_far::AnswerSoFar;
use crate::source::answer_so_far::AnswerStep;
use crate::source::contract::MessageStream;
use crate::source::contract::Source;
use crate::source::joining::EventJoin;
use crate::source::joining::JoinedMessage;
use crate::source::joining::NoContent;
use crate::source::joining::UnspooledBytes;
use crate::source::message::CONTRADICTION;
use crate::source::message::FetchScope;
use crate::source::message::MessageEvent;
use crate::source::message::SourceMessage;
use postroom_store::SourceKey;

/// The result of asking for one message.
#[derive(Debug)]
pub(crate) enum Single {
    /// The source gave bytes. They may be less than the whole message.
    Given(SourceMessage, Original),
    /// The source gave no bytes, for this reason.
    Missed(String),
    /// The source gave bytes, and the spool directory did not take them.
    Unspooled(UnspooledBytes),
}

/// Asks for a message. A refusal of the source is [`Single::Missed`].
///
/// # Errors
///
/// What ended the connection.
pub(crate) async fn ask<S: Source>(
    source: &mut S,
    key: SourceKey,
    scope: FetchScope<S::Form>,
    spool: SpoolPlace<'_>,
) -> Result<Single, Error> {
    let mut single = match fetch(source, key, scope, spool).await {
        Err(error) if error.is_refusal() => return Ok(Single::Missed(error.to_string())),
        single => single?,
    };
    if let Single::Given(message, _) = &mut single
        && message.size_bytes.is_none()
    {
        // It was asked for without its size, or the answer lacks it.
        let seen = witness::ask(source, &[key], Facts::Few).await?;
        let seen = seen.get(&key).map(|seen| seen.witness);
        message.size_bytes = seen.and_then(|seen| seen.size_bytes);
        let date = seen.and_then(|seen| seen.internal_date_ms);
        message.internal_date_ms = message.internal_date_ms.or(date);
    }
    Ok(single)
}

async fn fetch<S: Source>(
    source: &mut S,
    key: SourceKey,
    scope: FetchScope<S::Form>,
    place: SpoolPlace<'_>,
) -> Result<Single, Error> {
    let mut join = EventJoin::new(place);
    let mut messages = source.fetch(&[key], scope).await?;
    let mut told = AnswerSoFar::default();
    let mut single = Single::Missed("the server returns no body".to_owned());
    while let Some(event) = messages.next().await? {
        let Some(joined) = join.take(event).await.filter(|joined| joined.message.key == key) else {
            continue;
        };
        let JoinedMessage { message, content } = match told.take(joined) {
            AnswerStep::Facts => continue,
            AnswerStep::Content(joined) => joined,
            AnswerStep::Contradiction => {
                single = Single::Missed(CONTRADICTION.to_owned());
                continue;
            }
        };
        single = match content {
            Ok(original) => Single::Given(message, original),
            Err(NoContent::Missing) => continue,
            Err(NoContent::TooBig { .. }) => {
                Single::Missed("the message is larger than message_bytes_max".to_owned())
            }
            Err(NoContent::Unusable(reason)) => Single::Missed(reason.to_owned()),
            Err(NoContent::Unspooled(unspooled)) => Single::Unspooled(unspooled),
        };
    }
    Ok(single)
}

/// Asks for the header of a message, with size and date. `None`: the source refuses it.
///
/// # Errors
///
/// What ended the connection.
pub(crate) async fn header<S: Source>(
    source: &mut S,
    key: SourceKey,
) -> Result<Option<SourceMessage>, Error> {
    match header_of(source, key).await {
        Err(error) if error.is_refusal() => Ok(None),
        result => result,
    }
}

async fn header_of<S: Source>(
    source: &mut S,
    key: SourceKey,
) -> Result<Option<SourceMessage>, Error> {
    let mut messages = source.fetch(&[key], FetchScope::Header).await?;
    let mut told: Option<SourceMessage> = None;
    while let Some(event) = messages.next().await? {
        if let MessageEvent::Message(message) = event
            && message.key == key
        {
            told = told.filter(|_| message.header.is_none()).or(Some(message));
        }
    }
    Ok(told)
}
