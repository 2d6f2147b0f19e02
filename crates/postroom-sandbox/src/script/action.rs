//! What a rule does at its point.

use std::time::Duration;

/// What happens at a point, instead of or in addition to what a good server does there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Exactly these bytes instead of the reply; `{tag}` in them stands for the command's tag.
    ///
    /// The command is not carried out. There are two exceptions. At [`crate::Point::ImapDone`] and
    /// [`crate::Point::SmtpAccepted`] it is done already, and only the (tagged) reply is replaced.
    /// In SMTP a reply that begins with `2` or `3` is given after carrying the command out.
    Reply(Vec<u8>),
    /// As `Reply`, and then the connection ends.
    ReplyThenEnd(Vec<u8>, Ending),
    /// These bytes, then the ordinary reply.
    Before(Vec<u8>),
    /// The ordinary reply, and these bytes after it in the same write. At STARTTLS this injects
    /// clear text before the handshake.
    After(Vec<u8>),
    /// The connection ends here. Earlier output is sent first.
    End(Ending),
    /// The ordinary reply, but the connection ends after this many bytes, counted from here.
    EndAfter {
        /// How many bytes are still sent.
        bytes: u64,
        /// How it then ends.
        ending: Ending,
    },
    /// Waits, then the ordinary reply.
    Delay(Duration),
    /// Waits until the rule is removed, then the ordinary reply. So a test can change things
    /// exactly at this point: wait until the rule has acted, make the change, remove the rule.
    Hold,
    /// From here on everything is sent in pieces of at most this many bytes, one at a time.
    Slow {
        /// The size of a piece; zero counts as one.
        bytes: usize,
        /// The pause after each.
        every: Duration,
    },
    /// Sends `first` once and `then` over and over, until the client hangs up.
    Endless {
        /// The beginning.
        first: Vec<u8>,
        /// What is repeated.
        then: Vec<u8>,
    },
    /// Leaves out the response code or the item of this name, such as `UIDNEXT`: in SELECT, EXAMINE
    /// and STATUS.
    Without(String),
    /// The FETCH response has a fault. For [`crate::Point::ImapMessage`].
    Message(MessageFault),
}

impl Action {
    /// Replies `text` under the command's tag: `tagged("NO [INUSE] try later")`.
    pub fn tagged(text: &str) -> Self {
        Self::Reply(format!("{{tag}} {text}\r\n").into_bytes())
    }

    /// Replies with this one line: `line("450 4.2.1 try later")`.
    pub fn line(text: &str) -> Self {
        Self::Reply(format!("{text}\r\n").into_bytes())
    }

    /// Says this one line and closes: `farewell("* BYE shutting down")`.
    pub fn farewell(text: &str) -> Self {
        Self::ReplyThenEnd(format!("{text}\r\n").into_bytes(), Ending::Close)
    }

    /// A line that begins with `start` and has no end.
    pub fn endless_line(start: &str) -> Self {
        Self::Endless { first: start.into(), then: vec![b'x'; 8192] }
    }

    /// The same line over and over: `endless_lines("* 1 EXISTS")` or `endless_lines("250-more")`.
    pub fn endless_lines(line: &str) -> Self {
        let line = format!("{line}\r\n");
        let count = (8192 / line.len()).max(1);
        Self::Endless { first: Vec::new(), then: line.repeat(count).into_bytes() }
    }

    /// A FETCH response whose literal is announced with `announced_bytes` and has no end.
    pub fn endless_literal(announced_bytes: u64) -> Self {
        let first = format!("* 1 FETCH (BODY[] {{{announced_bytes}}}\r\n");
        Self::Endless { first: first.into_bytes(), then: vec![b'x'; 8192] }
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is closed without a farewell (TCP FIN, no TLS `close_notify`).
    Close,
    /// It is reset (TCP RST). The client may lose bytes that it has not read yet.
    Reset,
    /// It stays open, but nothing is read or written any more.
    Stall,
}

/// What is wrong with one FETCH response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageFault {
    /// There is no FETCH response, but the command is answered OK.
    Omit,
    /// There is no FETCH response, and the command is answered NO with these words at once: what
    /// comes after it is not sent.
    Refused(String),
    /// `BODY[] NIL`.
    BodyNil,
    /// The body is not among the items.
    BodyMissing,
    /// The body has these bytes. Everything else is that of the stored message.
    Body(Vec<u8>),
    /// The literal of the body is announced with this many bytes more (or fewer) than are sent.
    LiteralOffBy(i64),
    /// RFC822.SIZE is this many bytes off.
    SizeOffBy(i64),
    /// The UID is not among the items.
    UidMissing,
    /// The UID is another.
    Uid(u32),
    /// INTERNALDATE has exactly this value, with its quotes: `NIL`, `"00-Jan-0000 ..."`.
    InternalDate(String),
    /// FLAGS has exactly this value, with its parentheses.
    Flags(String),
}
