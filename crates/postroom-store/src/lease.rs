//! Which processes use the database (its owners), and which of them leads a group.
//!
//! ```text
//!   open ─► owner: what this process writes ahead belongs to it
//!   lead ─► lease: epoch n + 1 of its group ─► every batch of the engine asserts that epoch
//! ```
//! Each opened store is an owner, whether it leads or not. The row of an owner, and the lease of a
//! leader, are valid until a time of the database's clock, and are renewed before that. An expired
//! lease does not stop its holder. Only the next epoch stops it, because every batch of the former
//! leader then fails with [`Failed::Deposed`].

use crate::chunk::CHUNKS_MAX;
use crate::database::Database;
use crate::database::Lock;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use postroom_watch::Watched;
use std::time::Duration;

/// How long the rows of an owner and of a lease are valid after a renewal. Each sweep renews them.
const GOOD_FOR: Duration = Duration::from_secs(180);

/// The name of the lock of batches that assert an epoch, and of the batch that takes the next one.
const LEASE: &str = "lease";

/// Which process this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name of the group. The processes of one group take over from each other.
    pub group: String,
    /// The name of the process, for people.
    pub name: String,
}

impl Member {
    /// A process that is alone in its group.
    #[must_use]
    pub fn alone() -> Self {
        Self { group: "alone".to_owned(), name: "postroom".to_owned() }
    }
}

/// The right to lead a group, in one epoch.
#[derive(Debug)]
pub(crate) struct Lease {
    pub group: String,
    pub epoch: i64,
    /// Whether another process has taken the next epoch.
    pub is_over: Watched<bool>,
}

impl Lease {
    /// The condition that no other process has taken over.
    pub(crate) fn holds(&self) -> Statement {
        let sql = "SELECT 1 FROM \"lease\" WHERE \"group\" = $1 AND \"epoch\" = $2";
        let holds = Statement::new(sql).bind(self.group.as_str()).bind(self.epoch);
        holds.assert(Failed::Deposed, Lock::Shared(LEASE))
    }

    /// Waits until no batch runs that asserts an epoch. No such batch can begin until this one,
    /// which takes the next epoch, is committed.
    pub(crate) fn awaits_all() -> Statement {
        Statement::new("SELECT 1").assert(Failed::Deposed, Lock::Name(LEASE))
    }

    /// The statement that renews the lease. `moment` is the SQL of the time until which it is
    /// valid.
    pub(crate) fn good_until(&self, moment: &str) -> Statement {
        let sql = format!(
            "UPDATE \"lease\" SET \"until\" = {moment} WHERE \"group\" = $1 AND \"epoch\" = $2"
        );
        Statement::new(sql).bind(self.group.as_str()).bind(self.epoch)
    }

    /// Notes that another process has taken over, and logs it once.
    pub(crate) fn end(&self) {
        if !self.is_over.send_replace(true) {
            tracing::error!(
                group = self.group,
                epoch = self.epoch,
                "another process has taken over: this one receives and sends no more mail"
            );
        }
    }
}

/// The SQL of the time that is [`GOOD_FOR`] later than now, by the database's clock.
pub(crate) fn until(database: &dyn Database) -> String {
    database.dialect().after_now(GOOD_FOR.as_millis())
}

/// The statement that takes the next `count` numbers of a kind, which no other process gets. It
/// returns the last of them.
pub(crate) fn numbers(kind: &'static str, count: i64) -> Statement {
    let sql = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ($1, $2)
        ON CONFLICT (\"name\") DO UPDATE SET \"number\" = \"meta\".\"number\" + excluded.\"number\"
        RETURNING \"number\"";
    Statement::new(sql).bind(kind).bind(count)
}

/// The number that the last statement of a batch returned.
pub(crate) fn number(outcomes: &[Outcome]) -> Result<i64, Error> {
    let row = outcomes.last().and_then(|outcome| outcome.rows.first());
    row.and_then(|row| row.whole(0)).ok_or(Error::Damaged { what: "a counter" })
}

/// Registers a new owner of the database. If no other process can have the database open, all other
/// owners have ended, and their rows are deleted.
pub(crate) async fn register(database: &dyn Database, member: &Member) -> Result<i64, Error> {
    let taken = database.write(vec![numbers("owners", 1)], Room::Reserve).await?;
    let owner = number(&taken)?;
    let mut batch = vec![present(database, owner, &member.name)];
    if database.is_first() {
        let others = "DELETE FROM \"owner\" WHERE \"id\" <> $1";
        batch.push(Statement::new(others).bind(owner));
    }
    database.write(batch, Room::Reserve).await?;
    Ok(owner)
}

/// The statement that makes the row of an owner valid for [`GOOD_FOR`] from now on.
pub(crate) fn present(database: &dyn Database, owner: i64, name: &str) -> Statement {
    let until = until(database);
    let sql = format!(
        "INSERT INTO \"owner\" (\"id\", \"name\", \"until\") VALUES ($1, $2, {until})
         ON CONFLICT (\"id\") DO UPDATE SET \"until\" = excluded.\"until\""
    );
    Statement::new(sql).bind(owner).bind(name)
}

/// Begins the counter of blob ids above all ids that an earlier version gave out. Each of those is
/// at most `now_ms` or the id of the last blob, because that version took them from its clock.
pub(crate) async fn blobs_begin(database: &dyn Database, now_ms: i64) -> Result<(), Error> {
    let last = "SELECT MAX(\"id\") FROM \"chunk\"";
    let last = database.read(Statement::new(last)).await?;
    let last = last.first().and_then(|row| row.whole(0)).unwrap_or(0);
    let begin = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('blobs', $1)
        ON CONFLICT (\"name\") DO NOTHING";
    let begin = Statement::new(begin).bind((last / CHUNKS_MAX).max(now_ms));
    database.write(vec![begin], Room::Reserve).await.map(drop)
}
