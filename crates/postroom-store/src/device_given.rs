//! The end of a consent on another device: with the tokens that the provider gave.

use crate::change::ChangeTerms;
use crate::change::Updated;
use crate::device_consent::DevicePending;
use crate::device_consent::DeviceRequest;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::store::Store;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::oauth_device::DeviceState;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Map;
use serde_json::Value as Json;

impl Store {
    /// Saves what the provider gave, and that the consent was given, as one. Only this version of
    /// the account is changed. `Ok(None)`: it is another consent by now, and nothing is saved.
    ///
    /// # Errors
    ///
    /// As [`Self::entity_update`].
    pub async fn device_give(
        &self,
        pending: &DevicePending,
        refresh_token: &SecretString,
        version: i64,
    ) -> Result<Option<Updated>, Error> {
        let DeviceRequest { domain, account, slot, .. } = &pending.request;
        let class = self.builtin_of(domain, ACCOUNTS)?;
        let place = EntityPlace::new(domain, &class, (*account).into());
        let mut changes = Map::new();
        let secret = Json::from(refresh_token.expose_secret());
        changes.insert(slot.refresh_token().to_owned(), secret);
        let also = pending.ended(DeviceState::Given, None).must_change(Failed::NoConsent);
        let terms =
            ChangeTerms { if_version: Some(version), also: Some(&also), ..ChangeTerms::default() };
        match self.entity_update_on(place, &changes, terms).await {
            Ok(updated) => Ok(Some(updated)),
            Err(Error::Condition(Failed::NoConsent)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_consent::DeviceStep;
    use crate::entity::NewEntity;
    use crate::fixture::store;
    use postroom_model::AccountId;
    use postroom_model::Domain;
    use postroom_model::Entity;
    use postroom_model::EntityId;
    use postroom_model::OAuthAppId;
    use postroom_model::Timestamp;
    use postroom_model::builtin::OAUTH_APPS;
    use postroom_model::builtin::PROFILES;
    use postroom_model::oauth::TokenSlot;
    use postroom_testkit::on_both;
    use serde_json::json;
    use std::time::Duration;

    const APP: EntityId = EntityId::from_u128(2);
    const ACCOUNT: EntityId = EntityId::from_u128(3);

    async fn make_account(store: &Store) {
        let profile = EntityId::from_u128(1);
        let account = json!({
            "profile_id": profile, "address": "anna@demo.test", "oauthApp_id": APP,
        });
        let rows = [
            (PROFILES, profile, json!({"name": "p", "imapHost": "mail.example"})),
            (OAUTH_APPS, APP, json!({"name": "a", "provider": "google"})),
            (ACCOUNTS, ACCOUNT, account),
        ];
        for (class, id, values) in rows {
            let class = store.builtin(class).unwrap();
            let entity = Entity::new(id, values.as_object().unwrap().clone());
            let new = vec![NewEntity { entity, files: vec![] }];
            store.entity_create(&Domain::default_domain(), &class, new).await.unwrap();
        }
    }

    fn moment(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    async fn ask(store: &Store, slot: TokenSlot, code: &str, due: i64) -> Result<(), Error> {
        let request = DeviceRequest {
            domain: Domain::default_domain(),
            account: AccountId::of(ACCOUNT),
            slot,
            app: OAuthAppId::of(APP),
            interval: Duration::from_secs(5),
            until: moment(900_000),
        };
        store.device_ask(&request, &SecretString::from(code), moment(due)).await
    }

    async fn seen(store: &Store, slot: TokenSlot) -> Option<(DeviceState, Option<String>)> {
        let (domain, account) = (Domain::default_domain(), AccountId::of(ACCOUNT));
        let seen = store.device_seen(&domain, account, slot).await.unwrap()?;
        assert_eq!(seen.until, moment(900_000));
        Some((seen.state, seen.detail))
    }

    async fn codes(store: &Store) -> Vec<(String, i64, bool)> {
        let pending = store.device_list_pending().await.unwrap();
        let one = |it: &DevicePending| {
            let code = it.code.open().unwrap().expose_secret().to_owned();
            (code, it.due.as_ms(), it.is_interrupted)
        };
        pending.iter().map(one).collect()
    }

    #[on_both]
    async fn of_two_who_ask_one_does_and_the_last_consent_of_a_slot_counts() {
        let (_directory, store) = store().await;
        make_account(&store).await;
        let slot = TokenSlot::Account;
        assert_eq!(seen(&store, slot).await, None);
        ask(&store, slot, "one", 7_000).await.unwrap();
        ask(&store, TokenSlot::Smtp, "own", 6_000).await.unwrap();
        let own = ("own".to_owned(), 6_000, false);
        assert_eq!(codes(&store).await, [own.clone(), ("one".to_owned(), 7_000, false)]);
        let pending = store.device_list_pending().await.unwrap().remove(1);
        let both = tokio::join!(
            store.device_claim(&pending, moment(12_000)),
            store.device_claim(&pending, moment(12_000))
        );
        assert_eq!([both.0.unwrap(), both.1.unwrap()].iter().filter(|one| **one).count(), 1);
        assert_eq!(codes(&store).await[1], ("one".to_owned(), 12_000, true));
        let later = |is_open| DeviceStep::Later {
            due: moment(20_000),
            interval: Duration::from_secs(10),
            is_open,
        };
        for is_open in [true, false] {
            assert!(store.device_step(&pending, &later(is_open)).await.unwrap());
            assert_eq!(codes(&store).await[1], ("one".to_owned(), 20_000, is_open));
        }
        let again = store.device_list_pending().await.unwrap().remove(1);
        assert_eq!(again.request.interval, Duration::from_secs(10));

        // Another one takes its place. What becomes of the former is of no interest any more.
        ask(&store, slot, "two", 9_000).await.unwrap();
        assert!(!store.device_claim(&again, moment(30_000)).await.unwrap());
        assert!(!store.device_step(&again, &later(false)).await.unwrap());
        let token = SecretString::from("r");
        let version = store.account_find(AccountId::of(ACCOUNT)).await.unwrap().unwrap();
        let version = version.account.version;
        assert_eq!(store.device_give(&again, &token, version).await.unwrap(), None);
        let account = store.account_find(AccountId::of(ACCOUNT)).await.unwrap().unwrap();
        assert_eq!(account.account.version, version, "nothing was saved");
        assert_eq!(codes(&store).await, [own, ("two".to_owned(), 9_000, false)]);
        assert_eq!(seen(&store, slot).await, Some((DeviceState::Pending, None)));
    }

    #[on_both]
    async fn tokens_and_the_end_of_a_consent_are_saved_as_one() {
        let (_directory, store) = store().await;
        make_account(&store).await;
        ask(&store, TokenSlot::Account, "one", 7_000).await.unwrap();
        let pending = store.device_list_pending().await.unwrap().remove(0);
        let token = SecretString::from("refresh");
        let row = async || store.account_find(AccountId::of(ACCOUNT)).await.unwrap().unwrap();
        let version = row().await.account.version;
        let stale = store.device_give(&pending, &token, version + 1).await.unwrap();
        assert_eq!(stale, Some(Updated::Stale { version }));
        assert_eq!(codes(&store).await.len(), 1, "it is still asked for");
        let done = store.device_give(&pending, &token, version).await.unwrap();
        assert!(matches!(done, Some(Updated::Done(_))), "{done:?}");
        let saved = row().await;
        let tokens = saved.tokens[0].as_ref().unwrap();
        let opened = tokens.refresh_token.as_ref().unwrap().open().unwrap();
        assert_eq!(opened.expose_secret(), "refresh");
        assert!(saved.account.text("consentedAt").is_some());
        assert_eq!(codes(&store).await, []);
        let given = Some((DeviceState::Given, None));
        assert_eq!(seen(&store, TokenSlot::Account).await, given);
    }

    #[on_both]
    async fn what_ended_says_so_until_its_account_is_gone() {
        let (_directory, store) = store().await;
        make_account(&store).await;
        ask(&store, TokenSlot::Account, "one", 7_000).await.unwrap();
        let pending = store.device_list_pending().await.unwrap().remove(0);
        let (state, detail) = (DeviceState::Denied, Some("no".to_owned()));
        let ended = DeviceStep::Ended { state, detail: detail.clone() };
        assert!(store.device_step(&pending, &ended).await.unwrap());
        assert!(!store.device_step(&pending, &ended).await.unwrap(), "it has ended");
        assert_eq!(codes(&store).await, []);
        assert_eq!(seen(&store, TokenSlot::Account).await, Some((state, detail)));
        let (domain, class) = (Domain::default_domain(), store.builtin(ACCOUNTS).unwrap());
        store.entity_delete(EntityPlace::new(&domain, &class, ACCOUNT), None).await.unwrap();
        assert_eq!(seen(&store, TokenSlot::Account).await, None);
        let asked = ask(&store, TokenSlot::Account, "two", 1).await;
        assert!(matches!(asked, Err(Error::Condition(Failed::NoAccount))), "{asked:?}");
    }
}
