//! Full text: stores the words of messages, some time after the messages have changed.
//!
//! ```text
//!   feed, from `full text seq` on  ──► messages that changed ─┐
//!   messages, from `full text fill` down ──► those without ───┴─► words, and how far it came
//! ```
//! No words are written in the transaction of a message, so receiving does not wait for them. The
//! first pass, and another one after each change of options, goes through all messages from the
//! newest on. It stores the words of messages whose option `full_text` is on, and deletes those of
//! the others. If the feed has lost changes that were not processed yet, such a pass begins too.
//! The words of a deleted message are deleted in the same transaction.

use crate::columns::places;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::full_text_row;
use crate::full_text_row::FILL;
use crate::full_text_row::SEQ;
use crate::full_text_row::WordsRow;
use crate::seq;
use crate::store::Store;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::INDEXED_TEXT_CHARS_MAX;
use postroom_model::Options;
use postroom_model::builtin::names;
use postroom_model::indexed_words;
use postroom_model::options::FULL_TEXT;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// How many changes, or messages, are processed together. Others who write wait for so long.
const AT_ONCE: u64 = 50;
/// How many bytes of messages are read at once.
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
/// An id that is greater than that of every message.
pub(crate) const LAST: EntityId = EntityId::from_u128(u128::MAX);

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordsLeft {
    /// There may be more to do now.
    More,
    /// There are changes that a reader of the feed may not pass yet.
    Unsettled,
    /// Nothing.
    Nothing,
}

/// How far the work has come.
pub(crate) struct Reached {
    /// The last change that was processed.
    pub seq: i64,
    /// The pass has processed all messages from this one on. `None`: no pass is running.
    pub fill: Option<EntityId>,
}

/// A message that is processed. `is_kept`: its words are stored.
struct LookedAt {
    id: EntityId,
    account: Option<EntityId>,
    folder: Option<EntityId>,
    is_kept: bool,
}

impl Store {
    /// Stores or deletes the words of a few messages.
    ///
    /// # Errors
    ///
    /// When the store fails. It can be tried again.
    pub async fn words_step(&self) -> Result<WordsLeft, Error> {
        let stepped = match self.words_reached().await? {
            None => self.words_begin().await.map(|()| WordsLeft::More),
            Some(reached) => self.words_go_on(&reached).await,
        };
        match stepped {
            // A message was deleted meanwhile, or another process was faster.
            Err(Error::Condition(Failed::Stale)) => Ok(WordsLeft::More),
            stepped => stepped,
        }
    }

    async fn words_go_on(&self, reached: &Reached) -> Result<WordsLeft, Error> {
        let trimmed = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'feed trimmed'";
        let trimmed = self.read(Statement::new(trimmed)).await?;
        let trimmed = trimmed.first().and_then(|row| row.whole(0)).unwrap_or(0);
        if trimmed > reached.seq {
            let marks = vec![moved(reached.seq, trimmed), self.filled_to(LAST)];
            return self.write(marks).await.map(|_| WordsLeft::More);
        }
        let part = self.words_feed(reached.seq, AT_ONCE).await?;
        if let Some(last) = part.last {
            let mut marks = vec![moved(reached.seq, last)];
            if part.changes_options {
                marks.push(self.filled_to(LAST));
            }
            let ids: Vec<_> = part.messages.into_iter().collect();
            self.words_look_at(&ids, true, marks).await?;
            return Ok(WordsLeft::More);
        }
        if let Some(behind) = reached.fill {
            self.words_fill(reached, behind).await?;
            return Ok(WordsLeft::More);
        }
        let later = "SELECT 1 FROM \"change\" WHERE \"seq\" > $1 LIMIT 1";
        let later = self.read(Statement::new(later).bind(reached.seq)).await?;
        Ok(if later.is_empty() { WordsLeft::Nothing } else { WordsLeft::Unsettled })
    }

    pub(crate) async fn words_reached(&self) -> Result<Option<Reached>, Error> {
        let sql = "SELECT \"name\", \"number\", \"bytes\" FROM \"meta\" WHERE \"name\" IN ($1, $2)";
        let rows = self.read(Statement::new(sql).bind(SEQ).bind(FILL)).await?;
        let of = |name: &str| rows.iter().find(|row| row.text(0) == Some(name));
        let Some(seq) = of(SEQ).and_then(|row| row.whole(1)) else {
            return Ok(None);
        };
        Ok(Some(Reached { seq, fill: of(FILL).and_then(|row| row.id(2)) }))
    }

    /// Begins: the changes from now on are processed, and a pass through all messages.
    async fn words_begin(&self) -> Result<(), Error> {
        let settled = seq::settled(self.inner.database.dialect());
        let last = format!("SELECT COALESCE(MAX(\"seq\"), 0) FROM \"change\" WHERE 1=1{settled}");
        let last = self.read(Statement::new(last)).await?;
        let last = last.first().and_then(|row| row.whole(0)).unwrap_or(0);
        let begun = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ($1, $2)
            ON CONFLICT (\"name\") DO NOTHING";
        let begun = Statement::new(begun).bind(SEQ).bind(last).must_change(Failed::Stale);
        self.write(vec![begun, self.filled_to(LAST)]).await.map(drop)
    }

    /// Continues the pass with the messages before `behind`, in descending order of ids.
    async fn words_fill(&self, reached: &Reached, behind: EntityId) -> Result<(), Error> {
        let sql = "SELECT \"id\" FROM \"email/Messages\" WHERE \"id\" < $1
            ORDER BY \"id\" DESC LIMIT $2";
        let rows = self.read(Statement::new(sql).bind(behind).bind(AT_ONCE)).await?;
        let ids: Vec<_> = rows.iter().filter_map(|row| row.id(0)).collect();
        let mark = match ids.last() {
            Some(last) => {
                let sql =
                    "UPDATE \"meta\" SET \"bytes\" = $2 WHERE \"name\" = $1 AND \"bytes\" = $3";
                Statement::new(sql).bind(FILL).bind(bytes(*last)).bind(bytes(behind))
            }
            None => {
                let sql = "DELETE FROM \"meta\" WHERE \"name\" = $1 AND \"bytes\" = $2";
                Statement::new(sql).bind(FILL).bind(bytes(behind))
            }
        };
        let marks = vec![moved(reached.seq, reached.seq), mark.must_change(Failed::Stale)];
        self.words_look_at(&ids, false, marks).await
    }

    /// Stores or deletes the words of these messages. With `anew`, words that are stored already
    /// are stored again. `marks` are written last.
    async fn words_look_at(
        &self,
        ids: &[EntityId],
        anew: bool,
        marks: Vec<Statement>,
    ) -> Result<(), Error> {
        let dialect = self.inner.database.dialect();
        let candidates = self.words_candidates(ids).await?;
        let options = self.words_options(&candidates).await?;
        let mut batch = vec![];
        let mut wanted = vec![];
        for candidate in candidates {
            let is_on = options.is_on(&candidate);
            if is_on && (anew || !candidate.is_kept) {
                wanted.push(candidate.id);
            } else if !is_on && candidate.is_kept {
                batch.extend(full_text_row::forget(dialect, candidate.id));
            }
        }
        if !batch.is_empty() {
            self.write_at_need(batch).await?;
        }
        let mut left = wanted.as_slice();
        while !left.is_empty() {
            let rows = self.words_rows(left).await?;
            let Some(read) = rows.last().and_then(|row| row.id(0)) else {
                break;
            };
            left = left.split_at(left.iter().position(|id| *id == read).map_or(0, |at| at + 1)).1;
            self.words_keep(&rows).await?;
        }
        self.write_at_need(marks).await.map(drop)
    }

    async fn words_candidates(&self, ids: &[EntityId]) -> Result<Vec<LookedAt>, Error> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let sql = format!(
            "SELECT m.\"id\", m.\"account_id\", m.\"folder_id\", f.\"sum\" FROM \"email/Messages\" m
             LEFT JOIN \"full text\" f ON f.\"id\" = m.\"id\"
             WHERE m.\"id\" IN ({}) ORDER BY m.\"id\"",
            places(1, ids.len())
        );
        let rows =
            self.read(Statement::new(sql).bind_all(ids.iter().copied().map(Value::Id))).await?;
        let candidate = |row: &Row| {
            let (account, folder) = (row.id(1), row.id(2));
            Some(LookedAt { id: row.id(0)?, account, folder, is_kept: row.whole(3).is_some() })
        };
        Ok(rows.iter().filter_map(candidate).collect())
    }

    async fn words_options(&self, candidates: &[LookedAt]) -> Result<KnownOptions, Error> {
        let accounts: BTreeSet<_> = candidates.iter().filter_map(|one| one.account).collect();
        let folders: BTreeSet<_> = candidates.iter().filter_map(|one| one.folder).collect();
        let of_accounts = "SELECT a.\"id\", a.\"options\", p.\"options\" FROM \"email/Accounts\" a
            LEFT JOIN \"email/Profiles\" p ON p.\"id\" = a.\"profile_id\" WHERE a.\"id\" IN";
        let of_folders = "SELECT \"id\", \"options\", NULL FROM \"email/Folders\" WHERE \"id\" IN";
        let mut known = KnownOptions::default();
        for (sql, ids, levels) in [
            (of_accounts, accounts, &mut known.accounts),
            (of_folders, folders, &mut known.folders),
        ] {
            if ids.is_empty() {
                continue;
            }
            let sql = format!("{sql} ({})", places(1, ids.len()));
            let rows =
                self.read(Statement::new(sql).bind_all(ids.into_iter().map(Value::Id))).await?;
            for row in &rows {
                let level = |at| row.text(at).and_then(|text| serde_json::from_str(text).ok());
                let json = [1, 2].map(|at| level(at).unwrap_or(Json::Null));
                levels.extend(row.id(0).map(|id| (id, json)));
            }
        }
        Ok(known)
    }

    /// The values of these messages that have words, in the order of ids. The rows end after the
    /// one with which they exceed a size, so there is at least one.
    async fn words_rows(&self, ids: &[EntityId]) -> Result<Vec<Row>, Error> {
        let sql = format!(
            "SELECT m.\"id\", m.\"domain\", m.\"dateTime\", f.\"sum\", m.\"subject\", m.\"from\",
               m.\"to\", SUBSTR(m.\"text\", 1, {INDEXED_TEXT_CHARS_MAX})
             FROM \"email/Messages\" m LEFT JOIN \"full text\" f ON f.\"id\" = m.\"id\"
             WHERE m.\"id\" IN ({}) ORDER BY m.\"id\"",
            places(1, ids.len())
        );
        let statement = Statement::new(sql).bind_all(ids.iter().copied().map(Value::Id));
        self.read(statement.at_most(BYTES_AT_ONCE)).await
    }

    async fn words_keep(&self, rows: &[Row]) -> Result<(), Error> {
        const DAMAGED: Error = Error::Damaged { what: "a message" };
        let dialect = self.inner.database.dialect();
        let ids: Vec<_> = rows.iter().filter_map(|row| row.id(0)).collect();
        let names = self.words_file_names(&ids).await?;
        let (mut asserts, mut gone, mut kept, mut words) = (vec![], vec![], vec![], vec![]);
        for row in rows {
            let id = row.id(0).ok_or(DAMAGED)?;
            let mut values = Map::new();
            for (at, name) in [(4, names::SUBJECT), (5, names::FROM), (7, names::TEXT)] {
                values.insert(name.to_owned(), json!(row.text(at)));
            }
            let to = row.text(6).and_then(|text| serde_json::from_str(text).ok());
            values.insert(names::TO.to_owned(), to.unwrap_or(Json::Null));
            let names = names.get(&id).map(Vec::as_slice).unwrap_or_default();
            let new = WordsRow {
                id,
                domain: row.text(1).ok_or(DAMAGED)?.to_owned(),
                date_time: row.whole(2),
                words: indexed_words(&Entity::new(id, values), names),
            };
            if row.whole(3) == Some(new.sum()) {
                continue;
            }
            asserts.push(new.must_be_of_message());
            // Another process may have stored them meanwhile.
            gone.extend(full_text_row::forget(dialect, id));
            let (keep, keep_words) = new.keep(dialect);
            kept.push(keep);
            words.extend(keep_words);
        }
        if asserts.is_empty() {
            return Ok(());
        }
        let batch = asserts.into_iter().chain(gone).chain(kept).chain(words);
        self.write(batch.collect()).await.map(drop)
    }

    async fn words_file_names(
        &self,
        ids: &[EntityId],
    ) -> Result<BTreeMap<EntityId, Vec<String>>, Error> {
        let sql = format!(
            "SELECT \"entity\", \"name\" FROM \"file\"
             WHERE \"entity\" IN ({}) AND \"property\" = $1
             ORDER BY \"entity\", \"name\"",
            places(2, ids.len())
        );
        let statement = Statement::new(sql).bind(names::FILE);
        let rows = self.read(statement.bind_all(ids.iter().copied().map(Value::Id))).await?;
        let mut names = BTreeMap::<EntityId, Vec<String>>::new();
        for row in &rows {
            if let (Some(id), Some(name)) = (row.id(0), row.text(1)) {
                names.entry(id).or_default().push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// The statement that begins a pass through all messages before this one.
    fn filled_to(&self, id: EntityId) -> Statement {
        let sql = "INSERT INTO \"meta\" (\"name\", \"number\", \"bytes\") VALUES ($1, $2, $3)
            ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\",
              \"bytes\" = excluded.\"bytes\"";
        Statement::new(sql).bind(FILL).bind(self.clock().now_ms()).bind(bytes(id))
    }
}

/// The options of accounts with their profiles, and of folders.
#[derive(Default)]
struct KnownOptions {
    accounts: BTreeMap<EntityId, [Json; 2]>,
    folders: BTreeMap<EntityId, [Json; 2]>,
}

impl KnownOptions {
    fn is_on(&self, message: &LookedAt) -> bool {
        let folder = message.folder.and_then(|id| self.folders.get(&id));
        let account = message.account.and_then(|id| self.accounts.get(&id));
        let levels = folder.into_iter().chain(account).flatten();
        Options::cascade(levels).flag(&FULL_TEXT)
    }
}

/// The statement that records that the changes up to `to` are processed. The batch fails if another
/// process has recorded this meanwhile.
fn moved(from: i64, to: i64) -> Statement {
    let sql = "UPDATE \"meta\" SET \"number\" = $3 WHERE \"name\" = $1 AND \"number\" = $2";
    Statement::new(sql).bind(SEQ).bind(from).bind(to).must_change(Failed::Stale)
}

fn bytes(id: EntityId) -> Vec<u8> {
    id.uuid().as_bytes().to_vec()
}
