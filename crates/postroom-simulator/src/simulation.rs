//! One simulation: processes one after the other, each killed or stopped, until all must be well.

use crate::check;
use crate::client;
use crate::disk::Fullness;
use crate::events;
use crate::feed::FeedCheck;
use crate::killer;
use crate::process;
use crate::process::Directory;
use crate::process::EngineProcess;
use crate::truth::Deleted;
use crate::truth::UserMailbox;
use crate::upheavals;
use crate::world::World;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use fastrand::Rng;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::builtin;
use std::time::Duration;

/// How long everything may take to be well once the servers are.
const SETTLED_WITHIN: Duration = Duration::from_secs(6 * 3600);
/// How long folders may take to follow renamed mailboxes: two surveys.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(150);
/// No more processes than this: what is left to happen happens in the last one.
const PROCESSES_MAX: usize = 12;

/// What a simulation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many messages arrived.
    pub arrived: usize,
    /// How many messages were to be sent.
    pub outgoing: usize,
    /// How many processes there were.
    pub processes: usize,
    /// How much time passed.
    pub passed: Duration,
    /// What happened, as a number: the same seed gives the same.
    pub hash: String,
}

/// What does not hold, and what had happened.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What does not hold.
    pub error: anyhow::Error,
    /// The last events.
    pub history: String,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is killed.
    Killed,
    /// It stops as it should.
    Stopped,
    /// It is the last one, and all is well.
    Well,
}

/// Simulates a seed.
///
/// # Errors
///
/// Says what does not hold.
pub fn simulate(seed: u64) -> Result<Summary, Box<Failure>> {
    let failed = |error, history| Box::new(Failure { seed, error, history });
    let mut world = World::new(seed).map_err(|error| failed(error, String::new()))?;
    match run(&mut world) {
        Ok(processes) => Ok(Summary {
            arrived: world.truth.arrivals.len(),
            outgoing: world.truth.outgoing.len(),
            processes,
            passed: world.time.passed(),
            hash: world.hash(),
        }),
        Err(error) => Err(failed(error, world.history())),
    }
}

fn run(world: &mut World) -> Result<usize> {
    let mut directory = Directory::new()?;
    let mut feed = FeedCheck::default();
    let mut events_left = world.plan.events;
    for number in 1.. {
        let is_last = number >= PROCESSES_MAX;
        let runtime = process::runtime()?;
        let life = ProcessRun { number, is_last, events_left };
        let (end, left) = runtime.block_on(life.live(world, &mut feed, &directory))?;
        events_left = left;
        runtime.block_on(async { world.time.process_ends() });
        world.note(&format!("process {number} ends: {end:?}"));
        let copy = (end == End::Killed && world.chance.bool()).then(|| directory.as_killed());
        drop(runtime);
        if end == End::Killed {
            world.servers.all().for_each(|server| server.client_died());
        }
        if let Some(copy) = copy {
            directory = copy?;
        }
        if end == End::Well {
            return Ok(number);
        }
    }
    Ok(0)
}

/// One process, from its start to its end.
struct ProcessRun {
    number: usize,
    is_last: bool,
    events_left: usize,
}

impl ProcessRun {
    async fn live(
        self,
        world: &mut World,
        feed: &mut FeedCheck,
        directory: &Directory,
    ) -> Result<(End, usize)> {
        let process = start(world, directory).await?;
        if self.number == 1 {
            client::set_up(world, &process).await?;
        } else {
            settle_unknown_outcomes(world, &process).await?;
        }
        check::always(world, &process).await?;
        feed.check(&process).await?;
        let mut left = self.events_left;
        let count = world.chance.usize(1..25).min(left);
        let count = if self.is_last { left } else { count };
        let kill = world.plan.kills && !self.is_last && world.chance.u8(..8) > 0;
        let mut chance = Rng::with_seed(world.chance.u64(..));
        let servers = std::sync::Arc::clone(&world.servers);
        let killer = async {
            if kill {
                killer::wait_to_kill(&servers, &mut chance).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let living = async {
            for _ in 0..count {
                let gap = world.chance.u64(0..20_000);
                tokio::time::sleep(Duration::from_millis(gap)).await;
                left -= 1;
                events::happen(world, &process).await?;
                if world.chance.u8(..6) == 0 {
                    check::always(world, &process).await?;
                    feed.check(&process).await?;
                }
            }
            anyhow::Ok(())
        };
        tokio::select! {
            biased;
            () = killer => return Ok((End::Killed, left)),
            lived = living => lived?,
        }
        if left > 0 {
            process.stop().await?;
            return Ok((End::Stopped, left));
        }
        become_well(world, feed, &process).await?;
        process.stop().await?;
        Ok((End::Well, 0))
    }
}

/// Starts a process. If there is no room for that, somebody makes room, and starts it again.
async fn start(world: &World, directory: &Directory) -> Result<EngineProcess> {
    match EngineProcess::start(directory, world).await {
        Err(error) if world.disk.room_since().is_none() => {
            let is_full = matches!(error.downcast_ref(), Some(postroom_store::Error::Full));
            ensure!(is_full, "the disk is full, and what is said of it is: {error:#}");
            world.disk.set(Fullness::Room, world.time.passed());
            EngineProcess::start(directory, world).await
        }
        started => started,
    }
}

/// What a client asked for when the process died may have been done or not.
async fn settle_unknown_outcomes(world: &mut World, process: &EngineProcess) -> Result<()> {
    let entities = client::list(&process.store, builtin::MESSAGES).await?;
    let is_there = |id: EntityId| entities.iter().any(|entity| entity.id == id);
    for (subject, arrival) in &mut world.truth.arrivals {
        if arrival.deleted == Deleted::Asked {
            let found = entities.iter().any(|entity| entity.text("subject") == Some(subject));
            arrival.deleted = if found { Deleted::No } else { Deleted::Yes };
        }
    }
    let outgoing = &mut world.truth.outgoing;
    outgoing.retain(|_, one| one.is_acknowledged || is_there(one.id));
    for one in outgoing.values_mut() {
        one.is_acknowledged = true;
        if one.deleted == Deleted::Asked {
            one.deleted = if is_there(one.id) { Deleted::No } else { Deleted::Yes };
        }
    }
    Ok(())
}

/// Everything is mended, and then all must be well.
async fn become_well(
    world: &mut World,
    feed: &mut FeedCheck,
    process: &EngineProcess,
) -> Result<()> {
    world.note("everything is mended");
    world.servers.all().for_each(|server| server.heal());
    world.disk.set(Fullness::Room, world.time.passed());
    upheavals::restore_passwords(world);
    upheavals::restore_mailboxes(world)?;
    client::ask_again(world, &process.store).await?;
    upheavals::make_accounts(world, &process.store).await?;
    let mailboxes: Vec<UserMailbox> = world.truth.folders.keys().copied().collect();
    for mailbox in mailboxes {
        client::enable_folder(world, &process.store, mailbox, true).await?;
    }
    let accounts: Vec<(usize, Option<EntityId>)> =
        world.truth.accounts.iter().map(|(user, account)| (*user, account.id)).collect();
    for (user, id) in accounts {
        client::enable_account(world, &process.store, user, true).await?;
        // A person has looked at it.
        let id = id.context("no such account")?;
        process.store.account_try(&Domain::default_domain(), AccountId::of(id)).await?;
    }
    // Folders follow renamed mailboxes by then, or not at all.
    tokio::time::sleep(FOLLOWED_WITHIN).await;
    upheavals::delete_left_behind(world, &process.store).await?;
    let began = world.time.passed();
    loop {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let is_complete = client::adopt(world, &process.store).await?;
        let missing = check::missing(world, process).await?;
        let unknown = (!is_complete).then(|| "a mailbox has no folder".to_owned());
        let missing = missing.or(unknown);
        feed.check(process).await?;
        let Some(missing) = missing else {
            return Ok(());
        };
        if world.time.passed() > began + SETTLED_WITHIN {
            bail!("{missing}, {} s after all was mended", SETTLED_WITHIN.as_secs());
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}: {:#}\n{}", self.seed, self.error, self.history)
    }
}

/// Simulates seeds one after the other, on several threads.
///
/// # Errors
///
/// The failure of the lowest seed that fails, and how many failed.
pub fn simulate_all(
    seeds: std::ops::Range<u64>,
    threads: usize,
    tell: impl Fn(u64, &Result<Summary, Box<Failure>>) + Sync,
) -> Result<()> {
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let failures = std::sync::Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let result = simulate(seed);
                    tell(seed, &result);
                    if let (Err(failure), Ok(mut failures)) = (result, failures.lock()) {
                        failures.push(failure);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_default();
    failures.sort_by_key(|failure| failure.seed);
    let seeds_failed: Vec<u64> = failures.iter().map(|failure| failure.seed).collect();
    match failures.first() {
        None => Ok(()),
        Some(first) => bail!("{first}\n{} seeds failed: {seeds_failed:?}", failures.len()),
    }
}
