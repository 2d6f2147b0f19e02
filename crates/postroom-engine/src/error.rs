//! Why work of the engine failed.

use crate::counted::counted;
use crate::credentials::CredentialError;
use crate::source_error::SourceError;
use crate::source_error::SourceFailure;
use postroom_store::Failed;
use std::io;
use std::time::Duration;

/// Why a piece of the engine's work ended. Each account's loop handles it and goes on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not carry out a request.
    #[error("{}", stored(.0))]
    Store(#[source] postroom_store::Error),
    /// The source of the account's mail, or the connection to it, failed.
    #[error(transparent)]
    Source(SourceError),
    /// The SMTP server or the connection to it failed.
    #[error(transparent)]
    Smtp(#[from] postroom_smtp::Error),
    /// A large message could not be written to the spool directory.
    #[error("the spool directory cannot be written: {}", spool(.0))]
    Spool(#[source] io::Error),
    /// There is no login for the account's server.
    #[error(transparent)]
    Credentials(CredentialError),
    /// The folder was deleted while it was read.
    #[error("the folder was deleted meanwhile")]
    FolderGone,
    /// The account was changed or stopped while a connection was made for it.
    #[error("the account was changed meanwhile")]
    Superseded,
    /// A client changed the classes at this moment, so what was built on them is built again.
    #[error("the classes were changed meanwhile")]
    OtherClasses,
    /// The server counts messages in a mailbox but lists none.
    #[error("the server {} but lists none of them", said(*count))]
    Unlisted {
        /// How many it counts. `None`: it does not say.
        count: Option<u32>,
    },
    /// The server lists no mailbox, or not all that it had.
    #[error(
        "the server lists no mailbox, or not all that it had. The folders stay as they are, and \
         Postroom asks again later. If this stays, ask its operator why this login sees none"
    )]
    NoMailbox,
    /// Fetched messages are no longer accepted, because recording has ended. That error says why.
    #[error(
        "the fetched messages could not be stored: they stay at the server, and are fetched again"
    )]
    Unheard,
    /// A background task panicked.
    #[error("a background task failed, which is a fault of Postroom: please report it")]
    Fault(#[source] tokio::task::JoinError),
    /// The server accepts no more mail from the account now.
    #[error("the server accepts no more mail from this account now: {reply}")]
    Limited {
        /// What it said.
        reply: postroom_smtp::Reply,
        /// How long nothing is sent.
        pause: Duration,
    },
    /// The server refused several messages in a row in the same words, so these are most probably
    /// about the account.
    #[error(
        "the server refuses one message after the other in the same words, so it most probably \
         accepts no more mail from this account now. The messages wait, and one at a time is \
         tried: {reply}"
    )]
    RefusedAlike {
        /// What it said.
        reply: postroom_smtp::Reply,
        /// How long nothing is sent.
        pause: Duration,
    },
    /// The server refuses the account's address as the sender, for two messages in a row.
    #[error(
        "the server refuses all mail from this account: {reply}. Ask its operator to let the \
         account send again. The messages wait: one is tried again within the hour, or as soon as \
         the account is saved"
    )]
    SenderRefused {
        /// What it said.
        reply: postroom_smtp::Reply,
    },
    /// Two messages in a row got the same answer, so a third would get it too.
    #[error("{0}")]
    Alike(#[source] postroom_smtp::Error),
    /// A message cannot be composed.
    #[error("the message cannot be composed: {0}")]
    Compose(String),
}

impl Error {
    /// What a failure of the source means for the request. `None`: the source did not fail.
    #[must_use]
    pub(crate) fn source_failure(&self) -> Option<SourceFailure> {
        if let Self::Source(error) = self { Some(error.meaning.failure) } else { None }
    }

    /// Whether the database of ours does not answer, whoever asks it. A full disk is something that
    /// accounts tell.
    #[must_use]
    pub(crate) fn is_of_database(&self) -> bool {
        use postroom_store::Error as Of;
        matches!(
            self,
            Self::Store(Of::Unreachable { .. } | Of::NotLetIn { .. } | Of::OutcomeUnknown)
        )
    }

    /// Whether the source refused the request, and still answers other requests.
    #[must_use]
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Source(error) if error.is_refusal())
    }

    /// Whether the source took the login, and refuses what follows as if it had not.
    #[must_use]
    pub(crate) fn blames_login_afterwards(&self) -> bool {
        matches!(self, Self::Source(error) if error.is_refusal() && error.meaning.remedy.is_some())
    }
}

impl From<CredentialError> for Error {
    /// A change of the account is no failure of its login.
    fn from(error: CredentialError) -> Self {
        if matches!(error, CredentialError::Changed) {
            return Self::Superseded;
        }
        Self::Credentials(error)
    }
}

impl From<postroom_store::Error> for Error {
    /// A deleted folder or domain, or changed classes, are no failure of the store.
    fn from(error: postroom_store::Error) -> Self {
        use postroom_store::Error::Condition;
        if matches!(error, Condition(Failed::NoFolder | Failed::DomainErased)) {
            return Self::FolderGone;
        }
        if matches!(error, Condition(Failed::OtherClasses)) {
            return Self::OtherClasses;
        }
        Self::Store(error)
    }
}

/// What a failure of the store means for mail. The cause follows.
fn stored(error: &postroom_store::Error) -> String {
    use postroom_store::Error::Condition;
    use postroom_store::Error::Full;
    use postroom_store::Error::NotLetIn;
    use postroom_store::Error::Objects;
    use postroom_store::Error::Unreachable;
    let cause = matches!(
        error,
        Full | Unreachable { .. }
            | NotLetIn { .. }
            | Objects { .. }
            | Condition(Failed::Limit { .. })
    );
    if cause {
        return format!("new mail stays at its server, and mail to be sent waits, because {error}");
    }
    "Postroom cannot read or write its data, so new mail stays at its server, and mail to be sent \
     waits"
        .to_owned()
}

fn said(count: Option<u32>) -> String {
    match count {
        Some(count) => format!("counts {}", counted(count.into(), "message")),
        None => "may have messages".to_owned(),
    }
}

/// Whether a file was not written for lack of space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why a large message cannot be written to the spool directory, and what to do.
fn spool(error: &io::Error) -> &'static str {
    /// The kernel's errors for too many open files, in the process or on the whole machine.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
        return "too many files are open; raise the limit (`ulimit -n`, LimitNOFILE= of systemd)";
    }
    if is_full(error) {
        return "the disk is full; the message waits at its server until there is space";
    }
    if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) {
        return "make the directory `spool` in the data directory writable for the user that runs \
                Postroom";
    }
    "check the disk; the message waits at its server"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_gone_is_no_failure_of_the_store() {
        let of = |failed| Error::from(postroom_store::Error::Condition(failed));
        assert!(matches!(of(Failed::NoFolder), Error::FolderGone));
        assert!(matches!(of(Failed::OtherClasses), Error::OtherClasses));
        assert!(matches!(of(Failed::NoAccount), Error::Store(_)));
    }

    #[test]
    fn only_a_full_disk_is_called_full() {
        let text = |code| Error::Spool(io::Error::from_raw_os_error(code)).to_string();
        let (emfile, enospc, eio) = (text(24), text(28), text(5));
        assert!(emfile.contains("too many files are open") && !emfile.contains("full"), "{emfile}");
        assert!(enospc.contains("the disk is full"), "{enospc}");
        assert!(!eio.contains("full"), "{eio}");
    }
}
