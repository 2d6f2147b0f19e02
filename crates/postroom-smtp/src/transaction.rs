//! A transaction: one message to some recipients over an open connection.
//!
//! MAIL, each RCPT and DATA are sent together if the server offers PIPELINING. The final dot is
//! sent only after the caller allows it, and only if nothing has arrived that could be mistaken for
//! the answer to it. From then on, and only then, a lost connection is an unknown outcome.

use crate::command;
use crate::command::MailParameters;
use crate::connection::SmtpConnection;
use crate::connection::still_there;
use crate::dot::DotStuffer;
use crate::envelope::Envelope;
use crate::error::Error;
use crate::replies::BrokenOff;
use crate::replies::RecipientReply;
use crate::replies::TransactionReplies;
use crate::replies::replies;
use crate::reply::Reply;
use bytes::Bytes;
use std::io;

/// How many bytes of data are written at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// How many RCPT go out before their answers are read.
const GROUP: usize = 100;

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

impl SmtpConnection {
    /// Sends one message. `before_dot` runs after all data and before the final dot. It is given
    /// the answers to each RCPT: only who was accepted may get the message. If it fails, the dot is
    /// not sent, and the server cannot have the message.
    ///
    /// # Errors
    ///
    /// See [`Error::verdict`]. The outcome is unknown only if there was no answer to the final dot.
    /// An end of the session, after which a recipient may still get the message, has the answers
    /// before it. So has an unknown outcome.
    pub async fn send<S, D>(
        &mut self,
        envelope: &Envelope,
        source: &mut S,
        before_dot: D,
    ) -> Result<TransactionReplies, BrokenOff>
    where
        S: MessageSource,
        D: AsyncFnOnce(&[RecipientReply]) -> Result<(), String>,
    {
        self.check(envelope)?;
        if !self.is_reusable() {
            let reason = "the connection is still in use".to_owned();
            return Err(Error::Protocol { reason }.into());
        }
        self.idle = false;
        self.mails = self.mails.saturating_add(1);
        // Whatever has arrived since the last answer, such as a 421, is not the answer to MAIL.
        if self.wire.has_arrived("MAIL").await? {
            let source = io::Error::other("the server sent a reply before it was asked");
            return Err(Error::Lost { command: "MAIL", source }.into());
        }
        let (mut recipients, paths_count) = (vec![], envelope.forward_paths.len());
        let answered = self.envelope(envelope, &mut recipients).await;
        let any = recipients.iter().any(|recipient| recipient.reply.is_success());
        let data = match answered {
            Ok(data) => data,
            // Nobody is left who could get the message, so the end of the session changes nothing.
            Err(error) if error.was_stale() && !any && recipients.len() == paths_count => {
                return replies(recipients, None);
            }
            Err(error) => return Err(BrokenOff { error, recipients }),
        };
        let data = match data {
            Some(go) if go.is_go_on() && any => {
                match self.data(source, async || before_dot(&recipients).await).await {
                    Ok(reply) => Some(reply),
                    Err(error) => return Err(BrokenOff { error, recipients }),
                }
            }
            Some(go) if go.is_go_on() => {
                self.end_for_nobody().await;
                None
            }
            Some(refusal) if refusal.code >= 400 => {
                let reply = self.reset().await;
                // If the answers are out of step, this is the refusal of something else.
                let is_in_step = |reply: &Reply| reply.is_success() || reply.code == 421;
                if let Some(reply) = reply.filter(|reply| !is_in_step(reply)) {
                    let reason =
                        format!("it answered DATA with `{refusal}`, and RSET with `{reply}`");
                    return Err(Error::Protocol { reason }.into());
                }
                any.then_some(refusal)
            }
            // The reply neither allows nor refuses the data, so the next reply could not be
            // assigned to a command.
            Some(other) => {
                let reason = format!("it answered DATA with `{other}`, not with 354");
                return Err(Error::Protocol { reason }.into());
            }
            None => {
                self.reset().await;
                None
            }
        };
        replies(recipients, data)
    }

    fn mail(&self, envelope: &Envelope) -> String {
        let parameters = MailParameters {
            size_bytes: self.extensions.size.map(|_| envelope.size_bytes),
            eight_bit: envelope.eight_bit,
            smtp_utf8: envelope.smtp_utf8,
        };
        command::mail(&envelope.reverse_path, parameters)
    }

    /// Sends the envelope, and adds the answers to each RCPT to `recipients`, also if an error
    /// follows. Gives the answer to DATA. `None`: it was not sent, because no recipient was
    /// accepted, or an answer contradicted itself.
    async fn envelope(
        &mut self,
        envelope: &Envelope,
        recipients: &mut Vec<RecipientReply>,
    ) -> Result<Option<Reply>, Error> {
        if !self.extensions.pipelining {
            return self.envelope_in_turn(envelope, recipients).await;
        }
        self.wire.set_pipelined(true);
        let data = self.envelope_pipelined(envelope, recipients).await;
        self.wire.set_pipelined(false);
        data.map(Some)
    }

    /// Sends MAIL, each RCPT and DATA together, and then reads their answers in order (RFC 2920).
    /// Many recipients go in groups, because otherwise both sides could block with full buffers
    /// (§3.1).
    async fn envelope_pipelined(
        &mut self,
        envelope: &Envelope,
        recipients: &mut Vec<RecipientReply>,
    ) -> Result<Reply, Error> {
        let mut commands = self.mail(envelope);
        let mut groups = envelope.forward_paths.chunks(GROUP).peekable();
        while let Some(group) = groups.next() {
            let mail_is_open = recipients.is_empty();
            commands.extend(group.iter().map(|path| command::rcpt(path)));
            let is_last = groups.peek().is_none();
            if is_last {
                commands.push_str("DATA\r\n");
            }
            self.wire.write(commands.as_bytes(), "MAIL", self.deadlines.command).await?;
            commands.clear();
            if mail_is_open {
                let mail = self.wire.reply("MAIL", self.deadlines.command).await?;
                still_there("MAIL", &mail)?;
                if !mail.is_success() {
                    self.drain(group.len() + usize::from(is_last)).await;
                    return Err(refused_mail(mail));
                }
            }
            for path in group {
                let reply = self.wire.reply("RCPT", self.deadlines.command).await?;
                still_there("RCPT", &reply)?;
                recipients.push(RecipientReply { address: path.clone(), reply });
            }
        }
        self.wire.last_of_group();
        let data = self.wire.reply("DATA", self.deadlines.data).await?;
        still_there("DATA", &data)?;
        Ok(data)
    }

    /// Reads the answers to the commands that were sent after a refused MAIL. If the server answers
    /// 354 all the same, no data follows. If it has closed the connection, its refusal still holds.
    async fn drain(&mut self, count: usize) {
        for _ in 0..count {
            match self.wire.reply("MAIL", self.deadlines.courtesy).await {
                Ok(reply) if reply.code >= 400 && reply.code != 421 => {}
                Ok(_) | Err(_) => return,
            }
        }
        self.reset().await;
    }

    async fn envelope_in_turn(
        &mut self,
        envelope: &Envelope,
        recipients: &mut Vec<RecipientReply>,
    ) -> Result<Option<Reply>, Error> {
        let mail = self.mail(envelope);
        let mail = self.command("MAIL", &mail).await?;
        if !mail.is_success() {
            self.reset().await;
            return Err(refused_mail(mail));
        }
        for path in &envelope.forward_paths {
            let reply = self.command("RCPT", &command::rcpt(path)).await?;
            recipients.push(RecipientReply { address: path.clone(), reply });
        }
        // Who was answered both yes and no must not get the message now and once more later. So
        // the others are named again without it.
        let is_unclear = recipients.iter().any(|recipient| recipient.reply.is_mixed);
        if is_unclear || !recipients.iter().any(|recipient| recipient.reply.is_success()) {
            return Ok(None);
        }
        self.wire.write(b"DATA\r\n", "DATA", self.deadlines.command).await?;
        let data = self.wire.reply("DATA", self.deadlines.data).await?;
        still_there("DATA", &data)?;
        Ok(Some(data))
    }

    async fn data<S, D>(&mut self, source: &mut S, before_dot: D) -> Result<Reply, Error>
    where
        S: MessageSource,
        D: AsyncFnOnce() -> Result<(), String>,
    {
        if let Err(error) = self.content(source).await {
            let broken = matches!(error, Error::Lost { .. } | Error::Timeout { .. });
            return if broken { self.early_refusal(error).await } else { Err(error) };
        }
        before_dot().await.map_err(|reason| Error::Abandoned { reason })?;
        // An answer that arrived before the dot is not the answer to the dot.
        if self.wire.has_arrived("the message").await? {
            let reason = "it answered the message before its end".to_owned();
            return self.early_refusal(Error::Protocol { reason }).await;
        }
        let unknown = |error: Error| Error::OutcomeUnknown { reason: error.with_cause() };
        let ended = self.wire.write(b".\r\n", "end of data", self.deadlines.block).await;
        if let Err(error) = ended {
            return self.early_refusal(unknown(error)).await;
        }
        let reply = self.wire.whole_reply("end of data", self.deadlines.dot).await;
        let reply = reply.map_err(unknown)?;
        if let Some(further) = self.further_refusal(&reply).await {
            let reason = format!("the server answered `{reply}`, and at once `{further}`");
            return Err(Error::OutcomeUnknown { reason });
        }
        // One part of such an answer accepts the message. Who believed the other would send twice,
        // or never.
        if reply.is_go_on() || reply.is_mixed || reply.is_of_another_command() {
            return Err(Error::OutcomeUnknown { reason: format!("the server answered `{reply}`") });
        }
        self.idle = reply.code != 421 && !self.wire.is_out_of_step();
        self.has_accepted |= reply.is_success();
        Ok(reply)
    }

    /// A refusal that came together with the acceptance of a message, as from a server that answers
    /// for each recipient. A server that says goodbye refuses nothing.
    async fn further_refusal(&mut self, reply: &Reply) -> Option<Reply> {
        if !reply.is_success() || !self.wire.has_unread_reply() {
            return None;
        }
        let further = self.wire.reply("end of data", self.deadlines.courtesy).await.ok()?;
        self.wire.lose_step();
        (further.code >= 400 && further.code != 421).then_some(further)
    }

    /// All of the message but its final dot.
    async fn content<S: MessageSource>(&mut self, source: &mut S) -> Result<(), Error> {
        let abandoned = |error: io::Error| Error::Abandoned { reason: error.to_string() };
        let mut stuffer = DotStuffer::default();
        let mut block = vec![];
        while let Some(piece) = source.next().await.map_err(abandoned)? {
            for piece in piece.chunks(BLOCK_BYTES) {
                stuffer.push(piece, &mut block);
                if block.len() >= BLOCK_BYTES {
                    self.wire.write(&block, "the message", self.deadlines.block).await?;
                    block.clear();
                }
            }
        }
        stuffer.finish(&mut block);
        self.wire.write(&block, "the message", self.deadlines.block).await
    }

    /// Reads the server's answer to a message that it has not received completely. Only a refusal
    /// counts.
    async fn early_refusal(&mut self, otherwise: Error) -> Result<Reply, Error> {
        match self.wire.reply("the message", self.deadlines.courtesy).await {
            Ok(reply) if reply.code >= 400 && !reply.is_mixed => Ok(reply),
            Ok(_) | Err(_) => Err(otherwise),
        }
    }

    /// No recipient was accepted, but the server waits for data. So it gets an empty message for
    /// nobody (RFC 2920 §3.1). Its answer changes nothing.
    async fn end_for_nobody(&mut self) {
        let ended = self.wire.write(b".\r\n", "end of data", self.deadlines.block).await;
        if ended.is_ok() && self.wire.reply("end of data", self.deadlines.dot).await.is_ok() {
            self.reset().await;
        }
    }

    /// Sends RSET, so that the connection can be used again. Gives the answer. A missing one does
    /// no harm, because the transaction already has its answers.
    async fn reset(&mut self) -> Option<Reply> {
        let reply = match self.wire.write(b"RSET\r\n", "RSET", self.deadlines.courtesy).await {
            Ok(()) => self.wire.reply("RSET", self.deadlines.courtesy).await,
            Err(error) => Err(error),
        };
        let reply = reply.ok();
        let is_success = reply.as_ref().is_some_and(Reply::is_success);
        self.idle = is_success && !self.wire.is_out_of_step();
        reply
    }
}

fn refused_mail(reply: Reply) -> Error {
    if reply.wants_login() {
        Error::Credentials { command: "MAIL", reply }
    } else {
        Error::Reply { command: "MAIL", reply }
    }
}
