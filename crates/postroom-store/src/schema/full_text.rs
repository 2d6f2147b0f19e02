//! The step that makes the tables of words.

use crate::database::Dialect;

/// The words of messages. The engine stores those of a message some time after the message.
pub(super) const STEP: &[&str] =
    &["{full text 0}", "{full text 1}", "{full text 2}", "{full text 3}"];

/// A statement in which `{full text n}` is replaced by the table definition of the database.
pub(super) fn made(dialect: &dyn Dialect, sql: &str) -> String {
    let tables = (0..).zip(dialect.full_text().tables());
    tables
        .fold(sql.to_owned(), |sql, (at, table)| sql.replace(&format!("{{full text {at}}}"), table))
}
