//! One connection to the server, with the statements that it has prepared.

use crate::database::Outcome;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::postgres::config::PostgresConfig;
use crate::postgres::failing::Failing;
use crate::postgres::failing::sorted;
use crate::postgres::failing::unreachable;
use crate::postgres::patience::AnswerPatience;
use crate::postgres::tls::Securer;
use crate::postgres::value;
use crate::postgres::value::Bound;
use futures_util::TryStreamExt;
use futures_util::future::join3;
use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::task::AbortHandle;
use tokio_postgres::AsyncMessage;
use tokio_postgres::Client;
use tokio_postgres::NoTls;
use tokio_postgres::RowStream;

/// How many prepared statements a connection keeps.
const STATEMENTS_MAX: usize = 512;
/// How long it may take until a new connection is ready.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// The least version of PostgreSQL, as the server numbers it.
const VERSION_MIN: i32 = 150_000;

/// The settings of a session.
///
/// - Even if the server is configured to commit without waiting for the disk, it waits in
///   sessions that Postroom opens, because a 2xx answer promises that a change is durable.
/// - The locks of a process that hangs are released after the time of a lease, so that another one
///   can take over. Nobody waits much longer for a lock.
/// - Long texts are compressed by LZ4 if the server has it, because the default compression costs
///   more than the rest of receiving a message.
const SESSION: &str = "SET default_transaction_isolation = 'read committed';
    SET client_min_messages = warning; SET jit = off; SET TIME ZONE 'UTC';
    SET lock_timeout = '20s'; SET idle_in_transaction_session_timeout = '10s';
    SELECT set_config('synchronous_commit', 'on', false)
      WHERE current_setting('synchronous_commit') = 'off';
    SELECT set_config('default_toast_compression', 'lz4', false) FROM pg_settings
      WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)";

/// A moment that changes when the server recovers from a crash, because it then begins its
/// statistics anew. No session lives on beyond a crash.
pub(crate) const RECOVERED: &str = "SELECT CAST(
    COALESCE(\"stats_reset\", pg_postmaster_start_time()) AS TEXT) FROM \"pg_stat_bgwriter\"";

/// Called with each message that the server sends unasked.
pub(crate) type OnMessage = Box<dyn Fn(AsyncMessage) + Send>;

/// A connection.
pub(crate) struct PostgresSession {
    pub client: Client,
    /// When the server has recovered from its last crash, in words that are only compared.
    pub recovered: String,
    /// Whether its state is not known, because a transaction may not have ended as it was asked
    /// to. It is not used again.
    pub is_spoilt: bool,
    pub driving: Driving,
    prepared: HashMap<Cow<'static, str>, KeptStatement>,
    uses: u64,
}

/// The task that reads and writes the socket of a connection. If the connection is dropped while a
/// request runs, the socket is closed at once, because the server may never answer.
pub(crate) struct Driving {
    task: AbortHandle,
    /// Whether no request runs.
    pub is_idle: bool,
}

impl Drop for Driving {
    fn drop(&mut self) {
        if !self.is_idle {
            self.task.abort();
        }
    }
}

struct KeptStatement {
    statement: tokio_postgres::Statement,
    last_use: u64,
}

impl PostgresSession {
    /// Connects. `heard` is called with each message that the server sends unasked.
    pub(crate) async fn open(config: &PostgresConfig, heard: OnMessage) -> Result<Self, Error> {
        let patience = AnswerPatience::new(Some(OPEN_WITHIN));
        let opened = patience.wait(Self::open_now(config, heard)).await;
        opened.unwrap_or_else(|| Err(patience.over()))
    }

    async fn open_now(config: &PostgresConfig, heard: OnMessage) -> Result<Self, Error> {
        let (client, task) = if config.needs_tls() {
            let tls = config.tls.clone().ok_or_else(|| Error::DatabaseAddress {
                reason: "it needs TLS, which this process has none of".to_owned(),
            })?;
            let connected = Box::pin(config.server.connect(Securer(tls))).await;
            let (client, connection) = connected.map_err(|error| unreachable(&error))?;
            (client, tokio::spawn(drive(connection, heard)).abort_handle())
        } else {
            let connected = Box::pin(config.server.connect(NoTls)).await;
            let (client, connection) = connected.map_err(|error| unreachable(&error))?;
            (client, tokio::spawn(drive(connection, heard)).abort_handle())
        };
        let driving = Driving { task, is_idle: false };
        client.batch_execute(SESSION).await.map_err(|error| unreachable(&error))?;
        let recovered = client.query_one(RECOVERED, &[]).await.and_then(|row| row.try_get(0));
        let recovered = recovered.map_err(|error| unreachable(&error))?;
        Ok(Self { client, recovered, is_spoilt: false, driving, prepared: HashMap::new(), uses: 0 })
    }

    /// Checks that the server is one that the store works with.
    pub(crate) async fn check_server(&self) -> Result<(), Error> {
        let sql = "SELECT current_setting('server_version_num')::int4,
            current_setting('server_version'), current_setting('server_encoding'),
            EXISTS (SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu')";
        let row = self.client.query_one(sql, &[]).await.map_err(|error| unreachable(&error))?;
        let (number, version, encoding): (i32, String, String) =
            (row.get(0), row.get(1), row.get(2));
        let wrong = |reason| Err(Error::DatabaseAddress { reason });
        if number < VERSION_MIN {
            return wrong(format!("its server is PostgreSQL {version}: 15 or newer is needed"));
        }
        if encoding != "UTF8" {
            return wrong(format!(
                "the database is encoded in {encoding}: make it with `ENCODING 'UTF8'`"
            ));
        }
        // ICU folds the case of texts in all scripts.
        if !row.get::<_, bool>(3) {
            return wrong("its server was built without ICU".to_owned());
        }
        Ok(())
    }

    /// The prepared form of a statement. It is prepared when this connection has not done so.
    #[expect(clippy::ptr_arg, reason = "a text that is static is kept without a copy")]
    pub(crate) async fn prepared(
        &mut self,
        sql: &Cow<'static, str>,
    ) -> Result<tokio_postgres::Statement, Failing> {
        self.uses += 1;
        if let Some(prepared) = self.prepared.get_mut(sql) {
            prepared.last_use = self.uses;
            return Ok(prepared.statement.clone());
        }
        let prepared = self.client.prepare(sql).await.map_err(sorted)?;
        self.keep(sql.clone(), &prepared);
        Ok(prepared)
    }

    /// Prepares those of the statements that are not prepared yet, without waiting in between.
    pub(crate) async fn prepare_all(
        &mut self,
        texts: impl Iterator<Item = &Cow<'static, str>>,
    ) -> Result<(), Failing> {
        let mut missing: Vec<_> = texts.filter(|sql| !self.prepared.contains_key(*sql)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let preparing = missing.iter().map(|sql| self.client.prepare(sql));
        let statements = futures_util::future::join_all(preparing).await;
        for (sql, statement) in missing.into_iter().zip(statements) {
            self.uses += 1;
            self.keep(sql.clone(), &statement.map_err(sorted)?);
        }
        Ok(())
    }

    fn keep(&mut self, sql: Cow<'static, str>, statement: &tokio_postgres::Statement) {
        if self.prepared.len() >= STATEMENTS_MAX {
            let oldest = self.prepared.iter().min_by_key(|(_, prepared)| prepared.last_use);
            if let Some(sql) = oldest.map(|(sql, _)| sql.clone()) {
                self.prepared.remove(&sql);
            }
        }
        let prepared = KeptStatement { statement: statement.clone(), last_use: self.uses };
        self.prepared.insert(sql, prepared);
    }

    /// Undoes the present transaction.
    pub(crate) async fn roll_back(&mut self, patience: AnswerPatience) {
        let undone = patience.wait(self.client.batch_execute("ROLLBACK")).await;
        self.is_spoilt |= !matches!(undone, Some(Ok(())));
    }

    /// Forgets all prepared statements, because the tables have changed.
    pub(crate) fn forget(&mut self) {
        self.prepared.clear();
    }
}

/// Runs the connection until it ends.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, heard: OnMessage)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    // Whoever waits for an answer gets the error with which it ended.
    while let Some(Ok(message)) =
        std::future::poll_fn(|context| connection.poll_message(context)).await
    {
        heard(message);
    }
}

/// Reads within a time limit.
pub(crate) async fn read(
    connection: &mut PostgresSession,
    statement: &Statement,
    within: Option<Duration>,
) -> Result<Vec<Row>, Failing> {
    let prepared = connection.prepared(&statement.sql).await?;
    let client = &connection.client;
    let Some(within) = within else {
        return run(client, prepared, statement).await.map(|outcome| outcome.rows);
    };
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = {}",
        within.as_millis().clamp(1, 1 << 30)
    );
    // They are polled in this order first, and sent then.
    let (begun, ran, ended) = join3(
        client.batch_execute(&begin),
        run(client, prepared, statement),
        client.batch_execute("COMMIT"),
    )
    .await;
    connection.is_spoilt |= begun.is_err() || ended.is_err();
    begun.map_err(sorted)?;
    let outcome = ran?;
    ended.map_err(sorted)?;
    Ok(outcome.rows)
}

/// Runs a prepared statement. If it returns rows, `changed` is their number. The future sends the
/// statement when it is first polled.
pub(crate) async fn run(
    client: &Client,
    prepared: tokio_postgres::Statement,
    statement: &Statement,
) -> Result<Outcome, Failing> {
    let values = values_of(&prepared, statement)?;
    let found = client.query_raw(&prepared, values.iter().map(Bound)).await.map_err(sorted)?;
    outcome(prepared, found, statement.bytes_max).await
}

/// Runs a prepared statement that takes many rows, each value as a list.
pub(crate) async fn run_rows(
    client: &Client,
    prepared: tokio_postgres::Statement,
    rows: &[Statement],
) -> Result<Outcome, Failing> {
    let mut lists: Vec<Vec<Bound<'_>>> = prepared.params().iter().map(|_| vec![]).collect();
    for row in rows {
        let values = values_of(&prepared, row)?;
        for (list, value) in lists.iter_mut().zip(values) {
            list.push(Bound(value));
        }
    }
    let found = client.query_raw(&prepared, lists).await.map_err(sorted)?;
    outcome(prepared, found, 0).await
}

async fn outcome(
    prepared: tokio_postgres::Statement,
    found: RowStream,
    bytes_max: usize,
) -> Result<Outcome, Failing> {
    let mut found = pin!(found);
    let (mut rows, mut size_bytes) = (vec![], 0);
    while let Some(row) = found.try_next().await.map_err(sorted)? {
        // The server has sent the others already.
        if size_bytes <= bytes_max {
            let row = value::row(&row).map_err(sorted)?;
            size_bytes += row.size_bytes();
            rows.push(row);
        }
    }
    let changed = if prepared.columns().is_empty() {
        usize::try_from(found.rows_affected().unwrap_or(0)).unwrap_or(usize::MAX)
    } else {
        rows.len()
    };
    Ok(Outcome { changed, rows })
}

/// The values of the placeholders that a statement has. Those behind the last one are left out.
fn values_of<'a>(
    prepared: &tokio_postgres::Statement,
    statement: &'a Statement,
) -> Result<&'a [Value], Failing> {
    let values = statement.values.get(..prepared.params().len());
    values.ok_or_else(|| {
        let text = format!("a placeholder without value: {}", statement.sql);
        Failing::Refused(Error::Database(Arc::from(
            Box::<dyn std::error::Error + Send + Sync>::from(text),
        )))
    })
}
