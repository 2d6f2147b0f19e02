//! Why the server did not take the message.

use crate::login_refusal::LoginRefusal;
use crate::reply::Reply;
use postroom_net::cause;
use std::io;

/// Why something did not work. The variants exist for people. Code asks the methods below. Where it
/// matches a variant, it is about what to do, never about the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] postroom_net::Error),
    /// The server answered a command with a 4yz or 5yz reply.
    #[error("the server answered {command} with {reply}")]
    Reply {
        /// The command, without its arguments.
        command: &'static str,
        /// What it answered.
        reply: Reply,
    },
    /// The server refuses this login, or demands one.
    #[error("{}: {reply}", .reply.login_refusal().advice())]
    Credentials {
        /// To which command.
        command: &'static str,
        /// What it answered.
        reply: Reply,
    },
    /// We broke the login off.
    #[error(transparent)]
    Login(postroom_net::SaslError),
    /// The server cannot do what is needed.
    #[error("{reason}")]
    Unsupported {
        /// What, and what to do.
        reason: String,
    },
    /// The server sent something that is not SMTP.
    #[error("the server broke the SMTP protocol: {reason}")]
    Protocol {
        /// What it said.
        reason: String,
    },
    /// The connection broke before the final dot: the server does not have the message.
    #[error("the connection was lost during {command}")]
    Lost {
        /// What was going on.
        command: &'static str,
        /// How it broke.
        source: io::Error,
    },
    /// The server did not answer in time, before the final dot.
    #[error("the server did not answer {command} in time")]
    Timeout {
        /// What was going on.
        command: &'static str,
    },
    /// The message was withdrawn, or could not be read, before the final dot.
    #[error("the message was not finished: {reason}")]
    Abandoned {
        /// Why.
        reason: String,
    },
    /// There was no answer to the final dot: the server may have the message (RFC 1047).
    #[error("no clear answer came to the end of the message: {reason}")]
    OutcomeUnknown {
        /// How it ended.
        reason: String,
    },
}

/// What an error means for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpVerdict {
    /// It may be accepted later.
    Postpone,
    /// It will never be accepted.
    Refuse,
    /// The login must be corrected first. The message is not at fault.
    Credentials,
    /// The server may have it.
    OutcomeUnknown,
}

impl Error {
    /// What the error means for the message. A 5yz reply is permanent and every other error is
    /// temporary (RFC 5321 §4.2.1). There are two exceptions: a refused login, and a missing answer
    /// to the final dot.
    #[must_use]
    pub fn verdict(&self) -> SmtpVerdict {
        match self {
            Self::Reply { reply, .. } if reply.is_permanent() => SmtpVerdict::Refuse,
            Self::Unsupported { .. } => SmtpVerdict::Refuse,
            Self::Credentials { reply, .. } if !Self::passes(reply) => SmtpVerdict::Credentials,
            Self::Login(_) => SmtpVerdict::Credentials,
            Self::Connect(_)
            | Self::Reply { .. }
            | Self::Credentials { .. }
            | Self::Protocol { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::Abandoned { .. } => SmtpVerdict::Postpone,
            Self::OutcomeUnknown { .. } => SmtpVerdict::OutcomeUnknown,
        }
    }

    /// Whether a refused login may be accepted soon.
    fn passes(reply: &Reply) -> bool {
        match reply.login_refusal() {
            LoginRefusal::Limit | LoginRefusal::Unavailable => true,
            LoginRefusal::Password
            | LoginRefusal::Encryption
            | LoginRefusal::Policy
            | LoginRefusal::Command
            | LoginRefusal::Missing => false,
        }
    }

    /// The text with that of its cause.
    pub(crate) fn with_cause(&self) -> String {
        let source = std::error::Error::source(self);
        source.map_or_else(|| self.to_string(), |source| format!("{self}: {}", cause(source)))
    }

    /// Whether it is about the server or the account, so that other messages would fail too. A
    /// reply to a message that demands a login does not count, because it may be about that message
    /// alone.
    #[must_use]
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Protocol { .. } | Self::Lost { .. } | Self::Timeout { .. } => {
                true
            }
            Self::Reply { reply, .. } => reply.code == 421,
            Self::Credentials { .. }
            | Self::Login(_)
            | Self::Unsupported { .. }
            | Self::Abandoned { .. }
            | Self::OutcomeUnknown { .. } => false,
        }
    }

    /// The server's reply, if a reply is the reason.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Reply { reply, .. } | Self::Credentials { reply, .. } => Some(reply),
            Self::Connect(_)
            | Self::Login(_)
            | Self::Protocol { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::Unsupported { .. }
            | Self::Abandoned { .. }
            | Self::OutcomeUnknown { .. } => None,
        }
    }

    /// Whether a new session may do what failed on one that was idle: the connection had ended, or
    /// a late reply had put its answers out of step, or MAIL was refused, as by a server that has
    /// forgotten the session, or takes one message in each.
    #[must_use]
    pub fn may_be_of_session(&self) -> bool {
        let is_of_idle =
            matches!(self, Self::Protocol { .. } | Self::Reply { command: "MAIL", .. });
        self.was_stale() || is_of_idle
    }

    /// The reply, if it says that the account has reached a sending limit. A hint suffices where
    /// no recipient and no text was named yet.
    #[must_use]
    pub fn limit(&self) -> Option<&Reply> {
        let is_login = matches!(self, Self::Credentials { .. });
        let is_limit =
            |it: &&Reply| it.is_over_limit() || (!self.is_of_the_message() && it.hints_at_limit());
        self.reply().filter(|it| !is_login && is_limit(it))
    }

    /// The reply, if it may be about the account, and may be about its message alone.
    #[must_use]
    pub fn hint(&self) -> Option<&Reply> {
        self.reply().filter(|it| self.is_of_the_message() && it.hints_at_limit())
    }

    /// The reply, if it refuses the sender for good, and no recipient and no text was named yet.
    #[must_use]
    pub fn sender_refusal(&self) -> Option<&Reply> {
        let is_mail = matches!(self, Self::Reply { command: "MAIL", .. });
        self.reply().filter(|reply| is_mail && reply.refuses_sender())
    }

    /// The reply, if it refuses MAIL for good in words that may be about the account.
    #[must_use]
    pub fn refusal_of_mail(&self) -> Option<&Reply> {
        let is_mail = matches!(self, Self::Reply { command: "MAIL", .. });
        self.reply().filter(|it| is_mail && it.is_permanent() && !it.is_of_parameters())
    }

    /// Whether a recipient or the text of a message was refused.
    fn is_of_the_message(&self) -> bool {
        matches!(self, Self::Reply { command: "RCPT" | "DATA", .. })
    }

    /// Whether a login, or its protection, is demanded in answer to a recipient or a text. Then it
    /// may be for these alone.
    #[must_use]
    pub fn is_login_for_the_message(&self) -> bool {
        matches!(self, Self::Credentials { command: "RCPT" | "the message", .. })
    }

    /// Whether the replies may no longer match the commands that were sent together.
    #[must_use]
    pub fn is_out_of_step(&self) -> bool {
        match self {
            Self::Protocol { .. } => true,
            Self::Timeout { command } => matches!(*command, "MAIL" | "RCPT" | "DATA"),
            Self::Reply { .. }
            | Self::Connect(_)
            | Self::Credentials { .. }
            | Self::Login(_)
            | Self::Lost { .. }
            | Self::Unsupported { .. }
            | Self::Abandoned { .. }
            | Self::OutcomeUnknown { .. } => false,
        }
    }

    /// The command at which the server ended the session, or fell silent.
    fn ended_at(&self) -> Option<&'static str> {
        match self {
            Self::Lost { command, .. } | Self::Timeout { command } => Some(command),
            Self::Reply { command, reply } => (reply.code == 421).then_some(command),
            Self::Connect(_)
            | Self::Credentials { .. }
            | Self::Login(_)
            | Self::Protocol { .. }
            | Self::Unsupported { .. }
            | Self::Abandoned { .. }
            | Self::OutcomeUnknown { .. } => None,
        }
    }

    /// Whether it is about the login: the server refused it, also for now, or ended the session or
    /// fell silent in answer to it.
    #[must_use]
    pub fn is_of_login(&self) -> bool {
        matches!(self, Self::Credentials { .. } | Self::Login(_)) || self.ended_at_login()
    }

    /// Whether the connection ended, or the server fell silent, in answer to AUTH.
    #[must_use]
    pub(crate) fn ended_at_login(&self) -> bool {
        self.ended_at() == Some("AUTH")
    }

    /// Whether the server ended the session, or fell silent, while recipients were named to it.
    #[must_use]
    pub fn ended_at_recipients(&self) -> bool {
        matches!(self.ended_at(), Some("RCPT" | "DATA"))
    }

    /// Whether the server ended the session, or fell silent, while it took the message. Then what
    /// it answered to recipients holds.
    #[must_use]
    pub fn ended_in_message(&self) -> bool {
        self.ended_at() == Some("the message")
    }

    /// Whether the connection ended before any data of the message was sent, as an idle connection
    /// does. Then the message may be tried on another connection at once.
    #[must_use]
    pub fn was_stale(&self) -> bool {
        let is_silent = matches!(self, Self::Timeout { .. });
        !is_silent && matches!(self.ended_at(), Some("MAIL" | "RCPT" | "DATA"))
    }
}
