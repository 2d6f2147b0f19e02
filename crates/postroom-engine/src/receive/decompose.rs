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
use crate::receive::witness;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::ErrorCode;
use postroom_model::FolderId;
use postroom_model::MessageDirection;
use postroom_model::MessageEntityId;
use postroom_model::MessageState;
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
pub(crate) struct Arrived {
    /// Its key at the source.
    pub key: SourceKey,
    /// The id of the entity that has only the header of this message so far. `None`: there is no
    /// such entity.
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
pub(crate) struct Recording {
    /// The tenant.
    pub domain: Domain,
    /// The account.
    pub account: AccountId,
    /// The folder.
    pub folder: FolderId,
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u64,
    /// Which parts of a message are kept.
    pub keep: Keep,
    /// The server-side action once the message is durable.
    pub action: Option<ServerAction>,
}

/// A message after decomposition.
#[derive(Debug)]
pub(crate) struct Decomposed {
    /// The message to record. Its original is missing if `spool` has it.
    pub message: ReceivedMessage,
    /// What the log says of it once it is recorded.
    pub arrival: Arrival,
    /// The file with the original of a large message that is to be kept.
    pub spool: Option<NamedTempFile>,
}

/// Decomposes one message. It arrived at `now_ms`, in milliseconds since 1970. `row` makes its
/// entity the row that is kept. If a value does not fit, the message is `raw`.
///
/// # Errors
///
/// When the file of a large message cannot be read again, or its state is an illegal one.
pub(crate) fn decompose(
    clock: &Clock,
    now_ms: i64,
    arrived: Arrived,
    recording: &Recording,
    row: impl Fn(&Entity) -> Result<EntityRow, postroom_store::Error>,
) -> Result<Decomposed, Error> {
    let id = arrived.known_as.unwrap_or_else(|| MessageEntityId::of(clock.new_id()));
    let mut derived =
        derive::derive(&arrived.original, recording.keep, id).map_err(Error::Spool)?;
    let mut values = std::mem::take(&mut derived.values);
    let reported = values.get(names::REPORT).and_then(|report| report.get("messageId")?.as_str());
    let reported = reported.map(str::to_owned);
    let state = state::after(None, derived.step()).map_err(postroom_store::Error::from)?;
    values.insert(names::MESSAGE_STATE.to_owned(), json!(state));
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
    let (row, fits) = row_of(&mut entity, row)?;
    let is_raw = is_raw || !fits;
    let files = if fits { derived.files } else { vec![] };
    let arrival = Arrival::of(&entity);
    let keep = recording.keep.raw || is_raw;
    let hash = arrived.original.hash().map_err(Error::Spool)?;
    let start = arrived.original.start().map_err(Error::Spool)?;
    let witness = Witness {
        // A server that tells the size only later must tell that of these bytes.
        size_bytes: arrived.size_bytes.or(Some(arrived.original.size_bytes())),
        internal_date_ms: arrived.internal_date_ms,
        message_id: witness::message_id(&start),
    };
    let is_kept = |action: &ServerAction| !action.deletes() || arrived.may_be_deleted;
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
        reported: reported.filter(|_| fits),
        action: recording.action.filter(is_kept),
    };
    Ok(Decomposed { message, arrival, spool })
}

/// The values that do not come from the bytes.
fn envelope(arrived: &Arrived, recording: &Recording, values: &mut Map<String, Json>) {
    let mut put = |name: &str, value: Json| values.insert(name.to_owned(), value);
    put(names::ACCOUNT_ID, json!(recording.account.to_string()));
    put(names::FOLDER_ID, json!(recording.folder.to_string()));
    put(names::MESSAGE_DIRECTION, json!(MessageDirection::In));
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

/// What a message keeps beside its bytes when a value does not fit.
const FACTS: [&str; 10] = [
    "account_id",
    "folder_id",
    "messageDirection",
    "uidValidity",
    "uid",
    "size",
    "flags",
    "internalDate",
    "dateTime",
    TIME_SOURCE,
];

/// The row of a message, and whether all its values fit. Otherwise the message is `raw` now.
///
/// A value that is not of the type of its property would be a fault of Postroom. It must not keep
/// the message from being stored, or its folder would wait for ever. So the message keeps only the
/// facts of the server, and says which value did not fit.
fn row_of(
    entity: &mut Entity,
    row: impl Fn(&Entity) -> Result<EntityRow, postroom_store::Error>,
) -> Result<(EntityRow, bool), Error> {
    let mut fits = true;
    loop {
        let error = match row(entity) {
            Ok(made) => return Ok((made, fits)),
            Err(error) => error,
        };
        let postroom_store::Error::WrongType { property, .. } = &error else {
            return Err(error.into());
        };
        let properties = &mut entity.properties;
        if properties.remove(property).is_none() {
            return Err(error.into());
        }
        if std::mem::take(&mut fits) {
            tracing::error!(%error, "a message is stored raw, which is a fault of Postroom");
            properties.retain(|name, _| FACTS.contains(&name.as_str()));
            properties.insert("messageState".to_owned(), json!(MessageState::Raw.as_str()));
            properties.insert("errorCode".to_owned(), json!(ErrorCode::NotDecomposable));
            properties.insert("errorText".to_owned(), json!(error.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::Class;
    use postroom_model::builtin;
    use postroom_store::FeedRetention;
    use postroom_store::MasterKey;
    use postroom_store::Member;
    use postroom_store::ObjectsAccess;
    use postroom_store::SqliteDirectory;
    use postroom_store::Store;
    use postroom_store::StoreConfig;
    use postroom_store::Work;
    use std::cell::RefCell;
    use std::sync::Arc;

    async fn open(directory: &std::path::Path) -> (Store, Arc<Class>) {
        let config = StoreConfig {
            key: MasterKey::in_directory(directory).unwrap(),
            classes: builtin::classes().unwrap(),
            clock: Clock::system(),
            work: Work::Inline,
            member: Member::alone(),
            objects: ObjectsAccess::None,
            feed: FeedRetention::default(),
        };
        let database = SqliteDirectory::open_inline(directory, Clock::system()).unwrap();
        let store = Store::open(database, &config).await.unwrap();
        let class = store.builtin(builtin::MESSAGES).unwrap();
        (store, class)
    }

    fn received(
        bytes: &[u8],
        row: impl Fn(&Entity) -> Result<EntityRow, postroom_store::Error>,
    ) -> Decomposed {
        let arrived = Arrived {
            key: postroom_store::SourceKey::of_uid(u64::from(u32::MAX)),
            known_as: None,
            flags: vec!["\\Seen".to_owned(), "odd\u{1}flag".to_owned()],
            internal_date_ms: Some(i64::MAX),
            size_bytes: Some(u64::MAX),
            may_be_deleted: true,
            original: Original::Memory(bytes.to_vec().into()),
        };
        let recording = Recording {
            domain: Domain::default_domain(),
            account: AccountId::from_u128(1),
            folder: FolderId::from_u128(2),
            uid_validity: u64::from(u32::MAX),
            keep: crate::derive::Keep { raw: false, html: true, text_bytes_max: 60_000 },
            action: None,
        };
        let clock = Clock::system();
        decompose(&clock, clock.now_ms(), arrived, &recording, row).unwrap()
    }

    #[tokio::test]
    async fn what_does_not_fit_is_stored_raw_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let (store, class) = open(directory.path()).await;
        let seen = RefCell::new(vec![]);
        // As if two values were of a wrong type: one of the message, and one of the server's.
        let row = |entity: &Entity| {
            seen.borrow_mut().push(entity.clone());
            let wrong = ["subject", "flags"].into_iter().find(|name| !entity.get(name).is_null());
            match wrong {
                Some(name) => Err(postroom_store::Error::WrongType {
                    class: class.classname.clone(),
                    property: name.to_owned(),
                    wanted: "text",
                }),
                None => store.entity_row(&Domain::default_domain(), &class, entity),
            }
        };
        let message = b"From: a@b.test\r\nSubject: s\r\n\r\ntext";
        let decomposed = received(message, row);
        let kept = seen.borrow().last().cloned().unwrap();
        assert_eq!(kept.text("messageState"), Some("raw"));
        assert_eq!(kept.text("errorCode"), Some("not_decomposable"));
        let why = kept.text("errorText").unwrap();
        assert!(why.contains("`subject`") && why.contains("email/Messages"), "{why}");
        assert_eq!(kept.get("uid"), u64::from(u32::MAX));
        assert!(kept.get("text").is_null() && kept.get("flags").is_null());
        assert!(kept.text("dateTime").is_some() && kept.text("folder_id").is_some());
        assert!(decomposed.message.files.is_empty());
        assert!(decomposed.message.original.is_some(), "a raw message keeps its bytes");
    }

    /// What a received message can be made of, in all its oddness: each value fits.
    #[tokio::test]
    async fn every_value_that_is_derived_fits() {
        let directory = tempfile::tempdir().unwrap();
        let (store, class) = open(directory.path()).await;
        let fields = [
            "Subject",
            "From",
            "To",
            "Cc",
            "Bcc",
            "Reply-To",
            "Sender",
            "Date",
            "Message-ID",
            "In-Reply-To",
            "References",
            "Received",
            "Content-Type",
            "Content-Disposition",
            "Content-Transfer-Encoding",
            "Content-ID",
            "Return-Path",
            "X-Priority",
            "Importance",
            "List-Id",
            "Auto-Submitted",
            "Delivered-To",
        ];
        let bodies: [&[u8]; 12] = [
            b"",
            b" ",
            b"\0\xff\xfe",
            b"=?utf-8?q?=00=ff?=",
            b"99999999999999999999",
            b"null",
            b"{}",
            b"a@b.test, <>, <@>, group: x@y.test;",
            b"Thu, 99 Feb 99999 99:99:99 +9999",
            b"multipart/mixed; boundary=",
            b"message/rfc822",
            b"text/html; charset=\xf0\x9f",
        ];
        let mut count = 0;
        for field in fields {
            for (at, body) in bodies.iter().enumerate() {
                let mut bytes = format!("{field}: ").into_bytes();
                bytes.extend_from_slice(body);
                bytes.extend_from_slice(format!("\r\n{field}:\r\n").as_bytes());
                let other = bodies[(at + count) % bodies.len()];
                bytes.extend_from_slice(b"MIME-Version: 1.0\r\nContent-Type: ");
                bytes.extend_from_slice(other);
                bytes.extend_from_slice(b"\r\n\r\n--\r\n");
                bytes.extend_from_slice(other);
                let row = |entity: &Entity| {
                    let row = store.entity_row(&Domain::default_domain(), &class, entity);
                    let text = String::from_utf8_lossy(&bytes);
                    assert!(row.is_ok(), "{:?}: {text}", row.err());
                    row
                };
                received(&bytes, row);
                count += 1;
            }
        }
        assert_eq!(count, fields.len() * bodies.len());
    }
}
