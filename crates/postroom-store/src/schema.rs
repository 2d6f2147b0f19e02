//! The tables. Those of classes are made from the definitions of the classes. The internal ones are
//! made by steps.

use crate::built_in_index;
use crate::columns::END;
use crate::columns::END_MARK;
use crate::columns::column_list;
use crate::columns::kind;
use crate::columns::quoted;
use crate::database::ColumnKind;
use crate::database::Dialect;
use crate::database::Statement;
use crate::error::Error;
use crate::sending;
use crate::seq::SEQ;
use postroom_model::Class;
use postroom_model::MessageDirection;
use postroom_model::Property;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::standing::ARRIVAL;
use postroom_model::standing::TIME_SOURCE;

mod bounded_jobs;
mod bulk_jobs;
mod configurations;
mod consents;
mod deleted_classes;
mod device_consents;
mod domain_classes;
mod domain_keys;
mod domain_limits;
mod early;
mod erasures;
mod extensions;
mod full_text;
mod linked;
mod named;
mod nodes;
mod numbered;
mod objects;
mod pending;
mod places;
mod purges;
mod queue;
mod sessions;
mod unloaded;
mod work_claims;

/// The version of the schema that this program knows.
#[expect(clippy::cast_possible_wrap, reason = "a few steps")]
pub(crate) const VERSION: i64 = STEPS.len() as i64;

/// The least version whose programs can use the tables of this version. Programs of both run side
/// by side while a group is upgraded, so a step only adds what older programs need not know. What
/// they used is taken away by a step of a later release, which raises this number. A program that
/// is too old for it says so and stops.
pub(crate) const OLDEST: i64 = DOMAIN_KEYS;

/// The version that gives domains keys of their own. Older programs open no secret of such a key.
pub(crate) const DOMAIN_KEYS: i64 = 29;

/// The table that has the version of all others. It is made before the first step.
pub(crate) fn meta_table(dialect: &dyn Dialect) -> Statement {
    with_types(
        dialect,
        "CREATE TABLE IF NOT EXISTS \"meta\" (
           \"name\" {text} PRIMARY KEY, \"number\" {whole}, \"bytes\" {bytes})",
    )
}

/// The steps from a version (0: an empty database) to the newest one, each with the version that it
/// leads to. A step is one transaction. A step that was released never changes.
pub(crate) fn steps_from(dialect: &dyn Dialect, version: i64) -> Vec<(i64, Vec<Statement>)> {
    let statements = |step: &&[&str]| -> Vec<_> {
        let statements = step.iter().map(|sql| with_types(dialect, &full_text::made(dialect, sql)));
        // A statement that only another database needs is empty.
        statements.filter(|statement| !statement.sql.is_empty()).collect()
    };
    let all = (1..).zip(STEPS.iter().map(statements));
    all.filter(|(leads_to, _)| *leads_to > version).collect()
}

fn with_types(dialect: &dyn Dialect, sql: &str) -> Statement {
    let kinds = [
        ("{id}", ColumnKind::Id),
        ("{text}", ColumnKind::Text),
        ("{json}", ColumnKind::Json),
        ("{bytes}", ColumnKind::Bytes),
        ("{whole}", ColumnKind::Whole),
        ("{moment}", ColumnKind::Moment),
        ("{boolean}", ColumnKind::Boolean),
    ];
    let put = |sql: String, (name, kind): (&str, _)| sql.replace(name, dialect.column_type(kind));
    let sql = sql.replace("{serial}", dialect.serial()).replace("{clustered}", dialect.clustered());
    let sql = sql.replace("{computed}", dialect.computed());
    let sql = sql.replace("{transaction}", dialect.transaction());
    let sql = sql.replace("{incompressible chunk}", &dialect.incompressible("chunk", "bytes"));
    Statement::new(kinds.into_iter().fold(sql, put))
}

const STEPS: &[&[&str]] = &[
    OWN,
    JOBS,
    ONCE,
    early::ORIGINS,
    WAITS,
    early::SUMS,
    FORGOTTEN,
    EPOCHS,
    early::MODIFIERS,
    early::UNSETTLED,
    early::MAILBOX_IDS,
    LEASES,
    SOURCE_KEYS,
    CLASSES,
    SEVERAL,
    extensions::STEP,
    purges::STEP,
    bulk_jobs::STEP,
    numbered::STEP,
    queue::STEP,
    objects::STEP,
    full_text::STEP,
    work_claims::STEP,
    nodes::STEP,
    consents::STEP,
    configurations::STEP,
    pending::STEP,
    bounded_jobs::STEP,
    domain_keys::STEP,
    places::STEP,
    erasures::STEP,
    device_consents::STEP,
    sessions::STEP,
    domain_limits::STEP,
    unloaded::STEP,
    linked::STEP,
    domain_classes::STEP,
    named::STEP,
    deleted_classes::STEP,
];

const OWN: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS \"token\" (
       \"hash\" {bytes} PRIMARY KEY, \"domain\" {text} NOT NULL, \"name\" {text} NOT NULL,
       UNIQUE (\"domain\", \"name\"))",
    // id = blob * 2^20 + number of the chunk, so chunks are written and read in order.
    "CREATE TABLE IF NOT EXISTS \"chunk\" (
       \"id\" {whole} PRIMARY KEY, \"codec\" {whole} NOT NULL, \"bytes\" {bytes} NOT NULL)",
    // Blobs that are being written. When a process starts, its rows are left from an earlier one.
    "CREATE TABLE IF NOT EXISTS \"unfinished\" (\"blob\" {whole} PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS \"file\" (
       \"domain\" {text} NOT NULL, \"entity\" {id} NOT NULL, \"property\" {text} NOT NULL,
       \"name\" {text} NOT NULL, \"position\" {whole} NOT NULL, \"media_type\" {text} NOT NULL,
       \"content_id\" {text}, \"size\" {whole} NOT NULL, \"blob\" {whole} NOT NULL,
       \"offset\" {whole}, \"length\" {whole}, \"transfer_encoding\" {text}, \"charset\" {text},
       PRIMARY KEY (\"entity\", \"property\", \"name\")) {clustered}",
    // The ledger. `message` is null as long as the message could not be fetched.
    "CREATE TABLE IF NOT EXISTS \"receipt\" (
       \"folder\" {id} NOT NULL, \"uid_validity\" {whole} NOT NULL, \"uid\" {whole} NOT NULL,
       \"message\" {id}, \"hash\" {bytes}, \"relinked\" {whole}, \"wish\" {whole},
       \"reason\" {text}, \"attempts\" {whole}, \"next_attempt\" {moment},
       PRIMARY KEY (\"folder\", \"uid_validity\", \"uid\")) {clustered}",
    "CREATE INDEX IF NOT EXISTS \"receipt wish\" ON \"receipt\" (\"folder\", \"uid_validity\")
       WHERE \"wish\" IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS \"delivery\" (
       \"message\" {id} PRIMARY KEY, \"domain\" {text} NOT NULL, \"account\" {id} NOT NULL,
       \"phase\" {text} NOT NULL, \"order\" {moment} NOT NULL, \"due\" {moment} NOT NULL,
       \"first_due\" {moment} NOT NULL, \"attempts\" {whole} NOT NULL,
       \"reverse_path\" {text} NOT NULL, \"smtp_utf8\" {boolean} NOT NULL,
       \"blob\" {whole} NOT NULL, \"size\" {whole} NOT NULL)",
    "CREATE INDEX IF NOT EXISTS \"delivery due\" ON \"delivery\" (\"account\", \"phase\", \"due\")",
    // Recipients whose server accepted a message, until the whole message is `sent`.
    "CREATE TABLE IF NOT EXISTS \"delivered\" (
       \"message\" {id} NOT NULL, \"address\" {text} NOT NULL, \"reply\" {text},
       PRIMARY KEY (\"message\", \"address\")) {clustered}",
    "CREATE TABLE IF NOT EXISTS \"change\" (
       \"seq\" {serial}, \"domain\" {text} NOT NULL,
       \"class\" {text} NOT NULL, \"entity\" {id} NOT NULL, \"operation\" {whole} NOT NULL,
       \"at\" {moment} NOT NULL, \"replaced\" {json})",
];

/// Jobs: work in the background that continues after a restart.
const JOBS: &[&str] = &["CREATE TABLE \"job\" (
    \"id\" {id} PRIMARY KEY, \"domain\" {text} NOT NULL, \"class\" {text} NOT NULL,
    \"filter\" {json}, \"state\" {text} NOT NULL, \"behind\" {id},
    \"total\" {whole} NOT NULL, \"done\" {whole} NOT NULL, \"changed\" {whole} NOT NULL,
    \"failed\" {whole} NOT NULL, \"begun\" {moment} NOT NULL, \"ended\" {moment},
    \"reason\" {text})"];

/// What was created under an `Idempotency-Key`, so that a repeated request creates nothing.
const ONCE: &[&str] = &[
    "CREATE TABLE \"once\" (
       \"domain\" {text} NOT NULL, \"class\" {text} NOT NULL, \"key\" {text} NOT NULL,
       \"request\" {bytes} NOT NULL, \"entities\" {json} NOT NULL, \"at\" {moment} NOT NULL,
       PRIMARY KEY (\"domain\", \"class\", \"key\"))",
    "CREATE INDEX \"once by time\" ON \"once\" (\"at\")",
];

/// How long a delivery has waited between attempts, whether it waits for a time that the client
/// set, and whether the outcome for a recipient is unknown (`doubt`).
const WAITS: &[&str] = &[
    "ALTER TABLE \"delivery\" ADD COLUMN \"waited\" {whole} NOT NULL DEFAULT 0",
    "ALTER TABLE \"delivery\" ADD COLUMN \"planned\" {boolean} NOT NULL DEFAULT FALSE",
    "UPDATE \"delivery\" SET \"planned\" = TRUE WHERE \"due\" = \"order\"",
    "ALTER TABLE \"delivery\" DROP COLUMN \"first_due\"",
    "ALTER TABLE \"delivered\" ADD COLUMN \"doubt\" {boolean} NOT NULL DEFAULT FALSE",
];

/// The feed keeps no values of deleted entities. The index finds the rows of an entity.
const FORGOTTEN: &[&str] = &[
    "UPDATE \"change\" SET \"replaced\" = NULL WHERE \"entity\" IN
       (SELECT \"entity\" FROM \"change\" WHERE \"operation\" = 0)",
    "CREATE INDEX \"change replaced\" ON \"change\" (\"entity\") WHERE \"replaced\" IS NOT NULL",
];

/// Receipts belong to an epoch of a mailbox (then called `generation`) and no longer to a
/// UIDVALIDITY. They keep the facts that the server told about the message. The number of an epoch
/// from before this step is its UIDVALIDITY.
const EPOCHS: &[&str] = &[
    "ALTER TABLE \"receipt\" RENAME COLUMN \"uid_validity\" TO \"generation\"",
    "ALTER TABLE \"receipt\" ADD COLUMN \"uid_validity\" {whole}",
    "UPDATE \"receipt\" SET \"uid_validity\" = \"generation\" WHERE \"generation\" >= 0",
    "ALTER TABLE \"receipt\" ADD COLUMN \"size\" {whole}",
    "ALTER TABLE \"receipt\" ADD COLUMN \"internal_date\" {moment}",
    "ALTER TABLE \"receipt\" ADD COLUMN \"message_id\" {whole}",
    "ALTER TABLE \"receipt\" ADD COLUMN \"gone\" {whole}",
    "DELETE FROM \"receipt\" WHERE \"relinked\" IS NOT NULL",
    "ALTER TABLE \"receipt\" DROP COLUMN \"relinked\"",
    "ALTER TABLE \"origin\" ADD COLUMN \"generation\" {whole}",
    "ALTER TABLE \"origin\" ADD COLUMN \"uid_validity\" {whole}",
];

/// Several processes may have the database open. The tables say which of them leads a group and
/// which ones run. The columns say in which epoch a delivery was claimed, and which process writes
/// a blob.
const LEASES: &[&str] = &[
    "CREATE TABLE \"lease\" (
       \"group\" {text} PRIMARY KEY, \"holder\" {whole} NOT NULL, \"epoch\" {whole} NOT NULL,
       \"until\" {moment} NOT NULL) {clustered}",
    "CREATE TABLE \"owner\" (
       \"id\" {whole} PRIMARY KEY, \"name\" {text} NOT NULL, \"until\" {moment} NOT NULL)",
    "ALTER TABLE \"delivery\" ADD COLUMN \"epoch\" {whole}",
    "ALTER TABLE \"unfinished\" ADD COLUMN \"owner\" {whole}",
];

/// The key of a receipt is (folder, epoch, source key) for every kind of source. Before this step,
/// the columns had names of IMAP. The column `uid` stays for tools that read the database.
const SOURCE_KEYS: &[&str] = &[
    "ALTER TABLE \"receipt\" RENAME COLUMN \"generation\" TO \"epoch\"",
    "ALTER TABLE \"receipt\" RENAME COLUMN \"uid\" TO \"key\"",
    "ALTER TABLE \"receipt\" ADD COLUMN \"uid\" {whole} GENERATED ALWAYS AS (\"key\") {computed}",
    "ALTER TABLE \"origin\" RENAME COLUMN \"generation\" TO \"epoch\"",
];

/// The definitions of the classes. Their version is in `meta`.
const CLASSES: &[&str] = &["CREATE TABLE \"class\" (
    \"name\" {text} PRIMARY KEY, \"position\" {whole} NOT NULL, \"definition\" {json} NOT NULL)"];

/// Several transactions may run at once, so each row of the feed says which one made it. The
/// database must not compress chunks, because they are compressed already.
const SEVERAL: &[&str] =
    &["ALTER TABLE \"change\" ADD COLUMN \"transaction\" {transaction}", "{incompressible chunk}"];

/// Makes the table of a class with its indexes, or adds the missing columns. `present` has the
/// existing columns. It is empty if there is no table. `default` gives the default of a property as
/// SQL. Columns that are added later come after the column of the mark ([`END`]).
pub(crate) fn class_table(
    dialect: &dyn Dialect,
    classes: &[Class],
    class: &Class,
    present: &[String],
    default: impl Fn(&Property) -> Result<String, Error>,
) -> Result<Vec<Statement>, Error> {
    let table = quoted(&class.table());
    let mut statements = vec![];
    if present.is_empty() {
        statements.push(Statement::new(created(dialect, classes, class, &table)));
    } else {
        let missing = class.columns().filter(|property| !present.contains(&property.name));
        for property in missing {
            let mut column = column(dialect, classes, property);
            // For existing rows, the database returns the default without rewriting them.
            if !property.default.is_null() && !property.write_only() {
                column = format!("{column} DEFAULT {}", default(property)?);
            }
            statements.push(Statement::new(format!("ALTER TABLE {table} ADD COLUMN {column}")));
        }
        if !present.iter().any(|column| column == SEQ) {
            let seq = seq(dialect);
            statements.push(Statement::new(format!("ALTER TABLE {table} ADD COLUMN {seq}")));
        }
        if !present.iter().any(|column| column == END) {
            let end = end(dialect);
            statements.push(Statement::new(format!("ALTER TABLE {table} ADD COLUMN {end}")));
        }
    }
    if class.classname == MESSAGES {
        statements.extend(built_in_index::former());
    }
    statements.extend(built_in_index::indexes(dialect, class).into_iter().map(Statement::new));
    Ok(statements)
}

/// Makes the table of a class without the columns `referring`, which refer to other tables. No
/// column of the table that is made refers to another table.
pub(crate) fn class_table_alone(
    dialect: &dyn Dialect,
    class: &Class,
    referring: &[String],
) -> Statement {
    let mut alone = class.clone();
    alone.properties.retain(|property| !referring.contains(&property.name));
    Statement::new(created(dialect, &[], &alone, &quoted(&class.table())))
}

/// Makes the table of a class anew with its rows, because a reference cannot be added to a column.
pub(crate) fn class_table_anew(
    dialect: &dyn Dialect,
    classes: &[Class],
    class: &Class,
) -> Vec<Statement> {
    let (table, new) = (quoted(&class.table()), quoted(&format!("{} anew", class.table())));
    let columns = format!("{}, {}", column_list(class, |_| true), quoted(END));
    let mut all = vec![
        created(dialect, classes, class, &new),
        format!("INSERT INTO {new} ({columns}) SELECT {columns} FROM {table}"),
        format!("DROP TABLE {table}"),
        format!("ALTER TABLE {new} RENAME TO {table}"),
    ];
    all.extend(built_in_index::indexes(dialect, class));
    all.into_iter().map(Statement::new).collect()
}

/// The class whose table the column of a property refers to. Only a required property refers to a
/// table, so its target cannot be deleted. An entity whose property is optional, such as the
/// account of a message, stays when the target is deleted.
pub(crate) fn refers_to<'a>(classes: &'a [Class], property: &Property) -> Option<&'a Class> {
    let keeps = property.required && !property.multi && property.default.is_null();
    let idclass = property.idclass.filter(|_| keeps)?;
    classes.iter().find(|class| class.id == idclass)
}

pub(crate) fn column(dialect: &dyn Dialect, classes: &[Class], property: &Property) -> String {
    let refers = refers_to(classes, property);
    let refers = refers.map(|to| format!(" REFERENCES {} (\"id\")", quoted(&to.table())));
    let (name, of_type) = (quoted(&property.name), dialect.column_type(kind(property)));
    format!("{name} {of_type}{}", refers.unwrap_or_default())
}

fn end(dialect: &dyn Dialect) -> String {
    let whole = dialect.column_type(ColumnKind::Whole);
    format!("{} {whole} NOT NULL DEFAULT {END_MARK}", quoted(END))
}

/// The column of the number of the last change. 0: the entity has not changed since changes have
/// numbers.
fn seq(dialect: &dyn Dialect) -> String {
    let whole = dialect.column_type(ColumnKind::Whole);
    format!("{} {whole} NOT NULL DEFAULT 0", quoted(SEQ))
}

fn created(dialect: &dyn Dialect, classes: &[Class], class: &Class, table: &str) -> String {
    let columns = class.columns().map(|p| format!("{}, ", column(dialect, classes, p)));
    let text = dialect.column_type(ColumnKind::Text);
    let id = dialect.column_type(ColumnKind::Id);
    let whole = dialect.column_type(ColumnKind::Whole);
    format!(
        "CREATE TABLE {table} (\"domain\" {text} NOT NULL, \"id\" {id} PRIMARY KEY, \
         \"version\" {whole} NOT NULL, {}, {}{})",
        seq(dialect),
        columns.collect::<String>(),
        end(dialect)
    )
}

/// Marks messages as received if an earlier version stored them without that mark. Their UID shows
/// that they were received.
pub(crate) fn received_are_marked() -> Statement {
    let (table, source) = (quoted(MESSAGES), quoted(TIME_SOURCE));
    let sql = format!(
        "UPDATE {table} SET {source} = $1
         WHERE {source} IS NULL AND {} AND \"uid\" IS NOT NULL",
        sending::in_direction("", MessageDirection::In)
    );
    Statement::new(sql).bind(ARRIVAL)
}

/// The index that keeps an account from having two folders for one mailbox. INBOX is the same in
/// upper and lower case (RFC 9051 §5.1).
pub(crate) fn one_folder_each() -> Statement {
    let table = quoted(FOLDERS);
    Statement::new(format!(
        "CREATE UNIQUE INDEX IF NOT EXISTS \"email/Folders one each\" ON {table} (\"account_id\",
           (CASE WHEN UPPER(\"mailbox\") = 'INBOX' THEN 'INBOX' ELSE \"mailbox\" END))
         WHERE \"mailbox\" IS NOT NULL"
    ))
}
