//! The story of the demo: an account, its folders, mail that arrives, mail that leaves.

#![expect(clippy::indexing_slicing, reason = "a JSON value answers null for a missing key")]

use crate::demo::ADDRESS;
use crate::demo::PASSWORD;
use crate::demo::client::Client;
use anyhow::Context;
use anyhow::ensure;
use postroom_sandbox::Sandbox;
use postroom_sandbox::demo_mail;
use serde_json::Value as Json;
use serde_json::json;

/// The subject of the message that is sent and comes back.
const SUBJECT: &str = "Grüße aus Postroom";
/// What its attachment holds: `Menu of the week\n` and a dish, in base64.
const ATTACHMENT: &str = "TWVudSBvZiB0aGUgd2VlazogYm9yc2NodAo=";

/// Tells it all; fails with the first step that does not go as it should.
pub async fn tell(client: &Client, sandbox: &Sandbox) -> anyhow::Result<()> {
    let account = create_account(client, sandbox).await?;
    let folder = enable_inbox(client, &account).await?;
    let count = arrive(client, sandbox, &folder).await?;
    look_inside(client, &folder).await?;
    send(client, &account, &folder, count).await
}

async fn create_account(client: &Client, sandbox: &Sandbox) -> anyhow::Result<String> {
    client.terminal.step("A profile (where the servers are) and an account (who we are)");
    let profile = json!({
        "name": "Demo", "options": {"after_read_timeout": 0.5},
        "imapHost": "localhost", "imapPort": sandbox.imaps().port(), "imapSecurity": "tls",
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(), "smtpSecurity": "tls",
    });
    let profile = client.post("email/Profiles", &profile).await?;
    let account = json!({
        "profile_id": profile["id"], "name": "Anna", "address": ADDRESS,
        "fromDisplayName": "Anna Demo", "password": PASSWORD,
    });
    let account = client.post("email/Accounts", &account).await?;
    let id = account["id"].as_str().context("the account has no id")?.to_owned();
    client.show_get(&format!("email/Accounts/{id}"));
    let path = format!("email/Accounts/{id}");
    let ready = |json: &Json| (json["state"] == "ready").then_some(());
    client.wait_for(&path, "connecting the account", ready).await?;
    client.terminal.done("the account is `ready`");
    Ok(id)
}

async fn enable_inbox(client: &Client, account: &str) -> anyhow::Result<String> {
    client.terminal.step("Its folders were surveyed; INBOX is to be monitored");
    let path = format!("email/Folders?account_id={account}&order=title");
    client.show_get(&path);
    let surveyed = |json: &Json| json.as_array().filter(|list| !list.is_empty()).cloned();
    let folders = client.wait_for(&path, "the survey of folders", surveyed).await?;
    for folder in &folders {
        let (title, special) = (text(&folder["title"]), text(&folder["specialUse"]));
        client.terminal.result(&format!("{title:<28} {special:<9} enabled {}", folder["enabled"]));
    }
    let inbox = folders.iter().find(|folder| folder["name"] == "INBOX").context("no INBOX")?;
    let id = text(&inbox["id"]).to_owned();
    client.patch("email/Folders", &id, &json!({"enabled": true})).await?;
    Ok(id)
}

async fn arrive(client: &Client, sandbox: &Sandbox, folder: &str) -> anyhow::Result<usize> {
    client.terminal.step("Mail arrives");
    let mails = demo_mail::messages();
    for mail in &mails {
        sandbox.deliver(ADDRESS, "INBOX", mail.clone()).context("delivering to the sandbox")?;
    }
    let path = format!("email/Messages?folder_id={folder}&order=uid&limit=100");
    client.show_get(&path);
    let count = mails.len();
    let all = |json: &Json| json.as_array().filter(|list| list.len() >= count).cloned();
    let messages = client.wait_for(&path, "receiving the messages", all).await?;
    for message in &messages {
        client.terminal.result(&line(message));
    }
    ensure!(messages.iter().any(|m| m["messageState"] == "raw"), "no message became `raw`");
    client.terminal.done("what cannot be decomposed is kept as it is: `raw`");
    Ok(count)
}

async fn look_inside(client: &Client, folder: &str) -> anyhow::Result<()> {
    client.terminal.step("Bodies, attachments and inline pictures are files of the message");
    let path = format!("email/Messages?folder_id={folder}&order=uid");
    let messages = client.get(&path).await?;
    for message in messages.as_array().into_iter().flatten() {
        let id = text(&message["id"]);
        for kind in ["attachments", "inlines"] {
            let path = format!("email/Messages/{id}/{kind}");
            let files = client.get(&path).await?;
            let files = files.as_array().cloned().unwrap_or_default();
            if files.is_empty() {
                continue;
            }
            client.show_get(&path);
            for file in files {
                let (name, size) = (text(&file["name"]), &file["size"]);
                let media_type = text(&file["contentType"]);
                client.terminal.result(&format!("{kind}: {name} ({media_type}, {size} bytes)"));
            }
        }
    }
    Ok(())
}

async fn send(client: &Client, account: &str, folder: &str, before: usize) -> anyhow::Result<()> {
    client.terminal.step("A message leaves: html, text and an attachment, in state `sending`");
    let message = json!({
        "account_id": account, "messageDirection": "out", "messageState": "sending",
        "to": [ADDRESS], "subject": SUBJECT,
        "text": "Hello Anna,\n\nthis came through SMTP and back through IMAP.\n",
        "html": "<p>Hello <b>Anna</b>,</p><p>this came through SMTP and back through IMAP.</p>",
        "attachments": [{"name": "menü.txt", "contentType": "text/plain", "content": ATTACHMENT}],
    });
    let message = client.post("email/Messages", &message).await?;
    let id = text(&message["id"]).to_owned();
    let path = format!("email/Messages/{id}");
    client.show_get(&path);
    let settled = |json: &Json| {
        let state = json["messageState"].clone();
        (state != "sending").then(|| (state, json["errorText"].clone()))
    };
    let (state, error) = client.wait_for(&path, "sending the message", settled).await?;
    ensure!(state == "sent", "the message became {state}: {error}");
    client.terminal.done("the server took it: `sent`");

    client.terminal.step("And comes back into INBOX");
    let path = format!("email/Messages?folder_id={folder}&order=uid&limit=100");
    let back = |json: &Json| {
        let list = json.as_array().filter(|list| list.len() > before)?;
        list.iter().find(|message| message["subject"] == SUBJECT).cloned()
    };
    let message = client.wait_for(&path, "receiving the message", back).await?;
    client.terminal.result(&line(&message));
    let path = format!("email/Messages/{}/attachments/men%C3%BC.txt", text(&message["id"]));
    client.show_get(&path);
    let attachment = client.download(&path).await?;
    ensure!(attachment == b"Menu of the week: borscht\n", "the attachment came back changed");
    client.terminal.result(String::from_utf8_lossy(&attachment).trim_end());
    client.terminal.done("`received`, with its attachment byte for byte");
    Ok(())
}

/// One message on one line.
fn line(message: &Json) -> String {
    let subject = message["subject"].as_str().unwrap_or("(no subject)");
    let state = text(&message["messageState"]);
    let kind = text(&message["messageType"]);
    let attachments = message["attachmentCount"].as_i64().unwrap_or(0);
    format!("{state:<9} {kind:<12} {subject}  [{attachments} attachments]")
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}
