//! A batch as one transaction, in two flights.
//!
//! ```text
//!   first:   BEGIN, locks, all statements, the number of the transaction    no waiting in between
//!   second:  COMMIT, or ROLLBACK when a condition does not hold
//! ```
//! If the connection is lost before COMMIT is sent, nothing was done. If it is lost after that, the
//! server is asked by the number of the transaction whether it is committed. After a crash, the
//! server gives numbers of transactions that were not committed to others, so that the answer
//! "committed" is no evidence then. A COMMIT that is not answered in time counts as lost.

use crate::columns::quoted;
use crate::database::Lock;
use crate::database::Must;
use crate::database::Outcome;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::postgres::failing::Failing;
use crate::postgres::failing::UncertainBatch;
use crate::postgres::failing::says_undone;
use crate::postgres::failing::sorted;
use crate::postgres::patience::AnswerPatience;
use crate::postgres::rows;
use crate::postgres::rows::BatchPiece;
use crate::postgres::session::PostgresSession;
use crate::postgres::session::run;
use crate::postgres::session::run_rows;
use futures_util::future::MaybeDone;
use futures_util::future::maybe_done;
use postroom_model::EntityId;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio_postgres::Client;

/// The number of the present transaction. NULL when it has changed nothing.
const NUMBER: &str = "SELECT pg_current_xact_id_if_assigned()";
/// The name of the lock of batches that change tables, so that they run one after the other.
const TABLES: &str = "tables";

/// How long the server is asked whether a transaction was committed. When a connection is lost, the
/// server ends its session earlier than that.
const OUTCOME_WITHIN: Duration = Duration::from_secs(90);
/// The same after the server did not answer, which may last.
const OUTCOME_WITHIN_STILL: Duration = Duration::from_secs(20);

type StatementRan = Result<Outcome, Failing>;

/// Runs a batch.
pub(crate) async fn write(
    connection: &mut PostgresSession,
    batch: &[Statement],
    patience: AnswerPatience,
) -> Result<Vec<Outcome>, Failing> {
    let changes_tables = batch.iter().any(changes_tables);
    // Nobody knows how long the server needs to change a table.
    let patience = if changes_tables { AnswerPatience::new(None) } else { patience };
    let joined = BatchPiece::all(batch, !changes_tables);
    if joined.len() < batch.len() {
        match write_pieces(connection, batch, joined, patience).await {
            // The single statements are run again, because they show which condition fails.
            Err(Failing::Refused(Error::Condition(_) | Error::Database(_))) => {}
            wrote => return wrote,
        }
    }
    let wrote = write_pieces(connection, batch, BatchPiece::all(batch, false), patience).await;
    if changes_tables {
        connection.forget();
    }
    wrote
}

async fn write_pieces(
    connection: &mut PostgresSession,
    batch: &[Statement],
    pieces: Vec<BatchPiece<'_>>,
    patience: AnswerPatience,
) -> Result<Vec<Outcome>, Failing> {
    let changes_tables = batch.iter().any(changes_tables);
    let locks = locks(batch, changes_tables);
    let locks_count = locks.len();
    let locks = locks.into_iter().map(|lock| BatchPiece::One(Cow::Owned(lock)));
    let number = BatchPiece::One(Cow::Owned(Statement::new(NUMBER)));
    let all: Vec<_> = locks.chain(pieces.into_iter().map(locking)).chain([number]).collect();
    let running = async {
        if changes_tables {
            return Ok(one_by_one(connection, &all).await);
        }
        at_once(connection, &all).await
    };
    let ran = patience.undone(running).await?;
    let patience = patience.renewed();
    match held(batch, ran, &all, locks_count) {
        Ok(Done { outcomes, transaction: Value::Null }) => {
            connection.roll_back(patience).await;
            Ok(outcomes)
        }
        Ok(Done { outcomes, transaction }) => {
            let asked_within = match patience.wait(connection.client.batch_execute("COMMIT")).await
            {
                Some(Ok(())) => return Ok(outcomes),
                Some(Err(error)) if says_undone(&error) => {
                    connection.roll_back(patience).await;
                    return Err(sorted(error));
                }
                Some(Err(_)) => OUTCOME_WITHIN,
                None => OUTCOME_WITHIN_STILL,
            };
            let recovered = connection.recovered.clone();
            let uncertain = UncertainBatch { transaction, recovered, outcomes, asked_within };
            Err(Failing::Unknown(uncertain))
        }
        Err(failure) => {
            connection.roll_back(patience).await;
            Err(failure)
        }
    }
}

/// A batch whose conditions all hold.
struct Done {
    outcomes: Vec<Outcome>,
    /// The number of its transaction.
    transaction: Value,
}

/// Checks the results in the order of the batch, so that the first failed condition is reported.
fn held(
    batch: &[Statement],
    ran: Vec<StatementRan>,
    pieces: &[BatchPiece<'_>],
    locks: usize,
) -> Result<Done, Failing> {
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut ran = ran.into_iter();
    for lock in ran.by_ref().take(locks) {
        lock?;
    }
    let mut left = batch;
    // The number of the transaction comes after them.
    let count = pieces.len().saturating_sub(locks + 1);
    for (piece, ran) in pieces.iter().skip(locks).take(count).zip(ran.by_ref()) {
        let outcome = ran?;
        let (statements, rest) = left.split_at(piece.len().min(left.len()));
        left = rest;
        let must = statements.iter().find_map(|statement| statement.must.as_ref());
        if let Some(must) = must.filter(|_| outcome.changed == 0) {
            return Err(Failing::Refused(Error::Condition(must.failed().clone())));
        }
        if statements.len() == 1 {
            outcomes.push(outcome);
        } else if outcome.changed == statements.len() {
            outcomes.extend(statements.iter().map(|_| Outcome { changed: 1, rows: vec![] }));
        } else {
            // The batch is run again with single rows, which shows the row that failed.
            return Err(Failing::Refused(Error::Condition(Failed::Stale)));
        }
    }
    let number = ran.next().unwrap_or(Err(Failing::Refused(Error::Closed)))?;
    let transaction = number.rows.first().map_or(Value::Null, |row| row.value(0).clone());
    Ok(Done { outcomes, transaction })
}

/// Sends all statements, and then waits for the answers.
async fn at_once(
    connection: &mut PostgresSession,
    all: &[BatchPiece<'_>],
) -> Result<Vec<StatementRan>, Failing> {
    let prepared = prepared(connection, all).await?;
    let client = &connection.client;
    let mut begun = Box::pin(maybe_done(client.batch_execute("BEGIN")));
    let mut running: Vec<Pin<Box<MaybeDone<_>>>> = prepared
        .into_iter()
        .zip(all)
        .map(|(prepared, piece)| Box::pin(maybe_done(run_piece(client, prepared, piece))))
        .collect();
    // A statement is sent when it is first polled, so they are sent in the order of the batch.
    std::future::poll_fn(|context| {
        let _ = begun.as_mut().poll(context);
        for one in &mut running {
            let _ = one.as_mut().poll(context);
        }
        Poll::Ready(())
    })
    .await;
    begun.as_mut().await;
    if let Some(Err(error)) = begun.as_mut().take_output() {
        // The statements are sent already. If only BEGIN was canceled, each
        // of them was a transaction of its own.
        for one in &mut running {
            one.as_mut().await;
        }
        drop(running);
        connection.is_spoilt = true;
        return Err(match sorted(error) {
            Failing::Lost(error) => Failing::Lost(error),
            Failing::Refused(_)
            | Failing::Conflict(_)
            | Failing::Outdated(_)
            | Failing::StoodStill(_)
            | Failing::Unknown(_) => Failing::Refused(Error::OutcomeUnknown),
        });
    }
    let mut ran = Vec::with_capacity(running.len());
    for mut one in running {
        one.as_mut().await;
        ran.extend(one.as_mut().take_output());
    }
    Ok(ran)
}

/// The prepared forms of pieces. Single statements are prepared together, and so are joined rows.
async fn prepared(
    connection: &mut PostgresSession,
    all: &[BatchPiece<'_>],
) -> Result<Vec<tokio_postgres::Statement>, Failing> {
    connection.prepare_all(all.iter().filter_map(BatchPiece::sql)).await?;
    let mut joined = Vec::with_capacity(all.len());
    for piece in all {
        let sql = piece.sql().cloned().unwrap_or_default();
        joined.push(match piece {
            BatchPiece::One(_) => sql,
            BatchPiece::Rows(_) => {
                let one = connection.prepared(&sql).await?;
                rows::joined(&sql, one.params()).map_or(sql, Cow::Owned)
            }
        });
    }
    connection.prepare_all(joined.iter()).await?;
    let mut prepared = Vec::with_capacity(all.len());
    for sql in &joined {
        prepared.push(connection.prepared(sql).await?);
    }
    Ok(prepared)
}

async fn run_piece(
    client: &Client,
    prepared: tokio_postgres::Statement,
    piece: &BatchPiece<'_>,
) -> StatementRan {
    match piece {
        BatchPiece::One(statement) => run(client, prepared, statement).await,
        BatchPiece::Rows(rows) => run_rows(client, prepared, rows).await,
    }
}

/// Runs a batch whose statements cannot all be prepared before, because they use tables that it
/// makes. Stops at the first that fails.
async fn one_by_one(connection: &mut PostgresSession, all: &[BatchPiece<'_>]) -> Vec<StatementRan> {
    let client = &connection.client;
    let mut ran = vec![];
    if let Err(error) = client.batch_execute("BEGIN").await {
        return vec![Err(sorted(error))];
    }
    for piece in all {
        let sql = piece.sql().map_or("", AsRef::as_ref);
        let one = match client.prepare(sql).await {
            Ok(prepared) => run_piece(client, prepared, piece).await,
            Err(error) => Err(sorted(error)),
        };
        let is_over = one.is_err();
        ran.push(one);
        if is_over {
            break;
        }
    }
    ran
}

fn changes_tables(statement: &Statement) -> bool {
    let first = statement.sql.split_ascii_whitespace().next().unwrap_or_default();
    matches!(first, "CREATE" | "ALTER" | "DROP")
}

/// The statements that lock what a batch must lock first. All batches lock in one order, so that no
/// two of them wait for each other.
fn locks(batch: &[Statement], changes_tables: bool) -> Vec<Statement> {
    // A name that is locked both exclusively and shared is locked exclusively.
    let mut names: BTreeMap<&str, bool> = BTreeMap::new();
    let mut rows = BTreeSet::new();
    if changes_tables {
        names.insert(TABLES, true);
    }
    for statement in batch {
        match &statement.must {
            Some(Must::Hold { lock: Lock::Name(name), .. }) => drop(names.insert(name, true)),
            Some(Must::Hold { lock: Lock::Shared(name), .. }) => {
                names.entry(name).or_insert(false);
            }
            Some(Must::Hold { lock: Lock::Row { table, id }, .. }) => {
                rows.insert((table.as_ref(), *id));
            }
            Some(Must::Hold { lock: Lock::Found, .. } | Must::Change(_)) | None => {}
        }
    }
    let row = |(table, id): (&str, EntityId)| {
        let sql = format!("SELECT 1 FROM {} WHERE \"id\" = $1 FOR UPDATE", quoted(table));
        Statement::new(sql).bind(id)
    };
    names_locked(&names).into_iter().chain(rows.into_iter().map(row)).collect()
}

/// The statement that locks names. There are few combinations, so that it stays prepared.
fn names_locked(names: &BTreeMap<&str, bool>) -> Option<Statement> {
    let lock = |(name, alone): (&&str, &bool)| {
        let way = if *alone { "" } else { "_shared" };
        format!("pg_advisory_xact_lock{way}({})", number_of(name))
    };
    let locks: Vec<_> = names.iter().map(lock).collect();
    (!locks.is_empty()).then(|| Statement::new(format!("SELECT {}", locks.join(", "))))
}

/// The number of the advisory lock for a name.
fn number_of(name: &str) -> i64 {
    let mut first = [0; 8];
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"postroom ").update(name.as_bytes()).finalize_xof().fill(&mut first);
    i64::from_le_bytes(first)
}

/// The piece, which locks the rows that it finds if its condition asks for that.
fn locking(piece: BatchPiece<'_>) -> BatchPiece<'_> {
    let BatchPiece::One(statement) = &piece else {
        return piece;
    };
    if let Some(Must::Hold { lock: Lock::Found, .. }) = &statement.must {
        let sql = Cow::Owned(format!("{} FOR KEY SHARE", statement.sql));
        let locking = Statement { sql, ..Statement::clone(statement) };
        return BatchPiece::One(Cow::Owned(locking));
    }
    piece
}
