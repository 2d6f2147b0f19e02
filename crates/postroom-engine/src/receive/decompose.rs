//! Decomposition: from the bytes of one message to its entity and files.
//!
//! [`crate::derive`] derives values from the bytes. This module adds the values from the server:
//! UID, flags, INTERNALDATE.

use crate::derive;
use crate::derive::Derived;
use crate::derive::Keep;
use crate::error::Error;
use crate::journal::Arrival;
use crate::original::Original;
use crate::receive::fitting;
use crate::receive::witness;
use postroom_model::AccountId;
use postroom_model::Entity;
use postroom_model::ErrorCode;
use postroom_model::FolderId;
use postroom_model::MessageEntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::names;
use postroom_model::standing::ARRIVAL;
use postroom_model::standing::TIME_SOURCE;
use postroom_model::state;
use postroom_store::Clock;
use postroom_store::Content;
use postroom_store::EntityRow;
use postroom_store::ReceivedMessage;
use postroom_store::ServerAction;
use postroom_store::SourceKey;
use postroom_store::Witness;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use tempfile::NamedTempFile;

/// One message as its source gave it. From here on, nothing depends on IMAP but the two properties
/// that show the key of an IMAP message.
#[derive(Debug)]
pub struct Arrived {
    /// Its key at the source.
    pub key: SourceKey,
    /// The id of the message that is there by its header alone, where it is this one.
    pub known_as: Option<MessageEntityId>,
    /// Its flags.
    pub flags: Vec<String>,
    /// INTERNALDATE in milliseconds since 1970, if the server gave a valid one.
    pub internal_date_ms: Option<i64>,
    /// RFC822.SIZE.
    pub size_bytes: Option<u64>,
    /// Whether its bytes are good enough for the message to be deleted at the server.
    pub may_be_deleted: bool,
    /// Its bytes.
    pub original: Original,
}

/// How the messages of a folder are recorded.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The account.
    pub account: AccountId,
    /// The folder.
    pub folder: FolderId,
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u64,
    /// What of a message is kept.
    pub keep: Keep,
    /// The server-side action once the message is durable.
    pub action: Option<ServerAction>,
}

/// A message after decomposition.
#[derive(Debug)]
pub struct Decomposed {
    /// The message to record. Its original is missing if `spool` has it.
    pub message: ReceivedMessage,
    /// What the log says of it once it is recorded.
    pub arrival: Arrival,
    /// The file with the original of a large message that is to be kept.
    pub spool: Option<NamedTempFile>,
}

/// Decomposes one message; `row` makes its entity the row that is kept. If a value does not fit,
/// the message is `raw`.
///
/// # Errors
///
/// When the file of a large message cannot be read again, or its state is an illegal one.
pub fn decompose(
    clock: &Clock,
    arrived: Arrived,
    recording: &Recording,
    row: impl Fn(&Entity) -> Result<EntityRow, postroom_store::Error>,
) -> Result<Decomposed, Error> {
    let now_ms = clock.now_ms();
    let id = arrived.known_as.unwrap_or_else(|| MessageEntityId::of(clock.new_id()));
    let mut derived =
        derive::derive(&arrived.original, recording.keep, id).map_err(Error::Spool)?;
    let mut values = std::mem::take(&mut derived.values);
    let state = state::after(None, derived.step()).map_err(postroom_store::Error::from)?;
    values.insert(names::MESSAGE_STATE.to_owned(), json!(state.as_str()));
    let is_raw = derived.raw_reason.is_some();
    if is_raw {
        values.insert(names::ERROR_CODE.to_owned(), json!(ErrorCode::NotDecomposable));
        values.insert(names::ERROR_TEXT.to_owned(), json!(derived.raw_reason));
    }
    envelope(&arrived, recording, &mut values);
    let (date_time_ms, source) = date_time(&arrived, &derived, now_ms);
    if source == "internalDate" {
        values.insert(names::INTERNAL_DATE.to_owned(), moment(date_time_ms));
    }
    values.insert(names::DATE_TIME.to_owned(), moment(date_time_ms));
    values.insert(TIME_SOURCE.to_owned(), json!(source));
    let mut entity = Entity::new(id.into(), values);
    let (row, fits) = fitting::row_of(&mut entity, row)?;
    let is_raw = is_raw || !fits;
    let files = if fits { derived.files } else { vec![] };
    let arrival = Arrival::of(&entity);
    let keep = recording.keep.raw || is_raw;
    let hash = arrived.original.hash().map_err(Error::Spool)?;
    let start = arrived.original.start().map_err(Error::Spool)?;
    let witness = Witness {
        size_bytes: arrived.size_bytes,
        internal_date_ms: arrived.internal_date_ms,
        message_id: witness::message_id(&start),
    };
    let is_kept = |action: &ServerAction| *action != ServerAction::Delete || arrived.may_be_deleted;
    let (original, spool) = match arrived.original {
        Original::Memory(bytes) => (keep.then(|| Content::prepare(&bytes)), None),
        Original::Spool { file, .. } => (None, keep.then_some(file)),
    };
    let message = ReceivedMessage {
        key: arrived.key,
        row,
        files,
        original,
        hash,
        witness,
        action: recording.action.filter(is_kept),
    };
    Ok(Decomposed { message, arrival, spool })
}

/// The values that do not come from the bytes.
fn envelope(arrived: &Arrived, recording: &Recording, values: &mut Map<String, Json>) {
    let mut put = |name: &str, value: Json| values.insert(name.to_owned(), value);
    put(names::ACCOUNT_ID, json!(recording.account.to_string()));
    put(names::FOLDER_ID, json!(recording.folder.to_string()));
    put(names::MESSAGE_DIRECTION, json!("in"));
    put(names::UID_VALIDITY, json!(recording.uid_validity));
    put(names::UID, json!(arrived.key.uid()));
    put(names::SIZE, json!(arrived.original.size_bytes()));
    put(names::FLAGS, json!(arrived.flags));
}

/// When the message came, and what says so.
fn date_time(arrived: &Arrived, derived: &Derived, now_ms: i64) -> (i64, &'static str) {
    match arrived.internal_date_ms.filter(|ms| derive::is_sane(*ms, now_ms)) {
        Some(ms) => (ms, "internalDate"),
        None => derived.date_time(now_ms).unwrap_or((now_ms, ARRIVAL)),
    }
}

fn moment(ms: i64) -> Json {
    Json::String(Timestamp::from_ms(ms).to_string())
}
