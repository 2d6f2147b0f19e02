//! Tests: no statement that the store sends while mail is received and sent scans a large table.
//!
//! ```text
//!   filled database ─► all work of a store (`life`) ─► its statements (`recording`) ─► EXPLAIN
//!                                                            │
//!   each `Statement::new` of the sources ◄───────────────────┘ is among them, or is excepted
//! ```

use crate::ObjectsAccess;
use crate::database::Statement;
use crate::fixture::StoreBehind;
use crate::fixture::objects_at;
use crate::fixture::open_behind;
use crate::tests::explain::scans;
use crate::tests::filled::fill;
use crate::tests::life;
use crate::tests::recording::Place;
use crate::tests::recording::Recorded;
use crate::tests::recording::Recording;
use postroom_testkit::S3;
use postroom_testkit::on_both;
use std::fs;
use std::path::Path;

/// The files whose statements may read a whole table, and why. Statements that only change the
/// definitions of tables have no plan.
const EXCEPTED: &[(&str, &str)] = &[
    ("schema.rs", "makes tables, and brings those of an earlier version forward once"),
    ("set_up.rs", "once at a start"),
    ("copied.rs", "once at a start, and rows of `meta` by their keys"),
    ("wrapped_key.rs", "once at a start, and rows by their keys"),
    ("moving.rs", "a command that copies everything"),
    ("in_use.rs", "a command that uses a database alone: processes are few"),
    ("moved_table.rs", "a command that copies everything"),
    ("rotation.rs", "a command, and there are few processes and master keys"),
    ("reseal.rs", "once after an upgrade, page by page, behind a key"),
    ("verify.rs", "a command that reads everything"),
    ("verify_added.rs", "a command that reads everything"),
    ("built_in_index.rs", "makes indexes"),
    ("class_tables.rs", "a change of the classes by a client"),
    ("class_demand.rs", "a change of the classes by a client, checked against all values"),
    ("class_deleted.rs", "the deletion of a class with all its entities"),
    ("database.rs", "makes indexes"),
    ("postgres.rs", "asks the server about itself"),
    ("postgres/", "locks rows by their keys, and asks the server about itself"),
    ("sqlite_directory.rs", "a probe of the disk"),
    ("sqlite/", "asks the database about itself"),
];

/// An exception: a file, a text that its statements contain, and the reason.
type Exception = (&'static str, &'static str, &'static str);

/// Statements that may scan a large table.
const MAY_SCAN: &[Exception] = &[
    ("account_list.rs", "", "the supervisor compares all accounts with those it knows"),
    ("audit_trim.rs", "ORDER BY \"id\" LIMIT", "the first rows, by their key"),
    ("backup.rs", "", "a command, once"),
    ("entity_list.rs", "COUNT(*)", "a client asks for a count, or a job, of a whole class"),
    ("feed.rs", "ORDER BY \"seq\" LIMIT", "the first rows, by their key"),
    ("feed_trim.rs", "ORDER BY \"seq\" LIMIT", "the first rows, by their key"),
    ("feed_trim.rs", "SELECT COUNT(*)", "once an hour"),
    ("full_text.rs", "\"id\" IN (", "200 by their keys: a database scans a table of so few rows"),
    ("full_text_lag.rs", "\"left\"", "it counts at most 10,000"),
    (
        "news.rs",
        "MAX(\"seq\")",
        "by its key, but PostgreSQL at times reads what it counted as empty",
    ),
    ("object.rs", "COUNT(*)", "a command, once"),
    ("handover.rs", "", "there are few processes"),
    ("node.rs", "", "there are few processes"),
    ("object.rs", "FROM \"owner\"", "there are few processes"),
    ("object.rs", "\"object gone\" ORDER BY \"name\" LIMIT", "the first rows, by their key"),
    ("object.rs", "FROM \"unfinished\" WHERE \"object\" IN (", "few contents are being written"),
    ("domain_row.rs", "NOT EXISTS", "it ends with the first row of a domain"),
    ("erasure.rs", "", "there are few domains that were erased"),
    ("erasing.rs", "\"ended\" IS NULL", "there are few domains that were erased"),
    ("erasing.rs", "NOT EXISTS", "once for each domain, and it ends with the first row of it"),
    ("erasing.rs", "LIMIT $2", "1,000 rows of a domain at most, after the deletion of a domain"),
    (
        "limits.rs",
        "COUNT(*)",
        "it ends with the accounts or tokens of a domain, which have a limit",
    ),
    ("limits.rs", "\"usage\" u", "there are few domains with limits"),
    ("usage.rs", "", "once for each domain with a limit, and then each day"),
    ("overview.rs", "", "it counts all accounts, folders and messages that are to be sent"),
    ("retired.rs", "SUM(LENGTH(", "at most 10,000 rows"),
    ("waiting.rs", "\"waiting\"", "the messages that are to be sent, which have their own index"),
];

/// Statements that may sort, because they sort few rows.
const MAY_SORT: &[Exception] = &[
    ("backup.rs", "", "a command, once"),
    ("classes.rs", "\"class\"", "there are few classes"),
    ("erasure.rs", "", "there are few domains that were erased"),
    ("entity_list.rs", "\"hit number\"", "the hits of a page, and those of its last second"),
    ("full_text_lag.rs", "\"waiting\"", "at most 10,000 changes"),
    ("entity_list.rs", "GROUP BY", "a client asks for groups, so all their entities are sorted"),
    ("feed.rs", "\"entity\" IN (", "the changes of the entities of a page"),
    ("file.rs", "\"entity\" = $1", "an entity has few files of a property"),
    ("file_page.rs", "\"entity\" IN (", "an entity has few files"),
    ("node.rs", "", "there are few processes"),
    ("login.rs", "LOWER(COALESCE(b.\"login\"", "few accounts have the same login"),
    ("overview.rs", "", "it counts all accounts"),
    ("prepared.rs", "\"messageId\" = $2", "few messages have the same Message-ID"),
    ("former_receipt.rs", "\"hash\" IN (", "few messages have the same bytes"),
];

/// Statements that `life` does not send, by the line that makes them.
const NOT_LIVED: &[Exception] = &[
    (
        "blob_reader.rs",
        "Statement::new(sql).bind(blob.0).within(",
        "names damaged files, within a time",
    ),
    ("classes.rs", "Statement::new(sql).bind(version).assert(", "a start with other classes"),
    ("full_text_row.rs", "Statement::new(sql).bind(self.id)", "SQLite alone"),
    (
        "handover.rs",
        "Statement::new(sql).bind(self.inner.owner)",
        "another process leads, and there are few processes",
    ),
    ("lease.rs", "Statement::new(others).bind(owner)", "SQLite alone, at a start"),
    ("lease.rs", "Statement::new(former).bind(seat", "a start after a kill"),
    ("object_place.rs", "Statement::new(named)", "a start with another place, one row"),
    ("object_place.rs", "bind(PLACE).bind(bytes(place))", "a start with another place"),
    ("object_id.rs", "bind(ID).bind(FORMER_ID)", "a command, once"),
    ("record.rs", "Statement::new(sql).bind(id).assert(", "PostgreSQL alone"),
    (
        "referrers.rs",
        "Statement::new(sql).bind(place.id)",
        "names what keeps an entity from being deleted, within a time",
    ),
    ("seq.rs", "", "a start"),
    ("token.rs", "Statement::new(sql).bind(former)", "a token of an earlier version, once"),
];

fn is_of(exceptions: &[Exception], file: &str, text: &str) -> bool {
    exceptions.iter().any(|(of, has, _)| *of == file && text.contains(has))
}

fn is_excepted(file: &str) -> bool {
    EXCEPTED
        .iter()
        .any(|(name, _)| *name == file || (name.ends_with('/') && file.starts_with(name)))
}

/// The places of the product's sources where a statement is made.
fn places(directory: &Path, below: &str, all: &mut Vec<(Place, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = format!("{below}{name}");
        if path.is_dir() && file != "tests" {
            places(&path, &format!("{file}/"), all);
        }
        if !file.ends_with(".rs") || ["tests.rs", "fixture.rs"].contains(&name) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").zip(1..);
        let made = lines.filter(|(line, _)| line.contains("Statement::new("));
        let place = |line| Place { file: file.clone(), line };
        all.extend(made.map(|(text, line)| (place(line), text.to_owned())));
    }
}

#[on_both(flavor = "multi_thread")]
async fn no_statement_scans_a_large_table() {
    let s3 = S3::start().await.unwrap();
    let objects = ObjectsAccess::At(objects_at(&s3, "s3://mail", S3::SECRET));
    let StoreBehind { directory: _directory, database, store, front: recorded } =
        open_behind(Recording::of, objects).await;
    fill(&store).await;
    Box::pin(life::live(&store)).await;
    let recorded: Recorded = recorded.lock().unwrap().clone();
    let mut failures = vec![];
    for (place, statements) in recorded.iter().filter(|(place, _)| !is_excepted(&place.file)) {
        for statement in statements.values() {
            let Some(explained) = scans(database.as_ref(), statement).await else {
                continue;
            };
            let scanned = explained.scans.iter().filter(|step| !may(place, statement, step));
            let scanned: Vec<_> = scanned.collect();
            if !scanned.is_empty() {
                failures.push(format!(
                    "{}:{}: {scanned:#?}\n{}\n{}\n",
                    place.file, place.line, statement.sql, explained.plan
                ));
            }
        }
    }
    let mut all = vec![];
    places(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut all);
    assert!(all.len() > 100, "the sources were not found");
    all.retain(|(place, line)| {
        let is_known = is_excepted(&place.file) || recorded.contains_key(place);
        !is_known && !is_of(NOT_LIVED, &place.file, line)
    });
    let unknown =
        all.iter().map(|(place, _)| format!("{}:{} was not explained", place.file, place.line));
    failures.extend(unknown);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn may(place: &Place, statement: &Statement, step: &str) -> bool {
    let sorts =
        step.contains("TEMP B-TREE") || step.contains("Sort ") || step.contains("Aggregate ");
    is_of(if sorts { MAY_SORT } else { MAY_SCAN }, &place.file, &statement.sql)
}
