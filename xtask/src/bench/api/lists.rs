//! Lists of 100 by each built-in index, at the begin and in the middle, and counts.

use crate::bench::api::goals::Goals;
use crate::bench::api::http::Ask;
use crate::bench::api::http::Connection;
use crate::bench::api::http::Server;
use crate::bench::api::load::Asking;
use crate::bench::api::load::Times;
use crate::bench::api::load::clients;
use crate::bench::api::plain::Plain;
use crate::bench::api::world::MESSAGES;
use crate::bench::api::world::Owners;
use crate::bench::api::world::id_of;
use crate::bench::api::world::server;
use crate::terminal;
use anyhow::Context;
use anyhow::Result;
use postroom_testkit::Postroom;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How long a page may take at most, in milliseconds, for 99 of 100.
const PAGE_MS_MAX: f64 = 10.0;

/// How fast it must be, to the statement alone.
const TO_PLAIN: f64 = 0.5;

/// A list.
struct List {
    what: &'static str,
    /// The query of the request.
    query: String,
    /// The same list without Postroom, as the plain statements take it.
    plain: Value,
}

/// How lists are measured.
pub struct ListRun {
    /// How long each.
    pub time: Duration,
    pub is_sqlite: bool,
}

/// The lists that are measured.
pub struct Lists {
    lists: Vec<List>,
}

const NEWEST: &str = "order=-dateTime";
/// What the lists are asked for.
struct Asked {
    folder: String,
    account: String,
    /// The id of a message in the middle.
    id: String,
    /// Its Message-ID, its time, and the number of its last change.
    message_id: String,
    date_time: String,
    seq: String,
    /// The cursors behind it, of all messages and of those of the folder.
    after_all: String,
    after_folder: String,
}

impl Asked {
    async fn of(postroom: &Postroom, owners: &Owners, rows: u64) -> Result<Self> {
        let folder = owners.folders.first().context("no folder")?.clone();
        let account = owners.accounts.first().context("no account")?.clone();
        let middle = owners.message(rows / 2);
        let date_time = middle["dateTime"].as_str().context("a time")?.to_owned();
        let message_id = middle["messageId"].as_str().context("a Message-ID")?.to_owned();
        let server = server(postroom);
        let query = format!("{MESSAGES}?messageId={message_id}&mask=id,seq");
        let found = Connection::open(&server).await?.ask(&Ask::get(query)).await?.json()?;
        let after_all = cursor(&server, NEWEST, &date_time).await?;
        let in_folder = format!("folder_id={folder}&{NEWEST}");
        let after_folder = cursor(&server, &in_folder, &date_time).await?;
        let (id, seq) = (id_of(&found[0]), found[0]["seq"].to_string());
        Ok(Self { folder, account, id, message_id, date_time, seq, after_all, after_folder })
    }
}

/// The cursor behind the first message of a list that is older than a time.
async fn cursor(server: &Server, query: &str, date_time: &str) -> Result<String> {
    let older =
        format!("%5B%22%3C%22%2C%5B%22property%22%2C%22dateTime%22%5D%2C%22{date_time}%22%5D");
    let path = format!("{MESSAGES}?{query}&filter={older}&limit=1&mask=id");
    let page = Connection::open(server).await?.ask(&Ask::get(path)).await?;
    let link = page.field("link").context("no Link")?;
    let (_, rest) = link.split_once("after=").context("no cursor")?;
    let cursor = rest.split(['&', '>', '"']).next().context("no cursor")?;
    Ok(cursor.to_owned())
}

/// Whether a list is that of an id or a Message-ID.
fn is_of_one(plain: &Value) -> bool {
    ["id", "messageId"].iter().any(|name| plain["equal"][*name].is_string())
}

fn list(what: &'static str, query: String, plain: Value) -> List {
    List { what, query, plain }
}

impl Lists {
    /// Those of a Postroom that is filled with so many messages.
    ///
    /// # Errors
    ///
    /// When a request is refused.
    pub async fn of(postroom: &Postroom, owners: &Owners, rows: u64) -> Result<Self> {
        let asked = Asked::of(postroom, owners, rows).await?;
        let Asked { folder, account, id, message_id, date_time: older, seq, .. } = &asked;
        let (after_all, after_folder) = (&asked.after_all, &asked.after_folder);
        let in_folder = format!("folder_id={folder}");
        let newest = |which: &str| format!("{which}&{NEWEST}");
        let later = format!("%5B%22%3E%22%2C%5B%22property%22%2C%22seq%22%5D%2C{seq}%5D");
        let above: i64 = seq.parse().context("a number of a change")?;
        let lists = vec![
            list("by id", "order=id".to_owned(), json!({"order": "id"})),
            list("newest", NEWEST.to_owned(), json!({"order": "newest"})),
            list(
                "from the middle",
                format!("{NEWEST}&after={after_all}"),
                json!({"order": "newest", "older": older}),
            ),
            list("of a folder", in_folder.clone(), json!({"equal": {"folder_id": folder}})),
            list(
                "of a folder, newest",
                newest(&in_folder),
                json!({"order": "newest", "equal": {"folder_id": folder}}),
            ),
            list(
                "of a folder, from the middle",
                format!("{in_folder}&{NEWEST}&after={after_folder}"),
                json!({"order": "newest", "older": older, "equal": {"folder_id": folder}}),
            ),
            list(
                "of an account",
                newest(&format!("account_id={account}")),
                json!({"order": "newest", "equal": {"account_id": account}}),
            ),
            list(
                "of a state",
                newest("messageState=filed"),
                json!({"order": "newest", "equal": {"messageState": "filed"}}),
            ),
            list(
                "of a Message-ID",
                format!("messageId={message_id}"),
                json!({"equal": {"messageId": message_id}}),
            ),
            list("of an id", format!("id={id}"), json!({"equal": {"id": id}})),
            list(
                "changed since the middle",
                format!("order=seq&filter={later}"),
                json!({"order": "seq", "above": above}),
            ),
        ];
        Ok(Self { lists })
    }

    /// Measures each, beside the statement alone.
    ///
    /// # Errors
    ///
    /// When a request is refused, or the database refuses a statement.
    pub async fn measure(
        &self,
        server: &Server,
        plain: &mut Plain,
        run: ListRun,
        goals: &mut Goals,
    ) -> Result<()> {
        let ListRun { time, is_sqlite } = run;
        for list in &self.lists {
            let ours = clients(server, 1, time, &list.asking()).await?;
            let alone = plain.read(&list.plain, time)?;
            let what = list.what;
            terminal::say(&format!("  100 {what:30}   1 client  {}", ours.told()));
            terminal::say(&format!("  {:34}     alone   {}", "", alone.told()));
            goals.at_most(&format!("100 {what}, p99 in ms"), ours.ms_of(0.99), PAGE_MS_MAX);
            let ratio = ours.rate() / alone.rate();
            // PostgreSQL leaves the work of the values to its server.
            // Where one row is found, the time is that of the request.
            if is_sqlite && !is_of_one(&list.plain) {
                goals.at_least(&format!("100 {what}, to the statement alone"), ratio, TO_PLAIN);
            } else {
                terminal::say(&format!("  100 {what}, to the statement alone: {ratio:.2}"));
            }
        }
        for (what, query) in
            [("count of all", "mask=id"), ("count of a state", "mask=id&messageState=filed")]
        {
            let path = format!("{MESSAGES}?{query}&count=true&limit=1");
            let counting: Asking = Arc::new(move |_| Ask::get(path.clone()));
            let times = clients(server, 1, time, &counting).await?;
            terminal::say(&format!("  {what:34}   1 client  {}", times.told()));
        }
        Ok(())
    }

    /// How fast 16 clients get the newest 100.
    ///
    /// # Errors
    ///
    /// When a request is refused.
    pub async fn newest(&self, server: &Server, time: Duration) -> Result<Times> {
        let newest: Asking = Arc::new(|_| Ask::get(format!("{MESSAGES}?{NEWEST}&limit=100")));
        let times = clients(server, 16, time, &newest).await?;
        terminal::say(&format!("  {:34}  16 clients {}", "100 newest", times.told()));
        Ok(times)
    }
}

impl List {
    fn asking(&self) -> Asking {
        let path = format!("{MESSAGES}?{}&limit=100", self.query);
        Arc::new(move |_| Ask::get(path.clone()))
    }
}
