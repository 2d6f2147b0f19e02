//! Rows that a batch inserts one after the other, as one statement.
//!
//! ```text
//!   INSERT INTO t (a, b) VALUES ($1, $2)    three times
//!   INSERT INTO t (a, b) SELECT r.v1, r.v2 FROM (SELECT unnest($1::…[]) v1, unnest($2::…[]) v2) r
//! ```
//! A statement costs the server and this process more than a row does. The rows are inserted in
//! their order. If that fails, or inserts fewer rows, the batch is run again as it was written, so
//! that its statements show which condition does not hold.

use crate::database::Statement;
use std::borrow::Cow;
use std::fmt::Write;
use tokio_postgres::types::Type;

/// Fewer rows than this are inserted one by one, because the joined form must be prepared too.
const ROWS_MIN: usize = 4;
/// How many rows one statement inserts at most.
const ROWS_MAX: usize = 1000;
/// A statement takes no more rows once it has this many bytes.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// A part of a batch that is sent as one statement.
#[expect(clippy::large_enum_variant, reason = "nearly all pieces are single statements")]
#[derive(Debug)]
pub(crate) enum BatchPiece<'a> {
    /// A statement as it is.
    One(Cow<'a, Statement>),
    /// Equal statements with their values.
    Rows(&'a [Statement]),
}

impl<'a> BatchPiece<'a> {
    /// How many statements of the batch it is.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Rows(rows) => rows.len(),
        }
    }

    /// The SQL of the statement, or of each of them.
    pub(crate) fn sql(&self) -> Option<&Cow<'static, str>> {
        match self {
            Self::One(statement) => Some(&statement.sql),
            Self::Rows(rows) => rows.first().map(|row| &row.sql),
        }
    }

    /// The pieces of a batch. `joins`: rows are joined.
    pub(crate) fn all(batch: &'a [Statement], joins: bool) -> Vec<Self> {
        let mut pieces = vec![];
        for equal in batch.chunk_by(|one, next| one.sql == next.sql) {
            let inserts = equal.first().filter(|_| joins && equal.len() >= ROWS_MIN);
            if inserts.is_some_and(|one| parts(&one.sql).is_some()) {
                pieces.extend(portions(equal));
            } else {
                pieces.extend(equal.iter().map(|one| Self::One(Cow::Borrowed(one))));
            }
        }
        pieces
    }
}

/// Equal statements in portions.
fn portions(mut equal: &[Statement]) -> Vec<BatchPiece<'_>> {
    let mut pieces = vec![];
    while !equal.is_empty() {
        let mut bytes = 0;
        let fits = |row: &&Statement| {
            let is_begun = bytes < BYTES_MAX;
            bytes += row.size_bytes();
            is_begun
        };
        let count = equal.iter().take(ROWS_MAX).take_while(fits).count();
        let (portion, rest) = equal.split_at(count.max(1));
        pieces.push(BatchPiece::Rows(portion));
        equal = rest;
    }
    pieces
}

/// An INSERT with the values of one row.
struct InsertParts<'a> {
    /// The text before `VALUES`.
    head: &'a str,
    /// The text between the parentheses after `VALUES`.
    values: &'a str,
    /// The text after the parentheses.
    tail: &'a str,
}

/// The parts of an INSERT whose rows may be joined. `None`: it is something else, or its rows
/// depend on each other.
fn parts(sql: &str) -> Option<InsertParts<'_>> {
    let (head, rest) = sql.split_once("VALUES (")?;
    let table = head.strip_prefix("INSERT")?.split_whitespace().nth(1)?;
    let mut depth = 1;
    let end = rest.find(|character| {
        depth += match character {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    })?;
    let (values, tail) = (rest.get(..end)?, rest.get(end + 1..)?);
    // A query within the statement would not see the rows that are inserted before.
    let looks_back = values.contains("SELECT") && values.contains(table);
    let is_plain = !tail.contains('$') && !tail.contains("RETURNING") && !tail.contains("VALUES");
    (is_plain && !looks_back).then_some(InsertParts { head, values, tail })
}

/// The statement that inserts many rows. `types`: those of the placeholders of one row.
pub(crate) fn joined(sql: &str, types: &[Type]) -> Option<String> {
    let InsertParts { head, values, tail } = parts(sql)?;
    let mut lists = String::new();
    for (at, of_type) in (1..).zip(types) {
        let comma = if at == 1 { "" } else { ", " };
        write!(lists, "{comma}unnest(${at}::{}[]) AS v{at}", of_type.name()).ok()?;
    }
    let mut pieces = values.split('$');
    let mut row = pieces.next()?.to_owned();
    for piece in pieces {
        write!(row, "r.v{piece}").ok()?;
    }
    Some(format!("{head}SELECT {row} FROM (SELECT {lists}) r{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(sql: &'static str, count: usize) -> Vec<Statement> {
        (0..count).map(|number| Statement::new(sql).bind(number as u64)).collect()
    }

    fn lengths(batch: &[Statement]) -> Vec<usize> {
        BatchPiece::all(batch, true).iter().map(BatchPiece::len).collect()
    }

    const INSERT: &str = "INSERT INTO \"t\" (\"a\") VALUES ($1)";

    #[test]
    fn rows_become_a_query_of_lists() {
        let sql = "INSERT INTO \"t\" (\"a\", \"b\") VALUES ($1,
            (SELECT \"c\" FROM \"u\" WHERE \"d\" = $1 AND \"e\" = $2)) ON CONFLICT DO NOTHING";
        assert_eq!(
            joined(sql, &[Type::UUID, Type::INT8]).unwrap(),
            "INSERT INTO \"t\" (\"a\", \"b\") SELECT r.v1,
            (SELECT \"c\" FROM \"u\" WHERE \"d\" = r.v1 AND \"e\" = r.v2) FROM (SELECT \
             unnest($1::uuid[]) AS v1, unnest($2::int8[]) AS v2) r ON CONFLICT DO NOTHING"
        );
    }

    #[test]
    fn equal_inserts_in_a_row_are_joined() {
        let mut batch = rows(INSERT, 5);
        assert_eq!(lengths(&batch), [5]);
        batch.extend(rows("UPDATE \"t\" SET \"a\" = $1", 5));
        batch.extend(rows(INSERT, 2));
        assert_eq!(lengths(&batch), [5, 1, 1, 1, 1, 1, 1, 1], "and nothing else is");
        assert_eq!(BatchPiece::all(&batch, false).len(), batch.len());
        assert_eq!(lengths(&rows(INSERT, ROWS_MAX + 1)), [ROWS_MAX, 1]);
    }

    #[test]
    fn rows_that_depend_on_each_other_are_not_joined() {
        for sql in [
            "INSERT INTO \"t\" (\"a\") VALUES ((SELECT MAX(\"a\") + $1 FROM \"t\"))",
            "INSERT INTO \"t\" (\"a\") VALUES ($1) RETURNING \"a\"",
            "INSERT INTO \"t\" (\"a\") VALUES ($1) ON CONFLICT DO UPDATE SET \"a\" = $1",
            "INSERT INTO \"t\" (\"a\") SELECT $1",
        ] {
            assert_eq!(lengths(&rows(sql, 5)), [1; 5], "{sql}");
        }
    }

    #[test]
    fn a_statement_of_many_bytes_takes_no_more_rows() {
        let large = || Statement::new(INSERT).bind(vec![0; BYTES_MAX / 2 + 1]);
        let batch: Vec<_> = (0..5).map(|_| large()).collect();
        assert_eq!(lengths(&batch), [2, 2, 1]);
    }
}
