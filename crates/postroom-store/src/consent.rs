//! Consents that were asked for, until the provider sends the browser of the owner back.
//!
//! ```text
//!   consent_ask ──► a row ──► consent_take: gives it once
//! ```
//! The state that the provider sends back finds the row. The database has a keyed hash of it. So it
//! tells nobody a state, and how long a comparison takes says nothing about one. A slot of an
//! account has one row, that of the last question, so there are never more than two of an account.
//! They go with the account.

use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::integrity;
use crate::keyring::KeyNumber;
use crate::sealed::Sealed;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::OAuthAppId;
use postroom_model::Timestamp;
use postroom_model::oauth::TokenSlot;
use secrecy::ExposeSecret;
use secrecy::SecretString;

/// A consent that was asked for.
#[derive(Debug, Clone)]
pub struct ConsentRequest {
    /// The domain of the account.
    pub domain: Domain,
    /// Whose mail it is about.
    pub account: AccountId,
    /// The tokens that it is to give.
    pub slot: TokenSlot,
    /// The app that asks.
    pub app: OAuthAppId,
    /// What proves to the provider that the one who asked brings the code (RFC 7636).
    pub verifier: SecretString,
    /// Until when the owner may consent.
    pub until: Timestamp,
}

impl Store {
    /// Keeps what is asked for under a state. What was asked before for this slot is forgotten.
    ///
    /// # Errors
    ///
    /// [`Failed::NoAccount`](crate::Failed::NoAccount) if the account is gone.
    pub async fn consent_ask(
        &self,
        state: &SecretString,
        request: &ConsentRequest,
    ) -> Result<(), Error> {
        let ConsentRequest { domain, account, slot, app, verifier, until } = request;
        let sql = "INSERT INTO \"consent\"
               (\"account\", \"slot\", \"domain\", \"app\", \"state\", \"verifier\", \"until\")
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (\"account\", \"slot\") DO UPDATE SET \"domain\" = excluded.\"domain\",
               \"app\" = excluded.\"app\", \"state\" = excluded.\"state\",
               \"verifier\" = excluded.\"verifier\", \"until\" = excluded.\"until\"";
        let sealed =
            self.inner.keys.seal(domain, &place(*account, *slot), verifier.expose_secret());
        let ask = Statement::new(sql).bind(*account).bind(slot.as_str()).bind(domain.as_str());
        let ask = ask.bind(EntityId::from(*app)).bind(self.state_hash(state.expose_secret()));
        let number = KeyNumber::of(&sealed);
        let ask = ask.bind(sealed).bind(Value::Moment(until.as_ms())).sealed_with(number);
        self.write(vec![integrity::account_must_be(domain, *account), ask]).await?;
        Ok(())
    }

    /// Gives what was asked for under a state, and forgets it, so that each state is good once.
    /// `None`: nothing is asked for under it, or no longer. Whether it came in time is for the
    /// caller to see. A state that nobody knows writes nothing.
    ///
    /// # Errors
    ///
    /// When the store fails. Then the state is still good.
    pub async fn consent_take(&self, state: &str) -> Result<Option<ConsentRequest>, Error> {
        let hashes = [Some(self.state_hash(state)), self.state_hash_of_earlier(state)];
        for hash in hashes.into_iter().flatten() {
            let known = Statement::new("SELECT 1 FROM \"consent\" WHERE \"state\" = $1");
            if !self.read(known.bind(hash.clone())).await?.is_empty() {
                return self.consent_take_hashed(hash).await;
            }
        }
        Ok(None)
    }

    /// Gives what was asked for under the hash of a state, and forgets it.
    async fn consent_take_hashed(&self, hash: Vec<u8>) -> Result<Option<ConsentRequest>, Error> {
        let sql = "DELETE FROM \"consent\" WHERE \"state\" = $1
            RETURNING \"domain\", \"account\", \"slot\", \"app\", \"verifier\", \"until\"";
        let outcomes = self.write(vec![Statement::new(sql).bind(hash)]).await?;
        // Of several that bring the same state at once, one gets the row.
        let rows = outcomes.into_iter().next().map(|outcome| outcome.rows).unwrap_or_default();
        self.keys_learn(&rows).await?;
        rows.first().map(|row| self.consent_of(row)).transpose()
    }

    fn consent_of(&self, row: &Row) -> Result<ConsentRequest, Error> {
        let damaged = || Error::Damaged { what: "a consent that was asked for" };
        let domain = row.text(0).and_then(|name| Domain::new(name).ok()).ok_or_else(damaged)?;
        let account = AccountId::of(row.id(1).ok_or_else(damaged)?);
        let slot = row.text(2).and_then(TokenSlot::parse).ok_or_else(damaged)?;
        let app = OAuthAppId::of(row.id(3).ok_or_else(damaged)?);
        let sealed = row.bytes(4).ok_or_else(damaged)?;
        let verifier = Sealed::new(&self.inner.keys, place(account, slot), sealed).open()?;
        let until = Timestamp::from_ms(row.whole(5).ok_or_else(damaged)?);
        Ok(ConsentRequest { domain, account, slot, app, verifier, until })
    }

    /// The hash of a state for which an earlier version asked.
    fn state_hash_of_earlier(&self, state: &str) -> Option<Vec<u8>> {
        self.inner.keys.former_token_hash(state).map(Vec::from)
    }

    fn state_hash(&self, state: &str) -> Vec<u8> {
        self.inner.keys.token_hash(state).to_vec()
    }
}

/// The place of a verifier, so that it cannot be decrypted for another place.
pub(crate) fn place(account: AccountId, slot: TokenSlot) -> String {
    format!("consent/{account}/{}", slot.as_str())
}

/// The statement that forgets what was asked for an account that is deleted.
pub(crate) fn forgotten(account: AccountId) -> Statement {
    Statement::new("DELETE FROM \"consent\" WHERE \"account\" = $1").bind(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::NewEntity;
    use crate::entity_place::EntityPlace;
    use crate::failed::Failed;
    use crate::fixture::store;
    use crate::key::random_token;
    use postroom_model::Entity;
    use postroom_model::builtin::ACCOUNTS;
    use postroom_model::builtin::PROFILES;
    use postroom_testkit::on_both;
    use serde_json::json;

    const ACCOUNT: EntityId = EntityId::from_u128(2);

    async fn make_account(store: &Store) {
        let profile = EntityId::from_u128(1);
        let rows = [
            (PROFILES, profile, json!({"name": "p", "imapHost": "mail.example"})),
            (ACCOUNTS, ACCOUNT, json!({"profile_id": profile, "address": "anna@demo.test"})),
        ];
        for (class, id, values) in rows {
            let class = store.builtin(class).unwrap();
            let entity = Entity::new(id, values.as_object().unwrap().clone());
            let new = vec![NewEntity { entity, files: vec![] }];
            store.entity_create(&Domain::default_domain(), &class, new).await.unwrap();
        }
    }

    fn request(slot: TokenSlot, verifier: &str) -> ConsentRequest {
        ConsentRequest {
            domain: Domain::default_domain(),
            account: AccountId::of(ACCOUNT),
            slot,
            app: OAuthAppId::of(EntityId::from_u128(3)),
            verifier: SecretString::from(verifier),
            until: Timestamp::from_ms(7),
        }
    }

    async fn taken(store: &Store, state: &SecretString) -> Option<String> {
        let taken = store.consent_take(state.expose_secret()).await.unwrap()?;
        assert_eq!(taken.account, AccountId::of(ACCOUNT));
        assert_eq!(taken.app, OAuthAppId::of(EntityId::from_u128(3)));
        assert_eq!(taken.until, Timestamp::from_ms(7));
        Some(format!("{} {}", taken.slot.as_str(), taken.verifier.expose_secret()))
    }

    #[on_both]
    async fn a_state_is_good_once_and_the_last_one_of_a_slot_counts() {
        let (_directory, store) = store().await;
        make_account(&store).await;
        let states = [random_token(), random_token(), random_token()];
        let [first, second, smtp] = &states;
        let ask = async |state, slot, verifier: &str| {
            store.consent_ask(state, &request(slot, verifier)).await.unwrap();
        };
        ask(first, TokenSlot::Account, "one").await;
        ask(smtp, TokenSlot::Smtp, "own").await;
        ask(second, TokenSlot::Account, "two").await;
        assert_eq!(taken(&store, first).await, None, "another one took its place");
        assert_eq!(taken(&store, &random_token()).await, None);
        let both = tokio::join!(taken(&store, second), taken(&store, second));
        let found: Vec<_> = [both.0, both.1].into_iter().flatten().collect();
        assert_eq!(found, ["account two"]);
        assert_eq!(taken(&store, second).await, None, "it was used");
        assert_eq!(taken(&store, smtp).await.as_deref(), Some("smtp own"));
    }

    #[on_both]
    async fn what_was_asked_for_goes_with_its_account() {
        let (_directory, store) = store().await;
        make_account(&store).await;
        let state = random_token();
        store.consent_ask(&state, &request(TokenSlot::Account, "one")).await.unwrap();
        let (domain, class) = (Domain::default_domain(), store.builtin(ACCOUNTS).unwrap());
        store.entity_delete(EntityPlace::new(&domain, &class, ACCOUNT), None).await.unwrap();
        assert_eq!(taken(&store, &state).await, None);
        let asked = store.consent_ask(&state, &request(TokenSlot::Account, "two")).await;
        assert!(matches!(asked, Err(Error::Condition(Failed::NoAccount))), "{asked:?}");
        assert_eq!(taken(&store, &state).await, None);
    }
}
