//! An SMTP submission client: replies, commands, the data stream, the connection.
//!
//! ```text
//!   reply, meaning, blame what a server says, what that means, and whom it is about
//!   extensions            what it offers
//!   command, dot          what we say: checked arguments, the dot-stuffed stream
//!   envelope              who sends to whom, and whether the server can take it
//!   connection            greeting, EHLO, STARTTLS, AUTH, then one transaction after another
//! ```
//! Every wait has a deadline, and every reply has a size limit. The verdict of an error says
//! whether the server can have the message. The outcome is unknown only if the final dot was sent
//! and no answer came. Standards: RFC 5321, 6409, 3207, 4954, 2920, 1870, 6152, 6531, 2034.

#![warn(unreachable_pub)]

mod reply;

mod meaning;

mod blame;

mod login_refusal;

mod error;

mod extensions;

mod command;

mod silence;

mod dot;

mod noise;

mod wire;

mod connection;

mod login;

mod envelope;

mod replies;

mod transaction;

pub use blame::wording_of;
pub use connection::SmtpConnection;
pub use connection::SmtpDeadlines;
pub use connection::SmtpOptions;
pub use dot::DotStuffer;
pub use envelope::Envelope;
pub use envelope::no_such_addresses;
pub use error::Error;
pub use error::SmtpVerdict;
pub use extensions::Extensions;
pub use login_refusal::LoginRefusal;
pub use replies::BrokenOff;
pub use replies::RecipientReply;
pub use replies::TransactionReplies;
pub use reply::LINES_MAX as REPLY_LINES_MAX;
pub use reply::Reply;
pub use reply::ReplyCollector;
pub use reply::ReplyProgress;
pub use silence::Awaited;
pub use silence::Silence;
pub use transaction::MessageSource;
