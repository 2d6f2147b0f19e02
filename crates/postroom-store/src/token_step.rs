//! What Postroom notes of the tokens of accounts.
//!
//! Postroom replaces tokens, and so do clients. What Postroom writes holds only while the account
//! has the version that was read with the tokens that were used. So the answer of a provider never
//! takes the place of a consent that came meanwhile.

use crate::account::AccountRow;
use crate::error::Error;
use crate::failed::Failed;
use crate::store::Store;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::oauth::TokenSlot;
use postroom_model::oauth::TokenState;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

/// What Postroom notes of the tokens of an account.
#[derive(Debug, Clone)]
pub enum TokenStep {
    /// A token is about to be asked for.
    Asking(Timestamp),
    /// It was given.
    Granted {
        /// The access token.
        access_token: SecretString,
        /// When it expires.
        expires_at: Timestamp,
        /// The refresh token that takes the place of the one that was used.
        refresh_token: Option<SecretString>,
    },
    /// There is no new one.
    Failed {
        /// How the tokens are now.
        state: TokenState,
        /// Whether the provider may have given one, and its answer was lost.
        is_open: bool,
    },
    /// The provider takes the refresh token no more. It is not asked with it again.
    Refused {
        /// What it said.
        reason: String,
        /// The version of the app that asked.
        app_version: i64,
        /// Whether the provider may have replaced the refresh token, and its answer was lost.
        is_open: bool,
    },
}

impl TokenStep {
    fn values(&self, slot: TokenSlot) -> Map<String, Json> {
        let mut values = Map::new();
        let mut put = |name: &str, value: Json| values.insert(name.to_owned(), value);
        match self {
            Self::Asking(since) => {
                put(slot.refreshing_since(), json!(since.to_string()));
            }
            Self::Granted { access_token, expires_at, refresh_token } => {
                put(slot.access_token(), json!(access_token.expose_secret()));
                put(slot.expires_at(), json!(expires_at.to_string()));
                put(slot.state(), json!(TokenState::Valid.as_str()));
                put(slot.refreshing_since(), Json::Null);
                put(slot.refusal(), Json::Null);
                put(slot.refused_app_version(), Json::Null);
                if let Some(token) = refresh_token {
                    put(slot.refresh_token(), json!(token.expose_secret()));
                }
            }
            Self::Refused { reason, app_version, is_open } => {
                put(slot.state(), json!(TokenState::Refused.as_str()));
                put(slot.refusal(), json!(reason));
                put(slot.refused_app_version(), json!(app_version));
                if !is_open {
                    put(slot.refreshing_since(), Json::Null);
                }
            }
            Self::Failed { state, is_open } => {
                put(slot.state(), json!(state.as_str()));
                if !is_open {
                    put(slot.refreshing_since(), Json::Null);
                }
            }
        }
        values
    }
}

impl Store {
    /// Notes a step of the tokens of an account. `false`: the account is another one than `row`
    /// says, or is gone, and nothing was noted. It works on a full disk.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn token_step(
        &self,
        row: &AccountRow,
        slot: TokenSlot,
        step: &TokenStep,
    ) -> Result<bool, Error> {
        let class = self.builtin(ACCOUNTS)?;
        let batch = self.records(&row.domain, &class).report(&row.account, &step.values(slot))?;
        if batch.is_empty() {
            return Ok(true);
        }
        match self.write_at_need(batch).await {
            Ok(_) => Ok(true),
            Err(Error::Condition(Failed::Stale | Failed::OtherClasses)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Updated;
    use crate::entity::NewEntity;
    use crate::entity_place::EntityPlace;
    use crate::fixture::feed_settled;
    use crate::fixture::store;
    use postroom_model::AccountId;
    use postroom_model::Domain;
    use postroom_model::Entity;
    use postroom_model::EntityId;
    use postroom_model::builtin::OAUTH_APPS;
    use postroom_model::builtin::PROFILES;
    use postroom_testkit::on_both;

    const ACCOUNT: u128 = 3;

    fn domain() -> Domain {
        Domain::default_domain()
    }

    async fn account(store: &Store) -> AccountId {
        let ids: Vec<_> = (1..=ACCOUNT).map(EntityId::from_u128).collect();
        let rows = [
            (PROFILES, json!({"name": "p", "imapHost": "mail.example"})),
            (OAUTH_APPS, json!({"name": "a", "provider": "google", "clientSecret": "hush"})),
            (
                ACCOUNTS,
                json!({"profile_id": ids[0], "address": "anna@demo.test",
                       "oauthApp_id": ids[1], "refreshToken": "first"}),
            ),
        ];
        for ((class, values), id) in rows.into_iter().zip(&ids) {
            let class = store.builtin(class).unwrap();
            let entity = Entity::new(*id, values.as_object().unwrap().clone());
            let new = NewEntity { entity, files: vec![] };
            store.entity_create(&domain(), &class, vec![new]).await.unwrap();
        }
        AccountId::of(ids[2])
    }

    async fn row(store: &Store) -> AccountRow {
        let id = AccountId::of(EntityId::from_u128(ACCOUNT));
        store.account_find(id).await.unwrap().unwrap()
    }

    fn tokens(row: &AccountRow) -> (String, String) {
        let tokens = row.tokens[0].as_ref().unwrap();
        let open = |sealed: &Option<crate::sealed::Sealed>| {
            let opened = sealed.as_ref().map(|sealed| sealed.open().unwrap());
            opened.map_or_else(String::new, |secret| secret.expose_secret().to_owned())
        };
        (open(&tokens.refresh_token), open(&tokens.access_token))
    }

    fn granted(access: &str, refresh: Option<&str>, expires_at: i64) -> TokenStep {
        TokenStep::Granted {
            access_token: SecretString::from(access),
            expires_at: Timestamp::from_ms(expires_at),
            refresh_token: refresh.map(SecretString::from),
        }
    }

    #[on_both]
    async fn what_a_provider_gave_never_takes_the_place_of_a_new_consent() {
        let (_directory, store) = store().await;
        let id = account(&store).await;
        let first = row(&store).await;
        let secret = first.tokens[0].as_ref().unwrap().app.as_ref().unwrap().client_secret.clone();
        assert_eq!(secret.unwrap().open().unwrap().expose_secret(), "hush");
        assert_eq!(tokens(&first), ("first".to_owned(), String::new()));
        assert!(first.account.text("consentedAt").is_some(), "{:?}", first.account);

        let step = granted("access", Some("second"), 9_000);
        assert!(store.token_step(&first, TokenSlot::Account, &step).await.unwrap());
        let second = row(&store).await;
        assert_eq!(tokens(&second), ("second".to_owned(), "access".to_owned()));
        assert_eq!(second.saved, first.saved, "Postroom's own tokens are no saving");

        // Somebody consents again while a token is asked for.
        let class = store.builtin(ACCOUNTS).unwrap();
        let consent = json!({"refreshToken": "of a person"});
        let (place, domain) = (id.into(), domain());
        let place = EntityPlace::new(&domain, &class, place);
        let done = store.entity_update(place, consent.as_object().unwrap(), None).await.unwrap();
        assert!(matches!(done, Updated::Done(_)));
        let step = granted("late", Some("late"), 10_000);
        assert!(!store.token_step(&second, TokenSlot::Account, &step).await.unwrap());
        let third = row(&store).await;
        assert_eq!(tokens(&third), ("of a person".to_owned(), String::new()));
        assert_ne!(third.saved, second.saved, "a consent is a saving");
        assert_eq!(third.account.text("tokenState"), Some("none"));
    }

    #[on_both]
    async fn tokens_that_are_replaced_are_no_news_and_a_refusal_is() {
        let (_directory, store) = store().await;
        account(&store).await;
        let step = async |step: TokenStep| {
            assert!(store.token_step(&row(&store).await, TokenSlot::Account, &step).await.unwrap());
        };
        step(granted("one", None, 9_000)).await;
        let before = feed_settled(&store, 0).await;
        let version = row(&store).await.account.version;
        step(TokenStep::Asking(Timestamp::from_ms(8_000))).await;
        step(granted("two", Some("second"), 19_000)).await;
        assert_eq!(feed_settled(&store, 0).await.len(), before.len());
        step(TokenStep::Asking(Timestamp::from_ms(18_000))).await;
        step(TokenStep::Failed { state: TokenState::Refused, is_open: false }).await;
        let now = row(&store).await;
        assert_eq!(feed_settled(&store, 0).await.len(), before.len() + 1);
        assert_eq!(now.account.text("tokenState"), Some("refused"));
        assert_eq!((now.account.text("refreshingSince"), now.account.version), (None, version));

        let refused = |app_version| {
            let reason = "it answers 400 invalid_grant".to_owned();
            TokenStep::Refused { reason, app_version, is_open: false }
        };
        let shown = async || {
            let account = row(&store).await.account;
            let said = account.text("tokenRefusal").map(str::to_owned);
            (said, account.number("refusedAppVersion"), account.text("tokenState") == Some("valid"))
        };
        step(refused(7)).await;
        assert_eq!(
            shown().await,
            (Some("it answers 400 invalid_grant".to_owned()), Some(7), false)
        );
        step(granted("three", None, 29_000)).await;
        assert_eq!(shown().await, (None, None, true), "a token ends a refusal");
        step(refused(8)).await;
        let class = store.builtin(ACCOUNTS).unwrap();
        let id = EntityId::from_u128(ACCOUNT);
        let domain = domain();
        let place = EntityPlace::new(&domain, &class, id);
        let consent = json!({"refreshToken": "third"});
        let done = store.entity_update(place, consent.as_object().unwrap(), None).await.unwrap();
        assert!(matches!(done, Updated::Done(_)));
        assert_eq!(shown().await, (None, None, false), "and so does a consent");
        let told: Vec<_> = feed_settled(&store, 0).await;
        for secret in ["first", "second", "third", "one", "two", "three", "hush"] {
            assert!(!format!("{told:?}").contains(&format!("\"{secret}\"")), "{secret}");
        }
    }
}
