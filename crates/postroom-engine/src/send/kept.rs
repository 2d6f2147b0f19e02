//! The SMTP connection of one account: opens it, logs in, and keeps it between messages.

use crate::account::Account;
use crate::account::ServerKind;
use crate::credentials::CredentialError;
use crate::error::Error;
use crate::report::Reporter;
use crate::report::Trouble;
use crate::shared::Shared;
use postroom_net::Credentials;
use postroom_net::Secret;
use postroom_net::sasl::LoginWays;
use postroom_smtp::LoginRefusal;
use postroom_smtp::Reply;
use postroom_smtp::SmtpConnection;
use postroom_smtp::SmtpOptions;
use postroom_watch::Watcher;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an unused connection is kept.
const KEEP_IDLE: Duration = Duration::from_secs(15);
/// After this time of silence, the account reports it, while it still waits.
pub(crate) const SILENT: Duration = Duration::from_secs(30);
/// The report of a silent server.
const IS_SILENT: &str = "the server is silent: are smtpHost, smtpPort and smtpSecurity right?";
/// Within this time after its last use, a connection is used without a NOOP.
const FRESH: Duration = Duration::from_secs(1);

/// The kept connection, and how to open a new one.
pub(crate) struct Kept {
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    setup: Watcher<Arc<Account>>,
    stop: CancellationToken,
    connection: Option<(SmtpConnection, Instant)>,
    is_probed: bool,
    in_turn: bool,
    was_let_in: bool,
    ways: LoginWays,
}

/// A connection that is ready for a message.
pub(crate) struct Ready {
    /// The connection.
    pub connection: SmtpConnection,
    /// Whether it is new.
    pub is_new: bool,
}

impl Kept {
    /// No connection yet.
    pub(crate) fn new(
        shared: Arc<Shared>,
        reporter: Arc<Reporter>,
        setup: Watcher<Arc<Account>>,
        stop: CancellationToken,
    ) -> Self {
        let (connection, is_probed, in_turn, was_let_in) = (None, false, false, false);
        let ways = LoginWays::default();
        Self { shared, reporter, setup, stop, connection, is_probed, in_turn, was_let_in, ways }
    }

    /// Whether the server took the login of the account since that was saved.
    #[must_use]
    pub(crate) fn was_let_in(&self) -> bool {
        self.was_let_in
    }

    /// Whether a connection was made since the last change or trouble of the account.
    pub(crate) fn is_probed(&self) -> bool {
        self.is_probed
    }

    /// The kept connection if it is still alive, otherwise a new one.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub(crate) async fn take(&mut self, account: &Account) -> Result<Ready, Error> {
        if let Some((mut connection, since)) = self.connection.take() {
            let is_fresh = since.elapsed() < FRESH;
            if is_fresh || (since.elapsed() < KEEP_IDLE && connection.is_alive().await) {
                return Ok(Ready { connection, is_new: false });
            }
        }
        Ok(Ready { connection: self.open(account).await?, is_new: true })
    }

    /// A new connection, unless the account changes meanwhile. A server that is silent for long is
    /// reported while it is waited for.
    ///
    /// # Errors
    ///
    /// When there is none, or the server does not take the login.
    pub(crate) async fn open(&mut self, account: &Account) -> Result<SmtpConnection, Error> {
        let mut superseded = pin!(async {
            tokio::select! {
                biased;
                () = server_changed(self.setup.clone(), account) => {}
                () = self.stop.cancelled() => {}
            }
        });
        let credentials = tokio::select! {
            biased;
            () = &mut superseded => return Err(Error::Superseded),
            credentials = self.shared.credentials(account, ServerKind::Smtp) => credentials,
        };
        let mut opening = pin!(open_again(&self.shared, account, credentials, &self.ways));
        let mut is_silent = pin!(tokio::time::sleep(SILENT));
        let mut is_reported = false;
        let mut connection = loop {
            tokio::select! {
                biased;
                () = &mut superseded => return Err(Error::Superseded),
                opened = &mut opening => break opened?,
                () = &mut is_silent, if !is_reported => {
                    self.reporter.sending(Some(Trouble::new(IS_SILENT))).await;
                    is_reported = true;
                }
            }
        };
        if self.in_turn {
            connection.in_turn();
        }
        (self.is_probed, self.was_let_in) = (true, true);
        Ok(connection)
    }

    /// Keeps a connection for the next message, if it can take one. Otherwise closes it.
    pub(crate) async fn keep(&mut self, connection: SmtpConnection) {
        if connection.is_reusable() {
            self.connection = Some((connection, Instant::now()));
        } else {
            connection.quit().await;
        }
    }

    /// From now on, sends each command only after the answer to the one before, because answers to
    /// pipelined commands did not match.
    pub(crate) fn speak_in_turn(&mut self) {
        self.in_turn = true;
    }

    /// Drops the connection after trouble. The next connection is a new one and is tested first.
    pub(crate) fn lose(&mut self) {
        self.connection = None;
        self.is_probed = false;
    }

    /// Drops the connection if the server wants another session.
    pub(crate) fn limited(&mut self, reply: &Reply) {
        if reply.is_about_session() || reply.says_too_many() {
            self.connection = None;
        }
    }

    /// Closes a connection that was idle for long. Otherwise gives when that will be the case.
    pub(crate) async fn close_idle(&mut self) -> Option<Instant> {
        let until = self.connection.as_ref().map(|(_, since)| *since + KEEP_IDLE)?;
        if until > Instant::now() {
            return Some(until);
        }
        self.close().await;
        None
    }

    /// Sends QUIT and closes the connection.
    pub(crate) async fn close(&mut self) {
        if let Some((connection, _)) = self.connection.take() {
            connection.quit().await;
        }
    }

    /// Forgets the former server.
    pub(crate) async fn forget(&mut self) {
        self.close().await;
        (self.is_probed, self.in_turn, self.was_let_in) = (false, false, false);
        self.ways = LoginWays::default();
    }
}

/// Opens a connection. If the server refuses an access token, it is tried once more with another,
/// because the token may have ended before its time.
async fn open_again(
    shared: &Shared,
    account: &Account,
    credentials: Result<Credentials, CredentialError>,
    ways: &LoginWays,
) -> Result<SmtpConnection, Error> {
    let token = credentials.as_ref().ok().filter(|it| matches!(it.secret, Secret::OAuth2(_)));
    let Some(token) = token.cloned() else {
        return open_at_last(shared, account, credentials, ways).await;
    };
    let refused = match open_at_last(shared, account, credentials, ways).await {
        Err(error) => refusal(error)?,
        opened => return opened,
    };
    if !shared.refused(account, ServerKind::Smtp, &token) {
        return Err(no_token_helps(&refused));
    }
    let credentials = shared.credentials(account, ServerKind::Smtp).await;
    match open_at_last(shared, account, credentials, ways).await {
        Err(error) => Err(no_token_helps(&refusal(error)?)),
        opened => opened,
    }
}

/// What is to be done after this reply.
fn no_token_helps(reply: &Reply) -> Error {
    if reply.login_refusal() == LoginRefusal::Policy {
        return CredentialError::token_forbidden(reply).into();
    }
    CredentialError::token_refused(reply).into()
}

/// The reply by which a server refuses a login for good. Other errors stay what they are.
fn refusal(error: Error) -> Result<Reply, Error> {
    let is_refused = |reply: &Reply| {
        matches!(reply.login_refusal(), LoginRefusal::Password | LoginRefusal::Policy)
    };
    if let Error::Smtp(postroom_smtp::Error::Credentials { reply, .. }) = &error
        && is_refused(reply)
    {
        return Ok(reply.clone());
    }
    Err(error)
}

/// A login for IMAP is used only if the SMTP server offers a login. A login for SMTP must be used.
/// Without a stored secret, a server that needs no login still takes mail.
async fn open_at_last(
    shared: &Shared,
    account: &Account,
    credentials: Result<Credentials, CredentialError>,
    ways: &LoginWays,
) -> Result<SmtpConnection, Error> {
    // An account without SMTP has no sender.
    let server = account.smtp.as_ref().ok_or(Error::Superseded)?;
    let mut credentials = match credentials {
        Err(CredentialError::Missing) => None,
        // The login would be needed in any case.
        Err(error) if server.must_log_in => return Err(error.into()),
        credentials => Some(credentials),
    };
    let dialing = shared.dialing();
    let options = SmtpOptions {
        ehlo_name: dialing.ehlo_name.clone(),
        mechanism: account.options.mechanism(),
        login_ways: ways.clone(),
        ..SmtpOptions::default()
    };
    let _turn = match &mut credentials {
        Some(Ok(credentials)) => shared.turn_with(account, ServerKind::Smtp, credentials).await,
        Some(Err(_)) | None => shared.turn(&server.endpoint).await,
    };
    let dialer = shared.mail_dialer(account).await.map_err(postroom_smtp::Error::from)?;
    let mut connection = SmtpConnection::open(&dialer, &server.endpoint, &options).await?;
    if let Some(credentials) = credentials
        && (server.must_log_in || connection.extensions().offers_auth())
    {
        connection.login(&credentials?).await?;
    }
    Ok(connection)
}

/// Waits until the account has another server or login than `account`.
async fn server_changed(mut setup: Watcher<Arc<Account>>, account: &Account) {
    loop {
        if !setup.borrow_and_update().connects_like(account) || setup.changed().await.is_err() {
            return;
        }
    }
}
