//! The tables: those of the classes, from their definitions, and those of our own.

use crate::columns::kind;
use crate::columns::quoted;
use crate::database::ColumnKind;
use crate::database::Dialect;
use crate::database::Statement;
use postroom_model::Class;
use postroom_model::builtin::MESSAGES;

/// The version of the schema that this program knows.
pub const VERSION: i64 = 1;

/// Makes the tables of our own. Statements of an existing database do nothing.
pub fn own_tables(dialect: &dyn Dialect) -> Vec<Statement> {
    let types = |sql: &str| {
        let kinds = [
            ("{id}", ColumnKind::Id),
            ("{text}", ColumnKind::Text),
            ("{json}", ColumnKind::Json),
            ("{bytes}", ColumnKind::Bytes),
            ("{whole}", ColumnKind::Whole),
            ("{moment}", ColumnKind::Moment),
            ("{boolean}", ColumnKind::Boolean),
        ];
        kinds
            .into_iter()
            .fold(sql.to_owned(), |sql, (name, kind)| sql.replace(name, dialect.column_type(kind)))
    };
    OWN.iter().map(|sql| Statement::new(types(sql))).collect()
}

const OWN: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS \"meta\" (\"name\" {text} PRIMARY KEY, \"value\" {bytes})",
    "CREATE TABLE IF NOT EXISTS \"token\" (
       \"hash\" {bytes} PRIMARY KEY, \"domain\" {text} NOT NULL, \"name\" {text} NOT NULL,
       UNIQUE (\"domain\", \"name\"))",
    // id = blob * 2^20 + number of the chunk: appended in order, read in order.
    "CREATE TABLE IF NOT EXISTS \"chunk\" (
       \"id\" INTEGER PRIMARY KEY, \"codec\" {whole} NOT NULL, \"bytes\" {bytes} NOT NULL)",
    // Blobs that are being written; what is still here at start belongs to nothing.
    "CREATE TABLE IF NOT EXISTS \"unfinished\" (\"blob\" {whole} PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS \"file\" (
       \"domain\" {text} NOT NULL, \"entity\" {id} NOT NULL, \"property\" {text} NOT NULL,
       \"name\" {text} NOT NULL, \"position\" {whole} NOT NULL, \"media_type\" {text} NOT NULL,
       \"content_id\" {text}, \"size\" {whole} NOT NULL, \"blob\" {whole} NOT NULL,
       \"offset\" {whole}, \"length\" {whole}, \"transfer_encoding\" {text}, \"charset\" {text},
       PRIMARY KEY (\"entity\", \"property\", \"name\")) WITHOUT ROWID",
    // The ledger. `message` is null while the message could not be had.
    "CREATE TABLE IF NOT EXISTS \"receipt\" (
       \"folder\" {id} NOT NULL, \"uid_validity\" {whole} NOT NULL, \"uid\" {whole} NOT NULL,
       \"message\" {id}, \"hash\" {bytes}, \"relinked\" {whole}, \"wish\" {whole},
       \"reason\" {text}, \"attempts\" {whole}, \"next_attempt\" {moment},
       PRIMARY KEY (\"folder\", \"uid_validity\", \"uid\")) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS \"receipt wish\" ON \"receipt\" (\"folder\", \"uid_validity\")
       WHERE \"wish\" IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS \"delivery\" (
       \"message\" {id} PRIMARY KEY, \"domain\" {text} NOT NULL, \"account\" {id} NOT NULL,
       \"phase\" {text} NOT NULL, \"order\" {moment} NOT NULL, \"due\" {moment} NOT NULL,
       \"first_due\" {moment} NOT NULL, \"attempts\" {whole} NOT NULL,
       \"reverse_path\" {text} NOT NULL, \"smtp_utf8\" {boolean} NOT NULL,
       \"blob\" {whole} NOT NULL, \"size\" {whole} NOT NULL)",
    "CREATE INDEX IF NOT EXISTS \"delivery due\" ON \"delivery\" (\"account\", \"phase\", \"due\")",
    "CREATE TABLE IF NOT EXISTS \"change\" (
       \"seq\" INTEGER PRIMARY KEY AUTOINCREMENT, \"domain\" {text} NOT NULL,
       \"class\" {text} NOT NULL, \"entity\" {id} NOT NULL, \"operation\" {whole} NOT NULL,
       \"at\" {moment} NOT NULL, \"replaced\" {json})",
];

/// Makes the table of a class.
pub fn class_table(dialect: &dyn Dialect, class: &Class) -> Vec<Statement> {
    let table = quoted(&class.classname);
    let column = |property: &postroom_model::Property| {
        format!("{} {}", quoted(&property.name), dialect.column_type(kind(property)))
    };
    let columns: Vec<_> = class.columns().map(column).collect();
    let text = dialect.column_type(ColumnKind::Text);
    let id = dialect.column_type(ColumnKind::Id);
    let whole = dialect.column_type(ColumnKind::Whole);
    let mut statements = vec![Statement::new(format!(
        "CREATE TABLE IF NOT EXISTS {table} (\"domain\" {text} NOT NULL, \"id\" {id} PRIMARY KEY, \
         \"version\" {whole} NOT NULL, {})",
        columns.join(", ")
    ))];
    statements.extend(indexes(class).into_iter().map(Statement::new));
    statements
}

/// The indexes of a class table: by reference, and for messages what lists and the queue ask for.
fn indexes(class: &Class) -> Vec<String> {
    let table = quoted(&class.classname);
    let index = |name: &str, on: &str| {
        let name = quoted(&format!("{} {name}", class.classname));
        format!("CREATE INDEX IF NOT EXISTS {name} ON {table} {on}")
    };
    if class.classname == MESSAGES {
        return vec![
            index("by folder", "(\"folder_id\", \"dateTime\")"),
            index("by time", "(\"domain\", \"dateTime\")"),
            index("outgoing", "(\"account_id\") WHERE \"messageState\" = 'sending'"),
            index("by message id", "(\"messageId\") WHERE \"messageDirection\" = 'out'"),
        ];
    }
    let references = class.columns().filter(|property| property.idclass.is_some());
    references.map(|p| index(&p.name, &format!("({})", quoted(&p.name)))).collect()
}
