//! Access tokens of accounts, replaced ahead of their end.
//!
//! ```text
//!   get ──► turn of the account's tokens ──► stored token, if it is good for a while
//!                                       └──► note, ask the provider, store, only then use
//! ```
//! One task at a time asks for a token of an account. It goes on if whoever waits for it is gone,
//! so an answer of the provider is never dropped. A token is durable before it is used. So a
//! refresh token that the provider replaces is not lost, unless the process is killed between the
//! answer and the commit. For that case, `refreshingSince` is written before the question.

use crate::credentials::CredentialAnswer;
use crate::credentials::CredentialError;
use crate::credentials::CredentialRequest;
use crate::credentials::CredentialSource;
use crate::credentials::StoredCredentials;
use crate::settings::CurrentDialing;
use crate::token_found::FoundTokens;
use crate::token_known::KeptToken;
use crate::token_known::TokenMark;
use crate::token_known::TokenMemory;
use crate::token_known::UnwrittenToken;
use crate::token_known::mark;
use crate::token_request;
use crate::token_request::TokenFailure;
use crate::token_request::TokenRequest;
use postroom_model::AccountId;
use postroom_model::Timestamp;
use postroom_model::oauth::GrantKind;
use postroom_model::oauth::OAuthApp;
use postroom_model::oauth::TokenSlot;
use postroom_model::oauth::TokenState;
use postroom_model::oauth_answer::Consenter;
use postroom_net::Credentials;
use postroom_net::Secret;
use postroom_store::AccountTokens;
use postroom_store::Sealed;
use postroom_store::Store;
use postroom_store::TokenStep;
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// How often a step is tried again because a client changed the account meanwhile.
const ATTEMPTS: u32 = 20;

/// Gives access tokens, and whatever else is stored.
#[derive(Debug, Clone)]
pub(crate) struct OAuthCredentials {
    inner: Arc<TokenAsker>,
}

#[derive(Debug)]
struct TokenAsker {
    store: Store,
    dialing: CurrentDialing,
    stored: StoredCredentials,
    turns: Mutex<HashMap<(AccountId, TokenSlot), Arc<TokenTurn>>>,
    running: TaskTracker,
}

/// The tokens of one slot of an account.
#[derive(Debug, Default)]
struct TokenTurn {
    known: tokio::sync::Mutex<TokenMemory>,
    /// The access token that a server refused last.
    refused: Mutex<Option<TokenMark>>,
}

impl OAuthCredentials {
    /// Those of a store. `running` has the tasks that must not be ended.
    pub(crate) fn new(store: Store, dialing: CurrentDialing, running: TaskTracker) -> Self {
        let stored = StoredCredentials::new(store.clone());
        let inner = TokenAsker { store, dialing, stored, turns: Mutex::default(), running };
        Self { inner: Arc::new(inner) }
    }
}

impl CredentialSource for OAuthCredentials {
    fn get<'a>(&'a self, request: &'a CredentialRequest) -> CredentialAnswer<'a> {
        let Some(slot) = request.tokens else {
            return self.inner.stored.get(request);
        };
        Box::pin(async move {
            let (inner, asked) = (Arc::clone(&self.inner), request.clone());
            // It goes on if the caller gives up, so that no answer of a provider is lost.
            let task = self.inner.running.spawn(async move { inner.token(&asked, slot).await });
            let token = task.await.unwrap_or_else(|error| {
                let reason = format!("a task of Postroom failed: {error}");
                Err(CredentialError::Temporary { reason, after: None })
            })?;
            Ok(Credentials { login: request.login.clone(), secret: Secret::OAuth2(token) })
        })
    }

    fn refused(&self, request: &CredentialRequest, credentials: &Credentials) -> bool {
        let (Some(slot), Secret::OAuth2(token)) = (request.tokens, &credentials.secret) else {
            return false;
        };
        let turn = self.inner.turn(request.account, slot);
        *turn.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark(token));
        true
    }
}

impl TokenAsker {
    fn turn(&self, account: AccountId, slot: TokenSlot) -> Arc<TokenTurn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry((account, slot)).or_default())
    }

    /// Forgets an account that is gone.
    fn forget(&self, account: AccountId) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|(of, _), _| *of != account);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.store.clock().now_ms())
    }

    /// An access token that is good for a while.
    async fn token(
        &self,
        request: &CredentialRequest,
        slot: TokenSlot,
    ) -> Result<SecretString, CredentialError> {
        let turn = self.turn(request.account, slot);
        let mut known = turn.known.lock().await;
        self.write_given(request.account, slot, &mut known).await?;
        let found = self.find(request.account, slot).await?;
        if !request.is_of(&found.row) {
            return Err(CredentialError::Changed);
        }
        let refused = *turn.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = found.access_token.as_ref();
        let good = stored.filter(|token| refused != Some(mark(token)));
        let good = good.filter(|token| known.is_good(token, &found, self.now(), self.chance()));
        if let Some(token) = good {
            return Ok(token.clone());
        }
        let is_refused = stored.is_some_and(|token| refused == Some(mark(token)));
        match self.renew(&found, &mut known).await {
            Ok(renewed) if !request.is_of(&renewed.row) => Err(CredentialError::Changed),
            Ok(renewed) => renewed.access_token.ok_or(CredentialError::Changed),
            Err(CredentialError::Temporary { reason, after }) => {
                let is_alive = |token: &&SecretString| known.is_alive(token, &found, self.now());
                let rest = stored.filter(|_| !is_refused).filter(is_alive);
                rest.cloned().ok_or(CredentialError::Temporary { reason, after })
            }
            Err(error) => Err(error),
        }
    }

    /// The account and its tokens as they are now.
    async fn find(
        &self,
        account: AccountId,
        slot: TokenSlot,
    ) -> Result<FoundTokens, CredentialError> {
        let Some(row) = self.store.account_find(account).await.map_err(not_read)? else {
            self.forget(account);
            return Err(CredentialError::Changed);
        };
        let tokens = row.tokens_of(slot).cloned().ok_or(CredentialError::Changed)?;
        let AccountTokens { app, refresh_token, access_token } = tokens;
        let Some(app) = app else {
            let reason = format!("the OAuth app of the account is gone: set `{}`", slot.app());
            return Err(CredentialError::NeedsPerson { reason });
        };
        let oauth = OAuthApp::of(&app.app);
        let needs_none = oauth.grant != GrantKind::RefreshToken;
        // What cannot be decrypted is replaced, if there is a refresh token.
        let access_token = match access_token.as_ref().map(Sealed::open).transpose() {
            Ok(token) => token,
            Err(_) if refresh_token.is_some() || needs_none => None,
            Err(source) => {
                let property = slot.access_token();
                return Err(CredentialError::Unreadable { property, source });
            }
        };
        Ok(FoundTokens { row, slot, app, oauth, refresh_token, access_token })
    }

    /// Writes what a provider gave before, if the store did not take it then.
    async fn write_given(
        &self,
        account: AccountId,
        slot: TokenSlot,
        known: &mut TokenMemory,
    ) -> Result<(), CredentialError> {
        for _ in 0..ATTEMPTS {
            let Some(given) = &known.unwritten else {
                return Ok(());
            };
            let found = self.find(account, slot).await?;
            if found.entitled_by() != given.used {
                // Somebody has consented again meanwhile.
                known.unwritten = None;
                return Ok(());
            }
            let life = given.granted.life.saturating_sub(given.given_at.elapsed());
            let expires_ms = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
            let expires_ms = self.now().as_ms().saturating_add(expires_ms);
            let step = TokenStep::Granted {
                access_token: given.granted.access_token.clone(),
                expires_at: Timestamp::from_ms(expires_ms),
                refresh_token: given.granted.refresh_token.clone(),
            };
            let kept = KeptToken::of(given, self.chance());
            if self.store.token_step(&found.row, slot, &step).await.map_err(not_written)? {
                *known = TokenMemory { kept: Some(kept), ..TokenMemory::default() };
                return Ok(());
            }
        }
        Err(not_written(postroom_store::Error::Condition(postroom_store::Failed::Crowded)))
    }

    /// Asks the provider for a new token, and stores it.
    async fn renew(
        &self,
        found: &FoundTokens,
        known: &mut TokenMemory,
    ) -> Result<FoundTokens, CredentialError> {
        let (account, slot) = (found.account(), found.slot);
        let app = &found.oauth;
        let Some(grant) = found.grant(self.now())? else {
            let state = TokenState::None;
            self.note(found, TokenStep::Failed { state, is_open: false }).await?;
            return Err(CredentialError::NeedsPerson { reason: found.without_consent() });
        };
        let since = found.row.account.text(slot.refreshing_since()).map(str::to_owned);
        if let Some(said) = found.refused_before() {
            let reason = found.refusal(Consenter::Owner, said, since.as_deref());
            return Err(CredentialError::NeedsPerson { reason });
        }
        let used = found.entitled_by();
        known.may_ask(used)?;
        let asked = TokenRequest { app, client_secret: found.client_secret()?, grant };
        if since.is_none() {
            self.note(found, TokenStep::Asking(self.now())).await?;
        }
        let redial = self.dialing.now();
        match token_request::ask(&self.store, &redial, &found.row, &asked).await {
            Ok(granted) => {
                known.unwritten = Some(UnwrittenToken { used, given_at: Instant::now(), granted });
                self.write_given(account, slot, known).await?;
                self.find(account, slot).await
            }
            Err(TokenFailure::Passing { reason, after, is_open }) => {
                let after = after.map(|after| after.pause(self.now()));
                let is_open = is_open || since.is_some();
                let state = TokenState::Expiring;
                self.note(found, TokenStep::Failed { state, is_open }).await?;
                let reason = format!("the OAuth app `{}` gets no access token: {reason}", app.name);
                Err(known.wait(used, after, reason))
            }
            Err(TokenFailure::Refused { by, reason }) => {
                // An answer that may be lost is named until somebody consents again.
                let (state, is_open) = (TokenState::Refused, since.is_some());
                // Only the owner's refusal ends with a new token. Others are lifted elsewhere.
                let step = match by {
                    Consenter::Owner => {
                        let (reason, app_version) = (reason.clone(), found.app.app.version);
                        TokenStep::Refused { reason, app_version, is_open }
                    }
                    Consenter::Organisation | Consenter::Administrator => {
                        TokenStep::Failed { state, is_open }
                    }
                };
                self.note(found, step).await?;
                let reason = found.refusal(by, &reason, since.as_deref());
                Err(CredentialError::NeedsPerson { reason })
            }
        }
    }

    /// Writes a step as long as the refresh token is the same.
    async fn note(&self, found: &FoundTokens, step: TokenStep) -> Result<(), CredentialError> {
        for _ in 0..ATTEMPTS {
            let now = self.find(found.account(), found.slot).await?;
            if now.entitled_by() != found.entitled_by() {
                return Err(CredentialError::Changed);
            }
            if self.store.token_step(&now.row, found.slot, &step).await.map_err(not_written)? {
                return Ok(());
            }
        }
        Err(not_written(postroom_store::Error::Condition(postroom_store::Failed::Crowded)))
    }

    /// A part of 1, by chance.
    fn chance(&self) -> f64 {
        self.store.clock().part()
    }
}

fn not_read(error: postroom_store::Error) -> CredentialError {
    CredentialError::Temporary { reason: error.to_string(), after: None }
}

fn not_written(error: postroom_store::Error) -> CredentialError {
    let reason = format!("its token could not be stored: {error}");
    CredentialError::Temporary { reason, after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Account;
    use crate::account::ServerKind;
    use crate::fixture;
    use postroom_model::EntityId;
    use postroom_model::builtin::ACCOUNTS;
    use postroom_model::builtin::OAUTH_APPS;
    use postroom_model::builtin::PROFILES;
    use postroom_sandbox::ListeningTokenServer;
    use postroom_sandbox::TokenFault;
    use postroom_sandbox::TokenServer;
    use serde_json::Value as Json;
    use serde_json::json;
    use std::time::Duration;

    const ANNA: &str = "anna@a.test";

    /// An account whose app asks a provider on loopback.
    struct Asking {
        _directory: tempfile::TempDir,
        _listening: ListeningTokenServer,
        store: Store,
        dialing: CurrentDialing,
        provider: TokenServer,
        app: EntityId,
        account: EntityId,
        source: OAuthCredentials,
    }

    impl Asking {
        async fn new() -> Self {
            let (directory, shared) = fixture::shared().await;
            let (store, provider) = (shared.store.clone(), TokenServer::default());
            let listening = provider.listen().await.unwrap();
            let url = format!("http://{}/token", listening.address);
            let app = json!({"name": "a", "tokenUrl": url});
            let app = fixture::create(&store, OAUTH_APPS, app).await;
            let servers = json!({"name": "p", "imapHost": "i.test", "smtpHost": "s.test"});
            let profile = fixture::create(&store, PROFILES, servers).await;
            let account = json!({
                "profile_id": profile.to_string(), "address": ANNA,
                "oauthApp_id": app.to_string(), "refreshToken": provider.consent(ANNA),
            });
            let account = fixture::create(&store, ACCOUNTS, account).await;
            let dialing = CurrentDialing::new((*shared.redial()).clone());
            let source = OAuthCredentials::new(store.clone(), dialing.clone(), TaskTracker::new());
            let (_directory, _listening) = (directory, listening);
            Self { _directory, _listening, store, dialing, provider, app, account, source }
        }

        /// The process ends, and another one goes on.
        fn restart(&mut self) {
            let (store, dialing) = (self.store.clone(), self.dialing.clone());
            self.source = OAuthCredentials::new(store, dialing, TaskTracker::new());
        }

        async fn ask(&self, server: ServerKind) -> Result<Credentials, CredentialError> {
            let row = self.store.account_find(AccountId::of(self.account)).await.unwrap().unwrap();
            let request = CredentialRequest::of(&Account::from_row(&row), server).unwrap();
            self.source.get(&request).await
        }

        /// The words of a refusal.
        async fn refused(&self, server: ServerKind) -> String {
            match self.ask(server).await {
                Err(CredentialError::NeedsPerson { reason }) => reason,
                other => panic!("{server:?}: {other:?}"),
            }
        }

        async fn change(&self, values: Json) {
            fixture::change(&self.store, ACCOUNTS, self.account, values).await;
        }

        fn asked(&self) -> usize {
            self.provider.asked().len()
        }
    }

    #[tokio::test]
    async fn a_provider_that_asks_to_wait_is_left_alone_by_both_servers_of_an_account() {
        let it = Asking::new().await;
        it.provider.then(&[TokenFault::AsksToWait(500)]);
        for server in [ServerKind::Imap, ServerKind::Smtp, ServerKind::Imap] {
            let Err(CredentialError::Temporary { after: Some(after), .. }) = it.ask(server).await
            else {
                panic!("{server:?}")
            };
            assert!(after > Duration::from_secs(400), "{after:?}");
            assert_eq!(it.asked(), 1, "{server:?}");
        }
        // A new consent does not wait.
        it.change(json!({"refreshToken": it.provider.consent(ANNA)})).await;
        it.ask(ServerKind::Smtp).await.unwrap();
        it.ask(ServerKind::Imap).await.unwrap();
        assert_eq!(it.asked(), 2);
    }

    #[tokio::test]
    async fn a_refused_refresh_token_is_asked_with_once_until_somebody_consents_again() {
        let mut it = Asking::new().await;
        it.provider.withdraw(ANNA);
        let said = it.refused(ServerKind::Imap).await;
        assert!(said.contains("invalid_grant") && said.contains("consent again"), "{said}");
        assert_eq!(it.refused(ServerKind::Smtp).await, said);
        it.restart();
        for server in [ServerKind::Smtp, ServerKind::Imap] {
            assert_eq!(it.refused(server).await, said, "the same words after a restart");
        }
        assert_eq!(it.asked(), 1);

        // What is wrong may have been the app.
        fixture::change(&it.store, OAUTH_APPS, it.app, json!({"clientId": "another"})).await;
        it.refused(ServerKind::Imap).await;
        it.refused(ServerKind::Smtp).await;
        assert_eq!(it.asked(), 2);

        it.change(json!({"refreshToken": it.provider.consent(ANNA)})).await;
        it.ask(ServerKind::Imap).await.unwrap();
        it.ask(ServerKind::Smtp).await.unwrap();
        assert_eq!(it.asked(), 3);
        let row = it.store.account_find(AccountId::of(it.account)).await.unwrap().unwrap();
        assert_eq!(row.account.text("tokenRefusal"), None);
    }

    #[tokio::test]
    async fn a_refusal_holds_for_the_other_slot_with_the_same_token() {
        let it = Asking::new().await;
        let token = it.provider.consent(ANNA);
        let both = json!({
            "smtpOauthApp_id": it.app.to_string(), "refreshToken": token,
            "smtpRefreshToken": token,
        });
        it.change(both.clone()).await;
        it.provider.withdraw(ANNA);
        let said = it.refused(ServerKind::Imap).await;
        assert!(it.refused(ServerKind::Smtp).await.contains("invalid_grant"), "{said}");
        assert_eq!(it.asked(), 1);
        // Another token, or one that was given later, is tried.
        it.change(json!({"smtpRefreshToken": it.provider.consent(ANNA)})).await;
        it.ask(ServerKind::Smtp).await.unwrap();
        it.refused(ServerKind::Imap).await;
        assert_eq!(it.asked(), 2);
    }

    #[tokio::test]
    async fn what_an_administrator_can_lift_is_asked_again() {
        let it = Asking::new().await;
        it.provider.register("client", "hush");
        it.refused(ServerKind::Imap).await;
        it.refused(ServerKind::Smtp).await;
        assert_eq!(it.asked(), 2);
    }
}
