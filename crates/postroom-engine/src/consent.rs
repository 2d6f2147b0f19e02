//! Consents: the owner of a mailbox lets an OAuth app read and send its mail.
//!
//! ```text
//!   start ──► page of the provider, with a state and a challenge ──► callback ──► finish
//! ```
//! A state is good for one slot of an account and one app, once, and for a while. The store has it
//! before anybody sees it, and forgets it before the provider is asked. The refresh token is saved
//! as if a client had sent it, so the engine tries the account at once, and asks for the first
//! access token by it. The access token that comes with it is not used: nothing is used before it
//! is durable, and the durable one proves at once that it works.
//!
//! Standards: RFC 6749 §4.1 (authorisation code), RFC 7636 (PKCE), RFC 9700 §2.1.

use crate::settings::CurrentDialing;
use crate::token_found::login_of;
use crate::token_request;
use crate::token_request::FormFields;
use crate::token_request::Grant;
use crate::token_request::TokenFailure;
use crate::token_request::TokenRequest;
use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::OAuthAppId;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::names;
use postroom_model::oauth::GrantKind;
use postroom_model::oauth::OAuthApp;
use postroom_model::oauth::TokenSlot;
use postroom_store::AccountRow;
use postroom_store::ConsentRequest;
use postroom_store::EntityPlace;
use postroom_store::OAuthAppRow;
use postroom_store::Sealed;
use postroom_store::Store;
use postroom_store::Updated;
use postroom_store::random_token;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Map;
use serde_json::Value as Json;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// How long a person may take.
const WITHIN: Duration = Duration::from_secs(15 * 60);
/// How often the tokens are saved again because a client changed the account meanwhile.
const ATTEMPTS: u32 = 20;

/// What to do about a provider that gives an access token alone.
pub(crate) const NO_REFRESH_TOKEN: &str = "the provider gave no refresh token: let the \
    administrator of the OAuth app check whether it may ask for access while nobody is there \
    (offline)";

/// Starts and finishes consents. Each process does so, whether its engine runs or not.
#[derive(Debug, Clone)]
pub struct OAuthConsents {
    store: Store,
    dialing: CurrentDialing,
    /// Questions for tokens that must not be ended.
    asking: TaskTracker,
}

/// Where a person consents.
#[derive(Debug)]
pub struct ConsentPage {
    /// The address for the browser.
    pub url: String,
    /// Until when the consent has to be given.
    pub expires_at: Timestamp,
}

/// A consent that was given, and is saved.
#[derive(Debug, PartialEq, Eq)]
pub struct ConsentGiven {
    /// The address of the account.
    pub address: String,
    /// The name of the app.
    pub app: String,
}

/// The account is gone, or has another app.
pub(crate) const OTHER_APP: &str = "the account was deleted, or has another OAuth app than the \
                                    one that asked, so nothing was saved: begin another one";

/// Why there is no consent. The texts are shown to people and have no secret.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// There is no such account.
    #[error("there is no account of this id")]
    NoAccount,
    /// Something is to be set, or to be set otherwise.
    #[error("{0}")]
    Unset(String),
    /// Nothing is asked for under this state.
    #[error(
        "nobody asks for this consent: it was used before, another one was begun after it, or it \
         never was asked for. Begin another one"
    )]
    Unknown,
    /// It took too long.
    #[error("this consent took longer than 15 minutes, so nothing was saved: begin another one")]
    Late,
    /// The account has another app by now, or none, or is gone.
    #[error("{OTHER_APP}")]
    OtherApp,
    /// The provider gives no tokens.
    #[error("{0}")]
    Provider(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] postroom_store::Error),
}

impl OAuthConsents {
    /// Those of a store. Providers are asked as `dialing` says at that moment.
    pub(crate) fn new(store: Store, dialing: CurrentDialing, asking: TaskTracker) -> Self {
        Self { store, dialing, asking }
    }

    /// Waits for the providers that were asked, within a limit. The answer may have the only token
    /// that the provider will accept from now on.
    pub(crate) async fn answered(&self, within: Duration) {
        self.asking.close();
        if tokio::time::timeout(within, self.asking.wait()).await.is_err() {
            tracing::warn!("a provider of OAuth did not answer before the stop: begin again");
        }
    }

    /// Begins a consent. One that was begun before for the same slot of the account is no longer
    /// good.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub async fn start(
        &self,
        domain: &Domain,
        account: AccountId,
        slot: TokenSlot,
    ) -> Result<ConsentPage, ConsentError> {
        let row = self.store.account_find(account).await?;
        let row = row.filter(|row| row.domain == *domain).ok_or(ConsentError::NoAccount)?;
        let unset = || ConsentError::Unset(format!("set `{}` of the account first", slot.app()));
        let app = app_of(&row, slot).ok_or_else(unset)?;
        let within = i64::try_from(WITHIN.as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp::from_ms(self.store.clock().now_ms().saturating_add(within));
        let request = ConsentRequest {
            domain: row.domain.clone(),
            account,
            slot,
            app: OAuthAppId::of(app.app.id),
            verifier: random_token(),
            until,
        };
        let state = random_token();
        let login = login_of(&row, slot);
        let url = page(&OAuthApp::of(&app.app), login, &state, &request.verifier)?;
        match self.store.consent_ask(&state, &request).await {
            Err(postroom_store::Error::Condition(postroom_store::Failed::NoAccount)) => {
                Err(ConsentError::NoAccount)
            }
            asked => Ok(asked.map(|()| ConsentPage { url, expires_at: until })?),
        }
    }

    /// Ends a consent with the code of the provider, and saves the refresh token that it gives. It
    /// goes on if the caller gives up, because the code is good once.
    ///
    /// # Errors
    ///
    /// Why there is no refresh token.
    pub async fn finish(
        &self,
        state: SecretString,
        code: SecretString,
    ) -> Result<ConsentGiven, ConsentError> {
        let consents = self.clone();
        let task = self.asking.spawn(async move { consents.give(&state, code).await });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a consent was not ended, which is a fault of Postroom");
            let text = "Postroom failed while it asked the provider: please report it";
            Err(ConsentError::Provider(text.to_owned()))
        })
    }

    /// Ends a consent that was not given. Its state is no longer good.
    ///
    /// # Errors
    ///
    /// Nobody asks for it.
    pub async fn declined(&self, state: &SecretString) -> Result<(), ConsentError> {
        self.take(state).await.map(drop)
    }

    /// Uses a state up. Of two who bring the same, one gets it.
    async fn take(&self, state: &SecretString) -> Result<ConsentRequest, ConsentError> {
        let taken = self.store.consent_take(state.expose_secret()).await?;
        let taken = taken.ok_or(ConsentError::Unknown)?;
        let is_late = taken.until.as_ms() < self.store.clock().now_ms();
        if is_late { Err(ConsentError::Late) } else { Ok(taken) }
    }

    async fn give(
        &self,
        state: &SecretString,
        code: SecretString,
    ) -> Result<ConsentGiven, ConsentError> {
        let request = self.take(state).await?;
        let row = self.store.account_find(request.account).await?;
        let row = row.filter(|row| row.domain == request.domain).ok_or(ConsentError::OtherApp)?;
        let app = app_of(&row, request.slot).filter(|it| OAuthAppId::of(it.app.id) == request.app);
        let app = app.ok_or(ConsentError::OtherApp)?;
        let oauth = OAuthApp::of(&app.app);
        let redirect_uri = oauth.redirect_uri.clone().unwrap_or_default();
        let grant = Grant::Code { code, verifier: request.verifier.clone(), redirect_uri };
        let client_secret = app.client_secret.as_ref().map(Sealed::open).transpose()?;
        let asked = TokenRequest { app: &oauth, client_secret, grant };
        let redial = self.dialing.now();
        let granted = token_request::ask(&self.store, &redial, &row, &asked).await;
        let granted = granted.map_err(|failure| {
            let (TokenFailure::Passing { reason, .. } | TokenFailure::Refused { reason, .. }) =
                failure;
            let app = &oauth.name;
            ConsentError::Provider(format!("the OAuth app `{app}` gets no tokens: {reason}"))
        })?;
        let without = || ConsentError::Provider(NO_REFRESH_TOKEN.to_owned());
        let token = granted.refresh_token.ok_or_else(without)?;
        self.save(&request, &token).await?;
        let address = row.account.text(names::ADDRESS).unwrap_or_default().to_owned();
        tracing::info!(account = address, slot = request.slot.as_str(), "consent given");
        Ok(ConsentGiven { address, app: oauth.name })
    }

    /// Saves a refresh token as long as the account has the app that asked.
    async fn save(
        &self,
        request: &ConsentRequest,
        token: &SecretString,
    ) -> Result<(), ConsentError> {
        let (store, slot) = (&self.store, request.slot);
        let class = store.builtin_of(&request.domain, ACCOUNTS)?;
        let place = EntityPlace::new(&request.domain, &class, request.account.into());
        let mut changes = Map::new();
        let secret = Json::from(token.expose_secret());
        changes.insert(slot.refresh_token().to_owned(), secret);
        for _ in 0..ATTEMPTS {
            let account = store.entity_get(&request.domain, &class, request.account.into()).await?;
            let account = account.ok_or(ConsentError::OtherApp)?;
            if account.reference(slot.app()) != Some(request.app.into()) {
                return Err(ConsentError::OtherApp);
            }
            // The version is a condition of the batch, so the app is still the same.
            match store.entity_update(place, &changes, Some(account.version)).await? {
                Updated::Done(_) => return Ok(()),
                Updated::Missing => return Err(ConsentError::OtherApp),
                Updated::Stale { .. } => {}
            }
        }
        Err(postroom_store::Error::Condition(postroom_store::Failed::Crowded).into())
    }
}

/// The app of a slot. `None`: the account has none, or it is gone.
pub(crate) fn app_of(row: &AccountRow, slot: TokenSlot) -> Option<&OAuthAppRow> {
    row.tokens_of(slot)?.app.as_deref()
}

/// The page of the provider for a consent (RFC 6749 §4.1.1, RFC 7636 §4.3).
fn page(
    app: &OAuthApp,
    login: &str,
    state: &SecretString,
    verifier: &SecretString,
) -> Result<String, ConsentError> {
    let name = &app.name;
    if app.grant != GrantKind::RefreshToken {
        let text = format!("the OAuth app `{name}` needs no consent, because of its `grant`");
        return Err(ConsentError::Unset(text));
    }
    let unset = |property: &str| {
        ConsentError::Unset(format!("set `{property}` of the OAuth app `{name}` first"))
    };
    let url = app.authorize_url.as_ref().ok_or_else(|| unset(names::AUTHORIZE_URL))?;
    let client_id = app.client_id.as_ref().ok_or_else(|| unset(names::CLIENT_ID))?;
    let redirect_uri = app.redirect_uri.as_ref().ok_or_else(|| unset(names::REDIRECT_URI))?;
    let challenge = digest::digest(&digest::SHA256, verifier.expose_secret().as_bytes());
    let mut form = FormFields::default();
    form.add("response_type", "code");
    form.add("client_id", client_id);
    form.add("redirect_uri", redirect_uri);
    if !app.scope.is_empty() {
        form.add("scope", &app.scope);
    }
    form.add("state", state.expose_secret());
    form.add("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(challenge));
    form.add("code_challenge_method", "S256");
    form.add("login_hint", login);
    for (name, value) in &app.authorize_parameters {
        form.add(name, value);
    }
    let joint = if url.path.contains('?') { '&' } else { '?' };
    Ok(format!("{url}{joint}{}", form.into_text()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::Entity;
    use postroom_model::EntityId;
    use serde_json::json;

    fn made(values: &Json) -> Result<String, String> {
        let app = OAuthApp::of(&Entity::new(EntityId::nil(), values.as_object().unwrap().clone()));
        // The verifier of RFC 7636, Appendix B.
        let verifier = SecretString::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let made = page(&app, "anna@a.test", &SecretString::from("st"), &verifier);
        made.map_err(|error| error.to_string())
    }

    #[test]
    fn the_page_of_the_provider_gets_a_challenge_and_what_is_missing_is_named() {
        let whole = json!({
            "name": "ours", "tokenUrl": "https://b.test/t", "clientId": "a b", "scopes": ["x", "y"],
            "authorizeUrl": "https://b.test/a?x=1", "redirectUri": "https://p.test/cb",
        });
        assert_eq!(
            made(&whole).unwrap(),
            "https://b.test/a?x=1&response_type=code&client_id=a%20b\
             &redirect_uri=https%3A%2F%2Fp.test%2Fcb&scope=x%20y&state=st\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM\
             &code_challenge_method=S256&login_hint=anna%40a.test"
        );
        for name in ["authorizeUrl", "clientId", "redirectUri"] {
            let mut without = whole.clone();
            without[name] = Json::Null;
            assert_eq!(made(&without), Err(format!("set `{name}` of the OAuth app `ours` first")));
        }
        let own = json!({"name": "ours", "provider": "microsoft", "grant": "client_credentials"});
        assert!(made(&own).unwrap_err().contains("needs no consent"));
    }
}
