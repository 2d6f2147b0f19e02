//! What is stored of a message that is too large: the values from its header.

use crate::derive;
use crate::derive::Keep;
use crate::error::Error;
use crate::original::Original;
use crate::original::hash_of;
use crate::original::start_of;
use crate::receive::single;
use crate::receive::witness;
use crate::source::contract::Source;
use bytes::Bytes;
use postroom_model::MessageEntityId;
use postroom_model::builtin::names;
use postroom_store::Clock;
use postroom_store::MissedMessage;
use postroom_store::Witness;
use serde_json::Map;
use serde_json::Value as Json;

/// Fetches the header of a message that is too large, and takes values, hash and witness from it.
/// If the server does not return it, the message stays without them. `bytes_max` is the limit of
/// the folder.
///
/// # Errors
///
/// What ended the connection.
pub(crate) async fn add<S: Source>(
    source: &mut S,
    missed: &mut MissedMessage,
    clock: &Clock,
    bytes_max: u64,
) -> Result<(), Error> {
    let Some(told) = single::header(source, missed.key).await? else {
        return Ok(());
    };
    // If the announced size is within the limit, the message would be fetched again at each poll.
    let is_over = |announced: &u64| *announced > bytes_max;
    missed.witness = Witness {
        size_bytes: told.size_bytes.filter(is_over),
        internal_date_ms: told.internal_date_ms,
        message_id: None,
    };
    let Some(header) = told.header else {
        return Ok(());
    };
    missed.witness.message_id = witness::message_id(&start_of(&header));
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
