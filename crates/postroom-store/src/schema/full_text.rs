//! The step that makes the tables of words.

use crate::database::Dialect;

/// The words of messages, which are kept once the engine has come to each message.
pub(super) const STEP: &[&str] =
    &["{full text 0}", "{full text 1}", "{full text 2}", "{full text 3}"];

/// A statement with what the database has in place of `{full text n}`.
pub(super) fn made(dialect: &dyn Dialect, sql: &str) -> String {
    let tables = (0..).zip(dialect.full_text().tables());
    tables
        .fold(sql.to_owned(), |sql, (at, table)| sql.replace(&format!("{{full text {at}}}"), table))
}
