//! What is stored of a message that is too large: the values from its header.

use crate::derive;
use crate::derive::Keep;
use crate::error::Error;
use crate::original::Original;
use crate::original::hash_of;
use crate::source::contract::MessageStream;
use crate::source::contract::Source;
use crate::source::message::FetchScope;
use crate::source::message::MessageEvent;
use bytes::Bytes;
use postroom_model::MessageEntityId;
use postroom_model::builtin::names;
use postroom_store::Clock;
use postroom_store::MissedMessage;
use postroom_store::SourceKey;
use serde_json::Map;
use serde_json::Value as Json;

/// Fetches the header of a message that is too large, and takes values and hash from it. If the
/// server does not return it, the message stays without them.
///
/// # Errors
///
/// What ended the connection.
pub(crate) async fn add<S: Source>(
    source: &mut S,
    missed: &mut MissedMessage,
    clock: &Clock,
) -> Result<(), Error> {
    let Some(header) = header(source, missed.key).await? else {
        return Ok(());
    };
    missed.values = values_of(&header, MessageEntityId::of(clock.new_id()));
    missed.hash = Some(hash_of(&header));
    Ok(())
}

/// Asks for the header of a message. `None` where the source does not give it.
async fn header<S: Source>(source: &mut S, key: SourceKey) -> Result<Option<Bytes>, Error> {
    match header_of(source, key).await {
        Err(error) if error.is_refusal() => Ok(None),
        result => result,
    }
}

async fn header_of<S: Source>(source: &mut S, key: SourceKey) -> Result<Option<Bytes>, Error> {
    let mut messages = source.fetch(&[key], FetchScope::Header).await?;
    let mut header = None;
    while let Some(event) = messages.next().await? {
        if let MessageEvent::Message(message) = event
            && message.key == key
        {
            header = message.header.or(header);
        }
    }
    Ok(header)
}

/// The values from the header of a message that is too large.
fn values_of(header: &Bytes, message: MessageEntityId) -> Map<String, Json> {
    const TOLD: [&str; 10] = [
        names::FROM,
        names::FROM_DISPLAY_NAME,
        names::TO,
        names::CC,
        names::REPLY_TO,
        names::RECIPIENTS,
        names::SUBJECT,
        names::MESSAGE_ID,
        names::IN_REPLY_TO,
        names::REFERENCES,
    ];
    let keep = Keep { raw: false, html: false, text_bytes_max: 0 };
    let original = Original::Memory(header.clone());
    // Reading memory cannot fail.
    let mut values = derive::derive(&original, keep, message).map(|derived| derived.values);
    if let Ok(values) = &mut values {
        values.retain(|name, _| TOLD.contains(&name.as_str()));
    }
    values.unwrap_or_default()
}
