//! The points of the dialogues where a rule can act.

/// A point of an IMAP or SMTP dialogue.
///
/// The order in a connection: `Connect`, `Tls` (implicit TLS), `Greeting`, then for each command
/// `Command` and, in IMAP, `Done`; `Tls` again after the positive reply to STARTTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// An IMAP client has connected; nothing is sent yet, not even in a TLS handshake.
    ImapConnect,
    /// Right before the TLS handshake of an IMAP connection: the first byte of it is not read.
    ImapTls,
    /// Right before the IMAP greeting.
    ImapGreeting,
    /// Right before the `+` that lets the client send a synchronizing literal.
    ImapContinue,
    /// An IMAP command (with or without `UID`) has been read, but not carried out.
    ImapCommand(ImapCommand),
    /// An IMAP command has been carried out and its untagged responses are sent. The tagged
    /// response is not sent yet.
    ImapDone(ImapCommand),
    /// Right before the FETCH response for the message with this UID; `None`: for each message.
    ImapMessage(Option<u32>),
    /// An SMTP client has connected; nothing is sent yet, not even in a TLS handshake.
    SmtpConnect,
    /// Right before the TLS handshake of an SMTP connection.
    SmtpTls,
    /// Right before the SMTP greeting.
    SmtpGreeting,
    /// An SMTP command has been read, but not carried out.
    SmtpCommand(SmtpCommand),
    /// At least this many bytes of the message have come after DATA.
    SmtpContent(u64),
    /// The dot has arrived. The message is not accepted yet.
    SmtpDot,
    /// The message is accepted, recorded and delivered. The client does not know yet.
    SmtpAccepted,
}

/// The IMAP commands, each with and without `UID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 3501 §6 and its extensions")]
pub enum ImapCommand {
    Capability,
    Noop,
    Logout,
    Id,
    Namespace,
    StartTls,
    Login,
    Authenticate,
    List,
    Lsub,
    Subscribe,
    Unsubscribe,
    Create,
    Delete,
    Rename,
    Select,
    Examine,
    Unselect,
    Close,
    Check,
    Status,
    Append,
    Search,
    Fetch,
    Store,
    Expunge,
    Copy,
    Move,
    Idle,
    /// Any other word.
    Unknown,
}

impl ImapCommand {
    /// The command of a name in upper case, without `UID`.
    pub fn named(name: &str) -> Self {
        match name {
            "CAPABILITY" => Self::Capability,
            "NOOP" => Self::Noop,
            "LOGOUT" => Self::Logout,
            "ID" => Self::Id,
            "NAMESPACE" => Self::Namespace,
            "STARTTLS" => Self::StartTls,
            "LOGIN" => Self::Login,
            "AUTHENTICATE" => Self::Authenticate,
            "LIST" => Self::List,
            "LSUB" => Self::Lsub,
            "SUBSCRIBE" => Self::Subscribe,
            "UNSUBSCRIBE" => Self::Unsubscribe,
            "CREATE" => Self::Create,
            "DELETE" => Self::Delete,
            "RENAME" => Self::Rename,
            "SELECT" => Self::Select,
            "EXAMINE" => Self::Examine,
            "UNSELECT" => Self::Unselect,
            "CLOSE" => Self::Close,
            "CHECK" => Self::Check,
            "STATUS" => Self::Status,
            "APPEND" => Self::Append,
            "SEARCH" => Self::Search,
            "FETCH" => Self::Fetch,
            "STORE" => Self::Store,
            "EXPUNGE" => Self::Expunge,
            "COPY" => Self::Copy,
            "MOVE" => Self::Move,
            "IDLE" => Self::Idle,
            _ => Self::Unknown,
        }
    }
}

/// The SMTP commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 5321 §4.1 and its extensions")]
pub enum SmtpCommand {
    Ehlo,
    Helo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    /// Any other word.
    Unknown,
}

impl SmtpCommand {
    /// The command of a verb in upper case.
    pub fn named(verb: &str) -> Self {
        match verb {
            "EHLO" => Self::Ehlo,
            "HELO" => Self::Helo,
            "STARTTLS" => Self::StartTls,
            "AUTH" => Self::Auth,
            "MAIL" => Self::Mail,
            "RCPT" => Self::Rcpt,
            "DATA" => Self::Data,
            "RSET" => Self::Rset,
            "NOOP" => Self::Noop,
            "VRFY" => Self::Vrfy,
            "HELP" => Self::Help,
            "QUIT" => Self::Quit,
            _ => Self::Unknown,
        }
    }
}

/// An event of a dialogue, which is compared with the points of the rules.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Occasion {
    /// Exactly this point.
    At(Point),
    /// The message with this UID is about to be sent.
    Message(u32),
    /// The count of message bytes after DATA has grown `from` .. `to`.
    Content {
        /// The count before.
        from: u64,
        /// The count now.
        to: u64,
    },
}

impl Occasion {
    /// Whether `point` is reached at this moment.
    pub(crate) fn is_at(self, point: Point) -> bool {
        match (self, point) {
            (Self::At(here), point) => here == point,
            (Self::Message(uid), Point::ImapMessage(wanted)) => {
                wanted.is_none_or(|wanted| wanted == uid)
            }
            (Self::Content { from, to }, Point::SmtpContent(count)) => from < count && count <= to,
            (Self::Message(_) | Self::Content { .. }, _) => false,
        }
    }
}
