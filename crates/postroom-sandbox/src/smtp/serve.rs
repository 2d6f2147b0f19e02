//! The dialogue from the first byte to the last.

use crate::peer::Flow;
use crate::peer::Peer;
use crate::script::Ending;
use crate::script::Point;
use crate::script::SmtpCommand;
use crate::smtp::argument;
use crate::smtp::content::is_positive;
use crate::smtp::reply::ServerReply;
use crate::smtp::session::SmtpDialogue;
use crate::transcript;
use crate::wire::ClientLine;
use std::io;

/// The longest command line. RFC 5321 §4.5.3.1.4 wants 512, its extensions more.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Serves one client until it leaves.
///
/// # Errors
///
/// The connection is lost, or ended by a rule.
pub(crate) async fn serve(mut peer: Peer, implicit_tls: bool) -> io::Result<()> {
    if let Flow::Instead(bytes, ending) = peer.at(Point::SmtpConnect, &[]).await? {
        peer.say(&bytes, ending).await?;
    }
    if implicit_tls {
        peer.start_tls(Point::SmtpTls).await?;
    }
    let greeting = b"220 sandbox.test ESMTP, nothing leaves this place\r\n";
    match peer.at(Point::SmtpGreeting, &[]).await? {
        Flow::Instead(bytes, ending) => peer.say(&bytes, ending).await?,
        Flow::Then(bytes) => {
            peer.wire.push(greeting);
            peer.wire.push(&bytes);
        }
        Flow::Go | Flow::Without(_) | Flow::Fault(_) => peer.wire.push(greeting),
    }
    SmtpDialogue::new(peer).run().await
}

impl SmtpDialogue {
    async fn run(mut self) -> io::Result<()> {
        let mut pipelined = false;
        loop {
            if self.peer.wire.input().is_empty() {
                self.peer.wire.flush().await?;
            }
            let line = match self.peer.wire.line(LINE_BYTES_MAX).await? {
                ClientLine::Text(line) => line,
                ClientLine::TooLong => {
                    self.peer.wire.push(b"500 5.5.6 line too long\r\n");
                    continue;
                }
            };
            let text = line_text(&line);
            let (verb, argument) = text.split_once(' ').unwrap_or((&text, ""));
            let verb = verb.to_ascii_uppercase();
            let command = SmtpCommand::named(&verb);
            self.record(command, &verb, &line, pipelined);
            let go_on = self.step(command, argument.trim()).await?;
            if !go_on {
                return self.peer.wire.close().await;
            }
            pipelined = !self.peer.wire.input().is_empty();
        }
    }

    fn record(&self, command: SmtpCommand, verb: &str, line: &[u8], pipelined: bool) {
        if command != SmtpCommand::Auth {
            return self.peer.record(verb, line, pipelined);
        }
        let text = line_text(line);
        let mut words = text.split_ascii_whitespace().skip(1);
        let mechanism = words.next().unwrap_or_default();
        let secret = if words.next().is_some() { " ***" } else { "" };
        self.peer.record(verb, format!("AUTH {mechanism}{secret}").as_bytes(), pipelined);
    }

    /// Carries out one command, as the rules demand. False: the dialogue is over.
    async fn step(&mut self, command: SmtpCommand, argument: &str) -> io::Result<bool> {
        let address = subject(command, argument);
        let addresses: Vec<&str> = address.as_deref().into_iter().collect();
        let (instead, behind) = match self.peer.at(Point::SmtpCommand(command), &addresses).await? {
            Flow::Instead(bytes, ending) => (Some((bytes, ending)), Vec::new()),
            Flow::Then(bytes) => (None, bytes),
            Flow::Go | Flow::Without(_) | Flow::Fault(_) => (None, Vec::new()),
        };
        if let Some((bytes, ending)) = &instead
            && !is_positive(bytes)
        {
            self.peer.say(bytes, *ending).await?;
            return Ok(true);
        }
        let reply = match command {
            SmtpCommand::Auth => self.auth(argument).await?,
            SmtpCommand::Ehlo
            | SmtpCommand::Helo
            | SmtpCommand::StartTls
            | SmtpCommand::Mail
            | SmtpCommand::Rcpt
            | SmtpCommand::Data
            | SmtpCommand::Rset
            | SmtpCommand::Noop
            | SmtpCommand::Vrfy
            | SmtpCommand::Help
            | SmtpCommand::Quit
            | SmtpCommand::Unknown => self.command(command, argument),
        };
        let done = is_positive(&reply.bytes(false));
        self.answer(instead, &reply, behind).await?;
        if done { self.follow(command).await } else { Ok(true) }
    }

    async fn answer(
        &mut self,
        instead: Option<(Vec<u8>, Option<Ending>)>,
        reply: &ServerReply,
        behind: Vec<u8>,
    ) -> io::Result<()> {
        match instead {
            Some((bytes, ending)) => self.peer.say(&bytes, ending).await,
            None => self.reply(reply, behind),
        }
    }

    /// Does what follows the positive reply. False: the dialogue is over.
    async fn follow(&mut self, command: SmtpCommand) -> io::Result<bool> {
        match command {
            SmtpCommand::Data => self.content().await?,
            SmtpCommand::StartTls => {
                self.peer.start_tls(Point::SmtpTls).await?;
                self.greeted = false;
                self.transaction = None;
            }
            SmtpCommand::Quit => return Ok(false),
            SmtpCommand::Ehlo
            | SmtpCommand::Helo
            | SmtpCommand::Auth
            | SmtpCommand::Mail
            | SmtpCommand::Rcpt
            | SmtpCommand::Rset
            | SmtpCommand::Noop
            | SmtpCommand::Vrfy
            | SmtpCommand::Help
            | SmtpCommand::Unknown => {}
        }
        Ok(true)
    }
}

/// The address that a command is about.
fn subject(command: SmtpCommand, argument: &str) -> Option<String> {
    match command {
        SmtpCommand::Mail => argument::path(argument, "FROM:").map(|path| path.address),
        SmtpCommand::Rcpt => argument::path(argument, "TO:").map(|path| path.address),
        SmtpCommand::Ehlo
        | SmtpCommand::Helo
        | SmtpCommand::StartTls
        | SmtpCommand::Auth
        | SmtpCommand::Data
        | SmtpCommand::Rset
        | SmtpCommand::Noop
        | SmtpCommand::Vrfy
        | SmtpCommand::Help
        | SmtpCommand::Quit
        | SmtpCommand::Unknown => None,
    }
}

/// The line as text. Addresses that are not UTF-8 are escaped and so match nobody.
fn line_text(line: &[u8]) -> String {
    transcript::shown(line)
}
