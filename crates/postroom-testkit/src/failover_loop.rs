//! The proof that a take-over loses and repeats nothing. Two nodes share a PostgreSQL. While mail
//! arrives and is sent, the active one is killed, paused, cut off from the database, or stopped,
//! again and again, and the database is restarted.

use crate::corpus::sample;
use crate::database_loop::random_next;
use crate::dovecot::Dovecot;
use crate::dovecot::DovecotOptions;
use crate::failover_world::FailoverWorld;
use crate::kill_loop::USER;
use crate::kill_loop::await_all;
use crate::kill_loop::prove;
use crate::postgres::PostgresEnd;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// About how large a message is.
const SIZE_BYTES: usize = 1_500;
/// A strike comes at most so many microseconds after new messages: they are found within a second.
const MOMENT_US: u64 = 1_500_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct FailoverLoop {
    /// How many messages arrive meanwhile.
    pub count: usize,
    /// How many messages are sent meanwhile.
    pub sent: usize,
    /// How often the active node is lost: in turns killed, paused, cut off and stopped in order.
    pub takeovers: usize,
    /// How often PostgreSQL is restarted.
    pub restarts: usize,
    /// Where the order and the times of all that come from.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub struct FailoverLoopResult {
    /// How long the take-overs took, in ascending order, without those after a stop in order.
    pub lost: Vec<Duration>,
    /// How long those took after a stop in order, in ascending order.
    pub handed_over: Vec<Duration>,
    /// How many batches of an engine the database took whose node was not the active one.
    pub deposed_writes: u64,
    /// How many batches of engines the database took in all.
    pub engine_writes: u64,
    /// How many messages were sent without any doubt.
    pub sent: usize,
    /// How many may have been sent or not, and say so, because their node was lost in the moment
    /// between.
    pub uncertain: usize,
    /// From the first start to the proof.
    pub took: Duration,
}

/// What happens to the active node, or to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    Kill,
    Pause,
    Cut,
    Stop,
    Restart(PostgresEnd),
}

impl FailoverLoopResult {
    /// The median of the take-overs that were not in order.
    #[must_use]
    pub fn median(&self) -> Duration {
        self.lost.get(self.lost.len() / 2).copied().unwrap_or_default()
    }
}

impl FailoverLoop {
    /// Runs it with `binary`.
    ///
    /// # Errors
    ///
    /// When anything is lost, repeated or different, a node that is not active writes, or a server
    /// does not work.
    pub async fn run(&self, binary: &Path) -> Result<FailoverLoopResult> {
        let dovecot = Dovecot::start(&DovecotOptions::default())?;
        let begin = Instant::now();
        let mut world = FailoverWorld::start(binary, &dovecot).await?;
        world.audit_begin().await?;
        let account = world.account(&dovecot).await?;
        let folder = world.postroom(0).folder(&account, "INBOX").await?;
        let folder = folder["id"].as_str().context("a folder without id")?.to_owned();
        let enabled = json!({"enabled": true});
        world.postroom(0).patch(&format!("email/Folders/{folder}"), &enabled).await?;

        let mut random = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let strikes = self.strikes(&mut random);
        let (mut sent, mut lost, mut handed_over) = (vec![], vec![], vec![]);
        for (number, strike) in strikes.iter().enumerate() {
            let active = world.active().await?;
            while sent.len() < self.sent * (number + 1) / strikes.len() {
                sent.push(world.send(&account, sent.len(), sent.len() % 2).await?);
            }
            let due = |number: usize| self.count * number / strikes.len();
            let new = (due(number)..due(number + 1)).map(|at| sample(at as u64, SIZE_BYTES));
            dovecot.fill(USER, "INBOX", new)?;
            tokio::time::sleep(Duration::from_micros(random_next(&mut random) % MOMENT_US)).await;
            let took = world.suffer(*strike, active).await.with_context(|| {
                format!("{strike:?}, number {number}\n{}\n{}", world.log(0), world.log(1))
            })?;
            match strike {
                Strike::Stop => handed_over.push(took),
                Strike::Restart(_) => {}
                Strike::Kill | Strike::Pause | Strike::Cut => lost.push(took),
            }
        }
        let want = dovecot.digests(USER, "INBOX")?;
        ensure!(want.len() == self.count, "the server holds {} messages", want.len());
        let active = world.active().await?;
        await_all(world.postroom(active), &folder, self.count).await?;
        // The other node shows the same.
        prove(world.postroom(1 - active), &folder, &want).await?;
        let uncertain = world.prove_sent(&sent).await?;
        let audit = world.audit().await?;
        ensure!(audit.deposed_writes == 0, "{} deposed writes", audit.deposed_writes);
        lost.sort_unstable();
        handed_over.sort_unstable();
        Ok(FailoverLoopResult {
            lost,
            handed_over,
            deposed_writes: audit.deposed_writes,
            engine_writes: audit.engine_writes,
            sent: sent.len() - uncertain,
            uncertain,
            took: begin.elapsed(),
        })
    }

    /// All strikes in the order of the seed.
    fn strikes(&self, random: &mut u64) -> Vec<Strike> {
        let kinds = [Strike::Kill, Strike::Pause, Strike::Cut, Strike::Stop].into_iter().cycle();
        let ends = [PostgresEnd::Immediate, PostgresEnd::Fast].into_iter().cycle();
        let mut strikes: Vec<_> = kinds.take(self.takeovers).collect();
        strikes.extend(ends.take(self.restarts).map(Strike::Restart));
        for at in (1..strikes.len()).rev() {
            let other = usize::try_from(random_next(random) % (at as u64 + 1)).unwrap_or_default();
            strikes.swap(at, other);
        }
        strikes
    }
}

impl FailoverWorld {
    /// Loses the active node or the database, waits until a node is active, and heals what was
    /// lost. Returns how long it took until a node was active.
    async fn suffer(&mut self, strike: Strike, active: usize) -> Result<Duration> {
        let (begin, other) = (Instant::now(), 1 - active);
        match strike {
            Strike::Kill => self.postroom_mut(active).kill()?,
            Strike::Pause => self.postroom(active).signal("STOP")?,
            Strike::Cut => self.proxy(active).cut(),
            Strike::Stop => self.postroom_mut(active).stop()?,
            Strike::Restart(end) => {
                self.postgres.stop(end)?;
                self.postgres.restart()?;
                self.any_active().await?;
                return Ok(begin.elapsed());
            }
        }
        let begin = if strike == Strike::Stop { Instant::now() } else { begin };
        self.until_active(other).await?;
        let took = begin.elapsed();
        match strike {
            Strike::Kill | Strike::Stop => self.postroom_mut(active).restart()?,
            Strike::Pause => self.postroom(active).signal("CONT")?,
            Strike::Cut => self.proxy(active).mend(),
            Strike::Restart(_) => {}
        }
        self.until_waiting(active).await?;
        Ok(took)
    }
}
