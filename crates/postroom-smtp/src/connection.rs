//! A connection to a submission server: opening, and one transaction after another.
//!
//! A connection is reused only if the server certainly waits for a command: after a complete answer
//! to the end of data, or to RSET. An error or a dropped future leaves it unusable.

use crate::command;
use crate::error::Error;
use crate::extensions::Extensions;
use crate::reply::LINES_MAX;
use crate::reply::Reply;
use crate::silence::Silence;
use crate::wire::SmtpWire;
use postroom_model::options::MechanismChoice;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Security;
use postroom_net::sasl::LoginWays;
use std::time::Duration;

/// How long each step may take (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmtpDeadlines {
    /// The greeting, EHLO, STARTTLS, AUTH, MAIL, RCPT: 5 minutes.
    pub command: Duration,
    /// The answer to DATA: 2 minutes.
    pub data: Duration,
    /// Each block of data: 3 minutes.
    pub block: Duration,
    /// The answer to the final dot: 10 minutes.
    pub dot: Duration,
    /// The answer to NOOP and QUIT.
    pub courtesy: Duration,
}

impl Default for SmtpDeadlines {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(300),
            data: Duration::from_secs(120),
            block: Duration::from_secs(180),
            dot: Duration::from_secs(600),
            courtesy: Duration::from_secs(5),
        }
    }
}

/// What a connection is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpOptions {
    /// The name that EHLO gives.
    pub ehlo_name: String,
    /// How long each step may take.
    pub deadlines: SmtpDeadlines,
    /// How a password is sent.
    pub mechanism: MechanismChoice,
    /// What earlier connections with the same login know of the ways to log in.
    pub login_ways: LoginWays,
}

impl Default for SmtpOptions {
    fn default() -> Self {
        Self {
            ehlo_name: "localhost".to_owned(),
            deadlines: SmtpDeadlines::default(),
            mechanism: MechanismChoice::Best,
            login_ways: LoginWays::default(),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct SmtpConnection {
    pub(crate) wire: SmtpWire,
    pub(crate) extensions: Extensions,
    pub(crate) deadlines: SmtpDeadlines,
    pub(crate) mechanism: MechanismChoice,
    pub(crate) login_ways: LoginWays,
    pub(crate) idle: bool,
    /// How many transactions were begun.
    pub(crate) mails: u32,
    /// Whether the server has accepted a message on it.
    pub(crate) has_accepted: bool,
    in_turn: bool,
}

impl SmtpConnection {
    /// Connects: greeting, EHLO (HELO where that is refused), STARTTLS where the endpoint asks for
    /// it, and EHLO again.
    ///
    /// # Errors
    ///
    /// When there is no connection, the server refuses it, or has no STARTTLS.
    pub async fn open(
        dialer: &Dialer,
        endpoint: &Endpoint,
        options: &SmtpOptions,
    ) -> Result<Self, Error> {
        let stream = dialer.connect(endpoint).await?;
        let mut connection = Self {
            wire: SmtpWire::new(stream),
            extensions: Extensions::default(),
            deadlines: options.deadlines,
            mechanism: options.mechanism,
            login_ways: options.login_ways.clone(),
            idle: false,
            mails: 0,
            has_accepted: false,
            in_turn: false,
        };
        // A server that expects TLS from the first byte sends no greeting in clear text.
        let what = match endpoint.security {
            Security::Tls => "the connection",
            Security::StartTls | Security::None => {
                "the connection (does this port want smtpSecurity `tls`?)"
            }
        };
        let greeting = connection.wire.reply(what, options.deadlines.command).await?;
        // QUIRK(Cisco PIX): between us and the server, it hides the greeting, and loses commands
        // that are sent together.
        connection.in_turn = greeting.is_hidden();
        accepted("the connection", greeting)?;
        connection.hello(&options.ehlo_name).await?;
        if endpoint.security == Security::StartTls {
            connection.start_tls(dialer, endpoint).await?;
            connection.hello(&options.ehlo_name).await?;
        }
        connection.idle = true;
        Ok(connection)
    }

    /// Sends EHLO with our name. If the name is not a public one (RFC 5321 §4.1.4), or the server
    /// refuses it, EHLO gives our address. If the server does not know EHLO, HELO follows.
    async fn hello(&mut self, name: &str) -> Result<(), Error> {
        if let Some(problem) = command::problem(name) {
            return Err(Error::Unsupported { reason: format!("the EHLO name {problem}") });
        }
        let literal = self.wire.address_literal().unwrap_or_else(|| name.to_owned());
        let mut name = if command::is_public_name(name) { name } else { &literal };
        let mut reply = self.command("EHLO", &format!("EHLO {name}\r\n")).await?;
        let is_known = !matches!(reply.code, 500 | 502);
        if reply.is_permanent() && is_known && name != literal {
            name = &literal;
            let again = self.command("EHLO", &format!("EHLO {name}\r\n")).await;
            reply = again.map_err(|error| unless_lost(error, reply))?;
        }
        if reply.is_success() && reply.is_cut() {
            let reason = format!(
                "its reply to EHLO has more than {LINES_MAX} lines, so Postroom does not know what \
                 it offers"
            );
            return Err(Error::Protocol { reason });
        }
        if reply.is_success() {
            self.extensions = Extensions::from_reply(&reply);
            self.extensions.pipelining &= !self.in_turn;
            return Ok(());
        }
        self.extensions = Extensions::default();
        let again = self.command("HELO", &format!("HELO {name}\r\n")).await;
        accepted("HELO", again.map_err(|error| unless_lost(error, reply))?).map(drop)
    }

    async fn start_tls(&mut self, dialer: &Dialer, endpoint: &Endpoint) -> Result<(), Error> {
        if !self.extensions.start_tls {
            let reason = "the server does not offer STARTTLS: check smtpSecurity; if it is right, \
                          somebody may be intercepting the connection";
            return Err(Error::Unsupported { reason: reason.to_owned() });
        }
        let reply = self.command("STARTTLS", "STARTTLS\r\n").await?;
        accepted("STARTTLS", reply)?;
        self.wire.start_tls(dialer, endpoint.bare_host()).await?;
        self.extensions = Extensions::default();
        Ok(())
    }

    /// What the server offers.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Whether another transaction may use this connection.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        let is_spent = self.extensions.mail_max.is_some_and(|max| self.mails >= max);
        self.awaits_command() && !is_spent
    }

    /// Whether the server has accepted a message in this session.
    #[must_use]
    pub fn has_accepted(&self) -> bool {
        self.has_accepted
    }

    /// Whether the server certainly waits for a command.
    fn awaits_command(&self) -> bool {
        self.idle && !self.wire.has_unread_reply() && !self.wire.is_out_of_step()
    }

    /// From now on, sends each command only after the answer to the one before, even if the server
    /// offers PIPELINING, because its answers did not match the commands.
    pub fn in_turn(&mut self) {
        self.in_turn = true;
        self.extensions.pipelining = false;
    }

    /// Shows whether the connection waits for the server.
    #[must_use]
    pub fn silence(&self) -> Silence {
        self.wire.silence()
    }

    /// Asks the server whether it is still there. A reply that it has sent unasked would be taken
    /// for its answer, so it makes the connection unusable.
    pub async fn is_alive(&mut self) -> bool {
        if !self.is_reusable() {
            return false;
        }
        self.idle = false;
        if !matches!(self.wire.has_arrived("NOOP").await, Ok(false)) {
            return false;
        }
        let asked = self.wire.write(b"NOOP\r\n", "NOOP", self.deadlines.courtesy).await;
        let answer = match asked {
            Ok(()) => self.wire.reply("NOOP", self.deadlines.courtesy).await,
            Err(error) => Err(error),
        };
        self.idle = answer.is_ok_and(|reply| reply.is_success());
        self.is_reusable()
    }

    /// Sends QUIT. Whether it is answered does not matter.
    pub async fn quit(mut self) {
        if self.awaits_command() {
            let _ = self.wire.write(b"QUIT\r\n", "QUIT", self.deadlines.courtesy).await;
        }
    }

    pub(crate) async fn command(&mut self, name: &'static str, line: &str) -> Result<Reply, Error> {
        if self.wire.is_out_of_step() && self.wire.has_arrived(name).await? {
            let reason = "the end of a reply came too late".to_owned();
            return Err(Error::Protocol { reason });
        }
        self.wire.write(line.as_bytes(), name, self.deadlines.command).await?;
        let reply = self.wire.reply(name, self.deadlines.command).await?;
        still_there(name, &reply)?;
        Ok(reply)
    }
}

/// What is wrong with a server that has refused EHLO, and then failed otherwise. If it has closed
/// the connection, its refusal is the reason.
fn unless_lost(error: Error, reply: Reply) -> Error {
    let is_lost = matches!(error, Error::Lost { .. });
    if is_lost { Error::Reply { command: "EHLO", reply } } else { error }
}

/// 421 can come at any time, and ends the connection (RFC 5321 §3.8).
pub(crate) fn still_there(command: &'static str, reply: &Reply) -> Result<(), Error> {
    if reply.code == 421 {
        return Err(Error::Reply { command, reply: reply.clone() });
    }
    Ok(())
}

pub(crate) fn accepted(command: &'static str, reply: Reply) -> Result<Reply, Error> {
    if reply.is_success() { Ok(reply) } else { Err(Error::Reply { command, reply }) }
}
