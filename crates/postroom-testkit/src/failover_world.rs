//! Two nodes on one PostgreSQL, each behind a network that can be cut, and the servers of an
//! account.

use crate::database_proxy::DatabaseProxy;
use crate::dovecot::Dovecot;
use crate::kill_loop::USER;
use crate::packages::wrong_clock;
use crate::postgres::Postgres;
use crate::postgres::PostgresOptions;
use crate::postroom::Postroom;
use crate::postroom::PostroomOptions;
use crate::postroom::wait_until;
use crate::sent_once::is_uncertain;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use jiff::SignedDuration;
use jiff::Timestamp;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use reqwest::Method;
use reqwest::header::DATE;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Who the messages are sent to.
const RECIPIENT: &str = "ben@demo.test";
/// The name of the database.
const DATABASE: &str = "mail";
/// How long anything may take until it is as it should be.
const PATIENCE: Duration = Duration::from_secs(120);
/// The key of both nodes.
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// The names of the nodes.
const NAMES: [&str; 2] = ["n1", "n2"];
/// How wrong the clocks of the nodes are, in hours.
const CLOCKS_HOURS: [i32; 2] = [-1, 1];

/// Notes each change that an engine writes: which node wrote it, and which one was active then.
const AUDIT: &str = "CREATE TABLE \"audit\" (writer TEXT, active TEXT);
    CREATE FUNCTION audit_note() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
      IF NEW.\"modifier_type\" = 'engine' THEN
        INSERT INTO \"audit\" SELECT current_setting('application_name'),
          (SELECT o.\"name\" FROM \"lease\" l JOIN \"owner\" o ON o.\"id\" = l.\"holder\");
      END IF;
      RETURN NEW; END $$;
    CREATE TRIGGER audit AFTER INSERT ON \"change\" FOR EACH ROW
      EXECUTE FUNCTION audit_note()";

/// Two nodes, and what they need.
pub(crate) struct FailoverWorld {
    nodes: Vec<TestNode>,
    sandbox: Sandbox,
    pub(crate) postgres: Postgres,
}

struct TestNode {
    postroom: Postroom,
    proxy: DatabaseProxy,
}

/// What engines wrote.
pub(crate) struct Audit {
    /// How many changes they made.
    pub engine_writes: u64,
    /// How many of them a node made that was not active.
    pub deposed_writes: u64,
}

impl FailoverWorld {
    /// Starts both nodes. The first one is active.
    pub(crate) async fn start(binary: &Path, dovecot: &Dovecot) -> Result<Self> {
        let users = [USER, RECIPIENT].map(|user| (user.to_owned(), Dovecot::PASSWORD.to_owned()));
        let config = SandboxConfig { users: users.into(), ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await?;
        let durable = PostgresOptions { is_durable: true, ..PostgresOptions::default() };
        let postgres = Postgres::start(&durable)?;
        postgres.database_create(DATABASE).await?;
        let mut world = Self { nodes: vec![], sandbox, postgres };
        for (at, (name, hours)) in NAMES.into_iter().zip(CLOCKS_HOURS).enumerate() {
            let proxy = DatabaseProxy::start(world.postgres.port()).await?;
            let url = world.postgres.url(DATABASE);
            let url = url
                .replace(&format!(":{}/", world.postgres.port()), &format!(":{}/", proxy.port()));
            let order = (at + 1).to_string();
            let arguments = ["--name", name, "--group", "7", "--order", &order]
                .into_iter()
                .chain(["--failback", "false"]);
            let mut environment = wrong_clock(hours);
            environment.push(("POSTROOM_MASTER_KEY".to_owned(), KEY.to_owned()));
            let options = PostroomOptions {
                database: Some(format!("{url}&application_name={name}")),
                arguments: arguments.map(str::to_owned).collect(),
                environment,
                trust_ca_pem: dovecot.ca_pem(),
                ..PostroomOptions::default()
            };
            let postroom = Postroom::start(binary, options)?;
            world.nodes.push(TestNode { postroom, proxy });
        }
        world.until_active(0).await?;
        for (node, hours) in world.nodes.iter().zip(CLOCKS_HOURS) {
            let ahead = clock_ahead(&node.postroom).await?.as_mins();
            ensure!((ahead - 60 * i64::from(hours)).abs() < 5, "a clock is {ahead} min ahead");
        }
        Ok(world)
    }

    fn node(&self, at: usize) -> &TestNode {
        #[expect(clippy::indexing_slicing, reason = "there are two nodes")]
        &self.nodes[at]
    }

    /// A node.
    pub(crate) fn postroom(&self, at: usize) -> &Postroom {
        &self.node(at).postroom
    }

    /// A node.
    pub(crate) fn postroom_mut(&mut self, at: usize) -> &mut Postroom {
        #[expect(clippy::indexing_slicing, reason = "there are two nodes")]
        &mut self.nodes[at].postroom
    }

    /// The network of a node.
    pub(crate) fn proxy(&self, at: usize) -> &DatabaseProxy {
        &self.node(at).proxy
    }

    /// What a node wrote.
    pub(crate) fn log(&self, at: usize) -> String {
        self.node(at).postroom.log()
    }

    /// The state of a node, as another one tells it. `None`: nobody can say now.
    async fn state(&self, at: usize, told_by: usize) -> Option<String> {
        let nodes = self.postroom(told_by).get("/rest/v1/nodes").await.ok()?;
        let mut nodes = nodes.as_array()?.iter();
        // A killed node stays in the list for a while.
        let is_it = |node: &&Value| node["name"] == NAMES.get(at).copied().unwrap_or_default();
        let found = nodes.rfind(is_it)?;
        found["state"].as_str().map(str::to_owned)
    }

    /// Waits until a node is active, by its own word.
    pub(crate) async fn until_active(&self, at: usize) -> Result<()> {
        wait_until("a take-over", PATIENCE, async || {
            let is_active = self.state(at, at).await.as_deref() == Some("active");
            Ok((is_active && self.is_ready_for_mail(at).await).then_some(()))
        })
        .await
    }

    /// Waits until a node waits, and its engine has ended.
    pub(crate) async fn until_waiting(&self, at: usize) -> Result<()> {
        wait_until("the end of an engine", PATIENCE, async || {
            let is_waiting = self.state(at, at).await.as_deref() == Some("waiting");
            Ok((is_waiting && !self.is_ready_for_mail(at).await).then_some(()))
        })
        .await
    }

    async fn is_ready_for_mail(&self, at: usize) -> bool {
        let ready = self.postroom(at).request(reqwest::Method::GET, "/readyz?for=mail", None).await;
        ready.is_ok_and(|answer| answer.status().is_success())
    }

    /// Waits until one of the nodes is active.
    pub(crate) async fn any_active(&self) -> Result<()> {
        self.active().await.map(drop)
    }

    /// Which node is active. Waits until one is.
    pub(crate) async fn active(&self) -> Result<usize> {
        wait_until("an active node", PATIENCE, async || {
            for at in 0..NAMES.len() {
                let is_active = self.state(at, at).await.as_deref() == Some("active");
                if is_active && self.is_ready_for_mail(at).await {
                    return Ok(Some(at));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Makes the account.
    pub(crate) async fn account(&self, dovecot: &Dovecot) -> Result<String> {
        // Small portions: more commits, more places where a strike can hit.
        let profile = json!({
            "name": "both ways",
            "options": {"portion_limit": 20, "retry_first": 0.2, "after_read_timeout": 1},
            "imapHost": "127.0.0.1", "imapPort": dovecot.imap_port(), "imapSecurity": "none",
            "smtpHost": "127.0.0.1", "smtpPort": self.sandbox.smtp().port(),
            "smtpSecurity": "none",
        });
        let profile = self.postroom(0).post("email/Profiles", &profile).await?;
        let account = json!({
            "profile_id": profile["id"], "address": USER, "password": Dovecot::PASSWORD,
        });
        let account = self.postroom(0).post("email/Accounts", &account).await?;
        account["id"].as_str().map(str::to_owned).context("an account without id")
    }

    /// Sends a message by a node, as a client does that repeats its request until it is answered.
    /// Returns its id.
    pub(crate) async fn send(&self, account: &str, number: usize, by: usize) -> Result<String> {
        let message = json!({
            "account_id": account, "messageDirection": "out", "messageState": "sending",
            "to": [RECIPIENT], "subject": subject(number), "text": "Hello.\n",
        });
        let (key, what) = (format!("message-{number}"), subject(number));
        let created = wait_until(&what, PATIENCE, async || {
            self.postroom(by).post_once("email/Messages", &message, &key).await
        });
        created.await?["id"].as_str().map(str::to_owned).context("a message without id")
    }

    /// Each message that was sent is there once, one in doubt at most once. Returns how many are
    /// in doubt.
    pub(crate) async fn prove_sent(&self, messages: &[String]) -> Result<usize> {
        let (mut uncertain, mut states) = (0, vec![]);
        for id in messages {
            let path = format!("email/Messages/{id}");
            let ended = wait_until("the end of sending", PATIENCE, async || {
                let message = self.postroom(0).get(&path).await?;
                Ok((message["messageState"] != "sending").then_some(message))
            });
            states.push(ended.await.with_context(|| [self.log(0), self.log(1)].join("\n"))?);
        }
        let mut copies = BTreeMap::<String, usize>::new();
        for mail in self.sandbox.accepted() {
            let text = String::from_utf8_lossy(&mail.bytes).into_owned();
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
            *copies.entry(subject.unwrap_or_default().trim().to_owned()).or_default() += 1;
        }
        for (number, message) in states.iter().enumerate() {
            let count = copies.remove(&subject(number)).unwrap_or(0);
            uncertain += usize::from(is_uncertain(message, count)?);
        }
        ensure!(copies.is_empty(), "nobody sent {copies:?}");
        Ok(uncertain)
    }

    /// Notes from now on who writes.
    pub(crate) async fn audit_begin(&self) -> Result<()> {
        self.postgres.execute(DATABASE, AUDIT).await
    }

    /// What was noted.
    pub(crate) async fn audit(&self) -> Result<Audit> {
        let client = self.postgres.administrator_of(DATABASE).await?;
        let sql = "SELECT count(*), count(*) FILTER (WHERE writer IS DISTINCT FROM active)
            FROM \"audit\"";
        let row = client.query_one(sql, &[]).await?;
        let (all, deposed): (i64, i64) = (row.get(0), row.get(1));
        Ok(Audit { engine_writes: u64::try_from(all)?, deposed_writes: u64::try_from(deposed)? })
    }
}

fn subject(number: usize) -> String {
    format!("number {number}")
}

/// How far the clock of a node is ahead of the clock of this process, in whole seconds.
async fn clock_ahead(node: &Postroom) -> Result<SignedDuration> {
    let answer = node.request(Method::GET, "/livez", None).await?;
    let date = answer.headers().get(DATE).context("an answer without a date")?.to_str()?;
    Ok(jiff::fmt::rfc2822::parse(date)?.timestamp().duration_since(Timestamp::now()))
}
