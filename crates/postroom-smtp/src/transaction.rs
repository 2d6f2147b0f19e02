//! A transaction: one message to some recipients over an open connection.
//!
//! MAIL, each RCPT and DATA go out together where the server offers PIPELINING. The final dot goes
//! out only after the caller's word; from then on, and only then, a lost connection is in doubt.

use crate::command;
use crate::connection::Connection;
use crate::connection::accepted;
use crate::connection::still_there;
use crate::dot::DotStuffer;
use crate::error::Error;
use crate::reply::Reply;
use bytes::Bytes;
use std::io;

/// How many bytes of data are written at once.
const BLOCK_BYTES: usize = 64 * 1024;

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

impl Connection {
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
            return Err(Error::Protocol { reason: "the connection is not idle" });
        }
        self.idle = false;
        let (recipients, data) = if self.capabilities.pipelining {
            self.envelope_pipelined(envelope).await?
        } else {
            self.envelope_in_turn(envelope).await?
        };
        let any = recipients.iter().any(|recipient| recipient.reply.is_success());
        match (any, data) {
            (true, Some(data)) if data.code == 354 => {
                let reply = self.data(source, before_dot).await?;
                self.idle = reply.code != 421;
                Ok(Outcome { recipients, data: Some(reply) })
            }
            (true, Some(data)) => {
                self.reset().await?;
                Ok(Outcome { recipients, data: Some(data) })
            }
            (false, Some(data)) if data.code == 354 => {
                // Nobody was accepted, but the server waits for data: an empty message to no one
                // (RFC 2920 §3.1).
                self.wire.write(b".\r\n", "end of data", self.deadlines.block).await?;
                self.wire.reply("end of data", self.deadlines.dot).await?;
                self.reset().await?;
                Ok(Outcome { recipients, data: None })
            }
            (_, _) => {
                self.reset().await?;
                Ok(Outcome { recipients, data: None })
            }
        }
    }

    /// Refuses what the server cannot take, or must not be given.
    fn check(&self, envelope: &Envelope) -> Result<(), Error> {
        let paths = envelope.forward_paths.iter().chain([&envelope.reverse_path]);
        for path in paths {
            if let Some(problem) = command::problem(path) {
                return Err(Error::Unsupported { reason: format!("an address {problem}") });
            }
            if !path.is_ascii() && !self.capabilities.smtp_utf8 {
                let reason = format!("the server takes no addresses like {path} (no SMTPUTF8)");
                return Err(Error::Unsupported { reason });
            }
        }
        if envelope.smtp_utf8 && !self.capabilities.smtp_utf8 {
            let reason = "the server takes no messages with such addresses (no SMTPUTF8)";
            return Err(Error::Unsupported { reason: reason.to_owned() });
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
        command::mail(&envelope.reverse_path, size, (envelope.eight_bit, envelope.smtp_utf8))
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
        self.wire.write(commands.as_bytes(), "MAIL", self.deadlines.command).await?;
        let mail = self.wire.reply("MAIL", self.deadlines.command).await?;
        let mut recipients = vec![];
        for path in &envelope.forward_paths {
            let reply = self.wire.reply("RCPT", self.deadlines.command).await?;
            still_there("RCPT", &reply)?;
            recipients.push(RecipientReply { address: path.clone(), reply });
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
            return Err(Error::Reply { command: "MAIL", reply: mail });
        }
        let mut recipients = vec![];
        for path in &envelope.forward_paths {
            let reply = self.command("RCPT", &command::rcpt(path)).await?;
            still_there("RCPT", &reply)?;
            recipients.push(RecipientReply { address: path.clone(), reply });
        }
        if !recipients.iter().any(|recipient| recipient.reply.is_success()) {
            return Ok((recipients, None));
        }
        self.wire.write(b"DATA\r\n", "DATA", self.deadlines.command).await?;
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
            let piece = source.next().await.map_err(|error| abandoned(error.to_string()))?;
            let Some(piece) = piece else {
                break;
            };
            for piece in piece.chunks(BLOCK_BYTES) {
                stuffer.push(piece, &mut block);
                if block.len() >= BLOCK_BYTES {
                    self.wire.write(&block, "the message", self.deadlines.block).await?;
                    block.clear();
                }
            }
        }
        stuffer.finish(&mut block);
        self.wire.write(&block, "the message", self.deadlines.block).await?;
        before_dot().await.map_err(abandoned)?;
        let doubt = |error: Error| Error::InDoubt { reason: reason(&error) };
        self.wire.write(b".\r\n", "end of data", self.deadlines.block).await.map_err(doubt)?;
        let reply = self.wire.reply("end of data", self.deadlines.dot).await.map_err(doubt)?;
        match reply.code {
            200..=299 | 400..=599 => Ok(reply),
            _ => Err(Error::InDoubt { reason: format!("the server answered {reply}") }),
        }
    }

    /// Takes the connection back to a known-idle point.
    async fn reset(&mut self) -> Result<(), Error> {
        // A server that is going away need not answer this; the transaction has its answers.
        let reply = match self.wire.write(b"RSET\r\n", "RSET", self.deadlines.courtesy).await {
            Ok(()) => self.wire.reply("RSET", self.deadlines.courtesy).await,
            Err(error) => Err(error),
        };
        self.idle = reply.is_ok_and(|reply| reply.is_success());
        Ok(())
    }
}

/// The error with its causes on one line.
fn reason(error: &Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
