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
use crate::key_bytes::KeyMark;
use crate::node_details::NodeDetails;
use postroom_model::Instance;
use postroom_watch::Watched;
use std::time::Duration;

/// How long the row of an owner is valid after a renewal. Each sweep renews it.
const GOOD_FOR: Duration = Duration::from_secs(180);
/// How long a lease is valid after a renewal. Each beat of a node renews it.
pub(crate) const LEASE_FOR: Duration = Duration::from_secs(10);
/// How long a node counts as there after a beat.
const ALIVE_FOR: Duration = Duration::from_secs(5);

/// The name of the lock of batches that assert an epoch, and of the batch that takes the next one.
pub(crate) const LEASE: &str = "lease";

/// Which process this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, and its place among the others.
    pub instance: Instance,
    /// What identifies the data directory that it has locked, until the next start of its host.
    /// Whoever has the same seat runs after the former one has ended. `None`: nothing does.
    pub seat: Option<String>,
}

impl Member {
    /// A process that is alone in its group.
    #[must_use]
    pub fn alone() -> Self {
        Self { instance: Instance::named("postroom"), seat: None }
    }

    /// The name of its group in the database.
    pub(crate) fn group(&self) -> String {
        self.instance.group.to_string()
    }
}

/// A process, and what it tells of itself.
#[derive(Debug, Clone)]
pub(crate) struct Presence {
    pub member: Member,
    pub details: NodeDetails,
}

impl Presence {
    /// A process that has told nothing yet.
    pub(crate) fn of(member: &Member) -> Self {
        Self { member: member.clone(), details: NodeDetails::default() }
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

/// The SQL of the time until which a lease is valid that is renewed now, by the database's clock.
pub(crate) fn until(database: &dyn Database) -> String {
    database.dialect().after_now(LEASE_FOR.as_millis())
}

/// The SQL of the condition that a node is there. One that counts as there for longer than a beat
/// makes it has not said so since the clock of the database went back.
pub(crate) fn is_alive(database: &dyn Database) -> String {
    let (now, latest) =
        (database.dialect().now(), database.dialect().after_now(ALIVE_FOR.as_millis()));
    format!("\"alive\" > {now} AND \"alive\" <= {latest}")
}

/// The SQL of the time until which the row of an owner is valid that is renewed now.
pub(crate) fn present_until(database: &dyn Database) -> String {
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

/// A number of an instance, as the database keeps it.
pub(crate) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Registers a new owner of the database. If no other process can have the database open, all other
/// owners have ended, and their rows are deleted. Otherwise this is known of those with its seat.
pub(crate) async fn register(
    database: &dyn Database,
    member: &Member,
    key: KeyMark,
) -> Result<i64, Error> {
    let taken = database.write(vec![numbers("owners", 1)], Room::Reserve).await?;
    let owner = number(&taken)?;
    let mut batch = vec![present(database, owner, &Presence::of(member), key)];
    if database.is_first() {
        let others = "DELETE FROM \"owner\" WHERE \"id\" <> $1";
        batch.push(Statement::new(others).bind(owner));
    } else if let Some(seat) = &member.seat {
        let former = "DELETE FROM \"owner\" WHERE \"seat\" = $1 AND \"id\" <> $2";
        batch.push(Statement::new(former).bind(seat.as_str()).bind(owner));
    }
    database.write(batch, Room::Reserve).await?;
    Ok(owner)
}

/// The statement that makes the row of an owner valid for [`GOOD_FOR`] from now on. `key` is the
/// mark of its master key. Nobody waits for a process that rests: its role is in its details alone.
pub(crate) fn present(
    database: &dyn Database,
    owner: i64,
    presence: &Presence,
    key: KeyMark,
) -> Statement {
    let dialect = database.dialect();
    let (now, until) = (dialect.now(), present_until(database));
    let alive = dialect.after_now(ALIVE_FOR.as_millis());
    let sql = format!(
        "INSERT INTO \"owner\" (\"id\", \"name\", \"group\", \"order\", \"role\", \"failback\",
           \"version\", \"seat\", \"key\", \"details\", \"until\", \"since\", \"seen\", \"alive\")
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, {until}, {now}, {now}, {alive})
         ON CONFLICT (\"id\") DO UPDATE SET \"until\" = excluded.\"until\",
           \"seen\" = excluded.\"seen\", \"alive\" = excluded.\"alive\",
           \"group\" = excluded.\"group\", \"order\" = excluded.\"order\",
           \"role\" = excluded.\"role\", \"failback\" = excluded.\"failback\",
           \"details\" = excluded.\"details\",
           \"since\" = CASE WHEN COALESCE(\"owner\".\"role\", '') = COALESCE(excluded.\"role\", '')
             THEN \"owner\".\"since\" ELSE excluded.\"since\" END"
    );
    let Presence { member, details } = presence;
    let instance = &member.instance;
    let role = details.rest.is_none().then(|| instance.role.as_str().to_owned());
    let row = Statement::new(sql).bind(owner).bind(instance.name.as_str()).bind(member.group());
    let row = row.bind(whole(instance.order)).bind(role).bind(instance.failback);
    let row = row.bind(env!("CARGO_PKG_VERSION")).bind(member.seat.clone()).bind(key.to_bytes());
    row.bind(details.to_json(instance.role).to_string())
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
