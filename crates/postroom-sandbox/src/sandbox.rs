//! The handle that a test or a demo holds: start, script, look, stop.

use crate::config::SandboxConfig;
use crate::error::Error;
use crate::mailbox::StoredMessage;
use crate::mailbox_name;
use crate::peer::House;
use crate::peer::Peer;
use crate::port::Port;
use crate::script::Rule;
use crate::script::RuleId;
use crate::state::AcceptedMail;
use crate::state::SandboxState;
use crate::stream::PeerStream;
use crate::token_server::TokenServer;
use crate::transcript::CommandLine;
use crate::transcript::Protocol;
use bytes::Bytes;
use postroom_watch::Watched;
use postroom_watch::Watcher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How many lines of the transcript an [`Error::Deadline`] shows.
const LAST_LINES: usize = 12;
/// How much a connection in memory holds that nobody has read, in each direction.
const MEMORY_BYTES: usize = 64 * 1024;

/// A running IMAP and SMTP server. All its tasks end when it is dropped.
///
/// ```
/// use postroom_sandbox::{Action, Point, Rule, Sandbox, SandboxConfig, SmtpCommand, When};
///
/// # async fn example() -> Result<(), postroom_sandbox::Error> {
/// let users = vec![("anna@demo.test".to_owned(), "secret".to_owned())];
/// let sandbox = Sandbox::start(SandboxConfig { users, ..SandboxConfig::default() }).await?;
/// sandbox.deliver("anna@demo.test", "INBOX", "Subject: hello\r\n\r\nhello\r\n")?;
///
/// // The first recipient that a client names is put off.
/// let rule = sandbox.script(Rule {
///     on: Point::SmtpCommand(SmtpCommand::Rcpt),
///     when: When::Nth(1),
///     act: Action::line("450 4.2.1 greylisted"),
/// });
///
/// // Here the client under test talks to `sandbox.smtp()` and `sandbox.imap()`.
/// let put_off = sandbox.wait_for(|state| state.acted_count(rule) == 1, PATIENCE).await;
/// # put_off?;
/// sandbox.stop().await;
/// # Ok(())
/// # }
/// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// ```
pub struct Sandbox {
    house: Arc<House>,
    imap: SocketAddr,
    imaps: SocketAddr,
    smtp: SocketAddr,
    smtps: SocketAddr,
    hang_up: Watched<()>,
    imap_ports: Listeners,
    smtp_ports: Listeners,
}

/// The listeners of one protocol.
struct Listeners {
    stopping: Watched<bool>,
    listeners: JoinSet<()>,
}

impl Listeners {
    fn new() -> Self {
        Self { stopping: Watched::new(false), listeners: JoinSet::new() }
    }

    /// Stops listening, closes what is connected, and waits until nothing of it runs any more.
    async fn close(&mut self) {
        self.stopping.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
        *self = Self::new();
    }
}

impl Sandbox {
    /// A sandbox that listens nowhere: clients come by [`Self::connect`].
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`].
    pub fn in_memory(config: &SandboxConfig) -> Result<Self, Error> {
        let unset = SocketAddr::new(config.listen, 0);
        Ok(Self {
            house: Arc::new(House::of(config)?),
            imap: unset,
            imaps: unset,
            smtp: unset,
            smtps: unset,
            hang_up: Watched::new(()),
            imap_ports: Listeners::new(),
            smtp_ports: Listeners::new(),
        })
    }

    /// A connection in memory, without TLS, that is served on the current tokio runtime until the
    /// client drops it or all are cut off.
    pub fn connect(&self, protocol: Protocol) -> DuplexStream {
        let (client, server) = tokio::io::duplex(MEMORY_BYTES);
        let (house, hang_up) = (Arc::clone(&self.house), self.hang_up.subscribe());
        let peer = Peer::new(Arc::clone(&house), PeerStream::Memory(server), protocol);
        let port = Port { house, protocol, implicit_tls: false, hang_up };
        tokio::spawn(port.serve(peer));
        client
    }

    /// Listens on its four ports and serves from now on, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if a port is taken; [`Error::Certificate`].
    pub async fn start(config: SandboxConfig) -> Result<Self, Error> {
        let mut sandbox = Self::in_memory(&config)?;
        let at = |port| SocketAddr::new(config.listen, port);
        sandbox.imap = sandbox.listen(at(config.imap_port), Protocol::Imap, false).await?;
        sandbox.imaps = sandbox.listen(at(config.imaps_port), Protocol::Imap, true).await?;
        sandbox.smtp = sandbox.listen(at(config.smtp_port), Protocol::Smtp, false).await?;
        sandbox.smtps = sandbox.listen(at(config.smtps_port), Protocol::Smtp, true).await?;
        Ok(sandbox)
    }

    async fn listen(
        &mut self,
        address: SocketAddr,
        protocol: Protocol,
        implicit_tls: bool,
    ) -> Result<SocketAddr, Error> {
        let refused = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        let house = Arc::clone(&self.house);
        let hang_up = self.hang_up.subscribe();
        let ports = match protocol {
            Protocol::Imap => &mut self.imap_ports,
            Protocol::Smtp => &mut self.smtp_ports,
        };
        let stopping = ports.stopping.subscribe();
        ports.listeners.spawn(async move {
            let port = Port { house, protocol, implicit_tls, hang_up };
            port.accept_until(listener, stopping).await;
        });
        Ok(bound)
    }

    /// Where IMAP is served, plain and STARTTLS.
    pub fn imap(&self) -> SocketAddr {
        self.imap
    }

    /// Where IMAP is served under TLS from the first byte.
    pub fn imaps(&self) -> SocketAddr {
        self.imaps
    }

    /// Where SMTP is served, plain and STARTTLS.
    pub fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// Where SMTP is served under TLS from the first byte.
    pub fn smtps(&self) -> SocketAddr {
        self.smtps
    }

    /// The certificate of the authority that a client has to trust, in PEM.
    pub fn ca_pem(&self) -> &str {
        self.house.authority.ca_pem()
    }

    /// Is told of every change of the state from now on.
    pub fn watch(&self) -> Watcher<u64> {
        self.house.shared.watch()
    }

    /// Reads the state.
    pub fn look<T>(&self, read: impl FnOnce(&SandboxState) -> T) -> T {
        self.house.shared.look(read)
    }

    /// Changes the state; clients that idle are told.
    pub fn edit<T>(&self, change: impl FnOnce(&mut SandboxState) -> T) -> T {
        self.house.shared.edit(change)
    }

    /// Adds a user with the usual mailboxes; if the user is there, only the password changes.
    pub fn add_user(&self, address: &str, password: &str) {
        self.edit(|state| state.add_user(address, password));
    }

    /// From now on, both servers offer XOAUTH2 and OAUTHBEARER, and take the access tokens that a
    /// provider gives for a user.
    pub fn take_tokens_of(&self, provider: &TokenServer) {
        self.edit(|state| {
            state.tokens = Some(provider.clone());
            let mechanisms = ["AUTH=XOAUTH2", "AUTH=OAUTHBEARER"].map(str::to_owned);
            state.imap_capabilities.with.extend(mechanisms);
            state.smtp_capabilities.without.push("AUTH".to_owned());
            let auth = "AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER".to_owned();
            state.smtp_capabilities.with.push(auth);
        });
    }

    /// Puts a message into a mailbox, byte for byte, and returns its UID.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`], [`Error::NoMailbox`].
    pub fn deliver(
        &self,
        user: &str,
        mailbox: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<u32, Error> {
        self.edit(|state| state.deliver(user, mailbox, bytes))
    }

    /// Sends these bytes at once to each IMAP connection of the user that waits for a command, as
    /// servers do that do not wait to be asked. [`SandboxState::say`] waits for the next reply.
    pub fn interrupt(&self, user: &str, bytes: impl Into<Bytes>) {
        // Nobody may be connected.
        let _ = self.house.interruptions.send((user.to_owned(), bytes.into()));
    }

    /// The messages of a mailbox by ascending UID; none if there is no such mailbox.
    pub fn messages(&self, user: &str, mailbox: &str) -> Vec<StoredMessage> {
        self.look(|state| match state.mailbox(user, mailbox) {
            Ok(found) => found.messages().cloned().collect(),
            Err(_) => Vec::new(),
        })
    }

    /// The names of a user's mailboxes, as people write them.
    pub fn mailboxes(&self, user: &str) -> Vec<String> {
        self.look(|state| state.mailboxes(user))
    }

    /// Makes an empty mailbox.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`], [`Error::MailboxExists`].
    pub fn create_mailbox(&self, user: &str, mailbox: &str) -> Result<(), Error> {
        self.edit(|state| state.create_mailbox(user, mailbox).map(|_| ()))
    }

    /// Deletes a mailbox with its messages, as another client of the user would.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`], [`Error::NoMailbox`].
    pub fn delete_mailbox(&self, user: &str, mailbox: &str) -> Result<(), Error> {
        self.edit(|state| {
            state.mailbox(user, mailbox)?;
            let mailboxes = state.wire_mailboxes_mut(user);
            mailboxes.map(|all| all.remove(&mailbox_name::encode(mailbox)));
            Ok(())
        })
    }

    /// Changes UIDVALIDITY to any number, even zero or a smaller one. The UIDs stay.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`], [`Error::NoMailbox`].
    pub fn set_uid_validity(&self, user: &str, mailbox: &str, value: u32) -> Result<(), Error> {
        self.edit(|state| {
            state.mailbox_mut(user, mailbox).map(|found| found.set_uid_validity(value))
        })
    }

    /// The messages that the SMTP server accepted, oldest first.
    pub fn accepted(&self) -> Vec<AcceptedMail> {
        self.look(|state| state.accepted().to_vec())
    }

    /// Adds a rule after all others. It acts from now on.
    pub fn script(&self, rule: Rule) -> RuleId {
        self.edit(|state| state.rules.add(rule))
    }

    /// Removes a rule. False if it was not there.
    pub fn unscript(&self, rule: RuleId) -> bool {
        self.edit(|state| state.rules.remove(rule))
    }

    /// Removes all rules.
    pub fn unscript_all(&self) {
        self.edit(|state| state.rules.clear());
    }

    /// How often a rule has acted; zero once it is removed.
    pub fn acted_count(&self, rule: RuleId) -> u32 {
        self.look(|state| state.acted_count(rule))
    }

    /// Every command line that clients sent, oldest first, `***` where a secret was.
    pub fn transcript(&self) -> Vec<CommandLine> {
        self.look(|state| state.transcript().cloned().collect())
    }

    /// Forgets the transcript so far.
    pub fn transcript_clear(&self) {
        self.edit(|state| state.transcript.clear());
    }

    /// Closes every connection that is open now, without a farewell. New ones are served.
    pub fn hang_up(&self) {
        self.hang_up.send_replace(());
    }

    /// Stops SMTP as a crash would: nothing listens, and open connections are cut.
    pub async fn smtp_down(&mut self) {
        self.smtp_ports.close().await;
    }

    /// Starts SMTP again, on the same ports.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if another process has taken one of them.
    pub async fn smtp_up(&mut self) -> Result<(), Error> {
        self.smtp_ports.close().await;
        self.listen(self.smtp, Protocol::Smtp, false).await?;
        self.listen(self.smtps, Protocol::Smtp, true).await?;
        Ok(())
    }

    /// Waits until `condition` is true of the state.
    ///
    /// # Errors
    ///
    /// [`Error::Deadline`] if that takes longer than `deadline`.
    pub async fn wait_for(
        &self,
        mut condition: impl FnMut(&SandboxState) -> bool,
        deadline: Duration,
    ) -> Result<(), Error> {
        let mut changed = self.house.shared.watch();
        let until_true = async {
            while !self.look(&mut condition) {
                // The sender lives as long as `self`.
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        match tokio::time::timeout(deadline, until_true).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Error::Deadline { waited: deadline, last: self.last_lines() }),
        }
    }

    fn last_lines(&self) -> String {
        self.look(|state| {
            let newest = state.transcript().rev().take(LAST_LINES);
            let mut lines: Vec<String> =
                newest.map(|line| format!("[{}] {}", line.connection, line.text)).collect();
            lines.reverse();
            lines.join(" | ")
        })
    }

    /// Stops listening, closes all connections, and waits until nothing of it runs any more.
    pub async fn stop(mut self) {
        self.imap_ports.close().await;
        self.smtp_ports.close().await;
    }
}
