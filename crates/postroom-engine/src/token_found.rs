//! The tokens of an account as they are stored, and what people are told of them.

use crate::credentials::CredentialError;
use crate::token_assertion::AssertedClaims;
use crate::token_assertion::assertion;
use crate::token_request::Grant;
use postroom_model::AccountId;
use postroom_model::Timestamp;
use postroom_model::builtin::names;
use postroom_model::oauth::GrantKind;
use postroom_model::oauth::OAuthApp;
use postroom_model::oauth::TokenSlot;
use postroom_model::oauth_answer::Consenter;
use postroom_store::AccountRow;
use postroom_store::AccountTokens;
use postroom_store::OAuthAppRow;
use postroom_store::Sealed;
use postroom_store::SecretMark;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;

/// The tokens of an account as they are stored.
pub(crate) struct FoundTokens {
    pub row: AccountRow,
    pub slot: TokenSlot,
    pub app: Arc<OAuthAppRow>,
    /// The app with what its provider adds.
    pub oauth: OAuthApp,
    pub refresh_token: Option<Sealed>,
    pub access_token: Option<SecretString>,
}

impl FoundTokens {
    /// The account.
    pub(crate) fn account(&self) -> AccountId {
        AccountId::of(self.row.account.id)
    }

    /// What tells one entitlement to tokens from the next. `None`: there is none.
    pub(crate) fn entitled_by(&self) -> Option<SecretMark> {
        let secret = match self.oauth.grant {
            GrantKind::RefreshToken => self.refresh_token.as_ref(),
            GrantKind::ClientCredentials | GrantKind::External => self.app.client_secret.as_ref(),
            GrantKind::JwtBearer => self.app.private_key.as_ref(),
        };
        secret.map(Sealed::mark)
    }

    /// What entitles to a token. `None`: nobody has consented.
    ///
    /// # Errors
    ///
    /// It cannot be decrypted, or the key of a service account is none.
    pub(crate) fn grant(&self, now: Timestamp) -> Result<Option<Grant>, CredentialError> {
        match self.oauth.grant {
            GrantKind::RefreshToken => {}
            GrantKind::ClientCredentials => return Ok(Some(Grant::ClientCredentials)),
            GrantKind::External => {
                let (account, address) = (self.account(), self.address().to_owned());
                return Ok(Some(Grant::External { account, address }));
            }
            GrantKind::JwtBearer => return self.assertion(now).map(Some),
        }
        let property = self.slot.refresh_token();
        let token = self.refresh_token.as_ref().map(|sealed| opened(sealed, property));
        Ok(token.transpose()?.map(Grant::RefreshToken))
    }

    /// What the service account says to act for the mailbox.
    fn assertion(&self, now: Timestamp) -> Result<Grant, CredentialError> {
        let OAuthApp { name, client_id, scope, token_url, .. } = &self.oauth;
        let unusable = |reason: &str| CredentialError::NeedsPerson {
            reason: format!("`{}` of the OAuth app `{name}` {reason}", names::PRIVATE_KEY),
        };
        let key = self.app.private_key.as_ref();
        let key = key.ok_or_else(|| unusable("is not set: let its administrator set it"))?;
        let audience = token_url.as_ref().map(ToString::to_string).unwrap_or_default();
        let claims = AssertedClaims {
            issuer: client_id.as_deref().unwrap_or_default(),
            subject: login_of(&self.row, self.slot),
            scope,
            audience: &audience,
        };
        let made = assertion(&opened(key, names::PRIVATE_KEY)?, &claims, now);
        made.map(Grant::Assertion).map_err(unusable)
    }

    /// The secret of the app.
    ///
    /// # Errors
    ///
    /// It cannot be decrypted.
    pub(crate) fn client_secret(&self) -> Result<Option<SecretString>, CredentialError> {
        let secret = self.app.client_secret.as_ref();
        secret.map(|sealed| opened(sealed, names::CLIENT_SECRET)).transpose()
    }

    /// What the provider said when it refused this refresh token, if the app is still as it was
    /// then. The other slot of the account may have the same token, and have asked with it.
    pub(crate) fn refused_before(&self) -> Option<&str> {
        if self.oauth.grant != GrantKind::RefreshToken {
            return None;
        }
        TokenSlot::ALL.into_iter().filter(|slot| self.is_of(*slot)).find_map(|slot| {
            let version = self.row.account.number(slot.refused_app_version());
            let said = self.row.account.text(slot.refusal());
            said.filter(|_| version == Some(self.app.app.version))
        })
    }

    /// Whether a slot has the refresh token that is asked with, since this one has it at least.
    fn is_of(&self, slot: TokenSlot) -> bool {
        if slot == self.slot {
            return true;
        }
        let since = |slot: TokenSlot| self.row.account.text(slot.consented_at());
        let Some(AccountTokens { app: Some(app), refresh_token: Some(other), .. }) =
            self.row.tokens_of(slot).filter(|_| since(slot) >= since(self.slot))
        else {
            return false;
        };
        let Some(Ok(own)) = self.refresh_token.as_ref().map(Sealed::open) else {
            return false;
        };
        let is_same = |other: SecretString| other.expose_secret() == own.expose_secret();
        app.app.id == self.app.app.id && other.open().is_ok_and(is_same)
    }

    /// How long the stored access token is still good. `None`: nobody knows.
    pub(crate) fn left(&self, now: Timestamp) -> Option<Duration> {
        let at = self.row.account.text(self.slot.expires_at())?;
        let at = Timestamp::parse(at).ok()?;
        let left = at.as_ms().saturating_sub(now.as_ms());
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// Whether a question was interrupted, so that its answer may be lost.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.row.account.text(self.slot.refreshing_since()).is_some()
    }

    pub(crate) fn without_consent(&self) -> String {
        let address = self.address();
        let what = if self.access_token.is_some() {
            "the access token has ended or is refused by the server, and there is no refresh token"
        } else {
            "nobody has consented yet that Postroom reads and sends mail"
        };
        let where_to = self.where_to_consent();
        format!("{what}: let the owner of {address} consent {where_to}")
    }

    /// Where the owner consents, and what else helps.
    fn where_to_consent(&self) -> String {
        let token = self.slot.refresh_token();
        if self.oauth.authorize_url.is_none() && self.oauth.device_url.is_some() {
            let start = self.oauth.device_start(self.account(), self.slot);
            return format!("with the code that POST {start} gives, or save a token as `{token}`");
        }
        let start = self.oauth.consent_start(self.account(), self.slot);
        format!("on the page that GET {start} leads to, or save a token as `{token}`")
    }

    /// What a refusal means, and who has to do what.
    pub(crate) fn refusal(&self, by: Consenter, reason: &str, interrupted: Option<&str>) -> String {
        let app = self.app.app.text(names::NAME).unwrap_or_default();
        let address = self.address();
        let interrupted = interrupted.map_or_else(String::new, |since| {
            format!(
                "; a question of {since} was interrupted, and if the provider replaced the refresh \
                 token then, its answer is lost"
            )
        });
        match by {
            Consenter::Owner => format!(
                "the provider gives the OAuth app `{app}` no more access to this mailbox ({reason}\
                 {interrupted}): let the owner of {address} consent again {}",
                self.where_to_consent()
            ),
            Consenter::Organisation => format!(
                "the organisation of this mailbox gives the OAuth app `{app}` no access to it \
                 ({reason}{interrupted}): let the administrator of the organisation allow the app \
                 for {address} at the provider. Postroom asks again by itself"
            ),
            Consenter::Administrator if self.oauth.grant == GrantKind::JwtBearer => format!(
                "the provider does not let the OAuth app `{app}` act for {} ({reason}): let the \
                 administrator of the mailboxes allow the service account these scopes \
                 (domain-wide delegation), and that of the app check clientId, privateKey, scopes \
                 and tokenUrl",
                login_of(&self.row, self.slot)
            ),
            Consenter::Administrator => format!(
                "the provider refuses the OAuth app `{app}` ({reason}): let its administrator \
                 check clientId, clientSecret, scopes and tokenUrl of the app"
            ),
        }
    }

    fn address(&self) -> &str {
        self.row.account.text(names::ADDRESS).unwrap_or_default()
    }
}

/// The login that the tokens of a slot are for.
pub(crate) fn login_of(row: &AccountRow, slot: TokenSlot) -> &str {
    let text = |name: &str| row.account.text(name).filter(|text| !text.is_empty());
    let own = match slot {
        TokenSlot::Account => None,
        TokenSlot::Smtp => text(names::SMTP_LOGIN),
    };
    own.or_else(|| text(names::LOGIN)).or_else(|| text(names::ADDRESS)).unwrap_or_default()
}

fn opened(sealed: &Sealed, property: &'static str) -> Result<SecretString, CredentialError> {
    sealed.open().map_err(|source| CredentialError::Unreadable { property, source })
}
