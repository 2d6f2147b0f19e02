//! The rows of the table `full text`, which have the words of messages.

use crate::database::Dialect;
use crate::database::Lock;
use crate::database::Statement;
use crate::database::Value;
use crate::failed::Failed;
use postroom_model::EntityId;
use postroom_model::IndexedWords;

/// The row of `meta` with the number of the last change that was processed.
pub(crate) const SEQ: &str = "full text seq";
/// The row of `meta` with the last message that a pass has processed, and when the pass began.
/// There is none if no pass is running.
pub(crate) const FILL: &str = "full text fill";
/// Both rows. They are about the words of one database, so they are not moved to another.
pub(crate) const MARKS: [&str; 2] = [SEQ, FILL];

/// The words of a message, to be stored.
#[derive(Debug, Clone)]
pub(crate) struct WordsRow {
    /// The message.
    pub id: EntityId,
    /// Its domain.
    pub domain: String,
    /// Its `dateTime` in milliseconds since 1970.
    pub date_time: Option<i64>,
    /// Its words.
    pub words: IndexedWords,
}

impl WordsRow {
    /// A checksum of the row, which shows whether the stored row is the same.
    pub(crate) fn sum(&self) -> i64 {
        let mut first = [0; 8];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.date_time.unwrap_or(i64::MIN).to_le_bytes());
        hasher.update(self.domain.as_bytes()).update(self.words.as_str().as_bytes());
        hasher.finalize_xof().fill(&mut first);
        i64::from_le_bytes(first)
    }

    /// The condition that the message exists. It cannot be deleted until the batch is committed.
    pub(crate) fn must_be_of_message(&self) -> Statement {
        let there = "SELECT 1 FROM \"email/Messages\" WHERE \"id\" = $1";
        Statement::new(there).bind(self.id).assert(Failed::Stale, Lock::Found)
    }

    /// The statements that store it, the row first.
    pub(crate) fn keep(self, dialect: &dyn Dialect) -> (Statement, Option<Statement>) {
        let (full_text, sum) = (dialect.full_text(), self.sum());
        let time = self.date_time.map_or(Value::Null, Value::Moment);
        let keep = Statement::new(full_text.keep()).bind(self.id).bind(self.domain);
        let keep = keep.bind_all([time]).bind(sum).bind(self.words.as_str());
        let words = full_text
            .keep_words()
            .map(|sql| Statement::new(sql).bind(self.id).bind(self.words.as_str()));
        (keep, words)
    }
}

/// The statements that delete the words of a message.
pub(crate) fn forget(dialect: &dyn Dialect, id: EntityId) -> Vec<Statement> {
    let statements = dialect.full_text().forget().iter();
    statements.map(|sql| Statement::new(*sql).bind(id)).collect()
}
