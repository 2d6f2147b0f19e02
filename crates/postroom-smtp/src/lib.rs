//! An SMTP submission client: replies, commands, the data stream, the connection.
//!
//! ```text
//!   reply, meaning        what a server says, and what that means
//!   capabilities          what it offers
//!   command, dot          what we say: checked arguments, the dot-stuffed stream
//!   connection            greeting, EHLO, STARTTLS, AUTH, then one transaction after another
//! ```
//! Every wait has a deadline, every reply a bound. An error says by its verdict whether the server
//! can have the message: only after the final dot, and without an answer, is that in doubt.
//! Standards: RFC 5321, 6409, 3207, 4954, 2920, 1870, 6152, 6531, 2034.

pub mod reply;

pub mod meaning;

pub mod error;

pub mod capabilities;

pub mod command;

pub mod dot;

mod wire;

pub mod connection;

pub mod transaction;

pub use capabilities::Capabilities;
pub use connection::Connection;
pub use connection::Options;
pub use error::Error;
pub use error::Verdict;
pub use meaning::LoginRefusal;
pub use reply::Reply;
pub use transaction::Envelope;
pub use transaction::MessageSource;
pub use transaction::Outcome;
pub use transaction::RecipientReply;
