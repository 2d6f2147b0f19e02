//! How fast a full mailbox is received: Postroom and mbsync in turns, from one Dovecot.
//!
//! Postroom is measured from the request that enables the folder until `storedCount` is the size of
//! the mailbox. Then every message is durable and readable by REST. mbsync is measured as a whole
//! process with its default settings, which are durable too. Both write below the same directory.
//! The first run of each is a warm-up. With `--database postgres`, the peer is not mbsync: Postroom
//! on a durable PostgreSQL of its own and on SQLite are measured in turns.

use crate::arguments::Arguments;
use crate::bench::mbsync;
use crate::terminal;
use crate::workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use postroom_testkit::Dovecot;
use postroom_testkit::DovecotOptions;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::missing;
use postroom_testkit::wait_until;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

const USER: &str = "anna@demo.test";

/// How long one run may take.
const RUN: Duration = Duration::from_secs(900);

/// One run of one program.
struct Measured {
    took: Duration,
    cpu: Duration,
    server_cpu: Duration,
}

/// `cargo xtask bench receive`.
///
/// # Errors
///
/// When a program is missing, fails, or does not receive everything.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    let kind = arguments.option("--kind", 'a')?;
    let count = arguments.option("--count", if kind == 'c' { 20 } else { 10_000 })?;
    let runs = arguments.option("--runs", 5)?;
    let database = arguments.option("--database", "sqlite".to_owned())?;
    let binary = arguments.option("--binary", String::new())?;
    arguments.end()?;
    let peer = match database.as_str() {
        "sqlite" => Need::Mbsync,
        "postgres" => Need::Postgres,
        other => bail!("--database is sqlite or postgres, not {other}"),
    };
    let missing = missing(&[Need::Dovecot, peer]);
    ensure!(missing.is_empty(), "missing: {missing:?}");
    let binary = workspace::release_or(&binary)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;

    let dovecot = Dovecot::start(&DovecotOptions::default())?;
    terminal::say(&format!("filling a mailbox with {count} messages of kind {kind} .."));
    dovecot.fill_corpus(kind, USER, count)?;
    let sizes = dovecot.doveadm(&["fetch", "-u", USER, "size.virtual", "mailbox", "INBOX"])?;
    let bytes = sizes.lines().filter_map(|line| line.strip_prefix("size.virtual: "));
    let bytes: u64 = bytes.filter_map(|digits| digits.trim().parse::<u64>().ok()).sum();
    terminal::say(&format!("{count} messages, {:.1} MB", bytes as f64 / 1e6));

    let mailbox = Mailbox { dovecot, count, bytes };
    if peer == Need::Postgres {
        return runtime.block_on(postgres(&mailbox, &binary, runs));
    }
    let (mut ours, mut theirs) = (vec![], vec![]);
    for number in 0..=runs {
        let postroom = runtime.block_on(mailbox.postroom(&binary, None))?;
        let mbsync = mailbox.mbsync()?;
        let warm = if number == 0 { " (warming up, not counted)" } else { "" };
        mailbox.tell("postroom", &postroom, warm);
        mailbox.tell("mbsync", &mbsync, warm);
        if number > 0 {
            ours.push(postroom.took);
            theirs.push(mbsync.took);
        }
    }
    let (ours, theirs) = (median(ours)?, median(theirs)?);
    terminal::say(&format!(
        "median of {runs}: postroom {}, mbsync {}; ratio {:.2}",
        mailbox.rates(ours),
        mailbox.rates(theirs),
        theirs.as_secs_f64() / ours.as_secs_f64()
    ));
    Ok(())
}

/// Postroom on PostgreSQL and on SQLite.
async fn postgres(mailbox: &Mailbox, binary: &Path, runs: usize) -> Result<()> {
    let durable = PostgresOptions { is_durable: true, ..PostgresOptions::default() };
    let server = Postgres::start(&durable)?;
    let (mut on_postgres, mut on_sqlite) = (vec![], vec![]);
    for number in 0..=runs {
        let name = format!("run_{number}");
        server.database_create(&name).await?;
        let before = server.cpu_time();
        let postgres = mailbox.postroom(binary, Some(server.url(&name))).await?;
        let database_cpu = server.cpu_time().saturating_sub(before);
        let sqlite = mailbox.postroom(binary, None).await?;
        let warm = if number == 0 { " (warming up, not counted)" } else { "" };
        let remark = format!(", PostgreSQL's {:.2} s{warm}", database_cpu.as_secs_f64());
        mailbox.tell("postgres", &postgres, &remark);
        mailbox.tell("sqlite", &sqlite, warm);
        if number > 0 {
            on_postgres.push(postgres.took);
            on_sqlite.push(sqlite.took);
        }
    }
    let (on_postgres, on_sqlite) = (median(on_postgres)?, median(on_sqlite)?);
    terminal::say(&format!(
        "median of {runs}: on PostgreSQL {}, on SQLite {}; ratio {:.2}",
        mailbox.rates(on_postgres),
        mailbox.rates(on_sqlite),
        on_sqlite.as_secs_f64() / on_postgres.as_secs_f64()
    ));
    Ok(())
}

/// What is received.
struct Mailbox {
    dovecot: Dovecot,
    count: usize,
    bytes: u64,
}

impl Mailbox {
    /// On this PostgreSQL database, or on SQLite.
    async fn postroom(&self, binary: &Path, database: Option<String>) -> Result<Measured> {
        let options = PostroomOptions { database, ..PostroomOptions::default() };
        let mut postroom = Postroom::start(binary, options)?;
        let account = postroom.account_create(&self.dovecot, USER, &json!({})).await?;
        let folder = postroom.folder(&account, "INBOX").await?;
        let id = folder["id"].as_str().context("a folder without id")?;
        let path = format!("email/Folders/{id}");
        let server = self.dovecot.cpu_time();
        let before = postroom.cpu_time();
        let begin = Instant::now();
        postroom.patch(&path, &json!({"enabled": true})).await?;
        let all = wait_until("all messages", RUN, async || {
            let folder = postroom.get(&path).await?;
            Ok((folder["storedCount"] == self.count).then_some(()))
        });
        all.await.with_context(|| postroom.log())?;
        let took = begin.elapsed();
        let measured = Measured {
            took,
            cpu: postroom.cpu_time().saturating_sub(before),
            server_cpu: self.dovecot.cpu_time().saturating_sub(server),
        };
        let stored = postroom.count(&format!("email/Messages?folder_id={id}")).await?;
        ensure!(stored == self.count as u64, "{stored} messages instead of {}", self.count);
        postroom.stop()?;
        Ok(measured)
    }

    fn mbsync(&self) -> Result<Measured> {
        let directory = tempfile::Builder::new().prefix("postroom-mbsync-").tempdir_in("/tmp")?;
        let server = self.dovecot.cpu_time();
        let before = children_cpu_time();
        let took = mbsync::receive(&self.dovecot, USER, self.count, directory.path())?;
        let cpu = children_cpu_time().saturating_sub(before);
        let server_cpu = self.dovecot.cpu_time().saturating_sub(server);
        Ok(Measured { took, cpu, server_cpu })
    }

    fn tell(&self, who: &str, measured: &Measured, remark: &str) {
        terminal::say(&format!(
            "{who:9} {}  {:6.2} s, own CPU {:.2} s, server's {:.2} s{remark}",
            self.rates(measured.took),
            measured.took.as_secs_f64(),
            measured.cpu.as_secs_f64(),
            measured.server_cpu.as_secs_f64(),
        ));
    }

    fn rates(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64();
        let (messages, megabytes) =
            (self.count as f64 / seconds, self.bytes as f64 / 1e6 / seconds);
        format!("{messages:7.0} messages/s {megabytes:6.1} MB/s")
    }
}

/// CPU time of all children of this process that have ended.
fn children_cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    let ticks: u64 = fields.skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn median(mut times: Vec<Duration>) -> Result<Duration> {
    times.sort();
    times.get(times.len() / 2).copied().context("no runs")
}
