//! The world of one simulation.

use crate::disk::DiskRoom;
use crate::servers::MailServer;
use crate::servers::Servers;
use crate::servers::SimulatedUser;
use crate::servers::USERS;
use crate::servers::WORK;
use crate::time::SimulatedTime;
use crate::truth::Truth;
use crate::truth::UserMailbox;
use anyhow::Context;
use anyhow::Result;
use fastrand::Rng;
use postroom_model::Entity;
use postroom_sandbox::StoredMessage;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long the engine may take for what nothing stands in the way of.
pub const PROMPT: Duration = Duration::from_secs(75);
/// How many lines of the history a failure shows.
const HISTORY_MAX: usize = 400;

/// What a seed lets happen. Not everything happens in each: what is frequent hides what is rare.
#[derive(Debug, Clone, Copy)]
pub struct SeedPlan {
    /// How many events there are.
    pub events: usize,
    /// Whether the process is killed.
    pub kills: bool,
    /// Whether something goes wrong in IMAP.
    pub imap_faults: bool,
    /// Whether something goes wrong in SMTP.
    pub smtp_faults: bool,
    /// Whether servers refuse messages for good.
    pub refusals: bool,
    /// Whether servers go down, and cut connections.
    pub outages: bool,
    /// Whether the time of day jumps.
    pub jumps: bool,
    /// Whether clients change the configuration.
    pub changes: bool,
    /// Whether clients delete and take back messages.
    pub deletions: bool,
    /// Whether others work in the mailboxes, and servers number messages anew.
    pub others: bool,
    /// Whether servers are restored and rebuilt, so that UIDs mean other messages.
    pub restores: bool,
    /// Whether servers refuse to mark and delete messages for a while.
    pub refuses_actions: bool,
    /// Whether mailboxes are renamed, removed and made again.
    pub mailboxes: bool,
    /// Whether accounts move to the other server, and clients delete folders and accounts.
    pub moves: bool,
    /// Whether the disk is full for a while.
    pub full_disk: bool,
    /// Whether servers do not take passwords for a while.
    pub passwords: bool,
    /// Whether messages expire.
    pub retention: bool,
    /// Whether clients change the class of messages.
    pub classes: bool,
    /// Whether the servers lack most extensions.
    pub bare: bool,
    /// Whether the second server stays well, so that its account must never wait.
    pub calm: bool,
}

impl SeedPlan {
    fn of(chance: &mut Rng) -> Self {
        Self {
            events: chance.usize(15..60),
            kills: chance.u8(..4) > 0,
            imap_faults: chance.bool(),
            smtp_faults: chance.bool(),
            refusals: chance.u8(..4) == 0,
            outages: chance.bool(),
            jumps: chance.u8(..4) == 0,
            changes: chance.bool(),
            deletions: chance.bool(),
            others: chance.bool(),
            restores: chance.bool(),
            refuses_actions: chance.bool(),
            mailboxes: chance.u8(..3) == 0,
            moves: chance.u8(..3) == 0,
            full_disk: chance.u8(..4) == 0,
            passwords: chance.u8(..4) == 0,
            retention: chance.u8(..3) == 0,
            classes: chance.u8(..4) == 0,
            bare: chance.u8(..4) == 0,
            calm: chance.u8(..3) > 0,
        }
    }
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// What may happen.
    pub plan: SeedPlan,
    /// What happens.
    pub chance: Rng,
    /// When it happens.
    pub time: Arc<SimulatedTime>,
    /// The servers.
    pub servers: Arc<Servers>,
    /// The disk.
    pub disk: Arc<DiskRoom>,
    /// What is known from outside.
    pub truth: Truth,
    history: VecDeque<String>,
    hash: blake3::Hasher,
}

impl World {
    /// The world of a seed.
    ///
    /// # Errors
    ///
    /// When the servers cannot be made.
    pub fn new(seed: u64) -> Result<Self> {
        let mut chance = Rng::with_seed(seed);
        let time = Arc::new(SimulatedTime::new(chance.u64(..)));
        let servers = Servers::new(&time)?;
        let plan = SeedPlan::of(&mut chance);
        if plan.bare {
            servers.all().for_each(MailServer::lack_extensions);
        }
        let disk = Arc::default();
        let (truth, history, hash) = (Truth::default(), VecDeque::new(), blake3::Hasher::new());
        let mut world = Self { plan, chance, time, servers, disk, truth, history, hash };
        world.note(&format!("{plan:?}"));
        Ok(world)
    }

    /// A user by place.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn user(&self, place: usize) -> Result<SimulatedUser> {
        USERS.get(place).copied().context("there is no such user")
    }

    /// The server of a user.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn server_of(&self, user: usize) -> Result<&MailServer> {
        let first = self.user(user)?.server;
        let known = self.truth.accounts.get(&user);
        self.servers.get(known.map_or(first, |account| account.server))
    }

    /// How often the outcome of a message may have become unknown, at any server.
    #[must_use]
    pub fn unknown_outcomes(&self) -> u64 {
        self.servers.all().map(MailServer::unknown_outcomes).sum()
    }

    /// How often a message may have been refused for good, at any server.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.servers.all().map(MailServer::refusals).sum()
    }

    /// The present name of a mailbox at its server; `None`: it is gone.
    #[must_use]
    pub fn mailbox_name(&self, mailbox: UserMailbox) -> Option<&'static str> {
        let folder = self.truth.folders.get(&mailbox);
        let is_away = folder.is_some_and(|folder| folder.is_away);
        let renamed = folder.and_then(|folder| folder.renamed);
        (!is_away).then(|| renamed.unwrap_or(mailbox.name))
    }

    /// A mailbox of any user.
    pub fn any_mailbox(&mut self) -> UserMailbox {
        let user = self.chance.usize(..USERS.len());
        let name = if self.chance.bool() { "INBOX" } else { WORK };
        UserMailbox { user, name }
    }

    /// The messages that a mailbox has at its server.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub fn messages(&self, mailbox: UserMailbox) -> Result<Vec<StoredMessage>> {
        let address = self.user(mailbox.user)?.address;
        let Some(name) = self.mailbox_name(mailbox) else {
            return Ok(vec![]);
        };
        Ok(self.server_of(mailbox.user)?.sandbox.messages(address, name))
    }

    /// Notes which messages must stay at their servers, because a client has told the engine for
    /// long enough that it must not delete them. A message that the engine deleted earlier, while
    /// it was allowed to, is none of them.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub fn note_kept(&mut self) -> Result<()> {
        let now = self.time.passed();
        // What was under way when the client was told is over by then.
        let is_over = |since: Duration| since + PROMPT < now;
        let folders = self.truth.folders.iter();
        let kept = folders.filter(|(_, folder)| folder.keeps_since.is_some_and(is_over));
        let kept: Vec<UserMailbox> = kept.map(|(mailbox, _)| *mailbox).collect();
        for mailbox in kept {
            let there = self.messages(mailbox)?;
            for arrival in self.truth.arrivals_in(mailbox) {
                arrival.must_stay |= there.iter().any(|message| message.bytes == arrival.bytes);
            }
        }
        Ok(())
    }

    /// A client is about to let the engine delete messages of a mailbox at the server. Messages
    /// that are stored already stay there, except those that were stored while the engine might
    /// delete them too.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub fn may_delete(&mut self, mailbox: UserMailbox, stored: &[Entity]) -> Result<()> {
        self.note_kept()?;
        let Some(folder) = self.truth.folders.get_mut(&mailbox) else {
            return Ok(());
        };
        let never_might = !folder.may_delete;
        (folder.may_delete, folder.keeps_since) = (true, None);
        for (subject, arrival) in &mut self.truth.arrivals {
            let is_stored = stored.iter().any(|entity| entity.text("subject") == Some(subject));
            if arrival.mailbox == mailbox {
                arrival.must_stay = is_stored && (never_might || arrival.must_stay);
            }
        }
        Ok(())
    }

    /// Adds a line to the history.
    pub fn note(&mut self, line: &str) {
        let passed = self.time.passed();
        let line = format!("{:>9.3} s  {line}", passed.as_secs_f64());
        self.hash.update(line.as_bytes());
        self.history.push_back(line);
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
    }

    /// The last lines of the history.
    #[must_use]
    pub fn history(&self) -> String {
        self.history.iter().map(|line| format!("{line}\n")).collect()
    }

    /// A hash of the whole history and of every line that the servers were told.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = self.hash.clone();
        for server in self.servers.all() {
            server.sandbox.look(|state| {
                for line in state.transcript() {
                    hash.update(line.text.as_bytes());
                }
            });
        }
        hash.finalize().to_hex().as_str().get(..16).unwrap_or_default().to_owned()
    }
}
