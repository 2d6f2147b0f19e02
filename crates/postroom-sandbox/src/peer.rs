//! One client: its connection, its state, and the rules that apply to it.

use crate::certificate::TestAuthority;
use crate::config::SandboxConfig;
use crate::error::Error;
use crate::script::Action;
use crate::script::Ending;
use crate::script::MessageFault;
use crate::script::Occasion;
use crate::script::Point;
use crate::script::RuleId;
use crate::shared::SharedState;
use crate::state::SandboxState;
use crate::stream::PeerStream;
use crate::transcript;
use crate::transcript::CommandLine;
use crate::transcript::Protocol;
use crate::wire::ClientWire;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tokio::sync::broadcast;

/// How many interruptions a connection may be behind; older ones are lost.
const INTERRUPTIONS_MAX: usize = 64;

/// What both servers share. It never changes while the sandbox runs.
pub(crate) struct House {
    /// The state.
    pub shared: SharedState,
    /// What IMAP servers say in between, each with its user.
    pub interruptions: broadcast::Sender<(String, Bytes)>,
    /// The certificates.
    pub authority: TestAuthority,
    /// Whether plain ports offer STARTTLS.
    pub tls: bool,
    /// Whether passwords are accepted only under TLS.
    pub login_needs_tls: bool,
    /// Whether MAIL is accepted only after AUTH.
    pub mail_needs_login: bool,
    /// Messages above this many bytes are refused, by APPEND and by SMTP.
    pub message_bytes_max: u64,
    /// What stands between the levels of mailbox names.
    pub delimiter: char,
}

impl House {
    /// The house of a sandbox that is to be so.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`].
    pub(crate) fn of(config: &SandboxConfig) -> Result<Self, Error> {
        let mut state = SandboxState::new(Arc::clone(&config.now_ms), config.uid_validity_first);
        state.certificate = config.certificate;
        state.imap_capabilities = config.imap_capabilities.clone();
        state.smtp_capabilities = config.smtp_capabilities.clone();
        for (address, password) in &config.users {
            state.add_user(address, password);
        }
        Ok(Self {
            shared: SharedState::new(state),
            interruptions: broadcast::Sender::new(INTERRUPTIONS_MAX),
            authority: TestAuthority::new()?,
            tls: config.tls,
            login_needs_tls: config.login_needs_tls,
            mail_needs_login: config.mail_needs_login,
            message_bytes_max: config.message_bytes_max,
            delimiter: config.delimiter,
        })
    }
}

/// What to do at a point after the rules were applied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The ordinary reply.
    Go,
    /// The ordinary reply, followed by these bytes.
    Then(Vec<u8>),
    /// These bytes instead of the reply. Then the connection may end.
    Instead(Vec<u8>, Option<Ending>),
    /// The ordinary reply without the item of this name.
    Without(String),
    /// The ordinary reply with a fault in the FETCH response.
    Fault(MessageFault),
}

/// One client.
pub(crate) struct Peer {
    /// What both servers share.
    pub house: Arc<House>,
    /// Its connection.
    pub wire: ClientWire,
    /// Who is logged in.
    pub user: Option<String>,
    id: u64,
    protocol: Protocol,
}

impl Peer {
    /// A client that has just connected. It counts as open until this is dropped.
    pub(crate) fn new(house: Arc<House>, stream: PeerStream, protocol: Protocol) -> Self {
        let id = house.shared.edit(|state| state.connection_open(protocol));
        Self { house, wire: ClientWire::new(stream), user: None, id, protocol }
    }

    /// The number of the connection.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Takes note of who is logged in.
    pub(crate) fn logged_in(&mut self, user: &str) {
        self.user = Some(user.to_owned());
        self.house.shared.edit(|state| {
            if let Some(connection) = state.connection_mut(self.id) {
                connection.user.clone_from(&self.user);
            }
        });
    }

    /// Takes note of whether IDLE is in progress.
    pub(crate) fn idling(&self, idling: bool) {
        self.house.shared.edit(|state| {
            if let Some(connection) = state.connection_mut(self.id) {
                connection.idling = idling;
            }
        });
    }

    /// Adds a line to the transcript.
    pub(crate) fn record(&self, command: &str, line: &[u8], pipelined: bool) {
        let line = CommandLine {
            connection: self.id,
            protocol: self.protocol,
            user: self.user.clone(),
            tls: self.wire.is_tls(),
            pipelined,
            command: command.to_owned(),
            text: transcript::shown(line),
        };
        self.house.shared.edit(|state| state.transcript.add(line));
    }

    /// Applies the rules at a point, for the user and these addresses.
    ///
    /// # Errors
    ///
    /// The connection is lost, or ended by a rule.
    pub(crate) async fn at(&mut self, point: Point, addresses: &[&str]) -> io::Result<Flow> {
        self.reach(Occasion::At(point), addresses).await
    }

    /// As `at`, for any moment.
    ///
    /// # Errors
    ///
    /// The connection is lost, or ended by a rule.
    pub(crate) async fn reach(&mut self, moment: Occasion, addresses: &[&str]) -> io::Result<Flow> {
        let user = self.user.as_deref();
        let subjects: Vec<&str> = addresses.iter().copied().chain(user).collect();
        match self.house.shared.take(moment, &subjects) {
            None => Ok(Flow::Go),
            Some((rule, action)) => self.act(rule, action).await,
        }
    }

    async fn act(&mut self, rule: RuleId, action: Action) -> io::Result<Flow> {
        match action {
            Action::Reply(bytes) => return Ok(Flow::Instead(bytes, None)),
            Action::ReplyThenEnd(bytes, ending) => return Ok(Flow::Instead(bytes, Some(ending))),
            Action::After(bytes) => return Ok(Flow::Then(bytes)),
            Action::Without(name) => return Ok(Flow::Without(name)),
            Action::Message(fault) => return Ok(Flow::Fault(fault)),
            Action::Before(bytes) => self.wire.push(&bytes),
            Action::End(ending) => {
                self.wire.flush().await?;
                return Err(self.wire.end(ending).await);
            }
            Action::EndAfter { bytes, ending } => {
                self.wire.flush().await?;
                self.wire.end_after(bytes, ending);
            }
            Action::Delay(pause) => {
                self.wire.flush().await?;
                tokio::time::sleep(pause).await;
            }
            Action::Hold => {
                self.wire.flush().await?;
                self.until_removed(rule).await;
            }
            Action::Slow { bytes, every } => {
                self.wire.flush().await?;
                self.wire.slow(bytes, every);
            }
            Action::Endless { first, then } => return Err(self.endless(&first, &then).await),
        }
        Ok(Flow::Go)
    }

    async fn until_removed(&self, rule: RuleId) {
        let mut changed = self.house.shared.watch();
        // The sender lives as long as the sandbox, so the wait ends only because of a change.
        while self.house.shared.look(|state| state.rules.holds(rule)) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    async fn endless(&mut self, first: &[u8], then: &[u8]) -> io::Error {
        self.wire.push(first);
        if let Err(error) = self.wire.flush().await {
            return error;
        }
        // An empty repetition would be a busy loop.
        if then.is_empty() {
            return self.wire.end(Ending::Stall).await;
        }
        loop {
            if let Err(error) = self.wire.write(then).await {
                return error;
            }
        }
    }

    /// Sends these bytes, and ends the connection if `ending` says so.
    ///
    /// # Errors
    ///
    /// The connection is lost, or ended by a rule.
    pub(crate) async fn say(&mut self, bytes: &[u8], ending: Option<Ending>) -> io::Result<()> {
        self.wire.push(bytes);
        match ending {
            None => Ok(()),
            Some(ending) => {
                self.wire.flush().await?;
                Err(self.wire.end(ending).await)
            }
        }
    }

    /// Performs the TLS handshake with the current certificate.
    ///
    /// # Errors
    ///
    /// What the handshake failed with, or the connection is ended by a rule at `point`.
    pub(crate) async fn start_tls(&mut self, point: Point) -> io::Result<()> {
        self.wire.flush().await?;
        if let Flow::Instead(bytes, ending) = self.at(point, &[]).await? {
            self.say(&bytes, ending).await?;
        }
        let certificate = self.house.shared.look(|state| state.certificate);
        self.wire.start_tls(self.house.authority.acceptor(certificate)).await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.house.shared.edit(|state| state.connection_closed(self.id));
    }
}
