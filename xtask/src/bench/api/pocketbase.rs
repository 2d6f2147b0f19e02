//! PocketBase, with a collection of messages that has the same indexes by time and by folder.

use crate::bench::api::http::Ask;
use crate::bench::api::http::Connection;
use crate::bench::api::http::Server;
use crate::bench::api::peer::PeerCollection;
use crate::bench::api::peer::PeerProcess;
use crate::bench::api::peer::PeerRates;
use crate::bench::api::peer::free_address;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const USER: &str = "bench@bench.example";
const PASSWORD: &str = "a password of the bench";

/// Starts it in a directory of its own, and measures it.
///
/// # Errors
///
/// When it does not start, or refuses a request.
pub async fn measure(program: &Path, time: Duration) -> Result<PeerRates> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    let at = || {
        let mut command = Command::new(program);
        command.arg("--dir").arg(&data);
        command
    };
    let user = at().args(["superuser", "upsert", USER, PASSWORD]).output().context("PocketBase")?;
    ensure!(user.status.success(), "{}", String::from_utf8_lossy(&user.stderr));
    let address = free_address()?;
    let mut serve = at();
    serve.args(["serve", "--http", &address]);
    let _process = PeerProcess::start(&mut serve, &address).await?;
    let mut server = Server { address, authorization: String::new() };
    let post = |path: &str, body: Value| Ask {
        method: "POST",
        path: path.to_owned(),
        body: body.to_string(),
    };
    let login = json!({"identity": USER, "password": PASSWORD});
    let login = post("/api/collections/_superusers/auth-with-password", login);
    let token = Connection::open(&server).await?.ask(&login).await?.json()?;
    server.authorization = token["token"].as_str().context("no token")?.to_owned();
    let create = post("/api/collections", collection());
    Connection::open(&server).await?.ask(&create).await?;
    let path = "/api/collections/messages/records".to_owned();
    let newest = "sort=-dateTime&perPage=100&skipTotal=1";
    PeerCollection { server, path, newest, entities: "items" }.measure(time).await
}

fn collection() -> Value {
    let text = |name: &str| json!({"name": name, "type": "text", "max": 100_000});
    let texts = [
        "account_id",
        "folder_id",
        "messageDirection",
        "messageType",
        "messageState",
        "errorText",
        "from",
        "fromDisplayName",
        "subject",
        "text",
        "messageId",
        "inReplyTo",
    ];
    let json = |name: &str| json!({"name": name, "type": "json"});
    let lists = ["to", "cc", "bcc", "replyTo", "recipients", "references", "headers"];
    let number = |name: &str| json!({"name": name, "type": "number"});
    let mut fields: Vec<_> = texts.into_iter().map(text).collect();
    fields.extend(lists.into_iter().map(json));
    fields.extend(["size", "attachmentCount"].into_iter().map(number));
    fields.push(json!({"name": "dateTime", "type": "date"}));
    json!({
        "name": "messages", "type": "base", "fields": fields,
        "indexes": [
            "CREATE INDEX m_dt ON messages (dateTime)",
            "CREATE INDEX m_fd ON messages (folder_id, dateTime)",
        ],
    })
}
