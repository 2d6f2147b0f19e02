//! Connects to the IMAP server of an account and logs in.

use crate::account::Account;
use crate::account::ServerKind;
use crate::error::Error;
use crate::shared::Shared;
use postroom_imap::ImapConnection;
use postroom_imap::ImapDeadlines;
use postroom_imap::ImapLimits;
use postroom_imap::ImapOptions;
use postroom_imap::ImapVerdict;
use postroom_model::options;
use std::time::Duration;

/// A message that is silent for this part of `silence_timeout` holds up the others.
const STALL_PART: u32 = 8;

/// How long a FETCH of messages may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// A part of `silence_timeout`, because others wait behind it.
    Briefly,
    /// `silence_timeout`.
    Long,
}

/// How long a FETCH of messages may be silent if other messages wait for it.
#[must_use]
pub(crate) fn stall(account: &Account) -> Duration {
    account.options.duration(&options::SILENCE_TIMEOUT) / STALL_PART
}

/// Asks for the login, connects and logs in.
///
/// # Errors
///
/// Why there is no connection.
pub(crate) async fn connect(
    shared: &Shared,
    account: &Account,
    waits: Waits,
) -> Result<ImapConnection, Error> {
    // An account without IMAP has no receiver.
    let server = account.imap.as_ref().ok_or(Error::Superseded)?;
    let credentials = shared.credentials(account, ServerKind::Imap).await?;
    let limits = ImapLimits {
        literal_bytes_max: account.message_bytes_max(),
        literal_in_memory_bytes: shared.settings.in_memory_bytes_max,
        mailboxes_count_max: account.mailboxes_max(),
        ..ImapLimits::default()
    };
    let silence = account.options.duration(&options::SILENCE_TIMEOUT);
    let deadlines = ImapDeadlines {
        greeting: account.options.duration(&options::GREETING_TIMEOUT),
        command: account.options.duration(&options::COMMAND_TIMEOUT),
        silence,
        stall: if waits == Waits::Briefly { stall(account) } else { silence },
        ..ImapDeadlines::default()
    };
    let options = ImapOptions { limits, deadlines, ..ImapOptions::default() };
    let dialing = shared.dialing();
    let _turn = shared.turn(&server.endpoint).await;
    let dialer = dialing.dialer.pinned(&account.fingerprints);
    let dialer = dialer.map_err(postroom_imap::Error::from)?;
    let mut connection = ImapConnection::open(&dialer, &server.endpoint, &options).await?;
    connection.login(&credentials).await?;
    Ok(connection)
}

/// Whether the server has ended an idle connection, by the result of a NOOP. The NOOP is also
/// needed because some servers show new messages only after one.
///
/// # Errors
///
/// When the server asks for patience.
pub(crate) fn is_gone(noop: Result<(), postroom_imap::Error>) -> Result<bool, Error> {
    match noop {
        Ok(()) => Ok(false),
        Err(error) if error.leaves_connection_open() => Ok(false),
        Err(error) if error.verdict() == ImapVerdict::Retry => Ok(true),
        Err(error) => Err(error.into()),
    }
}
