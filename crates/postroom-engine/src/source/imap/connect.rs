//! Connects to the IMAP server of an account and logs in.

use crate::account::Account;
use crate::account::Server;
use crate::account::ServerKind;
use crate::credentials::CredentialError;
use crate::error::Error;
use crate::shared::Shared;
use crate::source::contract::Connector;
use crate::source::contract::Waits;
use crate::source::imap::connection::ImapSource;
use postroom_imap::ImapConnection;
use postroom_imap::ImapDeadlines;
use postroom_imap::ImapLimits;
use postroom_imap::ImapOptions;
use postroom_imap::ImapVerdict;
use postroom_imap::NewerForms;
use postroom_model::options;
use postroom_net::Credentials;
use postroom_net::Secret;
use postroom_net::sasl::LoginWays;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Makes IMAP connections for one account.
#[derive(Debug, Default)]
pub(crate) struct ImapConnector {
    /// What the connections to a server know of it.
    known: Mutex<Option<KnownServer>>,
}

#[derive(Debug)]
struct KnownServer {
    server: Server,
    newer_forms: NewerForms,
    login_ways: LoginWays,
}

impl ImapConnector {
    /// The options with what is known of a server. It is forgotten when the account has another
    /// one, and what is known of its login when the account has another login.
    fn knowing(&self, server: &Server, options: ImapOptions) -> ImapOptions {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let former = known.take().filter(|known| known.server.endpoint == server.endpoint);
        let same_login = former.as_ref().filter(|known| known.server.login == server.login);
        let login_ways = same_login.map(|known| known.login_ways.clone()).unwrap_or_default();
        let newer_forms = former.map(|known| known.newer_forms).unwrap_or_default();
        let (server, forms, ways) = (server.clone(), newer_forms.clone(), login_ways.clone());
        *known = Some(KnownServer { server, newer_forms: forms, login_ways: ways });
        ImapOptions { newer_forms, login_ways, ..options }
    }
}

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
        let mut credentials = shared.credentials(account, ServerKind::Imap).await?;
        let options = self.knowing(server, options(shared, account, waits));
        let refused = match log_in(shared, account, server, &options, &mut credentials).await {
            Err(error) if is_refused(&error, &credentials) => error,
            logged_in => return Ok(ImapSource::new(logged_in?)),
        };
        if !shared.refused(account, ServerKind::Imap, &credentials) {
            return Err(CredentialError::token_refused(&refused).into());
        }
        // The token may have ended before its time. The turn to dial is over, because the provider
        // may be slow.
        let mut credentials = shared.credentials(account, ServerKind::Imap).await?;
        match log_in(shared, account, server, &options, &mut credentials).await {
            Err(error) if is_refused(&error, &credentials) => {
                Err(CredentialError::token_refused(&error).into())
            }
            logged_in => Ok(ImapSource::new(logged_in?)),
        }
    }
}

/// Whether a server refuses an access token.
fn is_refused(error: &postroom_imap::Error, credentials: &Credentials) -> bool {
    let is_token = matches!(credentials.secret, Secret::OAuth2(_));
    let is_about_method = matches!(error, postroom_imap::Error::NoMechanism { .. });
    is_token && !is_about_method && error.verdict() == ImapVerdict::Credentials
}

async fn log_in(
    shared: &Shared,
    account: &Account,
    server: &Server,
    options: &ImapOptions,
    credentials: &mut Credentials,
) -> Result<ImapConnection, postroom_imap::Error> {
    let _turn = shared.turn_with(account, ServerKind::Imap, credentials).await;
    let dialer = shared.mail_dialer(account).await?;
    let mut connection = ImapConnection::open(&dialer, &server.endpoint, options).await?;
    connection.login(credentials).await?;
    Ok(connection)
}

fn options(shared: &Shared, account: &Account, waits: Waits) -> ImapOptions {
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
    account.imap_options(limits, deadlines)
}
