//! A connection to a submission server: opening, logging in, one transaction after another.
//!
//! A connection is reused only if the server certainly waits for a command: after a complete answer
//! to the end of data, or to RSET. An error or a dropped future leaves it unusable.

use crate::command;
use crate::error::Error;
use crate::extensions::Extensions;
use crate::reply::Reply;
use crate::wire::SmtpWire;
use postroom_net::Credentials;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Secret;
use postroom_net::Security;
use postroom_net::sasl;
use secrecy::ExposeSecret;
use secrecy::SecretString;
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
}

impl Default for SmtpOptions {
    fn default() -> Self {
        Self { ehlo_name: "localhost".to_owned(), deadlines: SmtpDeadlines::default() }
    }
}

/// A connection.
#[derive(Debug)]
pub struct SmtpConnection {
    pub(crate) wire: SmtpWire,
    pub(crate) extensions: Extensions,
    pub(crate) deadlines: SmtpDeadlines,
    pub(crate) idle: bool,
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
            idle: false,
        };
        // A server that expects TLS from the first byte sends no greeting in clear text.
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
            reply = self.command("EHLO", &format!("EHLO {name}\r\n")).await?;
        }
        if reply.is_success() {
            self.extensions = Extensions::from_reply(&reply);
            return Ok(());
        }
        self.extensions = Extensions::default();
        let reply = self.command("HELO", &format!("HELO {name}\r\n")).await?;
        accepted("HELO", reply).map(drop)
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

    /// Logs in. A password goes by PLAIN or LOGIN, whichever the server offers and accepts. An
    /// access token goes by XOAUTH2.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`] if the server refuses them. No error shows them.
    pub async fn login(&mut self, credentials: &Credentials) -> Result<(), Error> {
        self.idle = false;
        let known: &[_] = match &credentials.secret {
            Secret::OAuth2(_) => &["XOAUTH2"],
            Secret::Password(_) => &["PLAIN", "LOGIN"],
        };
        let mut last = Error::Unsupported { reason: no_mechanism(&self.extensions) };
        for mechanism in known {
            if !self.extensions.offers(mechanism) {
                continue;
            }
            let reply = match self.authenticate(mechanism, credentials).await {
                Ok(reply) if reply.is_success() => {
                    self.idle = true;
                    return Ok(());
                }
                Ok(reply) => without_secret(reply, credentials),
                Err(Error::Reply { command, reply }) => {
                    return Err(Error::Reply {
                        command,
                        reply: without_secret(reply, credentials),
                    });
                }
                Err(Error::Protocol { reason }) if credentials.is_echoed_in(&reason) => {
                    return Err(Error::Protocol { reason: "(not shown)".to_owned() });
                }
                Err(error) => return Err(error),
            };
            // The server refuses the mechanism after all, or says that it is too weak for this
            // login (RFC 4954 §6).
            let try_another = matches!(reply.code, 504 | 534);
            last = Error::Credentials { reply };
            if !try_another {
                break;
            }
        }
        Err(last)
    }

    async fn authenticate(
        &mut self,
        mechanism: &str,
        credentials: &Credentials,
    ) -> Result<Reply, Error> {
        let nothing = SecretString::default();
        let (initial, answers) = match mechanism {
            "LOGIN" => {
                let answers = [sasl::login_name(credentials), sasl::login_password(credentials)];
                (nothing, answers.to_vec())
            }
            // XOAUTH2 says what is wrong in a challenge, and expects an empty answer to it.
            "XOAUTH2" => (sasl::xoauth2(credentials), vec![nothing]),
            // A server that ignores the initial response asks for it again.
            _ => (sasl::plain(credentials), vec![sasl::plain(credentials)]),
        };
        let blank = if initial.expose_secret().is_empty() { "" } else { " " };
        let begin = secret_line(&["AUTH ", mechanism, blank, initial.expose_secret()]);
        let mut reply = self.command("AUTH", begin.expose_secret()).await?;
        for answer in answers {
            if reply.code != 334 {
                break;
            }
            let line = secret_line(&[answer.expose_secret()]);
            reply = self.command("AUTH", line.expose_secret()).await?;
        }
        Ok(reply)
    }

    /// Whether another transaction may use this connection.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.idle && !self.wire.has_unread() && !self.wire.is_out_of_step()
    }

    /// From now on, sends each command only after the answer to the one before, even if the server
    /// offers PIPELINING, because its answers did not match the commands.
    pub fn in_turn(&mut self) {
        self.extensions.pipelining = false;
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

    /// Sends QUIT. Whether it is answered does not matter.
    pub async fn quit(mut self) {
        if self.is_reusable() {
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

/// A line with a secret in it: its memory is overwritten when it is dropped.
fn secret_line(parts: &[&str]) -> SecretString {
    let octets = parts.iter().map(|part| part.len()).sum::<usize>() + 2;
    let mut line = String::with_capacity(octets);
    line.extend(parts.iter().chain(&["\r\n"]).copied());
    SecretString::from(line)
}

/// The reply without secrets, because some servers echo the command that they refuse.
fn without_secret(mut reply: Reply, credentials: &Credentials) -> Reply {
    if credentials.is_echoed_in(&reply.lines.concat()) {
        reply.lines = vec!["(not shown)".to_owned()];
    }
    reply
}

/// What to tell a person if the server offers no way to log in.
fn no_mechanism(extensions: &Extensions) -> String {
    if extensions.offers_auth() {
        let known = extensions.auth.join(", ");
        return format!(
            "the server offers only ways to log in that Postroom does not support: \
                        {known}"
        );
    }
    "the account has a login for sending, but the server offers none (no AUTH): check smtpPort and \
     smtpSecurity; for a server without logins, remove smtpLogin and smtpPassword"
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
