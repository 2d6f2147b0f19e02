//! A connection to a submission server: opening, logging in, one transaction after another.
//!
//! A connection is reused only at a known-idle point: after a complete answer to the end of data,
//! or to RSET. Anything else, an error or a dropped future, leaves it unusable.

use crate::capabilities::Capabilities;
use crate::command;
use crate::dot::DotStuffer;
use crate::error::Error;
use crate::reply::Reply;
use crate::wire::Wire;
use bytes::Bytes;
use postroom_net::Credentials;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Secret;
use postroom_net::Security;
use postroom_net::sasl;
use secrecy::ExposeSecret;
use std::io;
use std::time::Duration;

/// How many bytes of data are written at once.
const BLOCK_BYTES: usize = 64 * 1024;

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
        Self {
            ehlo_name: "localhost".to_owned(),
            deadlines: Deadlines::default(),
        }
    }
}

/// Who sends to whom (RFC 5321 §2.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where failures are reported to; empty for nowhere.
    pub reverse_path: String,
    /// The recipients.
    pub forward_paths: Vec<String>,
    /// Whether the message or an address needs SMTPUTF8.
    pub smtp_utf8: bool,
    /// Whether the message has octets above 127.
    pub eight_bit: bool,
    /// The size of the message in bytes, before stuffing.
    pub size_bytes: u64,
}

/// What the server said of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientReply {
    /// The forward path.
    pub address: String,
    /// The answer to RCPT.
    pub reply: Reply,
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The answers to each RCPT, in the order of the envelope.
    pub recipients: Vec<RecipientReply>,
    /// The answer to the message; `None` when no recipient was accepted, so that none was sent.
    pub data: Option<Reply>,
}

/// Where the bytes of a message come from.
pub trait MessageSource: Send {
    /// The next bytes; `None` at the end.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;
}

impl MessageSource for Option<Bytes> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.take())
    }
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    wire: Wire,
    capabilities: Capabilities,
    deadlines: Deadlines,
    idle: bool,
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
        let greeting = connection
            .wire
            .reply("the connection", options.deadlines.command)
            .await?;
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
            return Err(Error::Unsupported {
                reason: format!("the EHLO name {problem}"),
            });
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
            return Err(Error::Unsupported {
                reason: reason.to_owned(),
            });
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
                self.auth_initial("XOAUTH2", sasl::xoauth2(credentials))
                    .await?
            }
            (Secret::Password(_), caps) if caps.offers("PLAIN") => {
                self.auth_initial("PLAIN", sasl::plain(credentials)).await?
            }
            (Secret::Password(_), caps) if caps.offers("LOGIN") => {
                self.auth_login(credentials).await?
            }
            (Secret::Password(_) | Secret::OAuth2(_), caps) => {
                let reason = format!(
                    "the server offers no way to log in that we know: {:?}",
                    caps.auth
                );
                return Err(Error::Unsupported { reason });
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
        if reply.code == 334 {
            self.command("AUTH", "\r\n").await
        } else {
            Ok(reply)
        }
    }

    async fn auth_login(&mut self, credentials: &Credentials) -> Result<Reply, Error> {
        let mut reply = self.command("AUTH", "AUTH LOGIN\r\n").await?;
        for answer in [
            sasl::login_name(credentials),
            sasl::login_password(credentials),
        ] {
            if reply.code != 334 {
                break;
            }
            reply = self
                .command("AUTH", &format!("{}\r\n", answer.expose_secret()))
                .await?;
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
        let asked = self
            .wire
            .write(b"NOOP\r\n", "NOOP", self.deadlines.courtesy)
            .await;
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
            let _ = self
                .wire
                .write(b"QUIT\r\n", "QUIT", self.deadlines.courtesy)
                .await;
        }
    }

    /// Sends one message. `before_dot` is awaited after all data and before the final dot: the
    /// server can have the message only if it said yes.
    ///
    /// # Errors
    ///
    /// By [`Error::verdict`]: in doubt only when there was no answer to the final dot.
    pub async fn send<S, D>(
        &mut self,
        envelope: &Envelope,
        source: &mut S,
        before_dot: D,
    ) -> Result<Outcome, Error>
    where
        S: MessageSource,
        D: AsyncFnOnce() -> Result<(), String>,
    {
        self.check(envelope)?;
        if !self.is_reusable() {
            return Err(Error::Protocol {
                reason: "the connection is not idle",
            });
        }
        self.idle = false;
        let (recipients, data) = if self.capabilities.pipelining {
            self.envelope_pipelined(envelope).await?
        } else {
            self.envelope_in_turn(envelope).await?
        };
        let any = recipients
            .iter()
            .any(|recipient| recipient.reply.is_success());
        match (any, data) {
            (true, Some(data)) if data.code == 354 => {
                let reply = self.data(source, before_dot).await?;
                self.idle = reply.code != 421;
                Ok(Outcome {
                    recipients,
                    data: Some(reply),
                })
            }
            (true, Some(data)) => {
                self.reset().await?;
                Ok(Outcome {
                    recipients,
                    data: Some(data),
                })
            }
            (false, Some(data)) if data.code == 354 => {
                // Nobody was accepted, but the server waits for data: an empty message to no one
                // (RFC 2920 §3.1).
                self.wire
                    .write(b".\r\n", "end of data", self.deadlines.block)
                    .await?;
                self.wire.reply("end of data", self.deadlines.dot).await?;
                self.reset().await?;
                Ok(Outcome {
                    recipients,
                    data: None,
                })
            }
            (_, _) => {
                self.reset().await?;
                Ok(Outcome {
                    recipients,
                    data: None,
                })
            }
        }
    }

    /// Refuses what the server cannot take, or must not be given.
    fn check(&self, envelope: &Envelope) -> Result<(), Error> {
        let paths = envelope
            .forward_paths
            .iter()
            .chain([&envelope.reverse_path]);
        for path in paths {
            if let Some(problem) = command::problem(path) {
                return Err(Error::Unsupported {
                    reason: format!("an address {problem}"),
                });
            }
            if !path.is_ascii() && !self.capabilities.smtp_utf8 {
                let reason = format!("the server takes no addresses like {path} (no SMTPUTF8)");
                return Err(Error::Unsupported { reason });
            }
        }
        if envelope.smtp_utf8 && !self.capabilities.smtp_utf8 {
            let reason = "the server takes no messages with such addresses (no SMTPUTF8)";
            return Err(Error::Unsupported {
                reason: reason.to_owned(),
            });
        }
        if envelope.eight_bit && !self.capabilities.eight_bit_mime {
            let reason = "the server takes no 8-bit messages (no 8BITMIME)".to_owned();
            return Err(Error::Unsupported { reason });
        }
        if let Some(Some(bytes_max)) = self.capabilities.size
            && envelope.size_bytes > bytes_max
        {
            let bytes = envelope.size_bytes;
            let reason = format!("the message has {bytes} bytes; the server takes {bytes_max}");
            return Err(Error::Unsupported { reason });
        }
        Ok(())
    }

    fn mail(&self, envelope: &Envelope) -> String {
        let size = self.capabilities.size.map(|_| envelope.size_bytes);
        command::mail(
            &envelope.reverse_path,
            size,
            (envelope.eight_bit, envelope.smtp_utf8),
        )
    }

    /// MAIL, each RCPT and DATA in one go, then their answers in turn (RFC 2920).
    async fn envelope_pipelined(
        &mut self,
        envelope: &Envelope,
    ) -> Result<(Vec<RecipientReply>, Option<Reply>), Error> {
        let mut commands = self.mail(envelope);
        for path in &envelope.forward_paths {
            commands.push_str(&command::rcpt(path));
        }
        commands.push_str("DATA\r\n");
        self.wire
            .write(commands.as_bytes(), "MAIL", self.deadlines.command)
            .await?;
        let mail = self.wire.reply("MAIL", self.deadlines.command).await?;
        let mut recipients = vec![];
        for path in &envelope.forward_paths {
            let reply = self.wire.reply("RCPT", self.deadlines.command).await?;
            still_there("RCPT", &reply)?;
            recipients.push(RecipientReply {
                address: path.clone(),
                reply,
            });
        }
        let data = self.wire.reply("DATA", self.deadlines.data).await?;
        // What follows a refused MAIL is refused as well, whatever the server says of it. A server
        // that goes on to 354 all the same is left waiting: the connection is not used again.
        accepted("MAIL", mail)?;
        Ok((recipients, Some(data)))
    }

    async fn envelope_in_turn(
        &mut self,
        envelope: &Envelope,
    ) -> Result<(Vec<RecipientReply>, Option<Reply>), Error> {
        let mail = self.mail(envelope);
        let mail = self.command("MAIL", &mail).await?;
        if !mail.is_success() {
            self.reset().await?;
            return Err(Error::Reply {
                command: "MAIL",
                reply: mail,
            });
        }
        let mut recipients = vec![];
        for path in &envelope.forward_paths {
            let reply = self.command("RCPT", &command::rcpt(path)).await?;
            still_there("RCPT", &reply)?;
            recipients.push(RecipientReply {
                address: path.clone(),
                reply,
            });
        }
        if !recipients
            .iter()
            .any(|recipient| recipient.reply.is_success())
        {
            return Ok((recipients, None));
        }
        self.wire
            .write(b"DATA\r\n", "DATA", self.deadlines.command)
            .await?;
        let data = self.wire.reply("DATA", self.deadlines.data).await?;
        Ok((recipients, Some(data)))
    }

    async fn data<S, D>(&mut self, source: &mut S, before_dot: D) -> Result<Reply, Error>
    where
        S: MessageSource,
        D: AsyncFnOnce() -> Result<(), String>,
    {
        let abandoned = |reason: String| Error::Abandoned { reason };
        let mut stuffer = DotStuffer::default();
        let mut block = vec![];
        loop {
            let piece = source
                .next()
                .await
                .map_err(|error| abandoned(error.to_string()))?;
            let Some(piece) = piece else {
                break;
            };
            for piece in piece.chunks(BLOCK_BYTES) {
                stuffer.push(piece, &mut block);
                if block.len() >= BLOCK_BYTES {
                    self.wire
                        .write(&block, "the message", self.deadlines.block)
                        .await?;
                    block.clear();
                }
            }
        }
        stuffer.finish(&mut block);
        self.wire
            .write(&block, "the message", self.deadlines.block)
            .await?;
        before_dot().await.map_err(abandoned)?;
        let doubt = |error: Error| Error::InDoubt {
            reason: reason(&error),
        };
        self.wire
            .write(b".\r\n", "end of data", self.deadlines.block)
            .await
            .map_err(doubt)?;
        let reply = self
            .wire
            .reply("end of data", self.deadlines.dot)
            .await
            .map_err(doubt)?;
        match reply.code {
            200..=299 | 400..=599 => Ok(reply),
            _ => Err(Error::InDoubt {
                reason: format!("the server answered {reply}"),
            }),
        }
    }

    /// Takes the connection back to a known-idle point.
    async fn reset(&mut self) -> Result<(), Error> {
        // A server that is going away need not answer this; the transaction has its answers.
        let reply = match self
            .wire
            .write(b"RSET\r\n", "RSET", self.deadlines.courtesy)
            .await
        {
            Ok(()) => self.wire.reply("RSET", self.deadlines.courtesy).await,
            Err(error) => Err(error),
        };
        self.idle = reply.is_ok_and(|reply| reply.is_success());
        Ok(())
    }

    async fn command(&mut self, name: &'static str, line: &str) -> Result<Reply, Error> {
        self.wire
            .write(line.as_bytes(), name, self.deadlines.command)
            .await?;
        let reply = self.wire.reply(name, self.deadlines.command).await?;
        still_there(name, &reply)?;
        Ok(reply)
    }
}

/// 421 can come at any time, and ends the connection (RFC 5321 §3.8).
fn still_there(command: &'static str, reply: &Reply) -> Result<(), Error> {
    if reply.code == 421 {
        return Err(Error::Reply {
            command,
            reply: reply.clone(),
        });
    }
    Ok(())
}

fn accepted(command: &'static str, reply: Reply) -> Result<Reply, Error> {
    if reply.is_success() {
        Ok(reply)
    } else {
        Err(Error::Reply { command, reply })
    }
}

/// The error with its causes on one line.
fn reason(error: &Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
