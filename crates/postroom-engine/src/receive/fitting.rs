//! Makes the row of a received message, whatever its values are.
//!
//! A value that is not of the type of its property would be a fault of Postroom. It must not keep
//! the message from being stored, or its folder would wait for ever. So the message becomes `raw`,
//! with the facts of the server alone, and says which value did not fit.

use crate::error::Error;
use postroom_model::Entity;
use postroom_model::ErrorCode;
use postroom_model::MessageState;
use postroom_model::standing::TIME_SOURCE;
use postroom_store::EntityRow;
use serde_json::json;

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
/// # Errors
///
/// When the row cannot be made for another reason.
pub fn row_of(
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
    use crate::original::Original;
    use crate::receive::decompose::Arrived;
    use crate::receive::decompose::Decomposed;
    use crate::receive::decompose::Recording;
    use crate::receive::decompose::decompose;
    use postroom_model::AccountId;
    use postroom_model::Class;
    use postroom_model::FolderId;
    use postroom_model::builtin;
    use postroom_store::Clock;
    use postroom_store::MasterKey;
    use postroom_store::Member;
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
            account: AccountId::from_u128(1),
            folder: FolderId::from_u128(2),
            uid_validity: u64::from(u32::MAX),
            keep: crate::derive::Keep { raw: false, html: true, text_bytes_max: 60_000 },
            action: None,
        };
        decompose(&Clock::system(), arrived, &recording, row).unwrap()
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
                None => store.entity_row(&class, entity),
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
                    let row = store.entity_row(&class, entity);
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
