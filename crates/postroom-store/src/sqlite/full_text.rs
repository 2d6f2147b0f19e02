//! Words in SQLite: an index of FTS5, whose row numbers are in the order of time.
//!
//! ```text
//!   number = second of `dateTime` · 2^24 + number within the second
//! ```
//! FTS5 returns the rows of a word in the order of their numbers, one after the other. So the
//! newest 100 are found without reading the others. The rows of the last second are sorted by
//! `dateTime` and `id`. Deleted words are removed from the pages of the index (`secure-delete`).
//!
//! For a prefix without an index of its own, FTS5 reads the rows of all its words first. So a
//! prefix that few words begin with is replaced by those words.

use crate::full_text_dialect::BoundQuery;
use crate::full_text_dialect::FullText;
use crate::full_text_dialect::TimePage;
use crate::full_text_dialect::WordsPlan;
use postroom_model::MatchQuery;
use postroom_model::MatchTerm;
use std::ops::RangeInclusive;

/// How many bits of a number are the number within the second.
const PLACE_BITS: u32 = 24;
/// The numbers of messages without a time.
const UNTIMED: [i64; 2] = [-(1 << 62), -(1 << 61)];

/// The lengths of prefixes that have an index of their own, in characters.
const INDEXED_CHARS: RangeInclusive<usize> = 2..=3;
/// A prefix that more words begin with is not replaced by them.
const REPLACED_MAX: u8 = 32;
/// The words of the index in their order, for one connection.
pub(super) const TERMS: &str = "CREATE VIRTUAL TABLE temp.\"full text terms\"
    USING fts5vocab(main, 'full text words', instance)";

/// The index of SQLite.
pub(crate) struct SqliteFullText;

impl FullText for SqliteFullText {
    fn tables(&self) -> [&'static str; 4] {
        [
            "CREATE TABLE \"full text\" (
               \"number\" INTEGER PRIMARY KEY, \"id\" {id} NOT NULL UNIQUE,
               \"domain\" {text} NOT NULL, \"dateTime\" {moment}, \"sum\" {whole} NOT NULL)",
            // The model has split the text into words already, with spaces between them.
            "CREATE VIRTUAL TABLE \"full text words\" USING fts5(
               \"words\", tokenize = 'ascii', prefix = '2 3', columnsize = 0)",
            "INSERT INTO \"full text words\" (\"full text words\", \"rank\")
               VALUES ('secure-delete', 1)",
            "",
        ]
    }

    fn keep(&self) -> &'static str {
        // As `numbers`, for the time bound at `$3`.
        "INSERT INTO \"full text\" (\"number\", \"id\", \"domain\", \"dateTime\", \"sum\")
           SELECT COALESCE((SELECT MAX(\"number\") + 1 FROM \"full text\"
             WHERE \"number\" >= \"first\" AND \"number\" < \"behind\"), \"first\"), $1, $2, $3, $4
           FROM (SELECT COALESCE(\"second\" << 24, -(1 << 62)) AS \"first\",
               COALESCE((\"second\" + 1) << 24, -(1 << 61)) AS \"behind\"
             FROM (SELECT ($3 - (($3 % 1000) + 1000) % 1000) / 1000 AS \"second\"))
           WHERE $5 IS NOT NULL"
    }

    fn keep_words(&self) -> Option<&'static str> {
        Some(
            "INSERT INTO \"full text words\" (\"rowid\", \"words\")
               VALUES ((SELECT \"number\" FROM \"full text\" WHERE \"id\" = $1), $2)",
        )
    }

    fn forget(&self) -> &'static [&'static str] {
        &[
            "DELETE FROM \"full text words\"
               WHERE \"rowid\" = (SELECT \"number\" FROM \"full text\" WHERE \"id\" = $1)",
            "DELETE FROM \"full text\" WHERE \"id\" = $1",
        ]
    }

    fn bound(&self, query: &MatchQuery, bind: &mut dyn FnMut(String) -> String) -> BoundQuery {
        let mut terms = |is_excluded: bool| -> Vec<String> {
            let terms = query.terms().iter().filter(|term| term.is_excluded == is_excluded);
            terms.map(|term| said(term, bind)).collect()
        };
        let (wanted, excluded) = (terms(false), terms(true));
        let mut whole = format!("'(' || {} || ')'", wanted.join(" || ' AND ' || "));
        for term in excluded {
            whole = format!("'(' || {whole} || ' NOT ' || {term} || ')'");
        }
        BoundQuery { whole: format!("({whole})"), phrases: vec![] }
    }

    fn has(&self, query: &BoundQuery) -> String {
        let hits = hits(query);
        format!("(\"id\" IN (SELECT \"hit id\" FROM {hits}))")
    }

    fn by_time(&self, page: &TimePage<'_>, _: WordsPlan) -> String {
        let TimePage { columns, rest, range, until, .. } = page;
        let way = if page.descending { "DESC" } else { "ASC" };
        let mut bound = String::new();
        if let Some(ms) = page.bound_ms {
            let [first, behind] = numbers(Some(ms));
            bound = match page.descending {
                true => format!(" AND \"hit number\" < {behind}"),
                false => format!(" AND \"hit number\" >= {first}"),
            };
        }
        let from = format!(
            "FROM {} CROSS JOIN \"email/Messages\" WHERE \"id\" = \"hit id\"
               AND +\"domain\" = $1 AND \"dateTime\" IS \"hit time\"{rest}{range}{bound}",
            hits(page.query)
        );
        let last = last_number(page.descending);
        let compared = if page.descending { ">=" } else { "<=" };
        format!(
            "{columns} {from} AND \"hit number\" {compared} (SELECT {last} FROM
               (SELECT \"hit number\" AS \"last\" {from}
                ORDER BY \"hit number\" {way} LIMIT {until}))"
        )
    }

    fn probe(&self, _: &TimePage<'_>, _: u32) -> Option<String> {
        None
    }
}

/// The messages that have the words, in the order of their numbers.
fn hits(query: &BoundQuery) -> String {
    format!(
        "(SELECT w.\"rowid\" AS \"hit number\", f.\"id\" AS \"hit id\",
            f.\"dateTime\" AS \"hit time\"
          FROM \"full text words\" w CROSS JOIN \"full text\" f ON f.\"number\" = w.\"rowid\"
          WHERE w.\"full text words\" MATCH {})",
        query.whole
    )
}

/// The SQL for the number at which the second of the last number ends in the order of the list.
fn last_number(descending: bool) -> String {
    let [untimed, timed] = UNTIMED;
    let last = if descending { "MIN(\"last\")" } else { "MAX(\"last\")" };
    let second = format!("({last} >> {PLACE_BITS})");
    match descending {
        true => {
            format!("CASE WHEN {last} < {timed} THEN {untimed} ELSE {second} << {PLACE_BITS} END")
        }
        false => format!(
            "CASE WHEN {last} < {timed} THEN {timed} ELSE (({second} + 1) << {PLACE_BITS}) - 1 END"
        ),
    }
}

/// The first number of the second of a time, and the number after its last.
fn numbers(date_time: Option<i64>) -> [i64; 2] {
    let of_second = |ms: i64| {
        let second = ms.div_euclid(1000);
        [second << PLACE_BITS, (second + 1) << PLACE_BITS]
    };
    date_time.map_or(UNTIMED, of_second)
}

/// The SQL of a term in the language of FTS5.
fn said(term: &MatchTerm, bind: &mut dyn FnMut(String) -> String) -> String {
    match term.words() {
        [prefix] if term.is_prefix && !INDEXED_CHARS.contains(&prefix.chars().count()) => {
            let behind = format!("{prefix}{}", char::MAX);
            replaced(&bind(prefix.clone()), &bind(behind))
        }
        words => {
            let star = if term.is_prefix { " *" } else { "" };
            bind(format!("\"{}\"{star}", words.join(" ")))
        }
    }
}

/// The SQL of the words that begin with a prefix, or of the prefix if there are too many. The words
/// are from the one at the placeholder `prefix` to the one at `behind`, without that.
fn replaced(prefix: &str, behind: &str) -> String {
    // A space is less than each character of a word. So what is not less than a word and a space is
    // behind that word.
    let next = |from: &str| {
        format!(
            "(SELECT \"term\" FROM temp.\"full text terms\" WHERE \"term\" >= {from}
              ORDER BY \"term\" LIMIT 1)"
        )
    };
    let (first, following) = (next(prefix), next("\"word\" || ' '"));
    let looked_at = REPLACED_MAX + 1;
    format!(
        "(WITH RECURSIVE \"found\" (\"word\") AS (SELECT {first} UNION ALL
            SELECT {following} FROM \"found\" WHERE \"word\" < {behind} LIMIT {looked_at})
          SELECT CASE WHEN COUNT(*) BETWEEN 1 AND {REPLACED_MAX}
              THEN '(\"' || GROUP_CONCAT(\"word\", '\" OR \"') || '\")'
              ELSE '\"' || {prefix} || '\" *' END
          FROM \"found\" WHERE \"word\" < {behind})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn numbers_are_in_the_order_of_time() {
        let years_0_and_9999 = [-62_167_219_200_000, 253_402_300_799_999];
        let [oldest, newest] = years_0_and_9999.map(|ms| numbers(Some(ms)));
        assert!(UNTIMED[1] < oldest[0] && newest[1] < i64::MAX);
        assert_eq!(numbers(Some(-1))[1], numbers(Some(0))[0]);
        assert_eq!(numbers(Some(999)), numbers(Some(0)));
    }

    #[test]
    fn a_prefix_that_few_words_begin_with_is_replaced_by_them() {
        let connection = Connection::open_in_memory().unwrap();
        let [_, words, ..] = SqliteFullText.tables();
        connection.execute_batch(words).unwrap();
        connection.execute_batch(TERMS).unwrap();
        let keep = "INSERT INTO \"full text words\" (\"words\") VALUES ($1)";
        let mut kept = vec!["few".to_owned(), "fewer few\u{10fffd}".to_owned(), "fex".to_owned()];
        let many = |word: &str, count: u8| (0..count).map(|at| format!(" {word}{at:02}")).collect();
        kept.extend([many("most", REPLACED_MAX), many("more", REPLACED_MAX + 1)]);
        for words in kept {
            connection.execute(keep, [words]).unwrap();
        }
        let of = |prefix: &str| -> String {
            let sql = format!("SELECT {}", replaced("$1", "$2"));
            let bound = [prefix.to_owned(), format!("{prefix}{}", char::MAX)];
            connection.query_row(&sql, bound, |row| row.get(0)).unwrap()
        };
        assert_eq!(of("few"), "(\"few\" OR \"fewer\" OR \"few\u{10fffd}\")");
        assert_eq!(of("most").matches("OR").count(), usize::from(REPLACED_MAX) - 1);
        assert_eq!(of("more"), "\"more\" *");
        assert_eq!(of("none"), "\"none\" *");
        assert_eq!(of("z"), "\"z\" *");
    }
}
