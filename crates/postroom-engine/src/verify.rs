//! `VERIFY`: tries the servers of an account step by step, in the way in which the engine connects
//! to them, and says what came of each step and what a person can do.
//!
//! ```text
//!   imap: dns ─► tcp ─► tls ─► greeting ─► login ─► list      smtp: the same up to the login
//! ```
//! Nothing is stored, and no state of an account changes.

mod advice;
mod steps;

use crate::account::Account;
use crate::account::ServerKind;
use crate::credentials::CredentialError;
use crate::report;
use crate::shared::Shared;
use crate::verify::advice::advice;
use crate::verify::advice::advice_of_opening;
use crate::verify::steps::StepList;
use postroom_imap::ImapConnection;
use postroom_imap::ImapDeadlines;
use postroom_imap::ImapLimits;
use postroom_imap::ImapOptions;
use postroom_model::builtin::names;
use postroom_net::Credentials;
use postroom_net::DialLog;
use postroom_net::Dialer;
use postroom_net::Secret;
use postroom_smtp::SmtpConnection;
use postroom_smtp::SmtpDeadlines;
use postroom_smtp::SmtpOptions;
use postroom_store::AccountRow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

pub use crate::verify::steps::VerifyPhase;
pub use crate::verify::steps::VerifyResult;
pub use crate::verify::steps::VerifyStep;

/// How many accounts are tried at the same time. Others wait.
const AT_ONCE_MAX: usize = 8;
/// How long making a connection may take.
const DIAL_WITHIN: Duration = Duration::from_secs(15);
/// How long each answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Tries the servers of accounts.
#[derive(Debug, Clone)]
pub struct AccountVerifier {
    shared: Arc<Shared>,
    turns: Arc<Semaphore>,
}

/// An account that is tried.
struct TriedAccount<'a> {
    account: Account,
    row: &'a AccountRow,
    /// Whether it is stored, so that the source of logins knows it.
    is_stored: bool,
}

/// What a dialer notes, and the dialer.
struct Observed {
    dialer: Dialer,
    is_by_proxy: bool,
    log: DialLog,
}

impl AccountVerifier {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, turns: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// Tries both servers of a stored account at the same time. Each wait has a deadline.
    pub async fn verify(&self, row: &AccountRow) -> Vec<VerifyStep> {
        self.both(&TriedAccount { account: Account::from_row(row), row, is_stored: true }).await
    }

    /// The same for an account that is not stored.
    pub async fn verify_unsaved(&self, row: &AccountRow) -> Vec<VerifyStep> {
        self.both(&TriedAccount { account: Account::from_row(row), row, is_stored: false }).await
    }

    async fn both(&self, tried: &TriedAccount<'_>) -> Vec<VerifyStep> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let (imap, smtp) = tokio::join!(Box::pin(self.imap(tried)), Box::pin(self.smtp(tried)));
        [imap, smtp].concat()
    }

    async fn imap(&self, tried: &TriedAccount<'_>) -> Vec<VerifyStep> {
        let (account, kind) = (&tried.account, ServerKind::Imap);
        let Some(server) = &account.imap else {
            return vec![];
        };
        let mut steps = StepList::new(kind, server.endpoint.security);
        let Observed { dialer, is_by_proxy, log } = match self.observed(account).await {
            Ok(observed) => observed,
            Err(error) => return steps.fail(VerifyPhase::Tls, report::chain(&error), ""),
        };
        let options = imap_options(account);
        let opened = ImapConnection::open(&dialer, &server.endpoint, &options).await;
        steps.dialed(&log.steps());
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(error) => {
                let phase = if let postroom_imap::Error::Connect(error) = &error {
                    steps.phase_of(error)
                } else if matches!(error, postroom_imap::Error::StartTls { .. }) {
                    VerifyPhase::Tls
                } else {
                    VerifyPhase::Greeting
                };
                let advice = advice_of_opening(kind, phase, is_by_proxy);
                return steps.fail(phase, report::chain(&error), advice);
            }
        };
        steps.done(VerifyPhase::Greeting, connection.capabilities().to_string());
        let logged_in = match self.credentials(tried, kind).await {
            Ok(credentials) => {
                connection.login(&credentials).await.map_err(|it| report::chain(&it))
            }
            Err(error) => Err(report::chain(&error)),
        };
        if let Err(error) = logged_in {
            let advice = advice(kind, VerifyPhase::Login);
            return steps.fail(VerifyPhase::Login, error, advice);
        }
        steps.done(VerifyPhase::Login, format!("logged in as {}", server.login.name));
        match connection.list().await {
            Ok(mailboxes) => {
                let listed = u64::try_from(mailboxes.listed.len()).unwrap_or(u64::MAX);
                let count = listed.saturating_add(mailboxes.over_count);
                steps.done(VerifyPhase::List, format!("{count} mailboxes"));
            }
            Err(error) => {
                let advice = advice(kind, VerifyPhase::List);
                return steps.fail(VerifyPhase::List, report::chain(&error), advice);
            }
        }
        // The answer to LOGOUT says nothing about the account.
        let _ = connection.logout().await;
        steps.finish()
    }

    async fn smtp(&self, tried: &TriedAccount<'_>) -> Vec<VerifyStep> {
        let (account, kind) = (&tried.account, ServerKind::Smtp);
        let Some(server) = &account.smtp else {
            return vec![];
        };
        let mut steps = StepList::new(kind, server.endpoint.security);
        let Observed { dialer, is_by_proxy, log } = match self.observed(account).await {
            Ok(observed) => observed,
            Err(error) => return steps.fail(VerifyPhase::Tls, report::chain(&error), ""),
        };
        let options = self.smtp_options(account);
        let opened = SmtpConnection::open(&dialer, &server.endpoint, &options).await;
        steps.dialed(&log.steps());
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(error) => {
                let is_of_tls = matches!(
                    error,
                    postroom_smtp::Error::Unsupported { .. }
                        | postroom_smtp::Error::Reply { command: "STARTTLS", .. }
                );
                let phase = if let postroom_smtp::Error::Connect(error) = &error {
                    steps.phase_of(error)
                } else if is_of_tls {
                    VerifyPhase::Tls
                } else {
                    VerifyPhase::Greeting
                };
                let advice = advice_of_opening(kind, phase, is_by_proxy);
                return steps.fail(phase, report::chain(&error), advice);
            }
        };
        let offered = connection.extensions().auth.join(", ");
        steps.done(VerifyPhase::Greeting, format!("ways to log in: {offered}"));
        let credentials = match self.credentials(tried, kind).await {
            Err(CredentialError::Missing) if !connection.extensions().offers_auth() => None,
            credentials => Some(credentials),
        };
        let is_needed = server.must_log_in || connection.extensions().offers_auth();
        match credentials.filter(|_| is_needed) {
            None => {
                let detail = "the server offers no login, and the account has none for it";
                steps.skip(VerifyPhase::Login, detail.to_owned());
            }
            Some(credentials) => {
                let logged_in = match credentials {
                    Ok(credentials) => {
                        connection.login(&credentials).await.map_err(|it| report::chain(&it))
                    }
                    Err(error) => Err(report::chain(&error)),
                };
                if let Err(error) = logged_in {
                    let advice = advice(kind, VerifyPhase::Login);
                    return steps.fail(VerifyPhase::Login, error, advice);
                }
                steps.done(VerifyPhase::Login, format!("logged in as {}", server.login.name));
            }
        }
        connection.quit().await;
        steps.finish()
    }

    /// A dialer as the engine has it, which notes what it does.
    async fn observed(&self, account: &Account) -> Result<Observed, postroom_net::Error> {
        let log = DialLog::default();
        let dialer = self.shared.mail_dialer(account).await?.noting(&log)?;
        let is_by_proxy = dialer.has_proxy();
        Ok(Observed { dialer: dialer.with_deadline(DIAL_WITHIN), is_by_proxy, log })
    }

    async fn credentials(
        &self,
        tried: &TriedAccount<'_>,
        kind: ServerKind,
    ) -> Result<Credentials, CredentialError> {
        let TriedAccount { account, row, is_stored } = tried;
        if *is_stored {
            return self.shared.credentials(account, kind).await;
        }
        let server = account.server(kind).ok_or(CredentialError::Changed)?;
        if let Some(slot) = server.login.tokens {
            // A refresh token is not used for an account that is not kept, because the provider may
            // replace it.
            let token = row.tokens_of(slot).and_then(|tokens| tokens.access_token.as_ref());
            let reason = "tokens are asked for once the account is saved: save it, and verify it \
                          then";
            let token =
                token.ok_or_else(|| CredentialError::NeedsPerson { reason: reason.to_owned() })?;
            let property = slot.access_token();
            let token =
                token.open().map_err(|source| CredentialError::Unreadable { property, source })?;
            return Ok(Credentials {
                login: server.login.name.clone(),
                secret: Secret::OAuth2(token),
            });
        }
        let own = row.secrets.smtp_password.as_ref().filter(|_| kind == ServerKind::Smtp);
        let property = if own.is_some() { names::SMTP_PASSWORD } else { names::PASSWORD };
        let sealed = own.or(row.secrets.password.as_ref()).ok_or(CredentialError::Missing)?;
        let opened = sealed.open();
        let secret = opened.map_err(|source| CredentialError::Unreadable { property, source })?;
        let is_oauth = server.login.is_oauth;
        let secret = if is_oauth { Secret::OAuth2(secret) } else { Secret::Password(secret) };
        Ok(Credentials { login: server.login.name.clone(), secret })
    }

    fn smtp_options(&self, account: &Account) -> SmtpOptions {
        SmtpOptions {
            ehlo_name: self.shared.dialing().ehlo_name.clone(),
            mechanism: account.options.mechanism(),
            deadlines: SmtpDeadlines { command: ANSWER_WITHIN, ..SmtpDeadlines::default() },
            ..SmtpOptions::default()
        }
    }
}

fn imap_options(account: &Account) -> ImapOptions {
    let deadlines = ImapDeadlines {
        greeting: ANSWER_WITHIN,
        command: ANSWER_WITHIN,
        silence: ANSWER_WITHIN,
        stall: ANSWER_WITHIN,
        ..ImapDeadlines::default()
    };
    let limits =
        ImapLimits { mailboxes_count_max: account.mailboxes_max(), ..ImapLimits::default() };
    account.imap_options(limits, deadlines)
}
