//! Reads lists of messages without Postroom: the statements of lists on its database, with the
//! library of the database alone. `cargo xtask bench api` runs it beside Postroom.
//!
//! `plain DATABASE` takes the file of a SQLite database or the address of a PostgreSQL one. Each
//! line of its input is a list in JSON: `{"seconds": 2, "order": "id", "equal": {"folder_id": ID},
//! "older": TIME, "above": NUMBER}`. It reads the list again and again for so long, and answers
//! with a line: how many milliseconds each reading took, as a JSON array. Rows of SQLite become
//! JSON, as an answer of REST does. PostgreSQL gives them as texts.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::indexing_slicing, reason = "a JSON value answers null for a missing key")]

use rusqlite::OpenFlags;
use rusqlite::types::ValueRef;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use std::error::Error;
use std::io::BufRead;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::NoTls;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How much of a SQLite database is kept in memory, in KiB.
const CACHE_KIB: i64 = 65_536;

enum Plain {
    Sqlite(rusqlite::Connection),
    Postgres(tokio_postgres::Client),
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--");
    let database = Plain::open(&arguments.next().ok_or("which database?")?).await?;
    for line in std::io::stdin().lock().lines() {
        let list: Value = serde_json::from_str(&line?)?;
        let time = Duration::from_secs_f64(list["seconds"].as_f64().ok_or("no `seconds`")?);
        let sql = database.sql(&list);
        let (begin, mut each) = (Instant::now(), vec![]);
        while begin.elapsed() < time {
            let asked = Instant::now();
            std::hint::black_box(database.read(&sql).await?);
            each.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        println!("{}", json!(each));
    }
    Ok(())
}

impl Plain {
    async fn open(database: &str) -> Outcome<Self> {
        if database.contains("://") {
            let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
            tokio::spawn(connection);
            return Ok(Self::Postgres(client));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let sqlite = rusqlite::Connection::open_with_flags(database, flags)?;
        sqlite.pragma_update(None, "cache_size", -CACHE_KIB)?;
        Ok(Self::Sqlite(sqlite))
    }

    /// The statement of a list, as the database writes ids and times.
    fn sql(&self, list: &Value) -> String {
        let mut conditions = vec!["\"domain\" = 'default'".to_owned()];
        for (name, value) in list["equal"].as_object().into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            let is_id = name == "id" || name.ends_with("_id");
            conditions.push(match self {
                Self::Sqlite(_) if is_id => format!("\"{name}\" = x'{}'", text.replace('-', "")),
                Self::Sqlite(_) | Self::Postgres(_) => format!("\"{name}\" = '{text}'"),
            });
        }
        if let Some(time) = list["older"].as_str() {
            let moment = match self {
                Self::Sqlite(_) => format!("unixepoch('{time}') * 1000"),
                Self::Postgres(_) => format!("TIMESTAMPTZ '{time}'"),
            };
            conditions.push(format!("\"dateTime\" < {moment}"));
        }
        if let Some(number) = list["above"].as_i64() {
            conditions.push(format!("\"seq\" > {number}"));
        }
        let order = match (self, list["order"].as_str()) {
            (Self::Sqlite(_), Some("newest")) => "\"dateTime\" DESC, \"id\" DESC",
            (Self::Postgres(_), Some("newest")) => "\"dateTime\" DESC NULLS LAST, \"id\" DESC",
            (_, Some("seq")) => "\"seq\", \"id\"",
            _ => "\"id\"",
        };
        let conditions = conditions.join(" AND ");
        format!("SELECT * FROM \"email/Messages\" WHERE {conditions} ORDER BY {order} LIMIT 100")
    }

    /// The rows of a statement, and how much they are.
    async fn read(&self, sql: &str) -> Outcome<usize> {
        match self {
            Self::Sqlite(database) => Ok(json_of(database, sql)?.len()),
            Self::Postgres(client) => Ok(client.simple_query(sql).await?.len()),
        }
    }
}

/// The rows as JSON.
fn json_of(database: &rusqlite::Connection, sql: &str) -> Outcome<String> {
    let mut statement = database.prepare_cached(sql)?;
    let names: Vec<_> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    let mut all = vec![];
    while let Some(row) = rows.next()? {
        let mut entity = Map::new();
        for (at, name) in names.iter().enumerate() {
            let value = match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(text) => std::str::from_utf8(text)?.into(),
                ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            };
            entity.insert(name.clone(), value);
        }
        all.push(Value::Object(entity));
    }
    Ok(Value::Array(all).to_string())
}
