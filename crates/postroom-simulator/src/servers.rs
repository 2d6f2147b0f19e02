//! The mail servers: two sandboxes in memory, and the network that leads to them.

use crate::time::SimulatedTime;
use anyhow::Context;
use anyhow::Result;
use postroom_net::Dialed;
use postroom_net::Network;
use postroom_sandbox::Point;
use postroom_sandbox::Protocol;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

/// The ports of both servers.
pub const IMAP_PORT: u16 = 143;
/// The port of submission.
pub const SMTP_PORT: u16 = 587;
/// The password of every user.
pub const PASSWORD: &str = "secret";
/// The mailbox that each user has beside INBOX and the usual ones.
pub const WORK: &str = "Work";

/// How often a server may be dialled within a minute, by all of its accounts. Attempts that fail
/// come ever more rarely.
pub const DIALS_MAX: usize = 40;
const MINUTE: Duration = Duration::from_secs(60);

/// A user of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatedUser {
    /// The mail address, which is the login too.
    pub address: &'static str,
    /// The place of its first server in [`HOSTS`].
    pub server: usize,
    /// Whether another copy is wanted of a message whose outcome is unknown.
    pub resends: bool,
}

/// The hosts of the servers.
pub const HOSTS: [&str; 2] = ["one.test", "two.test"];
/// All users.
pub const USERS: [SimulatedUser; 3] = [
    SimulatedUser { address: "anna@one.test", server: 0, resends: true },
    SimulatedUser { address: "bert@one.test", server: 0, resends: false },
    SimulatedUser { address: "carl@two.test", server: 1, resends: false },
];

/// How the network treats who dials a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It answers.
    Up,
    /// It refuses connections.
    Refuses,
    /// Nothing comes back.
    Silent,
}

/// One server, and what went wrong there so far.
pub struct MailServer {
    /// The server.
    pub sandbox: Sandbox,
    reach: Mutex<Reach>,
    faults: Mutex<Faults>,
    time: Arc<SimulatedTime>,
    dials: Mutex<Dials>,
}

/// When the present process dialled.
#[derive(Debug, Default)]
struct Dials {
    in_last_minute: VecDeque<Duration>,
    most: usize,
}

/// The rules in force, and how often those acted that are no more.
#[derive(Debug, Default)]
struct Faults {
    active: Vec<ActiveFault>,
    unknown_outcomes: u64,
    refusals: u64,
}

#[derive(Debug, Clone, Copy)]
struct ActiveFault {
    rule: RuleId,
    leaves_outcome_unknown: bool,
    refuses: bool,
}

impl fmt::Debug for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// All servers.
#[derive(Debug)]
pub struct Servers(Vec<MailServer>);

impl Servers {
    /// Servers with all users.
    ///
    /// # Errors
    ///
    /// When a sandbox cannot be made.
    pub fn new(time: &Arc<SimulatedTime>) -> Result<Arc<Self>> {
        let mut servers = vec![];
        for _ in HOSTS {
            // Each is known at both, so that accounts can move.
            let users = USERS.iter();
            let (time, of_server) = (Arc::clone(time), Arc::clone(time));
            let config = SandboxConfig {
                users: users.map(|user| (user.address.to_owned(), PASSWORD.to_owned())).collect(),
                tls: false,
                now_ms: Arc::new(move || time.server_ms()),
                ..SandboxConfig::default()
            };
            let sandbox = Sandbox::in_memory(&config)?;
            for (user, _) in &config.users {
                sandbox.create_mailbox(user, WORK)?;
            }
            let (reach, faults) = (Mutex::new(Reach::Up), Mutex::default());
            let (time, dials) = (of_server, Mutex::default());
            servers.push(MailServer { sandbox, reach, faults, time, dials });
        }
        Ok(Arc::new(Self(servers)))
    }

    /// One server.
    ///
    /// # Errors
    ///
    /// When there is none at that place.
    pub fn get(&self, server: usize) -> Result<&MailServer> {
        self.0.get(server).context("there is no such server")
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &MailServer> {
        self.0.iter()
    }
}

impl MailServer {
    /// From now on the network treats it so.
    pub fn set_reach(&self, reach: Reach) {
        *lock(&self.reach) = reach;
        if reach != Reach::Up {
            self.cut();
        }
    }

    /// From now on it offers hardly any extension.
    pub fn lack_extensions(&self) {
        let lacks = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.sandbox.edit(|state| {
            let imap = ["UIDPLUS", "ESEARCH", "IDLE", "LITERAL+", "SPECIAL-USE", "NAMESPACE"];
            state.imap_capabilities.without = lacks(&imap);
            state.smtp_capabilities.without =
                lacks(&["PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"]);
        });
    }

    /// Cuts off all connections.
    pub fn cut(&self) {
        lock(&self.faults).unknown_outcomes += 1;
        self.sandbox.hang_up();
    }

    /// The process of the clients has died.
    pub fn client_died(&self) {
        lock(&self.faults).unknown_outcomes += 1;
    }

    /// A process begins.
    pub fn client_began(&self) {
        *lock(&self.dials) = Dials::default();
    }

    /// The most connections that the present process tried to open within a minute.
    #[must_use]
    pub fn dials_most(&self) -> usize {
        lock(&self.dials).most
    }

    /// Notes an attempt; gives the most within a minute.
    fn dialled(&self) -> usize {
        let now = self.time.passed();
        let mut dials = lock(&self.dials);
        dials.in_last_minute.push_back(now);
        while dials.in_last_minute.front().is_some_and(|at| *at + MINUTE < now) {
            dials.in_last_minute.pop_front();
        }
        dials.most = dials.most.max(dials.in_last_minute.len());
        dials.most
    }

    /// Makes something go wrong. `refuses`: a message may be refused for good by it.
    pub fn script(&self, rule: Rule, refuses: bool) -> RuleId {
        let leaves_outcome_unknown = !matches!(
            rule.on,
            Point::ImapConnect
                | Point::ImapGreeting
                | Point::ImapCommand(_)
                | Point::ImapDone(_)
                | Point::ImapMessage(_)
        );
        let rule = self.sandbox.script(rule);
        lock(&self.faults).active.push(ActiveFault { rule, leaves_outcome_unknown, refuses });
        rule
    }

    /// Takes a rule out of force, if it still is in force.
    pub fn unscript_one(&self, rule: RuleId) {
        let place = lock(&self.faults).active.iter().position(|fault| fault.rule == rule);
        if let Some(place) = place {
            self.unscript(place);
        }
    }

    /// Takes one of the rules out of force: that at `place`, of [`Self::faults_count`].
    pub fn unscript(&self, place: usize) {
        let mut faults = lock(&self.faults);
        if place < faults.active.len() {
            let fault = faults.active.swap_remove(place);
            let acted = u64::from(self.sandbox.acted_count(fault.rule));
            faults.unknown_outcomes += if fault.leaves_outcome_unknown { acted } else { 0 };
            faults.refusals += if fault.refuses { acted } else { 0 };
            self.sandbox.unscript(fault.rule);
        }
    }

    /// How many rules are in force.
    #[must_use]
    pub fn faults_count(&self) -> usize {
        lock(&self.faults).active.len()
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        while self.faults_count() > 0 {
            self.unscript(0);
        }
        *lock(&self.reach) = Reach::Up;
    }

    /// How often the outcome of a message may have become unknown so far.
    #[must_use]
    pub fn unknown_outcomes(&self) -> u64 {
        let faults = lock(&self.faults);
        let acted = |fault: &ActiveFault| u64::from(self.sandbox.acted_count(fault.rule));
        let active = faults.active.iter().filter(|fault| fault.leaves_outcome_unknown);
        faults.unknown_outcomes + active.map(acted).sum::<u64>()
    }

    /// How often a message may have been refused for good so far.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        let faults = lock(&self.faults);
        let acted = |fault: &ActiveFault| u64::from(self.sandbox.acted_count(fault.rule));
        let active = faults.active.iter().filter(|fault| fault.refuses);
        faults.refusals + active.map(acted).sum::<u64>()
    }
}

/// Leads to the servers.
#[derive(Debug)]
pub struct Wires(pub Arc<Servers>);

impl Network for Wires {
    fn dial(&self, host: &str, port: u16) -> Dialed {
        let (servers, host) = (Arc::clone(&self.0), host.to_owned());
        Box::pin(async move {
            let place = HOSTS.iter().position(|known| *known == host);
            let server = place.and_then(|place| servers.get(place).ok());
            let protocol = match port {
                IMAP_PORT => Some(Protocol::Imap),
                SMTP_PORT => Some(Protocol::Smtp),
                _ => None,
            };
            let (Some(server), Some(protocol)) = (server, protocol) else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            if server.dialled() > DIALS_MAX {
                // The next check tells. Until then an endless loop ends here.
                return std::future::pending().await;
            }
            let reach = *lock(&server.reach);
            match reach {
                Reach::Up => Ok(server.sandbox.connect(protocol)),
                Reach::Refuses => Err(io::ErrorKind::ConnectionRefused.into()),
                Reach::Silent => std::future::pending().await,
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
