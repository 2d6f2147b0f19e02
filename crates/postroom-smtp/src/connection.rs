//! A connection to a submission server: opening, logging in, one transaction after another.
//!
//! A connection is reused only at a known-idle point: after a complete answer to the end of data,
//! or to RSET. Anything else, an error or a dropped future, leaves it unusable.

use crate::capabilities::Capabilities;
use crate::command;
use crate::error::Error;
use crate::reply::Reply;
use crate::wire::Wire;
use postroom_net::Credentials;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Secret;
use postroom_net::Security;
use postroom_net::sasl;
use secrecy::ExposeSecret;
use std::time::Duration;

/// How long each step may take (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
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

impl Default for Deadlines {
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
pub struct Options {
    /// The name that EHLO gives.
    pub ehlo_name: String,
    /// How long each step may take.
    pub deadlines: Deadlines,
}

impl Default for Options {
    fn default() -> Self {
        Self { ehlo_name: "localhost".to_owned(), deadlines: Deadlines::default() }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    pub(crate) wire: Wire,
    pub(crate) capabilities: Capabilities,
    pub(crate) deadlines: Deadlines,
    pub(crate) idle: bool,
}

impl Connection {
    /// Connects: greeting, EHLO (HELO where that is refused), STARTTLS where the endpoint asks for
    /// it, and EHLO again.
    ///
    /// # Errors
    ///
    /// When there is no connection, the server refuses it, or has no STARTTLS.
    pub async fn open(
        dialer: &Dialer,
        endpoint: &Endpoint,
        options: &Options,
    ) -> Result<Self, Error> {
        let stream = dialer.connect(endpoint).await?;
        let mut connection = Self {
            wire: Wire::new(stream),
            capabilities: Capabilities::default(),
            deadlines: options.deadlines,
            idle: false,
        };
        // Where TLS is expected from the first byte, nobody greets in the clear.
        let what = match endpoint.security {
            Security::Tls => "the connection",
            Security::StartTls | Security::None => {
                "the connection (does this port want smtpSecurity `tls`?)"
            }
        };
        let greeting = connection.wire.reply(what, options.deadlines.command).await?;
        accepted("the connection", greeting)?;
        connection.hello(&options.ehlo_name).await?;
        if endpoint.security == Security::StartTls {
            connection.start_tls(dialer, endpoint).await?;
            connection.hello(&options.ehlo_name).await?;
        }
        connection.idle = true;
        Ok(connection)
    }

    async fn hello(&mut self, name: &str) -> Result<(), Error> {
        if let Some(problem) = command::problem(name) {
            return Err(Error::Unsupported { reason: format!("the EHLO name {problem}") });
        }
        let reply = self.command("EHLO", &format!("EHLO {name}\r\n")).await?;
        if reply.is_success() {
            self.capabilities = Capabilities::from_reply(&reply);
            return Ok(());
        }
        self.capabilities = Capabilities::default();
        let reply = self.command("HELO", &format!("HELO {name}\r\n")).await?;
        accepted("HELO", reply).map(drop)
    }

    async fn start_tls(&mut self, dialer: &Dialer, endpoint: &Endpoint) -> Result<(), Error> {
        if !self.capabilities.start_tls {
            let reason = "the server does not offer STARTTLS: is smtpSecurity right, or is \
                          somebody between us?";
            return Err(Error::Unsupported { reason: reason.to_owned() });
        }
        let reply = self.command("STARTTLS", "STARTTLS\r\n").await?;
        accepted("STARTTLS", reply)?;
        self.wire.start_tls(dialer, endpoint.bare_host()).await?;
        self.capabilities = Capabilities::default();
        Ok(())
    }

    /// What the server offers.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Logs in, with the first mechanism of PLAIN and LOGIN that the server offers, or XOAUTH2 for
    /// an access token.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`] when the server does not take them.
    pub async fn login(&mut self, credentials: &Credentials) -> Result<(), Error> {
        self.idle = false;
        let reply = match (&credentials.secret, &self.capabilities) {
            (Secret::OAuth2(_), caps) if caps.offers("XOAUTH2") => {
                self.auth_initial("XOAUTH2", sasl::xoauth2(credentials)).await?
            }
            (Secret::Password(_), caps) if caps.offers("PLAIN") => {
                self.auth_initial("PLAIN", sasl::plain(credentials)).await?
            }
            (Secret::Password(_), caps) if caps.offers("LOGIN") => {
                self.auth_login(credentials).await?
            }
            (Secret::Password(_) | Secret::OAuth2(_), caps) => {
                return Err(Error::Unsupported { reason: no_mechanism(caps) });
            }
        };
        if !reply.is_success() {
            return Err(Error::Credentials { reply });
        }
        self.idle = true;
        Ok(())
    }

    async fn auth_initial(
        &mut self,
        mechanism: &str,
        message: secrecy::SecretString,
    ) -> Result<Reply, Error> {
        let line = format!("AUTH {mechanism} {}\r\n", message.expose_secret());
        let reply = self.command("AUTH", &line).await?;
        // XOAUTH2 tells what is wrong in a challenge that wants an empty answer.
        if reply.code == 334 { self.command("AUTH", "\r\n").await } else { Ok(reply) }
    }

    async fn auth_login(&mut self, credentials: &Credentials) -> Result<Reply, Error> {
        let mut reply = self.command("AUTH", "AUTH LOGIN\r\n").await?;
        for answer in [sasl::login_name(credentials), sasl::login_password(credentials)] {
            if reply.code != 334 {
                break;
            }
            reply = self.command("AUTH", &format!("{}\r\n", answer.expose_secret())).await?;
        }
        Ok(reply)
    }

    /// Whether another transaction may use this connection.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.idle && !self.wire.has_unread()
    }

    /// Asks the server whether it is still there.
    pub async fn is_alive(&mut self) -> bool {
        if !self.is_reusable() {
            return false;
        }
        self.idle = false;
        let asked = self.wire.write(b"NOOP\r\n", "NOOP", self.deadlines.courtesy).await;
        let answer = match asked {
            Ok(()) => self.wire.reply("NOOP", self.deadlines.courtesy).await,
            Err(error) => Err(error),
        };
        self.idle = answer.is_ok_and(|reply| reply.is_success());
        self.idle
    }

    /// Says goodbye; whether it is answered does not matter.
    pub async fn quit(mut self) {
        if self.is_reusable() {
            let _ = self.wire.write(b"QUIT\r\n", "QUIT", self.deadlines.courtesy).await;
        }
    }

    pub(crate) async fn command(&mut self, name: &'static str, line: &str) -> Result<Reply, Error> {
        self.wire.write(line.as_bytes(), name, self.deadlines.command).await?;
        let reply = self.wire.reply(name, self.deadlines.command).await?;
        still_there(name, &reply)?;
        Ok(reply)
    }
}

/// What to tell a person whose login the server does not ask for.
fn no_mechanism(capabilities: &Capabilities) -> String {
    if capabilities.offers_auth() {
        let known = capabilities.auth.join(", ");
        return format!("the server offers no way to log in that we know, only {known}");
    }
    "the account has a login for sending, but the server offers none (no AUTH): are smtpPort and \
     smtpSecurity right? A server that wants no login needs no smtpLogin and smtpPassword"
        .to_owned()
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
