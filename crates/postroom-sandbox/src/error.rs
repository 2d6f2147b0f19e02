//! Why the sandbox could not do what a test asked for.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why the sandbox did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on: taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address as configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The test certificates could not be made.
    #[error("the certificates of the sandbox cannot be made")]
    Certificate {
        /// What the library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such user.
    #[error("the sandbox has no user {user}")]
    NoUser {
        /// The name that was asked for.
        user: String,
    },
    /// The user has no such mailbox.
    #[error("{user} has no mailbox {mailbox}")]
    NoMailbox {
        /// Whose mailbox.
        user: String,
        /// The name that was asked for.
        mailbox: String,
    },
    /// The mailbox is there already.
    #[error("{user} already has a mailbox {mailbox}")]
    MailboxExists {
        /// Whose mailbox.
        user: String,
        /// The name that was asked for.
        mailbox: String,
    },
    /// The awaited condition did not hold in time.
    #[error("the condition did not hold within {waited:?}; the last command lines were: {last}")]
    Deadline {
        /// How long it waited.
        waited: Duration,
        /// The end of the transcript, for the person who reads the failed test.
        last: String,
    },
}
