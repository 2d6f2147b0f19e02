//! The proof that a database that fails loses and repeats nothing. While Postroom receives a
//! mailbox and sends, it is killed, PostgreSQL is restarted, and its connections are ended, again
//! and again.

use crate::dovecot::Dovecot;
use crate::dovecot::DovecotOptions;
use crate::kill_loop::USER;
use crate::kill_loop::await_all;
use crate::kill_loop::prove;
use crate::kill_loop::stored_count;
use crate::mail_servers::MailServers;
use crate::postfix::PostfixOptions;
use crate::postgres::Postgres;
use crate::postgres::PostgresEnd;
use crate::postgres::PostgresOptions;
use crate::postroom::Postroom;
use crate::postroom::PostroomOptions;
use crate::postroom::wait_until;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// The name of the database.
const DATABASE: &str = "mail";

/// How long anything may take until it is as it should be.
const PATIENCE: Duration = Duration::from_secs(300);

/// What to do.
#[derive(Debug, Clone)]
pub struct DatabaseLoop {
    /// How many messages lie in the mailbox.
    pub count: usize,
    /// How many messages are sent meanwhile.
    pub sent: usize,
    /// How often Postroom is killed.
    pub kills: usize,
    /// How often PostgreSQL is restarted, in turns in an orderly way and as after a crash.
    pub restarts: usize,
    /// How often all connections to the database are ended.
    pub cut_offs: usize,
    /// The kind of the messages, as in `corpus_write`.
    pub kind: char,
    /// Where the order and the times of all that come from.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub struct DatabaseLoopResult {
    /// How many faults hit while messages were still to come.
    pub faults_during_load: usize,
    /// How many connections were ended.
    pub connections_ended: usize,
    /// How many messages were sent without any doubt.
    pub sent: usize,
    /// How many may have been sent or not, and say so, because Postroom was killed in the moment
    /// between.
    pub uncertain: usize,
    /// From the first start to the proof.
    pub took: Duration,
}

/// What happens to the database, or to whoever uses it.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill,
    Restart(PostgresEnd),
    CutOff,
}

/// The servers, and what is under test.
struct TestServers {
    mail: MailServers,
    postroom: Postroom,
    postgres: Postgres,
}

impl DatabaseLoop {
    /// Runs it with `binary`.
    ///
    /// # Errors
    ///
    /// When anything is lost, repeated or different, or a server does not work.
    pub async fn run(&self, binary: &Path) -> Result<DatabaseLoopResult> {
        let mut servers = TestServers::start(binary).await?;
        servers.mail.dovecot.fill_corpus(self.kind, USER, self.count)?;
        let want = servers.mail.dovecot.digests(USER, "INBOX")?;
        ensure!(want.len() == self.count, "the server holds {} messages", want.len());
        let begin = Instant::now();
        let account = servers.account().await?;
        let folder = servers.postroom.folder(&account, "INBOX").await?;
        let folder = folder["id"].as_str().context("a folder without id")?.to_owned();
        let enabled = json!({"enabled": true});
        servers.postroom.patch(&format!("email/Folders/{folder}"), &enabled).await?;

        let (mut faults_during_load, mut connections_ended) = (0, 0);
        let mut random = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let faults = self.faults(&mut random);
        let mut sent = vec![];
        for (number, fault) in faults.iter().enumerate() {
            let due = self.count * number / (faults.len() + 1);
            let stored = servers.loaded(&folder, due).await?;
            faults_during_load += usize::from(stored < self.count);
            while sent.len() < self.sent * (number + 1) / faults.len() {
                let subject = format!("number {}", sent.len());
                sent.push(servers.mail.send(&servers.postroom, &account, subject).await?);
            }
            tokio::time::sleep(Duration::from_micros(random_next(&mut random) % 40_000)).await;
            connections_ended += servers.suffer(*fault).await.with_context(|| {
                format!("{fault:?}, number {number}\n{}", servers.postroom.log())
            })?;
        }
        await_all(&servers.postroom, &folder, self.count).await?;
        prove(&servers.postroom, &folder, &want).await?;
        let uncertain = servers.mail.prove_sent(&servers.postroom, &sent).await?;
        Ok(DatabaseLoopResult {
            faults_during_load,
            connections_ended,
            sent: sent.len() - uncertain,
            uncertain,
            took: begin.elapsed(),
        })
    }

    /// All faults in the order of the seed.
    fn faults(&self, random: &mut u64) -> Vec<Blow> {
        let ends = [PostgresEnd::Immediate, PostgresEnd::Fast].into_iter().cycle();
        let mut faults = vec![Blow::Kill; self.kills];
        faults.extend(ends.take(self.restarts).map(Blow::Restart));
        faults.extend(vec![Blow::CutOff; self.cut_offs]);
        for at in (1..faults.len()).rev() {
            let other = usize::try_from(random_next(random) % (at as u64 + 1)).unwrap_or_default();
            faults.swap(at, other);
        }
        faults
    }
}

/// The next number of a seeded row.
pub(crate) fn random_next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

impl TestServers {
    async fn start(binary: &Path) -> Result<Self> {
        let mail = MailServers::start(&DovecotOptions::default(), &PostfixOptions::default())?;
        let durable = PostgresOptions { is_durable: true, ..PostgresOptions::default() };
        let postgres = Postgres::start(&durable)?;
        postgres.database_create(DATABASE).await?;
        let database = Some(postgres.url(DATABASE));
        let postroom =
            Postroom::start(binary, PostroomOptions { database, ..PostroomOptions::default() })?;
        Ok(Self { mail, postroom, postgres })
    }

    async fn account(&self) -> Result<String> {
        // Small portions: more commits, more places where a fault can hit.
        let options = json!({"portion_limit": 20, "retry_first": 0.2});
        let profile = self.mail.profile(&options);
        let profile = self.postroom.post("email/Profiles", &profile).await?;
        let account = json!({
            "profile_id": profile["id"], "address": USER, "password": Dovecot::PASSWORD,
        });
        let account = self.postroom.post("email/Accounts", &account).await?;
        account["id"].as_str().map(str::to_owned).context("an account without id")
    }

    /// Waits until so many messages are stored. Returns how many are. While the database is away,
    /// nobody can say.
    async fn loaded(&self, folder: &str, due: usize) -> Result<usize> {
        let what = format!("message {due}");
        let stored = wait_until(&what, PATIENCE, async || {
            let stored = stored_count(&self.postroom, folder).await.ok();
            Ok(stored.filter(|stored| *stored >= due))
        });
        stored.await.with_context(|| self.postroom.log())
    }

    /// Returns how many connections were ended.
    async fn suffer(&mut self, fault: Blow) -> Result<usize> {
        match fault {
            Blow::Kill => {
                self.postroom.kill()?;
                self.postroom.restart()?;
            }
            Blow::Restart(end) => {
                self.postgres.stop(end)?;
                self.postgres.restart()?;
            }
            Blow::CutOff => return self.postgres.connections_end(DATABASE).await,
        }
        Ok(0)
    }
}
