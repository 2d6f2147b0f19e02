//! A Dovecot and a Postfix that belong together, and the proof of what was sent by them.

use crate::dovecot::Dovecot;
use crate::dovecot::DovecotOptions;
use crate::postfix::Postfix;
use crate::postfix::PostfixOptions;
use crate::postroom::Postroom;
use crate::postroom::wait_until;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who messages are sent to.
const RECIPIENT: &str = "ben@demo.test";

/// How long anything may take until it is as it should be.
const PATIENCE: Duration = Duration::from_secs(300);

/// The servers.
pub(crate) struct MailServers {
    // Postfix delivers to Dovecot: it is dropped first.
    postfix: Postfix,
    /// Where mail arrives.
    pub dovecot: Dovecot,
}

/// A message that was given to Postroom to be sent.
#[derive(Debug, Clone)]
pub(crate) struct SentMessage {
    id: String,
    subject: String,
}

impl MailServers {
    /// Starts both.
    pub(crate) fn start(dovecot: &DovecotOptions, postfix: &PostfixOptions) -> Result<Self> {
        let dovecot = Dovecot::start(dovecot)?;
        let postfix = Postfix::start(&dovecot, postfix)?;
        Ok(Self { postfix, dovecot })
    }

    /// The values of a profile of both.
    pub(crate) fn profile(&self, options: &Value) -> Value {
        json!({
            "name": "both ways", "options": options,
            "imapHost": "127.0.0.1", "imapPort": self.dovecot.imap_port(), "imapSecurity": "none",
            "smtpHost": "127.0.0.1", "smtpPort": self.postfix.smtp_port(), "smtpSecurity": "none",
        })
    }

    /// Sends a message with a subject that no other has, as a client does that repeats its request
    /// until it is answered.
    pub(crate) async fn send(
        &self,
        postroom: &Postroom,
        account: &str,
        subject: String,
    ) -> Result<SentMessage> {
        let message = json!({
            "account_id": account, "messageDirection": "out", "messageState": "sending",
            "to": [RECIPIENT], "subject": subject, "text": "Hello.\n",
        });
        let key = subject.replace(' ', "-");
        let created = wait_until(&subject, PATIENCE, async || {
            postroom.post_once("email/Messages", &message, &key).await
        });
        let created = created.await.with_context(|| postroom.log())?;
        let id = created["id"].as_str().context("a message without id")?.to_owned();
        Ok(SentMessage { id, subject })
    }

    /// Each message that was sent is there once, one in doubt at most once. Returns how many are
    /// in doubt.
    pub(crate) async fn prove_sent(
        &self,
        postroom: &Postroom,
        messages: &[SentMessage],
    ) -> Result<usize> {
        let mut uncertain = 0;
        let mut states = vec![];
        for message in messages {
            let ended = wait_until("the end of sending", PATIENCE, async || {
                let message = message.look(postroom).await?;
                Ok((message["messageState"] != "sending").then_some(message))
            });
            states.push(ended.await.with_context(|| postroom.log())?);
        }
        let emptied = wait_until("an empty queue", PATIENCE, async || {
            Ok((self.postfix.queued_count() == 0).then_some(()))
        });
        emptied.await?;
        let mut copies = BTreeMap::<String, usize>::new();
        for message in self.dovecot.fetch(RECIPIENT, "INBOX")?.into_values() {
            let text = String::from_utf8_lossy(&message.bytes).into_owned();
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
            *copies.entry(subject.unwrap_or_default().to_owned()).or_default() += 1;
        }
        for (sent, message) in messages.iter().zip(&states) {
            let count = copies.remove(&sent.subject).unwrap_or(0);
            let is_right = match (&message["messageState"], &message["errorCode"]) {
                (Value::String(state), _) if state == "sent" => count == 1,
                (_, Value::String(code)) if code == "uncertain" => {
                    uncertain += 1;
                    count <= 1
                }
                _ => false,
            };
            ensure!(is_right, "{count} copies arrived of {message}");
        }
        ensure!(copies.is_empty(), "nobody sent {copies:?}");
        Ok(uncertain)
    }

    /// What Postfix logged so far.
    pub(crate) fn postfix_log(&self) -> String {
        self.postfix.log()
    }
}

impl SentMessage {
    /// The message as it is now.
    pub(crate) async fn look(&self, postroom: &Postroom) -> Result<Value> {
        postroom.get(&format!("email/Messages/{}", self.id)).await
    }
}
