//! From 354 to the reply to the dot.

use crate::peer::Flow;
use crate::script::Ending;
use crate::script::Occasion;
use crate::script::Point;
use crate::smtp::reply::ServerReply;
use crate::smtp::session::SmtpDialogue;
use crate::smtp::session::Transaction;
use crate::smtp::unstuff::Unstuffer;
use crate::state::AcceptedMail;
use std::io;

/// Bytes to send instead of the ordinary reply, and what follows them.
type Instead = (Vec<u8>, Option<Ending>);

impl SmtpDialogue {
    /// Reads the message and replies to its dot.
    ///
    /// # Errors
    ///
    /// The connection is lost, or ended by a rule.
    pub(crate) async fn content(&mut self) -> io::Result<()> {
        let early = !self.peer.wire.input().is_empty();
        self.peer.wire.flush().await?;
        let message = self.read_message().await?;
        self.peer.record(".", b".", early);
        let Some(transaction) = self.transaction.take() else {
            return Ok(());
        };
        let Some(message) = message else {
            return self.reply(&ServerReply::new(552, "5.3.4", "message too big"), Vec::new());
        };
        self.settle(transaction, message).await
    }

    /// The message; `None` if it was too big.
    async fn read_message(&mut self) -> io::Result<Option<Vec<u8>>> {
        let bytes_max = self.peer.house.message_bytes_max;
        let mut unstuffer = Unstuffer::default();
        let (mut message, mut too_big, mut count) = (Vec::new(), false, 0);
        loop {
            let (used, done) = unstuffer.push(self.peer.wire.input(), &mut message);
            self.peer.wire.used(used);
            too_big |= message.len() as u64 > bytes_max;
            if too_big {
                message.clear();
            }
            let moment = Occasion::Content { from: count, to: count + used as u64 };
            count += used as u64;
            match self.peer.reach(moment, &[]).await? {
                Flow::Instead(bytes, ending) => self.peer.say(&bytes, ending).await?,
                Flow::Then(bytes) => self.peer.wire.push(&bytes),
                Flow::Go | Flow::Without(_) | Flow::Fault(_) => {}
            }
            if done {
                return Ok((!too_big).then_some(message));
            }
            self.peer.wire.flush().await?;
            self.peer.wire.fill().await?;
        }
    }

    async fn settle(&mut self, transaction: Transaction, message: Vec<u8>) -> io::Result<()> {
        let (dot, mut behind) = self.ask(Point::SmtpDot, &transaction).await?;
        if let Some((bytes, ending)) = &dot
            && !is_positive(bytes)
        {
            return self.peer.say(bytes, *ending).await;
        }
        let addresses = Transaction { parameters: Vec::new(), ..transaction };
        let mail = AcceptedMail {
            connection: self.peer.id(),
            tls: self.peer.wire.is_tls(),
            login: self.peer.user.clone(),
            reverse_path: addresses.reverse_path.clone(),
            forward_paths: addresses.forward_paths.clone(),
            parameters: transaction.parameters,
            bytes: message.into(),
        };
        self.peer.house.shared.edit(|state| state.accept(mail));
        let (accepted, more) = self.ask(Point::SmtpAccepted, &addresses).await?;
        behind.extend(more);
        match accepted.or(dot) {
            Some((bytes, ending)) => self.peer.say(&bytes, ending).await,
            None => self.reply(&ServerReply::new(250, "2.0.0", "accepted"), behind),
        }
    }

    /// What the rules demand at a point after the message: another reply, or bytes after it.
    async fn ask(
        &mut self,
        point: Point,
        transaction: &Transaction,
    ) -> io::Result<(Option<Instead>, Vec<u8>)> {
        let reverse_path = std::iter::once(transaction.reverse_path.as_str());
        let forward_paths = transaction.forward_paths.iter().map(String::as_str);
        let addresses: Vec<&str> = reverse_path.chain(forward_paths).collect();
        Ok(match self.peer.at(point, &addresses).await? {
            Flow::Instead(bytes, ending) => (Some((bytes, ending)), Vec::new()),
            Flow::Then(bytes) => (None, bytes),
            Flow::Go | Flow::Without(_) | Flow::Fault(_) => (None, Vec::new()),
        })
    }

    /// Collects a reply and the bytes right after it.
    ///
    /// # Errors
    ///
    /// None; the result fits where others may fail.
    pub(crate) fn reply(&mut self, reply: &ServerReply, behind: Vec<u8>) -> io::Result<()> {
        let bytes = reply.bytes(self.offers("ENHANCEDSTATUSCODES"));
        self.peer.wire.push(&bytes);
        self.peer.wire.push(&behind);
        Ok(())
    }
}

/// Whether the bytes are a positive reply.
pub(crate) fn is_positive(reply: &[u8]) -> bool {
    matches!(reply.first(), Some(b'2' | b'3'))
}
