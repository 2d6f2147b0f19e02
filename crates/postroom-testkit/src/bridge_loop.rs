//! The proof that a program that follows the feed has each message exactly once. Mailboxes load,
//! and Postroom and a bridge of `examples/` are killed at random moments, again and again.

use crate::bridge::Bridge;
use crate::bridge::BridgeCounts;
use crate::bridge::BridgeLanguage;
use crate::database_loop::random_next;
use crate::postroom::Postroom;
use crate::postroom::PostroomOptions;
use crate::postroom::wait_until;
use crate::sent_once::is_uncertain;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Who wrote the messages, and gets the answers.
const CUSTOMER: &str = "customer@demo.test";

/// How long anything may take until it is as it should be.
const PATIENCE: Duration = Duration::from_secs(180);

/// How many entities one page of a list has.
const PAGE: usize = 1_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct BridgeLoop {
    /// The bridge.
    pub language: BridgeLanguage,
    /// How many mailboxes load at once.
    pub mailboxes: usize,
    /// How many messages each has in the end.
    pub count: usize,
    /// How many of these arrive between the kills. The others are there before.
    pub arriving: usize,
    /// How many of these a person wrote, so that they are answered.
    pub answered: usize,
    /// How often Postroom or the bridge is killed, as chance decides.
    pub kills: usize,
    /// Where the order and the times of all that come from.
    pub seed: u64,
    /// The address of a PostgreSQL database. `None`: that of the test, or SQLite.
    pub database: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct BridgeLoopResult {
    /// How often Postroom was killed.
    pub postroom_kills: usize,
    /// How often the bridge was killed.
    pub bridge_kills: usize,
    /// How many kills hit while tickets were to come of messages that had arrived.
    pub kills_in_between: usize,
    /// How many answers arrived without any doubt.
    pub answered: usize,
    /// How many answers may have arrived or not, and say so, because Postroom was killed in the
    /// moment between.
    pub uncertain: usize,
    /// From the first start to the proof.
    pub took: Duration,
}

/// The mail server, and what is under test.
struct BridgeWorld {
    sandbox: Sandbox,
    postroom: Postroom,
    bridge: Bridge,
}

/// The answer that a ticket has.
struct TicketAnswer {
    message: String,
    subject: String,
}

impl BridgeLoop {
    /// Runs it with `binary`.
    ///
    /// # Errors
    ///
    /// When a message is missing, there twice or another one, an answer is sent twice or not at
    /// all, or a program does not work.
    pub async fn run(&self, binary: &Path) -> Result<BridgeLoopResult> {
        let sandbox = self.sandbox().await?;
        let begin = Instant::now();
        let options = PostroomOptions {
            trust_ca_pem: sandbox.ca_pem().to_owned(),
            database: self.database.clone(),
            keeps_port: true,
            ..PostroomOptions::default()
        };
        let postroom = Postroom::start(binary, options)?;
        let bridge = Bridge::new(self.language, postroom.url())?;
        let mut world = BridgeWorld { sandbox, postroom, bridge };
        world.bridge.start()?;
        self.enable(&world).await?;
        let mut result = BridgeLoopResult::default();
        self.kill(&mut world, &mut result).await?;
        self.deliver(&world.sandbox, self.before_kill(self.kills)..self.count)?;
        let all = self.mailboxes * self.count;
        world.until(|counts| counts.tickets == all && counts.due == 0).await?;
        world.bridge.kill()?;
        let answers = self.prove(&world).await?;
        (result.answered, result.uncertain) = world.prove_answers(&answers).await?;
        ensure!(
            result.answered + result.uncertain == self.mailboxes * self.answered,
            "{} answers, and {} in doubt",
            result.answered,
            result.uncertain
        );
        result.took = begin.elapsed();
        Ok(result)
    }

    /// A mail server with all messages.
    async fn sandbox(&self) -> Result<Sandbox> {
        let names = (0..self.mailboxes).map(address).chain([CUSTOMER.to_owned()]);
        let users = names.map(|name| (name, "secret".to_owned())).collect();
        let sandbox = Sandbox::start(SandboxConfig { users, ..SandboxConfig::default() }).await?;
        self.deliver(&sandbox, 0..self.count - self.arriving)?;
        Ok(sandbox)
    }

    /// Puts the messages of these numbers into each mailbox.
    fn deliver(&self, sandbox: &Sandbox, numbers: Range<usize>) -> Result<()> {
        for number in numbers {
            for mailbox in 0..self.mailboxes {
                // The messages of people are spread over the mailbox.
                let before = number * self.answered / self.count;
                let is_answered = (number + 1) * self.answered / self.count > before;
                let automatic = if is_answered { "no" } else { "auto-generated" };
                let subject = subject(mailbox, number);
                let mail = format!(
                    "From: {CUSTOMER}\r\nTo: {}\r\nSubject: {subject}\r\nMessage-ID: \
                     <{mailbox}.{number}@demo.test>\r\nAuto-Submitted: {automatic}\r\n\r\n\
                     Help!\r\n",
                    address(mailbox)
                );
                sandbox.deliver(&address(mailbox), "INBOX", mail)?;
            }
        }
        Ok(())
    }

    /// How many messages each mailbox has before a kill.
    fn before_kill(&self, kill: usize) -> usize {
        self.count - self.arriving + self.arriving * kill / (self.kills + 1)
    }

    /// Lets all mailboxes load.
    async fn enable(&self, world: &BridgeWorld) -> Result<()> {
        let (sandbox, postroom) = (&world.sandbox, &world.postroom);
        // Small portions: more commits, more places where a kill can hit.
        let profile = json!({
            "name": "sandbox",
            "options": {"portion_limit": 20, "retry_first": 0.2, "after_read_timeout": 0.5},
            "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
            "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
        });
        let profile = postroom.post("email/Profiles", &profile).await?;
        for mailbox in 0..self.mailboxes {
            let account = json!({
                "profile_id": profile["id"], "address": address(mailbox), "password": "secret",
            });
            let account = postroom.post("email/Accounts", &account).await?;
            let account = account["id"].as_str().context("an account without id")?;
            let folder = postroom.folder(account, "INBOX").await?;
            let folder = folder["id"].as_str().context("a folder without id")?;
            postroom.patch(&format!("email/Folders/{folder}"), &json!({"enabled": true})).await?;
        }
        Ok(())
    }

    /// Kills one or the other each time that some tickets more are there, a random moment later.
    async fn kill(&self, world: &mut BridgeWorld, result: &mut BridgeLoopResult) -> Result<()> {
        let mut random = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let all = self.mailboxes * self.count;
        for kill in 0..self.kills {
            let [before, then] = [kill, kill + 1].map(|kill| self.before_kill(kill));
            let due = (all * kill / (self.kills + 1)).min(self.mailboxes * before);
            world.until(|counts| counts.tickets >= due).await?;
            self.deliver(&world.sandbox, before..then)?;
            // Some kills hit while Postroom stores, others while the bridge makes tickets.
            if !random_next(&mut random).is_multiple_of(3) && before < then {
                world.until(|counts| counts.tickets > due).await?;
            }
            tokio::time::sleep(Duration::from_micros(random_next(&mut random) % 60_000)).await;
            let tickets = world.bridge.counts()?.tickets;
            result.kills_in_between += usize::from(tickets < self.mailboxes * then);
            if (random_next(&mut random) >> 32).is_multiple_of(2) {
                result.postroom_kills += 1;
                world.postroom.kill()?;
                world.postroom.restart()?;
            } else {
                result.bridge_kills += 1;
                world.bridge.kill()?;
                world.bridge.start()?;
            }
        }
        Ok(())
    }

    /// Each message has one ticket, and nothing else has one. Returns the answers that were handed
    /// over.
    async fn prove(&self, world: &BridgeWorld) -> Result<Vec<TicketAnswer>> {
        let stored = world.stored().await?;
        let want: BTreeSet<_> = (0..self.mailboxes)
            .flat_map(|mailbox| (0..self.count).map(move |number| subject(mailbox, number)))
            .collect();
        let subjects: BTreeSet<_> = stored.values().cloned().collect();
        ensure!(stored.len() == want.len() && subjects == want, "{} are stored", stored.len());
        let (mut open, mut answers) = (stored, vec![]);
        for ticket in world.bridge.tickets()? {
            let text = |name: &str| ticket[name].as_str().unwrap_or_default().to_owned();
            let subject = open.remove(&text("message"));
            ensure!(subject == Some(text("subject")), "a ticket twice, or of nothing: {ticket}");
            if !ticket["answer"].is_null() {
                ensure!(ticket["answerState"] == "done", "not answered: {ticket}");
                answers.push(TicketAnswer { message: text("answer"), subject: text("subject") });
            }
        }
        ensure!(open.is_empty(), "{} messages have no ticket: {open:?}", open.len());
        Ok(answers)
    }
}

impl BridgeWorld {
    /// Waits until what the bridge said last is as wanted.
    async fn until(&mut self, wanted: impl Fn(BridgeCounts) -> bool) -> Result<BridgeCounts> {
        let found = wait_until("the bridge to get on", PATIENCE, async || {
            let counts = self.bridge.counts()?;
            Ok(wanted(counts).then_some(counts))
        });
        match found.await {
            Ok(counts) => Ok(counts),
            Err(error) => {
                let (last, log) = (self.bridge.counts(), self.bridge.log());
                Err(error.context(format!("{last:?}\n{log}\n{}", self.postroom.log())))
            }
        }
    }

    /// The subjects of all received messages by their ids.
    async fn stored(&self) -> Result<BTreeMap<String, String>> {
        let mut stored = BTreeMap::new();
        loop {
            let path = format!(
                "email/Messages?messageDirection=in&mask=id,subject&order=id&limit={PAGE}\
                 &offset={}",
                stored.len()
            );
            let page = self.postroom.get(&path).await?;
            let page = page.as_array().context("no list")?;
            let known = stored.len();
            for message in page {
                let text = |name: &str| message[name].as_str().map(str::to_owned);
                stored.extend(text("id").zip(text("subject")));
            }
            ensure!(stored.len() == known + page.len(), "a message is listed twice");
            if page.len() < PAGE {
                return Ok(stored);
            }
        }
    }

    /// Each answer arrived once, with its attachment; one in doubt at most once. Returns how many
    /// arrived for sure, and how many are in doubt.
    async fn prove_answers(&self, answers: &[TicketAnswer]) -> Result<(usize, usize)> {
        let mut states = vec![];
        for answer in answers {
            let path = format!("email/Messages/{}", answer.message);
            let ended = wait_until("the end of sending", PATIENCE, async || {
                let message = self.postroom.get(&path).await?;
                Ok((message["messageState"] != "sending").then_some(message))
            });
            states.push(ended.await.with_context(|| self.postroom.log())?);
        }
        let mut copies = BTreeMap::<String, usize>::new();
        for mail in self.sandbox.accepted() {
            let text = String::from_utf8_lossy(&mail.bytes).into_owned();
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: Re: "));
            let subject = subject.with_context(|| format!("nobody answered this: {text}"))?;
            ensure!(text.contains("your-message.txt"), "no attachment: {text}");
            *copies.entry(subject.to_owned()).or_default() += 1;
        }
        let mut uncertain = 0;
        for (answer, message) in answers.iter().zip(&states) {
            let count = copies.remove(&answer.subject).unwrap_or(0);
            uncertain += usize::from(is_uncertain(message, count)?);
        }
        ensure!(copies.is_empty(), "nobody sent {copies:?}");
        Ok((answers.len() - uncertain, uncertain))
    }
}

fn address(mailbox: usize) -> String {
    format!("box{mailbox}@demo.test")
}

fn subject(mailbox: usize, number: usize) -> String {
    format!("box {mailbox}, message {number}")
}
