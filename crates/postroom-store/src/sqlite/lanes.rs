//! Lanes: the reader threads, arranged so that no query waits for slow queries of others.
//!
//! ```text
//!   engine, single entities, files, /healthz ────► own lane
//!   queries of clients (with a bound of time)
//!     that compare values, if anything ──────────► quick lane ───┐
//!     that look into texts or JSON ──────────────► search lane ──┴ not done in QUICK ──► slow lane
//! ```
//! Searches never take a thread of the quick lane, however many there are. Only the threads of the
//! own lane are as urgent as the rest of the process: the others leave the processor to it, so that
//! lists that many ask for delay neither single entities nor changes. A query that is moved to the
//! slow lane starts again there. Its time limit counts from the request, so that the time in the
//! slow lane's queue is limited too.

use crate::clock::Clock;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::scan_meter::ScanMeter;
use crate::sqlite::connection::connect;
use crate::sqlite::patience::Patience;
use crate::sqlite::statement;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a query of a client may keep the quick lane, or the search lane.
const QUICK: Duration = Duration::from_millis(300);
/// How many threads each of these lanes has. The slow lane has fewer threads than most machines
/// have processors.
const QUICK_THREADS: usize = 2;
const SEARCH_THREADS: usize = 1;
const SLOW_THREADS: usize = 2;
/// How much is added to the nice value of threads that may use a processor for a long time.
const NICE: i32 = 10;

/// A query, and where its answer goes.
struct Question {
    statement: Statement,
    asked: Instant,
    reply: oneshot::Sender<Result<Vec<Row>, Error>>,
}

/// The threads that read.
#[derive(Debug)]
pub(super) struct ReadLanes {
    senders: Mutex<Option<Senders>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    ending: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Senders {
    own: mpsc::Sender<Question>,
    quick: mpsc::Sender<Question>,
    search: mpsc::Sender<Question>,
}

/// One thread of a lane.
struct Reader {
    connection: Connection,
    patience: Patience,
    questions: Arc<Mutex<mpsc::Receiver<Question>>>,
    /// The lane of questions that take longer than [`QUICK`]. `None`: this lane answers them.
    slower: Option<mpsc::Sender<Question>>,
    pace: LanePace,
}

/// How long a lane uses the processor for one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LanePace {
    /// Its queries are short.
    Short,
    /// Its queries may take long, so that its threads leave the processor to others.
    Long,
}

impl ReadLanes {
    /// Starts the threads: `readers` for the own lane, and those of the others.
    pub(super) fn open(file: &Path, readers: usize, clock: &Clock) -> Result<Self, Error> {
        let lanes = Self {
            senders: Mutex::default(),
            threads: Mutex::default(),
            ending: Arc::new(AtomicBool::new(false)),
        };
        let new = || connect(file, clock);
        let own = lanes.lane(new, readers.max(1), LanePace::Short, None)?;
        let slow = lanes.lane(new, SLOW_THREADS, LanePace::Long, None)?;
        let quick = lanes.lane(new, QUICK_THREADS, LanePace::Long, Some(&slow))?;
        let search = lanes.lane(new, SEARCH_THREADS, LanePace::Long, Some(&slow))?;
        *lanes.senders.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Senders { own, quick, search });
        Ok(lanes)
    }

    fn lane(
        &self,
        new: impl Fn() -> Result<Connection, Error>,
        threads: usize,
        pace: LanePace,
        slower: Option<&mpsc::Sender<Question>>,
    ) -> Result<mpsc::Sender<Question>, Error> {
        let (sender, questions) = mpsc::channel();
        let questions = Arc::new(Mutex::new(questions));
        for _ in 0..threads {
            let mut connection = new()?;
            connection.pragma_update(None, "query_only", true).map_err(statement::failed)?;
            let patience = Patience::of(&mut connection, Arc::clone(&self.ending))?;
            let questions = Arc::clone(&questions);
            let slower = slower.cloned();
            let reader = Reader { connection, patience, questions, slower, pace };
            let thread = thread::Builder::new().name("postroom-read".to_owned());
            let started = thread.spawn(move || reader.run());
            let started =
                started.map_err(|source| Error::File { path: "postroom-read".into(), source })?;
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(started);
        }
        Ok(sender)
    }

    /// Sends a query to its lane.
    pub(super) fn ask(&self, statement: Statement) -> oneshot::Receiver<Result<Vec<Row>, Error>> {
        let (reply, answer) = oneshot::channel();
        if let Some(senders) = &*self.senders.lock().unwrap_or_else(PoisonError::into_inner) {
            let lane = match (statement.within, statement.searches) {
                (None, _) => &senders.own,
                (Some(_), false) => &senders.quick,
                (Some(_), true) => &senders.search,
            };
            // If the threads have ended, `reply` is dropped, and the answer is `Error::Closed`.
            let _ = lane.send(Question { statement, asked: Instant::now(), reply });
        }
        answer
    }

    /// Interrupts the running queries, ends the threads, and waits until their connections are
    /// closed.
    pub(super) fn close(&self) {
        self.ending.store(true, std::sync::atomic::Ordering::Relaxed);
        drop(self.senders.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(
                    "a reader thread of the database failed, which is a fault of \
                                 Postroom"
                );
            }
        }
    }
}

impl Reader {
    fn run(self) {
        if self.pace == LanePace::Long
            && let Err(error) = give_way()
        {
            tracing::warn!(%error, "long queries run as urgently as all others");
        }
        loop {
            let next = match self.questions.lock() {
                Ok(questions) => questions.recv(),
                Err(_) => return,
            };
            match next {
                Ok(question) => self.answer(question),
                Err(mpsc::RecvError) => return,
            }
        }
    }

    fn answer(&self, question: Question) {
        let left =
            question.statement.within.map(|all| all.saturating_sub(question.asked.elapsed()));
        let slower = self.slower.as_ref().filter(|_| left.is_some_and(|left| left > QUICK));
        if left == Some(Duration::ZERO) {
            // Nobody may be waiting any more.
            let _ = question.reply.send(Err(Error::TooSlow));
            return;
        }
        self.patience.begin(if slower.is_some() { Some(QUICK) } else { left });
        let scan = question.statement.meter.as_ref().map(ScanMeter::begin);
        let ran = statement::run(&self.connection, &question.statement);
        if let Some(scan) = scan {
            scan.end();
        }
        match (ran, slower) {
            (Err(Error::TooSlow), Some(slower)) => {
                // If the slow lane has ended, `reply` is dropped, and the answer is
                // `Error::Closed`.
                let _ = slower.send(question);
            }
            (ran, _) => {
                let _ = question.reply.send(ran.map(|outcome| outcome.rows));
            }
        }
    }
}

/// Lowers the priority of the calling thread below all others. Linux has a nice value for each
/// thread.
fn give_way() -> rustix::io::Result<()> {
    let nice = rustix::process::getpriority_process(None)?;
    rustix::process::setpriority_process(None, nice + NICE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::sqlite::Sqlite;
    use crate::sqlite::access::Access;
    use rustix::process::getpriority_process;

    const ENDLESS: &str = "WITH RECURSIVE \"n\" (\"x\") AS \
        (SELECT 1 UNION ALL SELECT \"x\" + 1 FROM \"n\") SELECT COUNT(*) FROM \"n\"";
    /// Long enough for a machine that is busy with other things.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn slow_queries_of_clients_delay_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let database = Sqlite::open(&directory.path().join("db"), 1, &Clock::system()).unwrap();
        let endless = || database.read(Statement::new(ENDLESS).within(PATIENCE * 10));
        let slow: Vec<_> = (0..8).map(|_| endless()).collect();
        let quick = async {
            for _ in 0..100 {
                database.read(Statement::new("SELECT 1")).await.unwrap();
            }
            // A quick query of a client overtakes the slow ones.
            database.read(Statement::new("SELECT 2").within(PATIENCE)).await.unwrap()
        };
        let answered = tokio::time::timeout(PATIENCE, quick).await.expect("it was delayed");
        assert_eq!(answered[0].whole(0), Some(2));
        // The end does not wait for them.
        tokio::time::timeout(PATIENCE, async {
            database.close();
            for slow in slow {
                assert!(slow.await.is_err());
            }
        })
        .await
        .expect("the end was delayed");
    }

    #[test]
    fn a_thread_gives_way_by_itself() {
        let before = getpriority_process(None).unwrap();
        let giving = thread::spawn(|| {
            give_way().unwrap();
            getpriority_process(None).unwrap()
        });
        assert_eq!(giving.join().unwrap(), (before + NICE).min(19));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[tokio::test]
    async fn however_many_searches_wait_a_plain_query_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let database = Sqlite::open(&directory.path().join("db"), 1, &Clock::system()).unwrap();
        let searching =
            |sql: &'static str| Statement::new(sql).within(PATIENCE * 10).searches(true);
        let slow: Vec<_> = (0..20).map(|_| database.read(searching(ENDLESS))).collect();
        let behind_them = database.read(searching("SELECT 1"));
        let plain = database.read(Statement::new("SELECT 2").within(PATIENCE));
        tokio::select! {
            biased;
            rows = plain => assert_eq!(rows.unwrap()[0].whole(0), Some(2)),
            _ = behind_them => panic!("a plain query waited behind all searches"),
        }
        database.close();
        for slow in slow {
            assert!(slow.await.is_err());
        }
    }

    #[tokio::test]
    async fn waiting_behind_slow_queries_counts_as_time_of_a_query() {
        let directory = tempfile::tempdir().unwrap();
        let database = Sqlite::open(&directory.path().join("db"), 1, &Clock::system()).unwrap();
        let within = QUICK * 2;
        let slow: Vec<_> =
            (0..6).map(|_| database.read(Statement::new(ENDLESS).within(within))).collect();
        let all = async {
            for slow in slow {
                assert!(matches!(slow.await, Err(Error::TooSlow)));
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the bound does not hold");
    }
}
