//! Opens a connection that is ready for messages, and logs in if the account has a login.

use crate::account::Account;
use crate::account::ServerKind;
use crate::credentials::CredentialError;
use crate::error::Error;
use crate::report::Reporter;
use crate::report::Trouble;
use crate::shared::Shared;
use postroom_net::Credentials;
use postroom_smtp::SmtpConnection;
use postroom_smtp::SmtpOptions;
use postroom_watch::Watcher;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// After this time of silence, the account reports it, while it still waits.
const SILENT: Duration = Duration::from_secs(30);

/// Asks for the login, opens a connection to the account's server and logs in. A server that is
/// silent for long is reported meanwhile.
///
/// # Errors
///
/// When there is no connection, or the server does not take the login.
pub(crate) async fn open(
    shared: &Shared,
    reporter: &Reporter,
    account: &Account,
) -> Result<SmtpConnection, Error> {
    let credentials = shared.credentials(account, ServerKind::Smtp).await;
    let mut opening = pin!(open_at_last(shared, account, credentials));
    tokio::select! {
        biased;
        opened = &mut opening => return opened,
        () = tokio::time::sleep(SILENT) => {}
    }
    let text = "the server is silent: are smtpHost, smtpPort and smtpSecurity right?";
    reporter.sending(Some(Trouble::new(text))).await;
    opening.await
}

/// A login for IMAP is used only if the SMTP server offers a login. A login for SMTP must be used.
/// Without a stored secret, a server that needs no login still takes mail.
async fn open_at_last(
    shared: &Shared,
    account: &Account,
    credentials: Result<Credentials, CredentialError>,
) -> Result<SmtpConnection, Error> {
    // An account without SMTP has no sender.
    let server = account.smtp.as_ref().ok_or(Error::Superseded)?;
    let credentials = match credentials {
        Err(CredentialError::Missing) => None,
        // The login would be needed in any case.
        Err(error) if server.must_log_in => return Err(error.into()),
        credentials => Some(credentials),
    };
    let dialing = shared.dialing();
    let options = SmtpOptions { ehlo_name: dialing.ehlo_name.clone(), ..SmtpOptions::default() };
    let _turn = shared.turn(&server.endpoint).await;
    let dialer =
        dialing.dialer.pinned(&account.fingerprints).map_err(postroom_smtp::Error::from)?;
    let mut connection = SmtpConnection::open(&dialer, &server.endpoint, &options).await?;
    if let Some(credentials) = credentials
        && (server.must_log_in || connection.extensions().offers_auth())
    {
        connection.login(&credentials?).await?;
    }
    Ok(connection)
}

/// Waits until the account has another server or login than `account`.
pub(crate) async fn server_changed(mut setup: Watcher<Arc<Account>>, account: &Account) {
    loop {
        if !setup.borrow_and_update().connects_like(account) || setup.changed().await.is_err() {
            return;
        }
    }
}
