//! Why the server did not take the message.

use crate::meaning::LoginRefusal;
use crate::reply::Reply;
use std::io;

/// Why something did not work. The variants exist for people; code decides by [`Error::verdict`].
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
    /// The server does not take this login, or wants one.
    #[error("{}: {reply}", .reply.login_refusal().advice())]
    Credentials {
        /// What it answered.
        reply: Reply,
    },
    /// The server cannot do what is needed.
    #[error("{reason}")]
    Unsupported {
        /// What, and what to do.
        reason: String,
    },
    /// The server said something that is no SMTP.
    #[error("the server does not speak SMTP as it should: {reason}")]
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
    #[error("no clear answer to the end of the message: {reason}")]
    InDoubt {
        /// How it ended.
        reason: String,
    },
}

/// What an error means for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpVerdict {
    /// It may go later.
    Postpone,
    /// It will not go.
    Refuse,
    /// The login has to be mended first; no fault of the message.
    Credentials,
    /// The server may have it.
    InDoubt,
}

impl Error {
    /// Sorts the error: 5yz is permanent, all else may pass (RFC 5321 §4.2.1), but for a login that
    /// is not taken and an answer that is missing after the final dot.
    #[must_use]
    pub fn verdict(&self) -> SmtpVerdict {
        match self {
            Self::Reply { reply, .. } if reply.is_permanent() => SmtpVerdict::Refuse,
            Self::Unsupported { .. } => SmtpVerdict::Refuse,
            Self::Credentials { reply } if !Self::passes(reply) => SmtpVerdict::Credentials,
            Self::Connect(_)
            | Self::Reply { .. }
            | Self::Credentials { .. }
            | Self::Protocol { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::Abandoned { .. } => SmtpVerdict::Postpone,
            Self::InDoubt { .. } => SmtpVerdict::InDoubt,
        }
    }

    /// Whether the refusal of a login may be another one soon.
    fn passes(reply: &Reply) -> bool {
        match reply.login_refusal() {
            LoginRefusal::Limit | LoginRefusal::Unavailable => true,
            LoginRefusal::Password
            | LoginRefusal::Encryption
            | LoginRefusal::Policy
            | LoginRefusal::Missing => false,
        }
    }

    /// Whether it has to do with the server or the account, so that other messages would fare no
    /// better just now. A login that a message wants may be wanted for that message alone.
    #[must_use]
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Protocol { .. } | Self::Lost { .. } | Self::Timeout { .. } => {
                true
            }
            Self::Reply { reply, .. } => reply.code == 421,
            Self::Credentials { .. }
            | Self::Unsupported { .. }
            | Self::Abandoned { .. }
            | Self::InDoubt { .. } => false,
        }
    }

    /// What the server answered, when that is the reason.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Reply { reply, .. } | Self::Credentials { reply } => Some(reply),
            Self::Connect(_)
            | Self::Protocol { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::Unsupported { .. }
            | Self::Abandoned { .. }
            | Self::InDoubt { .. } => None,
        }
    }

    /// The reply, when it says that the account has sent enough for now.
    #[must_use]
    pub fn limit(&self) -> Option<&Reply> {
        let is_login = matches!(self, Self::Credentials { .. });
        self.reply().filter(|it| !is_login && (it.is_over_limit() || it.hints_at_limit()))
    }

    /// Whether answers to several commands at once may have got out of step.
    #[must_use]
    pub fn is_out_of_step(&self) -> bool {
        match self {
            Self::Protocol { .. } => true,
            Self::Timeout { command } => matches!(*command, "MAIL" | "RCPT" | "DATA"),
            Self::Reply { .. }
            | Self::Connect(_)
            | Self::Credentials { .. }
            | Self::Lost { .. }
            | Self::Unsupported { .. }
            | Self::Abandoned { .. }
            | Self::InDoubt { .. } => false,
        }
    }

    /// Whether a connection ended while it was idle, or as if it had been: before any data of the
    /// message, so that another one may be tried at once.
    #[must_use]
    pub fn was_stale(&self) -> bool {
        match self {
            Self::Lost { command, .. } => matches!(*command, "MAIL" | "RCPT" | "DATA"),
            Self::Reply { command, reply } => {
                reply.code == 421 && matches!(*command, "MAIL" | "RCPT" | "DATA")
            }
            Self::Connect(_)
            | Self::Credentials { .. }
            | Self::Protocol { .. }
            | Self::Timeout { .. }
            | Self::Unsupported { .. }
            | Self::Abandoned { .. }
            | Self::InDoubt { .. } => false,
        }
    }
}
