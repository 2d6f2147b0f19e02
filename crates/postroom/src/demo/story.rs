//! The story of the demo: mail arrives through crashes, waits for a server that is down, is refused
//! with a reason, and is recognised in a mailbox that was renumbered.

#![expect(clippy::indexing_slicing, reason = "a JSON value answers null for a missing key")]

use crate::demo::child::Child;
use crate::demo::client::Client;
use crate::demo::login::ADDRESS;
use crate::demo::login::PASSWORD;
use crate::demo::terminal::Terminal;
use anyhow::Context;
use anyhow::ensure;
use postroom_sandbox::Action;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::Sandbox;
use postroom_sandbox::When;
use postroom_sandbox::demo_mail;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashSet;
use std::time::Duration;

/// How many mails arrive.
const MAILS: usize = 1000;
/// After how many of them Postroom is killed.
const KILLS: [usize; 3] = [200, 450, 700];
/// The delay of the mail server for each mail, while Postroom is killed.
const PACE: Duration = Duration::from_millis(1);
/// The address that the mail server does not know.
const NOBODY: &str = "nobody@demo.test";
/// The distance between the UIDs before and after the renumbering.
const UID_FIRST: u32 = 50_001;

/// What the last lines of the demo refer to.
pub(super) struct Told {
    /// The account.
    pub account: String,
    /// The message that was refused.
    pub refused: String,
}

/// The servers of the demo.
struct Stage<'a> {
    client: &'a Client,
    sandbox: &'a mut Sandbox,
    terminal: Terminal,
    account: String,
    folder: String,
}

/// Runs all steps. Fails at the first step that goes wrong.
pub(super) async fn tell(
    client: &Client,
    child: &mut Child,
    sandbox: &mut Sandbox,
    terminal: Terminal,
) -> anyhow::Result<Told> {
    let account = create_account(client, sandbox).await?;
    let folder = inbox(client, &account).await?;
    let mut stage = Stage { client, sandbox, terminal, account, folder };
    stage.arrive(child).await?;
    stage.wait_for_server().await?;
    let refused = stage.refused().await?;
    stage.renumber().await?;
    Ok(Told { account: stage.account, refused })
}

async fn create_account(client: &Client, sandbox: &Sandbox) -> anyhow::Result<String> {
    let profile = json!({
        "name": "Demo",
        "options": {"after_read_timeout": 0.5, "portion_limit": 20, "retry_first": 1},
        "imapHost": "localhost", "imapPort": sandbox.imaps().port(), "imapSecurity": "tls",
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(), "smtpSecurity": "tls",
    });
    let profile = client.post("email/Profiles", &profile).await?;
    let account = json!({
        "profile_id": profile["id"], "name": "Anna", "address": ADDRESS,
        "fromDisplayName": "Anna Demo", "password": PASSWORD,
    });
    let account = client.post("email/Accounts", &account).await?;
    Ok(account["id"].as_str().context("the account has no id")?.to_owned())
}

async fn inbox(client: &Client, account: &str) -> anyhow::Result<String> {
    let path = format!("email/Folders?account_id={account}&name=INBOX");
    let found = |json: &Json| json[0]["id"].as_str().map(str::to_owned);
    client.wait_for(&path, "the survey of folders", found).await
}

impl Stage<'_> {
    /// Mail arrives while Postroom is killed.
    async fn arrive(&self, child: &mut Child) -> anyhow::Result<()> {
        let mails = (0..MAILS).map(mail);
        for mail in mails {
            self.sandbox.deliver(ADDRESS, "INBOX", mail).context("delivering to the sandbox")?;
        }
        let pace = self.sandbox.script(Rule {
            on: Point::ImapMessage(None),
            when: When::Always,
            act: Action::Delay(PACE),
        });
        self.terminal.step(&format!("{} mails are at the IMAP server", grouped(MAILS)));
        let folder = format!("email/Folders/{}", self.folder);
        self.client.patch(&folder, &json!({"enabled": true})).await?;
        let path = format!("email/Messages?folder_id={}&mask=uid&limit=1000", self.folder);
        for due in KILLS {
            let enough = |json: &Json| json.as_array().map(Vec::len).filter(|count| *count >= due);
            let what = format!("the arrival of {due} messages");
            let count = self.client.wait_for(&path, &what, enough).await?;
            child.kill_and_start().await?;
            let count = format!("{} of {}", grouped(count), grouped(MAILS));
            self.terminal.step(&format!("kill -9 after {count} arrived; started again"));
        }
        self.sandbox.unscript(pace);
        self.await_all(MAILS).await?;
        self.prove(MAILS).await?;
        let count = grouped(MAILS);
        self.terminal.done(&format!("{count} of {count} arrived, none twice"));
        Ok(())
    }

    /// The SMTP server is down, and comes back.
    async fn wait_for_server(&mut self) -> anyhow::Result<()> {
        self.sandbox.smtp_down().await;
        let path = self.send(ADDRESS, "While the server was down").await?;
        let waits = |json: &Json| {
            let why = json["errorText"].as_str()?;
            (json["messageState"] == "sending").then(|| why.to_owned())
        };
        let why = self.client.wait_for(&path, "the reason why a message waits", waits).await?;
        self.terminal
            .step("The SMTP server is down. The message waits in `sending`, and says why:");
        self.terminal.quote(&why);
        self.sandbox.smtp_up().await?;
        let message = self.client.wait_for(&path, "sending the message", settled).await?;
        ensure!(message["messageState"] == "sent", "the message was not sent: {message}");
        self.terminal.done("The server is up: `sent`, and it came back into INBOX");
        self.await_all(MAILS + 1).await
    }

    /// A recipient that the server does not know.
    async fn refused(&self) -> anyhow::Result<String> {
        let path = self.send(NOBODY, "Is anybody there?").await?;
        let message = self.client.wait_for(&path, "refusing the message", settled).await?;
        let code = (&message["messageState"], &message["errorCode"]);
        ensure!(code == (&json!("error"), &json!("refused")), "not refused: {message}");
        self.terminal
            .done("A message to an unknown address: `error`, `refused`. The server's words:");
        self.terminal.quote(message["errorText"].as_str().unwrap_or_default());
        Ok(path)
    }

    /// The mailbox gets a new UIDVALIDITY and new UIDs, as when a server is moved.
    async fn renumber(&self) -> anyhow::Result<()> {
        let validity = self.sandbox.edit(|state| {
            let inbox = state.mailbox_mut(ADDRESS, "INBOX")?;
            let validity = inbox.uid_validity().saturating_add(1);
            inbox.renumber(validity, UID_FIRST);
            Ok::<_, postroom_sandbox::Error>(validity)
        })?;
        // The mail that arrives afterwards shows that the mailbox was read under its new numbers.
        self.sandbox.deliver(ADDRESS, "INBOX", mail(MAILS))?;
        let path = format!("email/Folders/{}", self.folder);
        let renumbered = |json: &Json| (json["uidValidity"] == validity).then_some(());
        self.client.wait_for(&path, "reading the renumbered mailbox", renumbered).await?;
        let count = MAILS + 2;
        self.await_all(count).await?;
        self.prove(count).await?;
        let known = grouped(count - 1);
        self.terminal.done(&format!(
            "The mailbox is renumbered (new UIDVALIDITY): {known} known again, 1 new, none twice"
        ));
        Ok(())
    }

    async fn send(&self, to: &str, subject: &str) -> anyhow::Result<String> {
        let message = json!({
            "account_id": self.account, "messageDirection": "out", "messageState": "sending",
            "to": [to], "subject": subject, "text": "Hello!\n",
        });
        let message = self.client.post("email/Messages", &message).await?;
        let id = message["id"].as_str().context("the message has no id")?;
        Ok(format!("email/Messages/{id}"))
    }

    /// Waits until the folder says that all mail is stored and the server was asked.
    async fn await_all(&self, count: usize) -> anyhow::Result<()> {
        let path = format!("email/Folders/{}", self.folder);
        let all = |json: &Json| {
            let is_all = json["storedCount"] == count && json["pendingCount"] == 0;
            is_all.then_some(())
        };
        self.client.wait_for(&path, &format!("the arrival of {count} messages"), all).await
    }

    /// Compares Postroom's messages with those at the server: each Message-ID once.
    async fn prove(&self, count: usize) -> anyhow::Result<()> {
        let mut seen = HashSet::new();
        let mut offset = 0;
        loop {
            let folder = &self.folder;
            let page = format!("mask=messageId&order=uid&limit=1000&offset={offset}");
            let path = format!("email/Messages?folder_id={folder}&{page}");
            let page = self.client.get(&path).await?;
            let page = page.as_array().context("a list that is none")?;
            for message in page {
                let id = message["messageId"].as_str().context("a message without messageId")?;
                ensure!(seen.insert(id.to_owned()), "{id} arrived twice");
            }
            offset += page.len();
            if page.is_empty() {
                break;
            }
        }
        ensure!(seen.len() == count, "{} messages arrived, not {count}", seen.len());
        Ok(())
    }
}

/// The message once it is no longer `sending`.
fn settled(json: &Json) -> Option<Json> {
    (json["messageState"] != "sending").then(|| json.clone())
}

/// Mail number `at`: some with pictures and attachments, most of them short.
fn mail(at: usize) -> Vec<u8> {
    let special = demo_mail::messages().into_iter().nth(at);
    // The mail without header fields has no Message-ID, so it is left out.
    if let Some(mail) = special.filter(|mail| mail.starts_with(b"From:")) {
        return mail;
    }
    format!(
        "From: Order desk <orders@shop.example>\r\nTo: {ADDRESS}\r\nSubject: Order {at}\r\n\
         Date: Sat, 02 May 2026 08:12:00 +0200\r\nMessage-ID: <order.{at}@shop.example>\r\n\r\n\
         Order {at} is on its way.\r\n"
    )
    .into_bytes()
}

/// A number below a million as people write it.
fn grouped(number: usize) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mail_has_a_message_id_of_its_own() {
        let id = |at| {
            let text = String::from_utf8_lossy(&mail(at)).into_owned();
            let line = text.lines().find_map(|line| line.strip_prefix("Message-ID: "));
            line.unwrap().to_owned()
        };
        let ids: HashSet<_> = (0..=MAILS).map(id).collect();
        assert_eq!(ids.len(), MAILS + 1);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([7, 1000, 1002].map(grouped), ["7", "1,000", "1,002"]);
    }
}
