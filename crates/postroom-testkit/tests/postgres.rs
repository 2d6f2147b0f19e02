//! PostgreSQL: each directory of a test has a database of its own, and all of it goes with the test.
#![expect(clippy::unwrap_used, reason = "tests")]

use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresEnd;
use postroom_testkit::PostgresOptions;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use postroom_testkit::require;
use postroom_testkit::wait_until;
use std::env;
use std::io::BufRead;
use std::io::BufReader;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::NoTls;

const PATIENCE: Duration = Duration::from_secs(30);

/// Set in a process that starts a PostgreSQL and waits until it is killed.
const TO_BE_KILLED: &str = "POSTROOM_TESTKIT_TO_BE_KILLED";

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

fn url_of(directory: &str) -> Option<String> {
    TestDatabase::postgres_url(Path::new(directory)).unwrap()
}

#[on_both]
async fn each_directory_of_a_test_has_a_database_of_its_own() {
    let urls = [url_of("/one"), url_of("/other"), url_of("/one")];
    let [Some(one), Some(other), Some(again)] = urls.clone() else {
        assert_eq!(TestDatabase::present(), TestDatabase::Sqlite);
        assert_eq!(urls, [const { None }; 3]);
        return;
    };
    assert_eq!(TestDatabase::present(), TestDatabase::Postgres);
    assert_eq!(one, again);
    connect(&one)
        .await
        .batch_execute("CREATE TABLE t (); INSERT INTO t DEFAULT VALUES")
        .await
        .unwrap();
    assert_eq!(text(&connect(&again).await, "SELECT count(*)::text FROM t").await, "1");
    assert!(connect(&other).await.batch_execute("SELECT FROM t").await.is_err());
}

#[on_both(flavor = "multi_thread")]
async fn what_a_test_spawns_has_its_databases() {
    let spawned = tokio::spawn(async { url_of("/one") }).await.unwrap();
    let blocking = tokio::task::spawn_blocking(|| url_of("/one")).await.unwrap();
    assert_eq!(url_of("/one"), spawned);
    assert_eq!(spawned, blocking);
}

#[tokio::test]
async fn a_database_goes_with_its_test_even_when_it_is_in_use() {
    if !require(&[Need::Postgres]) {
        return;
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    let test = || async {
        let url = url_of("/one").unwrap();
        let kept = connect(&url).await;
        let _ = tell.send((url, kept));
    };
    TestDatabase::Postgres.run(test).await;
    let (url, _kept) = told.await.unwrap();
    let gone = wait_until("the end of the database", PATIENCE, async || {
        Ok(tokio_postgres::connect(&url, NoTls).await.is_err().then_some(()))
    });
    gone.await.unwrap();
}

#[tokio::test]
async fn what_is_committed_is_there_after_each_kind_of_end() {
    if !require(&[Need::Postgres]) {
        return;
    }
    let mut postgres = Postgres::start(&PostgresOptions::default()).unwrap();
    postgres.database_create("mail").await.unwrap();
    let url = postgres.url("mail");
    connect(&url).await.batch_execute("CREATE TABLE t (n int)").await.unwrap();
    for (number, end) in [PostgresEnd::Fast, PostgresEnd::Immediate].into_iter().enumerate() {
        let client = connect(&url).await;
        client.batch_execute(&format!("INSERT INTO t VALUES ({number})")).await.unwrap();
        postgres.stop(end).unwrap();
        assert!(client.batch_execute("SELECT 1").await.is_err());
        postgres.restart().unwrap();
    }
    let client = connect(&url).await;
    assert_eq!(text(&client, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t").await, "0 1");
    assert_eq!(postgres.connections_end("mail").await.unwrap(), 1);
    assert!(client.batch_execute("SELECT 1").await.is_err());
}

#[tokio::test]
async fn texts_and_days_are_not_as_in_sqlite_unless_somebody_asks_for_it() {
    if !require(&[Need::Postgres]) {
        return;
    }
    let postgres = Postgres::start(&PostgresOptions::default()).unwrap();
    postgres.database_create("mail").await.unwrap();
    let client = connect(&postgres.url("mail")).await;
    assert_eq!(text(&client, "SELECT ('a' < 'B')::text").await, "true");
    assert_eq!(text(&client, "SELECT ('a' COLLATE \"C\" < 'B')::text").await, "false");
    assert_eq!(text(&client, "SHOW timezone").await, "Asia/Kolkata");
    assert_eq!(text(&client, "SHOW is_superuser").await, "off");
}

#[tokio::test]
async fn a_killed_process_leaves_no_server_and_no_files() {
    if !require(&[Need::Postgres]) {
        return;
    }
    if env::var_os(TO_BE_KILLED).is_some() {
        let postgres = Postgres::start(&PostgresOptions::default()).unwrap();
        let config = format!("host=127.0.0.1 user=postgres port={}", postgres.port());
        let directory = text(&connect(&config).await, "SHOW data_directory").await;
        println!("\nat {} {directory}", postgres.port());
        std::future::pending::<()>().await;
    }
    let name = "a_killed_process_leaves_no_server_and_no_files";
    let mut process = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture", name])
        .env(TO_BE_KILLED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let place =
        lines.map(Result::unwrap).find_map(|line| Some(line.strip_prefix("at ")?.to_owned()));
    let place = place.unwrap();
    let (port, directory) = place.split_once(' ').unwrap();
    let (port, directory) = (port.parse::<u16>().unwrap(), Path::new(directory));
    assert!(directory.is_dir());
    process.kill().unwrap();
    process.wait().unwrap();
    let gone = wait_until("the end of the server", PATIENCE, async || {
        let answers = TcpStream::connect(("127.0.0.1", port)).is_ok();
        Ok((!answers && !directory.exists()).then_some(()))
    });
    gone.await.unwrap();
}
