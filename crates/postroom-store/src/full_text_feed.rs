//! What the feed says about the words of messages.

use crate::database::Statement;
use crate::error::Error;
use crate::seq;
use crate::store::Store;
use postroom_model::EntityId;
use postroom_model::Operation;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// The properties of a message that have words, or that decide whether its words are stored.
const WITH_WORDS: [&str; 8] = [
    names::SUBJECT,
    names::FROM,
    names::TO,
    names::TEXT,
    names::FILE,
    names::DATE_TIME,
    names::FOLDER_ID,
    names::ACCOUNT_ID,
];
/// The properties of profiles, accounts and folders that decide it for their messages.
const WITH_OPTIONS: [&str; 3] = [names::OPTIONS, names::PROFILE_ID, names::ACCOUNT_ID];
/// If a change of a message replaced more, its words are stored again without looking.
const REPLACED_CHARS_MAX: u32 = 4_096;

/// What a part of the feed shows.
#[derive(Default)]
pub(crate) struct ChangesPart {
    /// The number of the last change that was read.
    pub last: Option<i64>,
    /// The messages whose words are stored again.
    pub messages: BTreeSet<EntityId>,
    /// Whether options have changed.
    pub changes_options: bool,
}

impl Store {
    /// Reads the next changes: which messages have changed in what has words, and whether options
    /// have changed.
    pub(crate) async fn words_feed(&self, after: i64, at_once: u64) -> Result<ChangesPart, Error> {
        let settled = seq::settled(self.inner.database.dialect());
        let sql = format!(
            "SELECT \"seq\", \"class\", \"entity\", \"operation\",
               CASE WHEN \"class\" IN ($2, $3, $4)
                 OR LENGTH(CAST(\"replaced\" AS TEXT)) <= {REPLACED_CHARS_MAX}
                 THEN \"replaced\" END
             FROM \"change\" WHERE \"seq\" > $1{settled} ORDER BY \"seq\" LIMIT $5"
        );
        let statement = Statement::new(sql).bind(after).bind(PROFILES).bind(ACCOUNTS);
        let rows = self.read(statement.bind(FOLDERS).bind(at_once)).await?;
        let mut part = ChangesPart::default();
        for row in &rows {
            part.last = row.whole(0);
            let is_deletion = row.whole(3) == Some(Operation::Delete.number());
            // `None`: the entity is new, or so much was replaced that it was not read.
            let replaced: Option<Map<String, Json>> =
                row.text(4).and_then(|text| serde_json::from_str(text).ok());
            let has_any = |names: &[&str]| {
                replaced.as_ref().map(|all| names.iter().any(|name| all.contains_key(*name)))
            };
            if row.text(1) == Some(MESSAGES) {
                let id = row.id(2).filter(|_| !is_deletion && has_any(&WITH_WORDS) != Some(false));
                part.messages.extend(id);
            } else {
                part.changes_options |= has_any(&WITH_OPTIONS) == Some(true);
            }
        }
        Ok(part)
    }
}
