//! Consents on another device: its owner types a code there, and Postroom asks the provider until
//! it is done (`device_poll`).
//!
//! The device code is durable before anybody sees the code for the owner.
//!
//! Standards: RFC 8628 §3.1 and §3.2 (the question for codes).

use crate::consent::ConsentError;
use crate::consent::app_of;
use crate::http_exchange::FormRequest;
use crate::shared::Shared;
use crate::token_request;
use crate::token_request::AskedEndpoint;
use crate::token_request::FormFields;
use crate::token_request::TokenFailure;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::OAuthAppId;
use postroom_model::Timestamp;
use postroom_model::builtin::names;
use postroom_model::oauth::GrantKind;
use postroom_model::oauth::OAuthApp;
use postroom_model::oauth::TokenSlot;
use postroom_model::oauth_device::DeviceCodes;
use postroom_model::webhook::Url;
use postroom_store::DeviceRequest;
use postroom_store::Sealed;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;

/// Starts consents on other devices.
#[derive(Debug, Clone)]
pub struct DeviceConsents {
    shared: Arc<Shared>,
}

/// What the owner of a mailbox does to consent on another device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePage {
    /// The address that is opened there.
    pub verification_uri: String,
    /// The code that is typed there.
    pub user_code: String,
    /// An address with the code in it, if the provider has one.
    pub verification_uri_complete: Option<String>,
    /// Until when the consent has to be given.
    pub expires_at: Timestamp,
    /// How often the provider is asked at first whether it was given.
    pub interval: Duration,
}

impl DeviceConsents {
    /// Those of an engine.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Begins a consent on another device. One that was begun before for the same slot of the
    /// account is no longer good.
    ///
    /// # Errors
    ///
    /// What is missing, and why the provider gives no codes.
    pub async fn start(
        &self,
        domain: &Domain,
        account: AccountId,
        slot: TokenSlot,
    ) -> Result<DevicePage, ConsentError> {
        let store = &self.shared.store;
        let row = store.account_find(account).await?;
        let row = row.filter(|row| row.domain == *domain).ok_or(ConsentError::NoAccount)?;
        let unset = || ConsentError::Unset(format!("set `{}` of the account first", slot.app()));
        let app = app_of(&row, slot).ok_or_else(unset)?;
        let oauth = OAuthApp::of(&app.app);
        let client_secret = app.client_secret.as_ref().map(Sealed::open).transpose()?;
        let url = device_url(&oauth)?;
        let form = form(&oauth, client_secret.as_ref())?;
        let form = FormRequest { url, form, bearer: None };
        let refused = |reason: String| {
            let app = &oauth.name;
            ConsentError::Provider(format!("the OAuth app `{app}` gets no codes: {reason}"))
        };
        let answer = token_request::exchanged(store, &self.shared.redial(), &row, form).await;
        let answer = answer.map_err(|failure| {
            let (TokenFailure::Passing { reason, .. } | TokenFailure::Refused { reason, .. }) =
                failure;
            refused(reason)
        })?;
        if !(200..300).contains(&answer.status) {
            let said = token_request::said(&answer, AskedEndpoint::Device, client_secret.as_ref());
            return Err(refused(said));
        }
        let body: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        let codes = DeviceCodes::read(&body);
        let codes = codes.map_err(|why| refused(format!("its answer cannot be used: {why}")))?;
        let until = self.after(codes.life);
        let request = DeviceRequest {
            domain: row.domain.clone(),
            account,
            slot,
            app: OAuthAppId::of(app.app.id),
            interval: codes.interval,
            until,
        };
        let code = SecretString::from(codes.device_code);
        match store.device_ask(&request, &code, self.after(codes.interval)).await {
            Err(postroom_store::Error::Condition(postroom_store::Failed::NoAccount)) => {
                return Err(ConsentError::NoAccount);
            }
            asked => asked?,
        }
        self.shared.device_begun.notify_one();
        Ok(DevicePage {
            verification_uri: codes.verification_uri.to_owned(),
            user_code: codes.user_code.to_owned(),
            verification_uri_complete: codes.verification_uri_complete.map(str::to_owned),
            expires_at: until,
            interval: codes.interval,
        })
    }

    fn after(&self, time: Duration) -> Timestamp {
        let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_ms(self.shared.clock.now_ms().saturating_add(time))
    }
}

/// Where the codes are asked for.
fn device_url(app: &OAuthApp) -> Result<&Url, ConsentError> {
    let name = &app.name;
    if app.grant != GrantKind::RefreshToken {
        let text = format!("the OAuth app `{name}` needs no consent, because of its `grant`");
        return Err(ConsentError::Unset(text));
    }
    app.device_url.as_ref().ok_or_else(|| unset(app, names::DEVICE_URL))
}

/// The question for the codes (RFC 8628 §3.1).
fn form(app: &OAuthApp, secret: Option<&SecretString>) -> Result<SecretString, ConsentError> {
    let client_id = app.client_id.as_ref().ok_or_else(|| unset(app, names::CLIENT_ID))?;
    let mut form = FormFields::default();
    form.add("client_id", client_id);
    if let Some(secret) = secret {
        form.add("client_secret", secret.expose_secret());
    }
    if !app.scope.is_empty() {
        form.add("scope", &app.scope);
    }
    Ok(SecretString::from(form.into_text()))
}

fn unset(app: &OAuthApp, property: &str) -> ConsentError {
    ConsentError::Unset(format!("set `{property}` of the OAuth app `{}` first", app.name))
}
