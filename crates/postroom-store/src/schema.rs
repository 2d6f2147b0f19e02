//! The tables: those of the classes, made from their definitions, and the internal ones.

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

mod bulk_jobs;
mod full_text;
mod numbered;
mod objects;
mod purges;
mod queue;
mod work_claims;

/// The version of the schema that this program knows.
#[expect(clippy::cast_possible_wrap, reason = "a few steps")]
pub(crate) const VERSION: i64 = STEPS.len() as i64;

/// The table that says which version the others have. It is there from the start.
pub(crate) fn meta_table(dialect: &dyn Dialect) -> Statement {
    with_types(
        dialect,
        "CREATE TABLE IF NOT EXISTS \"meta\" (
           \"name\" {text} PRIMARY KEY, \"number\" {whole}, \"bytes\" {bytes})",
    )
}

/// The steps from a version (0: an empty database) to the present one, each with the version that
/// it leads to. A step is one transaction. A released step never changes.
pub(crate) fn steps_from(dialect: &dyn Dialect, version: i64) -> Vec<(i64, Vec<Statement>)> {
    let statements = |step: &&[&str]| -> Vec<_> {
        let statements = step.iter().map(|sql| with_types(dialect, &full_text::made(dialect, sql)));
        // Some databases need nothing for what others need a statement for.
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
    ORIGINS,
    WAITS,
    SUMS,
    FORGOTTEN,
    LIVES,
    MODIFIERS,
    UNSETTLED,
    MAILBOX_IDS,
    LEASES,
    SOURCE_KEYS,
    CLASSES,
    SEVERAL,
    EXTENSIONS,
    purges::STEP,
    bulk_jobs::STEP,
    numbered::STEP,
    queue::STEP,
    objects::STEP,
    full_text::STEP,
    work_claims::STEP,
];

const OWN: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS \"token\" (
       \"hash\" {bytes} PRIMARY KEY, \"domain\" {text} NOT NULL, \"name\" {text} NOT NULL,
       UNIQUE (\"domain\", \"name\"))",
    // id = blob * 2^20 + number of the chunk: appended in order, read in order.
    "CREATE TABLE IF NOT EXISTS \"chunk\" (
       \"id\" {whole} PRIMARY KEY, \"codec\" {whole} NOT NULL, \"bytes\" {bytes} NOT NULL)",
    // Blobs that are being written. A row that is still here at a start belongs to nothing.
    "CREATE TABLE IF NOT EXISTS \"unfinished\" (\"blob\" {whole} PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS \"file\" (
       \"domain\" {text} NOT NULL, \"entity\" {id} NOT NULL, \"property\" {text} NOT NULL,
       \"name\" {text} NOT NULL, \"position\" {whole} NOT NULL, \"media_type\" {text} NOT NULL,
       \"content_id\" {text}, \"size\" {whole} NOT NULL, \"blob\" {whole} NOT NULL,
       \"offset\" {whole}, \"length\" {whole}, \"transfer_encoding\" {text}, \"charset\" {text},
       PRIMARY KEY (\"entity\", \"property\", \"name\")) {clustered}",
    // The ledger. `message` is null while the message could not be had.
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
    // Recipients that have a message which is not `sent` as a whole.
    "CREATE TABLE IF NOT EXISTS \"delivered\" (
       \"message\" {id} NOT NULL, \"address\" {text} NOT NULL, \"reply\" {text},
       PRIMARY KEY (\"message\", \"address\")) {clustered}",
    "CREATE TABLE IF NOT EXISTS \"change\" (
       \"seq\" {serial}, \"domain\" {text} NOT NULL,
       \"class\" {text} NOT NULL, \"entity\" {id} NOT NULL, \"operation\" {whole} NOT NULL,
       \"at\" {moment} NOT NULL, \"replaced\" {json})",
];

/// Work in the background that goes on after a restart.
const JOBS: &[&str] = &["CREATE TABLE \"job\" (
    \"id\" {id} PRIMARY KEY, \"domain\" {text} NOT NULL, \"class\" {text} NOT NULL,
    \"filter\" {json}, \"state\" {text} NOT NULL, \"behind\" {id},
    \"total\" {whole} NOT NULL, \"done\" {whole} NOT NULL, \"changed\" {whole} NOT NULL,
    \"failed\" {whole} NOT NULL, \"begun\" {moment} NOT NULL, \"ended\" {moment},
    \"reason\" {text})"];

/// What was created under a key of the client, so that it is created once.
const ONCE: &[&str] = &[
    "CREATE TABLE \"once\" (
       \"domain\" {text} NOT NULL, \"class\" {text} NOT NULL, \"key\" {text} NOT NULL,
       \"request\" {bytes} NOT NULL, \"entities\" {json} NOT NULL, \"at\" {moment} NOT NULL,
       PRIMARY KEY (\"domain\", \"class\", \"key\"))",
    "CREATE INDEX \"once by time\" ON \"once\" (\"at\")",
];

/// The identity that the server gave the mailbox of a folder.
const MAILBOX_IDS: &[&str] = &["ALTER TABLE \"origin\" ADD COLUMN \"mailbox_id\" {text}"];

/// At which server, and under which login, the mailbox of a folder was read.
const ORIGINS: &[&str] = &["CREATE TABLE \"origin\" (
    \"folder\" {id} PRIMARY KEY, \"login\" {text} NOT NULL, \"moves\" {whole} NOT NULL)"];

/// How long a delivery has waited between attempts, whether it waits for the client's time, and
/// which recipients may have the message.
const WAITS: &[&str] = &[
    "ALTER TABLE \"delivery\" ADD COLUMN \"waited\" {whole} NOT NULL DEFAULT 0",
    "ALTER TABLE \"delivery\" ADD COLUMN \"planned\" {boolean} NOT NULL DEFAULT FALSE",
    "UPDATE \"delivery\" SET \"planned\" = TRUE WHERE \"due\" = \"order\"",
    "ALTER TABLE \"delivery\" DROP COLUMN \"first_due\"",
    "ALTER TABLE \"delivered\" ADD COLUMN \"doubt\" {boolean} NOT NULL DEFAULT FALSE",
];

/// Chunks have a checksum. Older chunks have none.
const SUMS: &[&str] = &[
    "ALTER TABLE \"chunk\" ADD COLUMN \"sum\" {whole}",
    "INSERT INTO \"meta\" (\"name\", \"number\")
       SELECT 'chunks without sum', COALESCE(MAX(\"id\"), 0) FROM \"chunk\"",
];

/// The feed keeps nothing of an entity that was deleted. By the index its rows are found.
const FORGOTTEN: &[&str] = &[
    "UPDATE \"change\" SET \"replaced\" = NULL WHERE \"entity\" IN
       (SELECT \"entity\" FROM \"change\" WHERE \"operation\" = 0)",
    "CREATE INDEX \"change replaced\" ON \"change\" (\"entity\") WHERE \"replaced\" IS NOT NULL",
];

/// Receipts belong to a life of a mailbox instead of a UIDVALIDITY, and keep what the server said
/// of the message. The numbers of the lives so far are their UIDVALIDITYs.
const LIVES: &[&str] = &[
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

/// The feed says who changed an entity, and its rows are found by entity in their order.
const MODIFIERS: &[&str] = &[
    "ALTER TABLE \"change\" ADD COLUMN \"modifier_type\" {text}",
    "ALTER TABLE \"change\" ADD COLUMN \"modifier_id\" {text}",
    "CREATE INDEX \"change of entity\" ON \"change\" (\"entity\", \"seq\")",
    "DROP INDEX \"change replaced\"",
];

/// Receipts of messages that are not whole here, which are few, are found by an index.
const UNSETTLED: &[&str] =
    &["CREATE INDEX \"receipt unsettled\" ON \"receipt\" (\"folder\", \"generation\")
       WHERE \"reason\" IS NOT NULL"];

/// Several processes may have the database: who leads a group, who is there, who claimed a
/// delivery, and who writes a blob.
const LEASES: &[&str] = &[
    "CREATE TABLE \"lease\" (
       \"group\" {text} PRIMARY KEY, \"holder\" {whole} NOT NULL, \"epoch\" {whole} NOT NULL,
       \"until\" {moment} NOT NULL) {clustered}",
    "CREATE TABLE \"owner\" (
       \"id\" {whole} PRIMARY KEY, \"name\" {text} NOT NULL, \"until\" {moment} NOT NULL)",
    "ALTER TABLE \"delivery\" ADD COLUMN \"epoch\" {whole}",
    "ALTER TABLE \"unfinished\" ADD COLUMN \"owner\" {whole}",
];

/// The key of a receipt is (folder, epoch, source key), whatever the source is. In earlier versions
/// the names were those of IMAP. Tools that read the database find a UID where it was.
const SOURCE_KEYS: &[&str] = &[
    "ALTER TABLE \"receipt\" RENAME COLUMN \"generation\" TO \"epoch\"",
    "ALTER TABLE \"receipt\" RENAME COLUMN \"uid\" TO \"key\"",
    "ALTER TABLE \"receipt\" ADD COLUMN \"uid\" {whole} GENERATED ALWAYS AS (\"key\") {computed}",
    "ALTER TABLE \"origin\" RENAME COLUMN \"generation\" TO \"epoch\"",
];

/// The definitions of the classes, whose version `meta` has.
const CLASSES: &[&str] = &["CREATE TABLE \"class\" (
    \"name\" {text} PRIMARY KEY, \"position\" {whole} NOT NULL, \"definition\" {json} NOT NULL)"];

/// Several transactions may run at once, and each row of the feed says which made it. Chunks are
/// compressed before they are stored.
const SEVERAL: &[&str] =
    &["ALTER TABLE \"change\" ADD COLUMN \"transaction\" {transaction}", "{incompressible chunk}"];

/// Clients change classes: how a built-in one was built in, and the version of the classes with
/// which each changed last; what is to be emptied; the counters of increments; which classes a
/// process uses. Files that are not those of messages are found by property.
const EXTENSIONS: &[&str] = &[
    "ALTER TABLE \"class\" ADD COLUMN \"base\" {json}",
    "ALTER TABLE \"class\" ADD COLUMN \"revision\" {whole} NOT NULL DEFAULT 0",
    "UPDATE \"class\" SET \"revision\" =
       (SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'classes')",
    "ALTER TABLE \"owner\" ADD COLUMN \"classes\" {whole}",
    "CREATE TABLE \"retired\" (
       \"table\" {text} NOT NULL, \"column\" {text} NOT NULL,
       PRIMARY KEY (\"table\", \"column\"))",
    "CREATE TABLE \"counter\" (
       \"domain\" {text} NOT NULL, \"class\" {text} NOT NULL, \"property\" {text} NOT NULL,
       \"number\" {whole} NOT NULL, PRIMARY KEY (\"domain\", \"class\", \"property\"))",
    "CREATE INDEX \"file by property\" ON \"file\" (\"property\")
       WHERE \"property\" NOT IN ('file', 'html', 'inlines', 'rawMessage')",
];

/// Makes the table of a class with its indexes, or adds the missing columns. `present`: the
/// existing columns; empty if there is no table. `default`: that of a property as SQL. Columns
/// that are added later come after the mark of the end.
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
            // The database answers it for the rows that are there, and rewrites none.
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

/// Makes the table of a class without the columns that are to refer to other tables: `referring`.
/// No other column refers to one.
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

/// The table that the column of a property refers to: an entity that must have one keeps its
/// target. What may be without, as a message may, stays when its target is deleted.
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

/// 0 where an entity has not changed since changes are numbered.
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

/// Marks the received messages of earlier versions that are not marked as such. In those versions
/// the UID said it.
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
