//! PostgreSQL alone: connections that are lost, batches that collide, a server that ends.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use postroom_model::EntityId;
use postroom_store::Database;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::PostgresConfig;
use postroom_store::PostgresDatabase;
use postroom_store::Room;
use postroom_store::Statement;
use postroom_store::Topic;
use postroom_store::Value;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresEnd;
use postroom_testkit::PostgresOptions;
use postroom_testkit::require;
use postroom_testkit::wait_until;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server of its own with a database that has the tables `t` and `meta`.
async fn server() -> Option<(Postgres, Arc<dyn Database>)> {
    if !require(&[Need::Postgres]) {
        return None;
    }
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    server.database_create("lost").await.unwrap();
    let database = open(&server).await.unwrap();
    let table = "CREATE TABLE \"t\" (\"id\" UUID PRIMARY KEY, \"number\" BIGINT NOT NULL)";
    database.write(vec![Statement::new(table)], Room::Free).await.unwrap();
    Some((server, database))
}

async fn open(server: &Postgres) -> Result<Arc<dyn Database>, Error> {
    PostgresDatabase::open(PostgresConfig::parse(&server.url("lost")).unwrap()).await
}

fn insert(id: u128, number: i64) -> Statement {
    let sql = "INSERT INTO \"t\" (\"id\", \"number\") VALUES ($1, $2)";
    Statement::new(sql).bind(EntityId::from_u128(id)).bind(number)
}

async fn numbers(database: &dyn Database) -> Vec<i64> {
    let sql = "SELECT \"number\" FROM \"t\" ORDER BY \"id\"";
    let rows = database.read(Statement::new(sql)).await.unwrap();
    rows.iter().map(|row| row.whole(0).unwrap()).collect()
}

/// What writers were answered while something happens to the server. An answer is never a lie:
/// what was done is there, once, and what failed is not there.
struct Writing {
    database: Arc<dyn Database>,
    is_over: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    writers: Vec<JoinHandle<Vec<Wrote>>>,
}

/// The number that was written, and the answer.
type Wrote = (u128, Result<(), Error>);

impl Writing {
    fn start(database: &Arc<dyn Database>, count: u128) -> Self {
        let (is_over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let writer = |writer: u128| {
            let (database, is_over) = (Arc::clone(database), Arc::clone(&is_over));
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                let mut wrote = vec![];
                for at in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = writer << 64 | at;
                    let answer = database.write(vec![insert(id, 1)], Room::Free).await;
                    wrote.push((id, answer.map(drop)));
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                wrote
            })
        };
        let writers = (0..count).map(writer).collect();
        Self { database: Arc::clone(database), is_over, answers, writers }
    }

    /// Waits until so many more answers have come.
    async fn until_more(&self, count: usize) {
        let until = self.answers.load(Ordering::Relaxed) + count;
        let more = || self.answers.load(Ordering::Relaxed) >= until;
        wait_until("more answers", PATIENCE, async || Ok(more().then_some(()))).await.unwrap();
    }

    /// Ends, and compares the answers with what is there. Gives how many outcomes are unknown.
    async fn end(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        let mut wrote = vec![];
        for writer in self.writers {
            wrote.extend(writer.await.unwrap());
        }
        let rows = self.database.read(Statement::new("SELECT \"id\" FROM \"t\"")).await.unwrap();
        let there: HashSet<_> = rows.iter().map(|row| row.id(0).unwrap()).collect();
        let mut unknown = 0;
        for (id, wrote) in wrote {
            let is_there = there.contains(&EntityId::from_u128(id));
            match wrote {
                Ok(()) => assert!(is_there, "{id}: said to be done"),
                Err(Error::Unreachable { .. }) => assert!(!is_there, "{id}: said to be not done"),
                Err(Error::OutcomeUnknown) => unknown += 1,
                Err(error) => panic!("{id}: {error:?}"),
            }
        }
        unknown
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_answered_while_connections_end_is_true() {
    let Some((server, database)) = server().await else {
        return;
    };
    let writing = Writing::start(&database, 6);
    let mut ended = 0;
    for _ in 0..40 {
        writing.until_more(10).await;
        ended += server.connections_end("lost").await.unwrap();
    }
    assert!(ended >= 40, "only {ended} connections were ended");
    assert_eq!(writing.end().await, 0, "the server knows each of them");
}

/// After a crash, the server gives the numbers of transactions that were not committed to others.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_answered_while_the_server_crashes_is_true() {
    let Some((mut server, database)) = server().await else {
        return;
    };
    let writing = Writing::start(&database, 16);
    for _ in 0..12 {
        writing.until_more(100).await;
        server.stop(PostgresEnd::Immediate).unwrap();
        server.restart().unwrap();
    }
    writing.until_more(100).await;
    writing.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_wait_for_each_other_are_all_done() {
    let Some((_server, database)) = server().await else {
        return;
    };
    database.write(vec![insert(1, 0), insert(2, 0)], Room::Free).await.unwrap();
    let add = |id: u128| {
        let sql = "UPDATE \"t\" SET \"number\" = \"number\" + 1 WHERE \"id\" = $1";
        let add = Statement::new(sql).bind(EntityId::from_u128(id));
        add.must_change(Failed::Stale)
    };
    let mut tasks = vec![];
    for at in 0..12 {
        let batch = if at % 2 == 0 { vec![add(1), add(2)] } else { vec![add(2), add(1)] };
        tasks.push(tokio::spawn(database.write(batch, Room::Free)));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(numbers(&*database).await, [12, 12]);
}

#[tokio::test]
async fn a_server_that_ends_is_told_as_such_and_everything_goes_on_when_it_is_back() {
    let Some((mut server, database)) = server().await else {
        return;
    };
    for (number, end) in (0_i64..).zip([PostgresEnd::Fast, PostgresEnd::Immediate]) {
        database
            .write(vec![insert(number.unsigned_abs().into(), number)], Room::Free)
            .await
            .unwrap();
        server.stop(end).unwrap();
        let lost = database.read(Statement::new("SELECT 1")).await;
        assert!(matches!(lost, Err(Error::Unreachable { .. })), "{lost:?}");
        let lost = database.write(vec![insert(99, 99)], Room::Free).await;
        assert!(matches!(lost, Err(Error::Unreachable { .. })), "{lost:?}");
        assert!(database.check().await.is_err());
        assert!(matches!(open(&server).await, Err(Error::Unreachable { .. })));
        server.restart().unwrap();
        database.check().await.unwrap();
    }
    assert_eq!(numbers(&*database).await, [0, 1]);
}

#[tokio::test]
async fn tables_that_another_process_changes_are_read_as_they_are_now() {
    let Some((server, database)) = server().await else {
        return;
    };
    let other = open(&server).await.unwrap();
    let all = || Statement::new("SELECT * FROM \"t\"");
    database.write(vec![insert(1, 1)], Room::Free).await.unwrap();
    assert_eq!(database.read(all()).await.unwrap()[0].0.len(), 2);
    let wider = "ALTER TABLE \"t\" ADD COLUMN \"more\" TEXT";
    other.write(vec![Statement::new(wider)], Room::Free).await.unwrap();
    assert_eq!(database.read(all()).await.unwrap()[0].0.len(), 3);
    let sql = "INSERT INTO \"t\" (\"id\", \"number\") VALUES ($1, 2) RETURNING *";
    let put = Statement::new(sql).bind(EntityId::from_u128(2));
    let put = database.write(vec![put], Room::Free).await.unwrap();
    assert_eq!((put[0].changed, put[0].rows[0].0.len()), (1, 3));
}

#[tokio::test]
async fn the_first_reason_is_told_and_nothing_is_done() {
    let Some((_server, database)) = server().await else {
        return;
    };
    let none = "UPDATE \"t\" SET \"number\" = 5 WHERE \"id\" = $1";
    let none = Statement::new(none).bind(EntityId::from_u128(77)).must_change(Failed::Stale);
    database.write(vec![insert(1, 1)], Room::Free).await.unwrap();
    let refused = database.write(vec![insert(2, 2), none, insert(1, 1)], Room::Free).await;
    assert!(matches!(refused, Err(Error::Condition(Failed::Stale))), "{refused:?}");
    let refused = database.write(vec![insert(2, 2), insert(1, 1)], Room::Free).await;
    assert!(matches!(refused, Err(Error::Condition(Failed::Exists { .. }))), "{refused:?}");
    assert_eq!(numbers(&*database).await, [1]);
}

/// Rows that are inserted together are told as if each was inserted by itself.
#[tokio::test]
async fn rows_of_one_batch_say_what_each_of_them_did() {
    let Some((_server, database)) = server().await else {
        return;
    };
    let all = || (1..=9).map(|id| insert(id, id.try_into().unwrap()));
    let wrote = database.write(all().collect(), Room::Free).await.unwrap();
    assert!(wrote.iter().all(|one| one.changed == 1 && one.rows.is_empty()), "{wrote:?}");
    assert_eq!(wrote.len(), 9);

    let again = || (7..=12).map(|id| insert(id, 0));
    let refused = database.write(again().collect(), Room::Free).await;
    assert!(matches!(refused, Err(Error::Condition(Failed::Exists { .. }))), "{refused:?}");
    let twice = (20..=24).chain([22]).map(|id| insert(id, 0)).collect();
    let refused = database.write(twice, Room::Free).await;
    assert!(matches!(refused, Err(Error::Condition(Failed::Exists { .. }))), "{refused:?}");

    let unless = |clause: &str, mut one: Statement| {
        one.sql = format!("{} {clause}", one.sql).into();
        one
    };
    let nothing = "ON CONFLICT DO NOTHING";
    let must = |one| unless(nothing, one).must_change(Failed::Queued);
    let refused = database.write(again().map(must).collect(), Room::Free).await;
    assert!(matches!(refused, Err(Error::Condition(Failed::Queued))), "{refused:?}");
    assert_eq!(numbers(&*database).await, (1..=9).collect::<Vec<_>>());

    let some = again().map(|one| unless(nothing, one)).collect();
    let wrote = database.write(some, Room::Free).await.unwrap();
    let changed: Vec<_> = wrote.iter().map(|one| one.changed).collect();
    assert_eq!(changed, [0, 0, 0, 1, 1, 1]);
    let sum = "ON CONFLICT (\"id\") DO UPDATE SET \"number\" = \"t\".\"number\" + 1";
    let twice = [1, 1, 1, 30, 30].map(|id| unless(sum, insert(id, 1))).to_vec();
    database.write(twice, Room::Free).await.unwrap();
    let is = [4, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 2];
    assert_eq!(numbers(&*database).await, is);
}

#[tokio::test]
async fn rows_of_one_batch_keep_their_values_and_their_order() {
    let Some((_server, database)) = server().await else {
        return;
    };
    let table = "CREATE TABLE \"kinds\" (\"seq\" BIGINT GENERATED BY DEFAULT AS IDENTITY,
        \"a\" BOOLEAN, \"b\" BIGINT, \"c\" DOUBLE PRECISION, \"d\" TEXT COLLATE \"C\",
        \"e\" JSONB, \"f\" BYTEA, \"g\" TIMESTAMPTZ, \"h\" UUID)";
    database.write(vec![Statement::new(table)], Room::Free).await.unwrap();
    let row = |at: i64| {
        [
            Value::Boolean(at % 2 == 0),
            Value::Whole(-at),
            Value::Float(at as f64 / 3.0),
            Value::Text(format!("{{\"NULL\", {at}\\ привет}}")),
            Value::Json(format!("{{\"a\": [{at}, null]}}")),
            Value::Bytes(vec![0; at.try_into().unwrap()]),
            Value::Moment(1_700_000_000_000 + at),
            Value::Id(EntityId::from_u128(at.unsigned_abs().into())),
        ]
    };
    let mut rows: Vec<Vec<Value>> = (0..2500).map(|at| row(at).to_vec()).collect();
    for (at, hole) in [(3, 0), (4, 1), (5, 2), (6, 3), (7, 4), (8, 5), (9, 6), (10, 7)] {
        rows[at][hole] = Value::Null;
    }
    let sql = "INSERT INTO \"kinds\" (\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let batch = rows.iter().map(|row| Statement::new(sql).bind_all(row.clone())).collect();
    database.write(batch, Room::Free).await.unwrap();
    let all = Statement::new(
        "SELECT \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\" FROM \"kinds\" ORDER BY \"seq\"",
    );
    let there = database.read(all).await.unwrap();
    assert_eq!(there.into_iter().map(|row| row.0).collect::<Vec<_>>(), rows);
}

#[tokio::test]
async fn a_query_with_a_bound_of_time_ends_within_it() {
    let Some((_server, database)) = server().await else {
        return;
    };
    for searches in [false, true] {
        let endless = Statement::new("SELECT pg_sleep(600)").searches(searches);
        let slow = database.read(endless.within(Duration::from_millis(50))).await;
        assert!(matches!(slow, Err(Error::TooSlow)), "{slow:?}");
    }
    let quick = Statement::new("SELECT 7").within(PATIENCE);
    assert_eq!(database.read(quick).await.unwrap()[0].whole(0), Some(7));
}

/// Sends a signal to processes of a server.
fn signal(name: &str, processes: &[i64]) {
    let mut kill = std::process::Command::new("kill");
    let kill = kill.arg(format!("-{name}")).args(processes.iter().map(i64::to_string));
    assert!(kill.status().unwrap().success());
}

/// The processes of the sessions that use the database.
async fn sessions(database: &dyn Database) -> Vec<i64> {
    let sql = "SELECT CAST(\"pid\" AS BIGINT) FROM pg_stat_activity
        WHERE \"datname\" = current_database()";
    let rows = database.read(Statement::new(sql)).await.unwrap();
    rows.iter().map(|row| row.whole(0).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_given_up_and_used_again_when_it_goes_on() {
    let Some((server, _database)) = server().await else {
        return;
    };
    let patience = Duration::from_secs(2);
    let config = PostgresConfig::parse(&server.url("lost")).unwrap();
    let database = PostgresDatabase::open(config.clone()).await.unwrap();
    config.give_up_after(patience);
    database.write(vec![insert(1, 1)], Room::Free).await.unwrap();
    let mut stopped = sessions(&*database).await;
    signal("STOP", &stopped);
    let begun = tokio::time::Instant::now();
    let read = database.read(Statement::new("SELECT 1")).await;
    assert!(matches!(read, Err(Error::Unreachable { .. })), "{read:?}");
    assert!(begun.elapsed() < patience * 5, "{:?}", begun.elapsed());
    // Sessions that are made since then answer.
    database.write(vec![insert(2, 2)], Room::Free).await.unwrap();
    let stopped_too = sessions(&*database).await;
    signal("STOP", &stopped_too);
    let write = database.write(vec![insert(3, 3)], Room::Free).await;
    assert!(matches!(write, Err(Error::Unreachable { .. })), "{write:?}");
    // All at once, because those that go on end by themselves.
    stopped.extend(stopped_too);
    stopped.sort_unstable();
    stopped.dedup();
    signal("CONT", &stopped);
    assert_eq!(numbers(&*database).await, [1, 2]);
    database.write(vec![insert(3, 3)], Room::Free).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_answered_in_time_is_asked_for() {
    let Some((server, _database)) = server().await else {
        return;
    };
    for sql in [
        "CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_sleep(NEW.\"number\"); RETURN NULL; END'",
        "CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON \"t\" DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION waits()",
    ] {
        server.execute("lost", sql).await.unwrap();
    }
    let config = PostgresConfig::parse(&server.url("lost")).unwrap();
    let database = PostgresDatabase::open(config.clone()).await.unwrap();
    config.give_up_after(Duration::from_secs(1));
    database.write(vec![insert(1, 4)], Room::Free).await.unwrap();
    let unknown = database.write(vec![insert(2, 60)], Room::Free).await;
    assert!(matches!(unknown, Err(Error::OutcomeUnknown)), "{unknown:?}");
    assert_eq!(numbers(&*database).await, [4]);
}

#[tokio::test]
async fn a_ring_is_heard_in_another_process() {
    let Some((server, database)) = server().await else {
        return;
    };
    let other = open(&server).await.unwrap();
    let mut listener = other.listen(Topic::Jobs);
    // It is told again until the other one has begun to listen.
    let heard = async || {
        database.ring(Topic::Jobs);
        Ok(listener.has_rung().then_some(()))
    };
    wait_until("a ring", PATIENCE, heard).await.unwrap();
    // Once it listens, one ring suffices.
    listener.catch_up();
    database.ring(Topic::Jobs);
    tokio::time::timeout(PATIENCE / 2, listener.rung()).await.unwrap();
}
