//! The answers of a transaction: to each recipient, and to the message.

use crate::error::Error;
use crate::reply::Reply;

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
pub struct TransactionReplies {
    /// The answers to each RCPT, in the order of the envelope.
    pub recipients: Vec<RecipientReply>,
    /// The answer to the message. `None`: the message was not sent, because no recipient was
    /// accepted, or because the answer to one contradicts itself.
    pub data: Option<Reply>,
}

/// A transaction that broke off, and what the recipients were answered before.
#[derive(Debug)]
pub struct BrokenOff {
    /// What ended it.
    pub error: Error,
    /// The answers to the first RCPT, in the order of the envelope. The next recipient, if there is
    /// one, was not answered.
    pub recipients: Vec<RecipientReply>,
}

impl From<Error> for BrokenOff {
    fn from(error: Error) -> Self {
        Self { error, recipients: vec![] }
    }
}

/// The answers of a transaction. If all recipients are refused because a login is missing, that is
/// the error.
pub(crate) fn replies(
    recipients: Vec<RecipientReply>,
    data: Option<Reply>,
) -> Result<TransactionReplies, BrokenOff> {
    let login = recipients.iter().find(|recipient| recipient.reply.wants_login());
    let login = login.filter(|_| recipients.iter().all(|r| r.reply.wants_login()));
    match login {
        Some(wants) => {
            Err(Error::Credentials { command: "RCPT", reply: wants.reply.clone() }.into())
        }
        None => Ok(TransactionReplies { recipients, data }),
    }
}
