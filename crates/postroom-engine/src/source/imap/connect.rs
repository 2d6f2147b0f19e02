//! Connects to the IMAP server of an account and logs in.

use crate::account::Account;
use crate::account::ServerKind;
use crate::error::Error;
use crate::shared::Shared;
use crate::source::contract::Connector;
use crate::source::contract::Waits;
use crate::source::imap::connection::ImapSource;
use postroom_imap::ImapConnection;
use postroom_imap::ImapDeadlines;
use postroom_imap::ImapLimits;
use postroom_model::options;

/// Makes IMAP connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImapConnector;

impl Connector for ImapConnector {
    type Source = ImapSource;

    async fn connect(
        &self,
        shared: &Shared,
        account: &Account,
        waits: Waits,
    ) -> Result<ImapSource, Error> {
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
            stall: if waits == Waits::Briefly { account.stall() } else { silence },
            ..ImapDeadlines::default()
        };
        let options = account.imap_options(limits, deadlines);
        let _turn = shared.turn(&server.endpoint).await;
        let dialer = shared.mail_dialer(account).map_err(postroom_imap::Error::from)?;
        let mut connection = ImapConnection::open(&dialer, &server.endpoint, &options).await?;
        connection.login(&credentials).await?;
        Ok(ImapSource::new(connection))
    }
}
