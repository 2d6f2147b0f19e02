//! A Postroom with accounts and messages, all made by REST.

use crate::bench::api::http::Ask;
use crate::bench::api::http::Connection;
use crate::bench::api::http::Server;
use crate::bench::api::load::Asking;
use anyhow::Context;
use anyhow::Result;
use postroom_testkit::Postroom;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;

/// Where messages are.
pub const MESSAGES: &str = "/rest/v1/model/email/Messages";

/// How many messages a request brings while they are filled in.
const AT_ONCE: u64 = 200;

/// How many clients fill.
const FILLING: u64 = 4;

/// A text as long as that of a short mail, in bytes.
const TEXT_BYTES: usize = 1_000;

/// The accounts and folders that messages are in.
#[derive(Debug, Clone)]
pub struct Owners {
    pub accounts: Vec<String>,
    /// One of each of the first accounts.
    pub folders: Vec<String>,
}

/// The server that a running Postroom is.
pub fn server(postroom: &Postroom) -> Server {
    let address = postroom.url().trim_start_matches("http://").to_owned();
    Server { address, authorization: format!("Bearer {}", Postroom::TOKEN) }
}

impl Owners {
    /// Makes so many enabled accounts, which have nothing to do.
    ///
    /// # Errors
    ///
    /// When a request is refused.
    pub async fn create(postroom: &Postroom, accounts: u64, folders: usize) -> Result<Self> {
        let smtp = json!({"name": "idle", "smtpHost": "127.0.0.1", "smtpPort": 9});
        let profile = postroom.post("email/Profiles", &smtp).await?;
        let account = |number: u64| {
            json!({"profile_id": profile["id"], "address": format!("user{number}@idle.test"),
                   "enabled": true})
        };
        let mut ids = vec![];
        for first in (0..accounts).step_by(100) {
            let some: Vec<_> = (first..accounts.min(first + 100)).map(account).collect();
            let made = postroom.post("email/Accounts", &json!(some)).await?;
            ids.extend(made.as_array().into_iter().flatten().map(id_of));
        }
        let mut owners = Self { accounts: ids, folders: vec![] };
        for account in owners.accounts.iter().take(folders) {
            let folder = json!({
                "account_id": account, "title": format!("{account}/box"), "name": "box",
                "mode": "sendOnly",
            });
            owners.folders.push(id_of(&postroom.post("email/Folders", &folder).await?));
        }
        let filed = json!({"properties": [{"name": "messageState", "items": ["filed"]}]});
        postroom.patch("/rest/v1/design/classes/email/Messages", &filed).await?;
        Ok(owners)
    }

    /// A message, which is the same for the same number.
    pub fn message(&self, number: u64) -> Value {
        let at = usize::try_from(number).unwrap_or_default() % self.folders.len().max(1);
        let seconds = number * 13;
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        let date_time = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z",
            2000 + day / 336,
            1 + day / 28 % 12,
            1 + day % 28,
            second / 3600,
            second / 60 % 60,
            second % 60
        );
        let words = format!("offer {number} about the delivery of part {} ", number % 977);
        let text = words.repeat(TEXT_BYTES / words.len() + 1);
        json!({
            "account_id": self.accounts.get(at), "folder_id": self.folders.get(at),
            "dateTime": date_time, "messageDirection": "out",
            "messageState": number.is_multiple_of(10).then_some("filed"),
            "from": format!("user{}@bench.example", number % 1_000), "to": ["anna@bench.example"],
            "subject": words.trim(), "text": text,
            "messageId": format!("{number}@bench.example"),
            "headers": [["X-Mailer", "bench"], ["List-Id", words]],
        })
    }

    /// Requests that each create a message.
    pub fn creating(&self) -> Asking {
        let owners = self.clone();
        // Beyond all that were filled in.
        let body = move |number| owners.message(1_000_000_000 + number).to_string();
        Arc::new(move |number| Ask {
            method: "POST",
            path: MESSAGES.to_owned(),
            body: body(number),
        })
    }

    /// Fills in the messages of these numbers.
    ///
    /// # Errors
    ///
    /// When a request is refused.
    pub async fn fill(&self, server: &Server, numbers: std::ops::Range<u64>) -> Result<()> {
        let mut tasks = vec![];
        for filling in 0..FILLING {
            let (owners, server, numbers) = (self.clone(), server.clone(), numbers.clone());
            tasks.push(tokio::spawn(async move {
                let mut connection = Connection::open(&server).await?;
                let mut first = numbers.start + filling * AT_ONCE;
                while first < numbers.end {
                    let some = first..numbers.end.min(first + AT_ONCE);
                    let some: Vec<_> = some.map(|number| owners.message(number)).collect();
                    let body = json!(some).to_string();
                    let path = MESSAGES.to_owned();
                    connection.ask(&Ask { method: "POST", path, body }).await?;
                    first += FILLING * AT_ONCE;
                }
                anyhow::Ok(())
            }));
        }
        for task in tasks {
            task.await.context("a client")??;
        }
        Ok(())
    }
}

/// The id of an entity.
pub fn id_of(entity: &Value) -> String {
    entity["id"].as_str().unwrap_or_default().to_owned()
}
