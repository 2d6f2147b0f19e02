//! The keys of `Idempotency-Key`. A repeated request with the same key creates nothing again. A key
//! is stored in the transaction that creates, and kept for 25 hours.
//!
//! A PUT of a message has a key that Postroom makes, so that a repeated PUT changes nothing,
//! whatever became of the message since. The next change by a client deletes that key. If the PUT
//! set the message to `sending`, only the next PUT and the deletion do. So a PUT that comes late
//! sends nothing that a client has withdrawn.
//!
//! The id that a client gave a message has a key, too. It outlives the message, so a request that
//! is repeated after the deletion sends no second copy.

use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::modifier::Bearer;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Property;
use postroom_model::builtin::MESSAGES;
use serde_json::Value as Json;

/// How long a key is kept: more than the 24 hours that are promised.
const KEPT_MS: i64 = 25 * 3_600_000;

/// A key, and what it was sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The key.
    pub key: String,
    /// A hash of the request, because the same key with another request is a mistake.
    pub request: [u8; 32],
}

/// The beginning of the keys that Postroom makes. No key of a client begins so.
const PUT: &str = "\nPUT ";
/// The same for a PUT that sets a message to `sending`.
const PUT_SENDING: &str = "\nPUT sending ";
/// The same for the id that a client gave a message.
const OWN_ID: &str = "\nID ";
/// The same for the keys of a client. Its token follows, and behind a line end its key.
const OF_CLIENT: &str = "\nBY ";

impl Once {
    /// The key of a PUT of an entity.
    #[must_use]
    pub fn put(entity: EntityId, request: [u8; 32]) -> Self {
        Self { key: format!("{PUT}{entity}"), request }
    }

    /// The key of a PUT that sets a message to `sending`. Only the next PUT deletes it, and the
    /// deletion of the message.
    #[must_use]
    pub fn put_sending(entity: EntityId, request: [u8; 32]) -> Self {
        Self { key: format!("{PUT_SENDING}{entity}"), request }
    }
}

/// What was created under a key before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// The hash of the request that created it.
    pub request: [u8; 32],
    /// The ids.
    pub entities: Vec<EntityId>,
}

impl Store {
    /// What was created under a key. `None` when nothing was.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn once_find(
        &self,
        domain: &Domain,
        class: &Class,
        key: &str,
    ) -> Result<Option<Before>, Error> {
        if let Some(before) = self.once_at(domain, class, key).await? {
            return Ok(Some(before));
        }
        // Earlier versions kept the keys of clients without their tokens.
        match key.strip_prefix(OF_CLIENT).and_then(|of_client| of_client.split_once('\n')) {
            Some((_, former)) => self.once_at(domain, class, former).await,
            None => Ok(None),
        }
    }

    async fn once_at(
        &self,
        domain: &Domain,
        class: &Class,
        key: &str,
    ) -> Result<Option<Before>, Error> {
        const DAMAGED: Error = Error::Damaged { what: "a key of a client" };
        let sql = "SELECT \"request\", \"entities\" FROM \"once\"
            WHERE \"domain\" = $1 AND \"class\" = $2 AND \"key\" = $3";
        let select =
            Statement::new(sql).bind(domain.as_str()).bind(class.classname.as_str()).bind(key);
        let rows = self.read(select).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let request = row.bytes(0).and_then(|bytes| bytes.try_into().ok()).ok_or(DAMAGED)?;
        let entities = row.text(1).and_then(|text| serde_json::from_str(text).ok());
        Ok(Some(Before { request, entities: entities.ok_or(DAMAGED)? }))
    }

    /// A key of a client for entities of a class, as it is kept. Each token has keys of its own.
    /// The hash of a request that may have a password or another secret is hashed once more with a
    /// key of the database. Otherwise whoever has a copy of the data could try secrets at the speed
    /// of a fast hash.
    #[must_use]
    pub fn once_of(&self, bearer: &Bearer, class: &Class, once: Once) -> Once {
        let Once { key, mut request } = once;
        if class.columns().any(Property::write_only) {
            let hex = blake3::Hash::from_bytes(request).to_hex();
            request = self.inner.keys.token_hash(&hex);
        }
        Once { key: format!("{OF_CLIENT}{}\n{key}", bearer.keys_of()), request }
    }

    /// Deletes the keys that have expired.
    pub(crate) async fn once_trim(&self) -> Result<(), Error> {
        let old = Statement::new("DELETE FROM \"once\" WHERE \"at\" < $1");
        let before_ms = self.expiry_now_ms().await?.saturating_sub(KEPT_MS);
        self.write_at_need(vec![old.bind(before_ms)]).await.map(drop)
    }
}

/// The statement that forgets the last PUT of an entity.
pub(crate) fn forget_put(domain: &Domain, class: &Class, entity: EntityId) -> Statement {
    forget_key(domain, class, &format!("{PUT}{entity}"))
}

/// The statements that forget the last PUT of an entity, also one that sent it: another PUT
/// follows, or the entity is deleted.
pub(crate) fn forget_puts(domain: &Domain, class: &Class, entity: EntityId) -> [Statement; 2] {
    let sending = forget_key(domain, class, &format!("{PUT_SENDING}{entity}"));
    [forget_put(domain, class, entity), sending]
}

/// The statement that forgets a key.
pub(crate) fn forget(domain: &Domain, class: &Class, once: &Once) -> Statement {
    forget_key(domain, class, &once.key)
}

fn forget_key(domain: &Domain, class: &Class, key: &str) -> Statement {
    let sql = "DELETE FROM \"once\" WHERE \"domain\" = $1 AND \"class\" = $2 AND \"key\" = $3";
    let forget = Statement::new(sql).bind(domain.as_str()).bind(class.classname.as_str());
    forget.bind(key)
}

/// The statement that stores a key. The batch fails if the key exists already.
pub(crate) fn keep(
    store: &Store,
    domain: &Domain,
    class: &Class,
    once: &Once,
    entities: &[Entity],
) -> Statement {
    let ids: Vec<_> = entities.iter().map(|entity| entity.id.to_string()).collect();
    keep_ids(store, domain, class, once, &ids)
}

/// The same for what has these ids.
pub(crate) fn keep_ids(
    store: &Store,
    domain: &Domain,
    class: &Class,
    once: &Once,
    ids: &[String],
) -> Statement {
    insert(store, domain, class, once, ids).must_change(Failed::KeyUsed)
}

/// The statement that notes the id that a client gave a message. The batch fails if a message had
/// that id within 25 hours. Its own statement has failed already if that one is still there.
pub(crate) fn keep_own_id(
    store: &Store,
    domain: &Domain,
    class: &Class,
    id: EntityId,
) -> Option<Statement> {
    let once = Once { key: format!("{OWN_ID}{id}"), request: [0; 32] };
    let keep = insert(store, domain, class, &once, &[id.to_string()]);
    (class.classname == MESSAGES).then(|| keep.must_change(Failed::IdUsed { id }))
}

fn insert(store: &Store, domain: &Domain, class: &Class, once: &Once, ids: &[String]) -> Statement {
    let ids = Json::from(ids);
    let sql = "INSERT INTO \"once\"
          (\"domain\", \"class\", \"key\", \"request\", \"entities\", \"at\")
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (\"domain\", \"class\", \"key\") DO NOTHING";
    Statement::new(sql)
        .bind(domain.as_str())
        .bind(class.classname.as_str())
        .bind(once.key.as_str())
        .bind(once.request.to_vec())
        .bind(ids.to_string())
        .bind(store.clock().now_ms())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Work;
    use crate::entity::NewEntity;
    use crate::entity::Terms;
    use crate::entity_place::EntityPlace;
    use crate::fixture::Time;
    use crate::fixture::store_in;
    use postroom_model::Rights;
    use postroom_model::TokenRole;
    use postroom_model::builtin::ACCOUNTS;
    use postroom_model::builtin::FOLDERS;
    use postroom_model::builtin::OAUTH_APPS;
    use postroom_model::builtin::PROFILES;
    use postroom_model::builtin::USERS;
    use postroom_model::builtin::WEBHOOKS;
    use postroom_testkit::on_both;
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;

    const HOUR_MS: i64 = 3_600_000;

    #[on_both]
    async fn a_key_is_kept_for_a_day_and_not_for_ever() {
        key_is_kept_for_a_day(async |store: &Store| store.sweep().await).await;
    }

    // SQLite alone: time that is paused passes by itself while a server is waited for.
    #[tokio::test(start_paused = true)]
    async fn the_store_looks_by_itself_what_it_throws_away() {
        key_is_kept_for_a_day(async |_: &Store| tokio::time::sleep(Duration::from_secs(120)).await)
            .await;
    }

    async fn key_is_kept_for_a_day(sweep: impl AsyncFn(&Store)) {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        let (domain, class) = (Domain::default_domain(), store.builtin(PROFILES).unwrap());
        let values = json!({"name": "p"}).as_object().unwrap().clone();
        let entity = Entity::new(store.clock().new_id(), values);
        let once = Once { key: "k".to_owned(), request: [7; 32] };
        let terms = Terms { once: Some(&once), ..Terms::default() };
        let new = vec![NewEntity { entity, files: vec![] }];
        store.entity_create_on(&domain, &class, new, terms).await.unwrap();
        let draft = json!({"messageDirection": "out"}).as_object().unwrap().clone();
        let draft = Entity::new(store.clock().new_id(), draft);
        create_and_delete(&store, &draft).await.unwrap();
        for (hours, is_kept) in [(0, true), (24, true), (26, false)] {
            time.set(hours * HOUR_MS);
            store.clock_believe().await;
            sweep(&store).await;
            let found = store.once_find(&domain, &class, "k").await.unwrap();
            assert_eq!(found.is_some(), is_kept, "after {hours} hours");
            // So is the id that a client gave a message that was deleted since.
            let made = create_and_delete(&store, &draft).await;
            let is_used = matches!(made, Err(Error::Condition(Failed::IdUsed { .. })));
            assert_eq!(is_used, is_kept, "after {hours} hours");
        }
    }

    /// Creates a message under an id of a client, and deletes it.
    async fn create_and_delete(store: &Store, message: &Entity) -> Result<(), Error> {
        let (domain, class) = (Domain::default_domain(), store.builtin(MESSAGES).unwrap());
        let new = vec![NewEntity { entity: message.clone(), files: vec![] }];
        let terms = Terms { brings_ids: true, ..Terms::default() };
        store.entity_create_on(&domain, &class, new, terms).await?;
        let place = EntityPlace::new(&domain, &class, message.id);
        store.entity_delete(place, None).await.map(drop)
    }

    #[on_both]
    async fn the_hash_of_a_password_is_not_kept_as_anybody_could_make_it() {
        let (_directory, store) = crate::fixture::store().await;
        let of = |class: &'static str| {
            let once = Once { key: "k".to_owned(), request: [7; 32] };
            store.once_of(&bearer("a"), &store.builtin(class).unwrap(), once).request
        };
        assert_eq!(of(FOLDERS), [7; 32]);
        for class in [USERS, ACCOUNTS, OAUTH_APPS, WEBHOOKS] {
            assert_ne!(of(class), [7; 32], "{class}");
            assert_eq!(of(class), of(class), "{class}");
        }
    }

    /// Who has a token of this name, which is no entity.
    fn bearer(name: &str) -> Bearer {
        Bearer {
            domain: Domain::default_domain(),
            name: name.to_owned(),
            token: None,
            user: None,
            rights: Arc::new(Rights::Role(TokenRole::Admin)),
            is_suspended: false,
        }
    }

    #[on_both]
    async fn a_key_that_an_earlier_version_kept_is_known_to_every_token() {
        let (_directory, store) = crate::fixture::store().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(PROFILES).unwrap());
        let former = Once { key: "k".to_owned(), request: [7; 32] };
        let of = |name: &str| store.once_of(&bearer(name), &class, former.clone());
        let keep = async |once: &Once| {
            store.write(vec![keep_ids(&store, &domain, &class, once, &[])]).await.unwrap();
        };
        let knows = async |name: &str| {
            store.once_find(&domain, &class, &of(name).key).await.unwrap().is_some()
        };
        keep(&of("a")).await;
        assert_eq!([knows("a").await, knows("b").await], [true, false]);
        keep(&former).await;
        assert!(knows("b").await);
    }
}
