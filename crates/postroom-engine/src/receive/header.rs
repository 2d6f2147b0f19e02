//! What is stored of a message that is too large: the values from its header.

use crate::derive;
use crate::derive::Keep;
use crate::error::Error;
use crate::original::Original;
use crate::original::hash_of;
use crate::receive::single;
use crate::source::contract::Source;
use bytes::Bytes;
use postroom_model::MessageEntityId;
use postroom_model::builtin::names;
use postroom_store::Clock;
use postroom_store::MissedMessage;
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
    let Some(header) = single::header(source, missed.key).await? else {
        return Ok(());
    };
    missed.values = values_of(&header, MessageEntityId::of(clock.new_id()));
    missed.hash = Some(hash_of(&header));
    Ok(())
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
