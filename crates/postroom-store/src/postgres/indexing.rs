//! Indexes that are made while others write.

use crate::database::Answer;
use crate::database::Statement;
use crate::postgres::PostgresShared;
use crate::postgres::failing;
use crate::postgres::in_task;
use crate::postgres::sessions::SessionUse;
use std::sync::Arc;

/// Makes an index.
pub(crate) fn index(shared: Arc<PostgresShared>, name: &str, on: &str) -> Answer<()> {
    // An index that was begun and not finished exists, but does not work.
    let gone = format!("DROP INDEX IF EXISTS {name}");
    let made = format!("CREATE INDEX CONCURRENTLY {name} ON {on}");
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

/// Ends the making of the indexes of a table, by any process. Sessions of other roles go on.
pub(crate) fn ended(shared: Arc<PostgresShared>, table: &str) -> Answer<()> {
    let sql = "SELECT pg_cancel_backend(\"pid\") FROM \"pg_stat_progress_create_index\"
        WHERE \"relid\" = to_regclass($1)
          AND \"pid\" IN
            (SELECT \"pid\" FROM \"pg_stat_activity\" WHERE \"usename\" = current_user)";
    let statement = Statement::new(sql).bind(table);
    in_task(async move { shared.read(&statement).await.map(drop) })
}
