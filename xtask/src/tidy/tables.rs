//! Who may change which table: class tables change in `record.rs` alone, because each change of an
//! entity has its row of the feed there.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use crate::tidy::source::code_of;

/// The tables that are no class tables.
const OWN: [&str; 35] = [
    // Of the failover suite.
    "audit",
    "class",
    "configuration",
    "consent",
    "counter",
    "data key",
    "device consent",
    "purge",
    "retired",
    "lease",
    "owner",
    "chunk",
    "delivered",
    "delivery",
    "domain class",
    "erased",
    "erasure",
    "file",
    "full text",
    "full text words",
    "job",
    "job entity",
    "meta",
    "object",
    "object gone",
    "once",
    "origin",
    "receipt",
    "retired value",
    "root key",
    "session",
    "token",
    "unfinished",
    "work claim",
    "usage",
];
/// What a change of a table begins with.
const CHANGES: [&str; 5] = ["INSERT INTO", "REPLACE INTO", "MERGE INTO", "DELETE FROM", "UPDATE"];
/// Where class tables change, also without a row of the feed, and where they are made.
const UNTOLD: &str = "crates/postroom-store/src/untold.rs";
const RECORD: &str = "crates/postroom-store/src/record.rs";
const SCHEMA: &str = "crates/postroom-store/src/schema.rs";
/// Where the rows of the audit are written, which have none of the feed.
const AUDIT: &str = "crates/postroom-store/src/audit.rs";
const AUDIT_TRIM: &str = "crates/postroom-store/src/audit_trim.rs";
/// Where they change with the classes.
const TABLES: &str = "crates/postroom-store/src/class_tables.rs";
const DELETED: &str = "crates/postroom-store/src/class_deleted.rs";
/// Where rows arrive with the feed that tells of them.
const MOVING: &str = "crates/postroom-store/src/moved_table.rs";
/// Where rows of the feed are made, and where they are taken away.
const FEED: [&str; 2] =
    ["crates/postroom-store/src/feed.rs", "crates/postroom-store/src/feed_trim.rs"];

/// Checks one Rust file.
pub fn check(source: &Source) -> Vec<Offence> {
    let makes = [RECORD, UNTOLD, AUDIT, AUDIT_TRIM, SCHEMA, TABLES, DELETED, MOVING];
    let makes = makes.contains(&source.path.as_str());
    if !source.path.starts_with("crates/") || makes {
        return vec![];
    }
    let mut text = String::new();
    let mut begins = vec![];
    for (_, line) in source.product() {
        begins.push(text.len());
        text.push_str(code_of(line));
        text.push('\n');
    }
    let line_of = |at: usize| begins.partition_point(|begin| *begin <= at);
    let mut offences = vec![];
    for change in CHANGES {
        for (at, _) in text.match_indices(change) {
            let (before, behind) = (text.get(..at), text.get(at + change.len()..));
            let (before, behind) = (before.unwrap_or_default(), behind.unwrap_or_default());
            if !is_statement(before, behind) {
                continue;
            }
            let table = table_of(behind);
            let is_own = table.is_some_and(|name| OWN.contains(&name))
                || (FEED.contains(&source.path.as_str()) && table == Some("change"));
            if !is_own {
                let name = table.unwrap_or("a table of a class");
                let text = format!(
                    "changes {name} outside of record.rs: a change of an entity is written with \
                     its row of the feed, by `Records`"
                );
                offences.push(source.offence(line_of(at), text));
            }
        }
    }
    offences
}

/// Whether the word begins a statement of SQL: `DO UPDATE SET`, `FOR UPDATE` and `FOR NO KEY
/// UPDATE` do not, and neither does a part of a name.
fn is_statement(before: &str, behind: &str) -> bool {
    let part = |char: char| char.is_alphanumeric() || char == '_';
    let clause = ["DO", "FOR", "KEY", "ON"].iter().any(|word| before.trim_end().ends_with(word));
    !clause && !before.ends_with(part) && behind.starts_with([' ', '\n', '\\'])
}

/// The table that is named behind the word; `None` where it is put in, or not quoted.
fn table_of(behind: &str) -> Option<&str> {
    let name = behind.trim_start_matches([' ', '\n']);
    let name = name.strip_prefix("\\\n").unwrap_or(name).trim_start();
    name.strip_prefix("\\\"")?.split_once("\\\"").map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Source::new(path, text)).into_iter().map(|offence| offence.line).collect()
    }

    #[test]
    fn a_class_table_changes_in_one_place() {
        let path = "crates/postroom-store/src/a.rs";
        #[rustfmt::skip]
        let table: [(&str, &[usize]); 12] = [
            (r#"let sql = "UPDATE \"email/Folders\" SET x = 1";"#,                 &[1]),
            (r#"format!("UPDATE {table} SET x = 1")"#,                             &[1]),
            ("format!(\n    \"DELETE FROM {} WHERE id = 1\", quoted(name))",        &[2]),
            ("\"INSERT INTO\n  \\\"email/Messages\\\" VALUES (1)\"",               &[1]),
            (r#""INSERT INTO \"change\" VALUES (1)""#,                             &[1]),
            (r#""DELETE FROM email WHERE x""#,                                     &[1]),
            (r#""UPDATE \"receipt\" SET x = 1""#,                                  &[]),
            (r#""INSERT INTO \"once\" VALUES (1) ON CONFLICT DO UPDATE SET x = 2""#, &[]),
            (r#""SELECT 1 FROM \"email/Folders\" FOR UPDATE""#,                    &[]),
            (r#"" FOR NO KEY UPDATE SKIP LOCKED""#,                                &[]),
            ("// UPDATE {table}",                                                  &[]),
            ("const UPDATED: u8 = 1;",                                             &[]),
        ];
        for (text, want) in table {
            assert_eq!(lines(path, text), want, "{text}");
        }
        assert!(lines(RECORD, r#""UPDATE {table} SET x = 1""#).is_empty());
        for feed in FEED {
            assert!(lines(feed, r#""DELETE FROM \"change\" WHERE x""#).is_empty());
        }
    }
}
