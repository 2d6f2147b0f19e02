//! What the sandbox could not do for the test that uses it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why the sandbox did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on: taken, or not ours.
    #[error("no listener on {address}")]
    Listen {
        /// The address as configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The test certificates could not be made.
    #[error("no certificates for the sandbox")]
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
    #[error("{user} has a mailbox {mailbox} already")]
    MailboxExists {
        /// Whose mailbox.
        user: String,
        /// The name that was asked for.
        mailbox: String,
    },
    /// What was waited for did not come true in time.
    #[error("not true within {waited:?}; the last command lines were: {last}")]
    Deadline {
        /// How long it was waited for.
        waited: Duration,
        /// The end of the transcript, for the person who reads the failed test.
        last: String,
    },
}
