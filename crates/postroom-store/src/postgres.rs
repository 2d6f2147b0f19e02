//! PostgreSQL: a server that several processes may share.
//!
//! ```text
//!   write ─► a task ─► connection ─► batch: two flights ─► answer
//!                         │ lost           └─ after COMMIT: was it committed? asked by its number
//!                         └─ before COMMIT: nothing was done, so it is tried again
//! ```
//! Batches run at the same time, each as a transaction of its own. What their conditions read is
//! locked ([`crate::database::Lock`]). Batches that collide are tried again.

mod tls;

mod config;

mod failing;

mod patience;

mod indexing;

mod space;

mod value;

mod session;

mod sessions;

mod rows;

mod batch;

mod full_text;

mod dialect;

mod listen;

pub use config::PostgresConfig;
pub(crate) use dialect::PostgresDialect;
pub use tls::ByteLink;
pub use tls::Secure;
pub use tls::Securing;

use crate::bell::Listener;
use crate::bell::Topic;
use crate::database::Answer;
use crate::database::Database;
use crate::database::Dialect;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::database_state::DatabaseState;
use crate::database_state::StateTexts;
use crate::error::Error;
use crate::failed::Failed;
use crate::postgres::failing::Failing;
use crate::postgres::failing::UncertainBatch;
use crate::postgres::failing::canceled;
use crate::postgres::patience::AnswerPatience;
use crate::postgres::session::RECOVERED;
use crate::postgres::sessions::SessionUse;
use crate::postgres::sessions::Sessions;
use crate::scan_meter::RunningScan;
use crate::scan_meter::ScanMeter;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How many times a batch is tried again if it collides with others.
const CONFLICTS_MAX: u32 = 10;
/// How many times a batch is run again under a later number, because a later transaction may have
/// changed an entity first.
const OVERTAKEN_MAX: u32 = 2;
/// How many times a request is tried if its connection is lost.
const LOST_MAX: u32 = 3;
/// The longest pause before a batch that collided is tried again. It doubles with each attempt.
const CONFLICT_PAUSE: Duration = Duration::from_millis(4);
/// The pause before a request whose connection was lost is tried again. The first time, there is
/// none.
const LOST_PAUSE: Duration = Duration::from_millis(250);
/// The time between two questions whether a transaction was committed.
const OUTCOME_PAUSE: Duration = Duration::from_millis(200);
/// How long closing waits for batches that are being written.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

const TEXTS: StateTexts = StateTexts {
    no_space: "the disk of the database is full: no mail is stored or sent until there is space; \
               new mail stays at its server",
    damaged: "the database is damaged; the damaged data is not served. Check the disk of its \
              server, and restore the database from a backup",
};

/// A PostgreSQL database.
pub struct PostgresDatabase {
    shared: Arc<PostgresShared>,
    rings: mpsc::UnboundedSender<Topic>,
}

/// What the tasks of requests share.
struct PostgresShared {
    sessions: Arc<Sessions>,
    state: DatabaseState,
}

impl fmt::Debug for PostgresDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresDatabase").finish_non_exhaustive()
    }
}

impl PostgresDatabase {
    /// Connects to a database.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when the server is not there; [`Error::NotLetIn`] when it refuses the
    /// login; [`Error::DatabaseAddress`] when it is not one that the store works with.
    pub async fn open(config: PostgresConfig) -> Result<Arc<dyn Database>, Error> {
        let sessions = Arc::new(Sessions::new(config));
        let used = sessions.get(SessionUse::Point).await?;
        used.connection.check_server().await?;
        used.give_back();
        let rings = listen::start(&sessions);
        let shared = PostgresShared { sessions, state: DatabaseState::new(TEXTS) };
        Ok(Arc::new(Self { shared: Arc::new(shared), rings }))
    }
}

impl Database for PostgresDatabase {
    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        let shared = Arc::clone(&self.shared);
        in_task(async move { shared.read(&statement).await })
    }

    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        let shared = Arc::clone(&self.shared);
        in_task(async move {
            let wrote = shared.write(&batch).await?;
            if room == Room::Free && space::is_needed(size_bytes(&batch)) {
                shared.state.has_space();
            }
            Ok(wrote)
        })
    }

    fn index(&self, name: &str, on: &str) -> Answer<()> {
        // One that was not finished does not work. Nobody waits for another process that makes it.
        let gone = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        let made = format!("CREATE INDEX CONCURRENTLY {name} ON {on}");
        let shared = Arc::clone(&self.shared);
        in_task(async move {
            let used = shared.sessions.get(SessionUse::Write).await?;
            let mut done = Ok(());
            for sql in [gone, made] {
                if done.is_ok() {
                    done = used.connection.client.batch_execute(&sql).await;
                }
            }
            used.give_back();
            shared.seen(done.map_err(failing::sorted))
        })
    }

    fn indexing_ended(&self, table: &str) -> Answer<()> {
        let (shared, ended) = (Arc::clone(&self.shared), Statement::new(indexing::ENDED));
        let ended = ended.bind(table);
        in_task(async move { shared.read(&ended).await.map(drop) })
    }

    fn tidy(&self) -> Answer<bool> {
        // The server does that by itself.
        Box::pin(async { Ok(false) })
    }

    fn check(&self) -> Answer<()> {
        let shared = Arc::clone(&self.shared);
        in_task(async move {
            shared.read(&Statement::new("SELECT 1")).await?;
            if !shared.state.is_full() {
                return Ok(());
            }
            shared.write(&space::probe()).await?;
            shared.state.has_space();
            Ok(())
        })
    }

    fn is_full(&self) -> bool {
        self.shared.state.is_full()
    }

    fn damage(&self) -> Option<&'static str> {
        self.shared.state.damage()
    }

    fn found_damaged(&self, error: &Error) {
        self.shared.state.damaged(error);
    }

    fn is_first(&self) -> bool {
        // Other processes may have it at any time.
        false
    }

    fn ring(&self, topic: Topic) {
        self.shared.sessions.bell.ring(topic);
        // The receiver lives as long as the sessions.
        let _ = self.rings.send(topic);
    }

    fn listen(&self, topic: Topic) -> Listener {
        self.shared.sessions.bell.listen(topic)
    }

    fn close(&self) {
        self.shared.sessions.close(CLOSE_WITHIN);
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &PostgresDialect
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        self.shared.sessions.close(Duration::ZERO);
    }
}

/// Runs work in a task of its own, which continues if nobody waits for the answer any more. So no
/// connection is left in the middle of a request.
fn in_task<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Answer<T> {
    let task = tokio::spawn(work);
    Box::pin(async move { task.await.unwrap_or(Err(Error::Closed)) })
}

fn size_bytes(batch: &[Statement]) -> usize {
    batch.iter().map(Statement::size_bytes).sum()
}

impl PostgresShared {
    async fn read(&self, statement: &Statement) -> Result<Vec<Row>, Error> {
        let asked = Instant::now();
        let mut attempt = 0;
        loop {
            let left = statement.within.map(|within| within.saturating_sub(asked.elapsed()));
            let patience = AnswerPatience::of_query(self.sessions.config().patience(), left);
            match patience.undone(self.try_read(statement, left)).await {
                Err(Failing::Lost(_)) if self.may_try(&mut attempt).await => {}
                Err(Failing::Outdated(_) | Failing::Conflict(_)) if attempt < CONFLICTS_MAX => {
                    attempt += 1;
                }
                read => return self.seen(read),
            }
        }
    }

    async fn try_read(
        &self,
        statement: &Statement,
        left: Option<Duration>,
    ) -> Result<Vec<Row>, Failing> {
        let lane = match left {
            None => SessionUse::Point,
            Some(_) if statement.searches => SessionUse::Search,
            Some(_) => SessionUse::List,
        };
        let got = self.sessions.get(lane);
        let used = match left {
            None => got.await,
            Some(left) => tokio::time::timeout(left, got).await.unwrap_or(Err(Error::TooSlow)),
        };
        let mut used = used.map_err(Failing::Refused)?;
        let scan = statement.meter.as_ref().map(ScanMeter::begin);
        let read = session::read(&mut used.connection, statement, left).await;
        let has_worked = matches!(read, Ok(_) | Err(Failing::Refused(_)));
        scan.into_iter().filter(|_| has_worked).for_each(RunningScan::end);
        if matches!(read, Err(Failing::Outdated(_))) {
            used.connection.forget();
        }
        used.give_back();
        if left.is_none() { read.map_err(canceled) } else { read }
    }

    async fn write(&self, batch: &[Statement]) -> Result<Vec<Outcome>, Error> {
        let (mut lost, mut conflicts, mut stale) = (0, 0, 0);
        let is_numbered = batch.iter().any(|statement| statement.change.is_some());
        loop {
            match self.try_write(batch).await {
                Err(Failing::Lost(_)) if self.may_try(&mut lost).await => {}
                Err(Failing::Conflict(_) | Failing::Outdated(_)) if conflicts < CONFLICTS_MAX => {
                    let pauses = f64::from(2_u32.pow(conflicts)) * fastrand::f64();
                    tokio::time::sleep(CONFLICT_PAUSE.mul_f64(pauses)).await;
                    conflicts += 1;
                }
                // A later transaction may have changed the entity before this one did.
                Err(Failing::Refused(Error::Condition(Failed::Stale)))
                    if is_numbered && stale < OVERTAKEN_MAX =>
                {
                    stale += 1;
                }
                wrote => return self.seen(wrote),
            }
        }
    }

    async fn try_write(&self, batch: &[Statement]) -> Result<Vec<Outcome>, Failing> {
        let patience =
            AnswerPatience::of_batch(self.sessions.config().patience(), size_bytes(batch));
        let got = async { self.sessions.get(SessionUse::Write).await.map_err(Failing::Refused) };
        let mut used = patience.undone(got).await?;
        let wrote = batch::write(&mut used.connection, batch, patience).await;
        if matches!(wrote, Err(Failing::Outdated(_))) {
            used.connection.forget();
        }
        match wrote {
            Err(Failing::Unknown(uncertain)) => {
                // The permit of the lost connection is held meanwhile, so that a server in trouble
                // gets no additional connection.
                if self.was_committed(&uncertain).await.map_err(Failing::Refused)? {
                    Ok(uncertain.outcomes)
                } else {
                    let reason = "the connection was lost, and nothing was done".to_owned();
                    Err(Failing::Lost(Error::Unreachable { reason }))
                }
            }
            wrote => {
                used.give_back();
                wrote.map_err(canceled)
            }
        }
    }

    /// Whether a transaction was committed. Its connection was lost after COMMIT was sent.
    ///
    /// If the server has crashed since, a number that is not taken, or whose transaction is not
    /// committed, shows that this transaction is not committed. A committed one with this number
    /// may be another, and then the outcome stays unknown.
    async fn was_committed(&self, uncertain: &UncertainBatch) -> Result<bool, Error> {
        let begun = Instant::now();
        let UncertainBatch { transaction, recovered, asked_within, .. } = uncertain;
        let sql = format!(
            "SELECT CASE WHEN ({RECOVERED}) = $2 THEN pg_xact_status($1)
               WHEN $1 >= pg_snapshot_xmax(pg_current_snapshot()) THEN 'aborted'
               WHEN pg_xact_status($1) = 'committed' THEN 'perhaps'
               ELSE 'aborted' END"
        );
        let values = [transaction.clone(), Value::Text(recovered.clone())];
        let status = Statement::new(sql).bind_all(values);
        while begun.elapsed() < *asked_within {
            let patience = AnswerPatience::new(Some(*asked_within));
            if let Ok(rows) = patience.undone(self.try_read(&status, None)).await {
                match rows.first().and_then(|row| row.text(0)) {
                    Some("committed") => return Ok(true),
                    Some("aborted") => return Ok(false),
                    Some("perhaps") => break,
                    // The server still has it, or has forgotten it.
                    Some(_) | None => {}
                }
            }
            if self.sessions.is_closed() {
                break;
            }
            tokio::time::sleep(OUTCOME_PAUSE).await;
        }
        Err(Error::OutcomeUnknown)
    }

    /// Whether a request whose connection was lost is tried once more. It pauses before that. All
    /// idle connections are closed, because the server may have been restarted.
    async fn may_try(&self, attempt: &mut u32) -> bool {
        *attempt += 1;
        self.sessions.forget_idle();
        if *attempt > 1 && *attempt < LOST_MAX {
            tokio::time::sleep(LOST_PAUSE).await;
        }
        *attempt < LOST_MAX
    }

    /// Notes what an answer says about the state of the database.
    fn seen<T>(&self, answer: Result<T, Failing>) -> Result<T, Error> {
        self.sessions.look_at(&answer);
        let answer = answer.map_err(Failing::into_error);
        match &answer {
            Err(Error::Full) => self.state.no_space(),
            Err(error @ Error::Damaged { .. }) => self.state.damaged(error),
            _ => {}
        }
        answer
    }
}
