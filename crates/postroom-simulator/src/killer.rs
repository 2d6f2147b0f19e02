//! The killer: when a process is killed.
//!
//! What a crash can break lies between two steps that belong together: a server has done something,
//! and the database does not know it yet; or the database knows one half of it. Such a gap is open
//! for a few milliseconds in hours. So most kills come a few milliseconds after a command whose
//! outcome is about to be recorded, and the others at any time.

use crate::servers::MailServer;
use crate::servers::Servers;
use fastrand::Rng;
use postroom_sandbox::CommandLine;
use std::time::Duration;

/// How many milliseconds after the command a kill comes at most. To record something takes a few
/// accesses to the database, and each takes up to [`postroom_store::Work::Inline`]'s 3 ms.
const AFTER_MS_MAX: u64 = 10;

/// What a kill follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KillMoment {
    /// Any change at a server.
    Any,
    /// The contents of messages are fetched, and are about to be recorded.
    Fetched,
    /// The final dot has come, and the outcome is about to be recorded.
    Dot,
    /// Messages are marked or removed.
    Changed,
}

impl KillMoment {
    fn chosen(chance: &mut Rng) -> Self {
        match chance.u8(..8) {
            0 => Self::Any,
            1..4 => Self::Fetched,
            4..7 => Self::Dot,
            _ => Self::Changed,
        }
    }

    fn is_at(self, line: &CommandLine) -> bool {
        match self {
            Self::Any => true,
            Self::Fetched => line.command == "UID FETCH" && line.text.contains("BODY.PEEK[]"),
            Self::Dot => line.command == ".",
            Self::Changed => matches!(line.command.as_str(), "UID STORE" | "UID EXPUNGE"),
        }
    }

    /// How often it may come before the kill.
    const fn times_max(self) -> usize {
        match self {
            Self::Any => 400,
            Self::Fetched | Self::Dot => 3,
            Self::Changed => 2,
        }
    }
}

/// Waits for the moment of the kill.
pub async fn wait_to_kill(servers: &Servers, chance: &mut Rng) {
    let moment = KillMoment::chosen(chance);
    let times = chance.usize(1..=moment.times_max());
    let (Ok(one), Ok(two)) = (servers.get(0), servers.get(1)) else {
        return;
    };
    tokio::select! {
        biased;
        () = wait_for(one, moment, times) => {}
        () = wait_for(two, moment, times) => {}
    }
    if moment != KillMoment::Any || chance.bool() {
        tokio::time::sleep(Duration::from_millis(chance.u64(..AFTER_MS_MAX))).await;
    }
    for _ in 0..chance.usize(..60) {
        tokio::task::yield_now().await;
    }
}

async fn wait_for(server: &MailServer, moment: KillMoment, times: usize) {
    let mut changes = server.sandbox.watch();
    let mut before = None;
    for _ in 0..times {
        loop {
            if changes.changed().await.is_err() {
                return;
            }
            let last = server.sandbox.look(|state| state.transcript().next_back().cloned());
            if moment == KillMoment::Any {
                break;
            }
            let is_new = last != before;
            let is_at = last.as_ref().is_some_and(|line| moment.is_at(line));
            before = last;
            if is_new && is_at {
                break;
            }
        }
    }
}
