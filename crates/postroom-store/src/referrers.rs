//! What refers to an entity that cannot be deleted because of that: its class, property and ids.

use crate::class_tables::RETIRED;
use crate::columns::quoted;
use crate::database::Statement;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::foreign_key;
use crate::foreign_key::ForeignKey;
use crate::store::Store;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use std::time::Duration;

/// How many ids are named.
const NAMED_MAX: usize = 3;
/// How long it may take to find those of one property, which need have no index.
const LOOKUP_WITHIN: Duration = Duration::from_secs(5);

impl Store {
    /// What became of a deletion. If the database refused it because something refers to the
    /// entity, the error names that.
    ///
    /// # Errors
    ///
    /// Those of the deletion; when the store fails.
    pub(crate) async fn with_referrers<T>(
        &self,
        place: EntityPlace<'_>,
        deleted: Result<T, Error>,
    ) -> Result<T, Error> {
        match deleted {
            Err(Error::Condition(Failed::Referred)) => {
                Err(Error::Condition(self.refusal_of(place).await?))
            }
            deleted => deleted,
        }
    }

    /// Why the database refused the deletion of an entity with what is deleted with it.
    async fn refusal_of(&self, place: EntityPlace<'_>) -> Result<Failed, Error> {
        let table = place.class.table();
        let is_account = place.class.classname == ACCOUNTS;
        for key in foreign_key::every(self.inner.database.as_ref()).await? {
            // The folders of an account are deleted with it.
            if is_account && key.table == FOLDERS {
                continue;
            }
            let of = if key.target == table {
                "$1"
            } else if is_account && key.target == FOLDERS {
                "SELECT \"id\" FROM \"email/Folders\" WHERE \"account_id\" = $1"
            } else {
                continue;
            };
            let (from, column) = (quoted(&key.table), quoted(&key.column));
            let sql = format!(
                "SELECT \"id\" FROM {from} WHERE {column} IN ({of}) AND \"domain\" = $2
                   AND \"id\" <> $1 ORDER BY \"id\" LIMIT $3"
            );
            let found = Statement::new(sql).bind(place.id).bind(place.domain.as_str());
            let found = found.bind(NAMED_MAX as u64 + 1).within(LOOKUP_WITHIN);
            let rows = match self.read(found).await {
                Err(Error::TooSlow) => continue,
                found => found?,
            };
            let ids: Vec<_> = rows.iter().filter_map(|row| row.id(0)).collect();
            if !ids.is_empty() {
                return Ok(Failed::InUse { by: self.said_of(&key, &ids).await? });
            }
        }
        Ok(Failed::Referred)
    }

    /// The words for entities that refer to another one. Ids are named to who may read all of the
    /// class.
    async fn said_of(&self, key: &ForeignKey, ids: &[EntityId]) -> Result<String, Error> {
        let classes = self.classes();
        let Some(class) = classes.iter().find(|class| class.table() == key.table) else {
            let deleted = self.deleted_classes().await?;
            let deleted = deleted.into_iter().find(|class| class.table == key.table);
            let name = deleted.map_or_else(|| key.table.clone(), |class| class.name);
            return Ok(format!("the class {name}, which is still being deleted: try again later"));
        };
        let name = &class.classname;
        let property = match key.column.starts_with(RETIRED) {
            true => "a property that was removed: try again later".to_owned(),
            false => format!("`{}`", key.column),
        };
        let reads_all =
            self.reach.as_ref().is_none_or(|reach| reach.reads(name) && !reach.bounds(name));
        if !reads_all {
            return Ok(format!("an entity of {name}, by {property}"));
        }
        let shown: Vec<_> = ids.iter().take(NAMED_MAX).map(EntityId::to_string).collect();
        let more = if ids.len() > NAMED_MAX { " and others" } else { "" };
        Ok(format!("{name} {}{more}, by {property}", shown.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delete_terms::DeleteTerms;
    use crate::entity::NewEntity;
    use crate::fixture::store;
    use postroom_model::AccountId;
    use postroom_model::Domain;
    use postroom_model::Entity;
    use postroom_model::Rights;
    use postroom_model::builtin::MESSAGES;
    use postroom_model::builtin::PROFILES;
    use postroom_model::created;
    use postroom_testkit::on_both;
    use serde_json::Value as Json;
    use serde_json::json;

    async fn create(store: &Store, class: &str, number: u128, values: Json) -> EntityId {
        let class = store.class(class).unwrap();
        let id = EntityId::from_u128(number);
        let entity = Entity::new(id, values.as_object().unwrap().clone());
        let new = NewEntity { entity, files: vec![] };
        store.entity_create(&Domain::default_domain(), &class, vec![new]).await.unwrap();
        id
    }

    async fn refusal(store: &Store, class: &str, id: EntityId) -> String {
        let (domain, class) = (Domain::default_domain(), store.class(class).unwrap());
        let place = EntityPlace::new(&domain, &class, id);
        let refused = store.entity_delete(place, None).await;
        assert!(matches!(refused, Err(Error::Condition(Failed::InUse { .. }))), "{refused:?}");
        refused.unwrap_err().to_string()
    }

    /// A store with an account, a folder of it and a message, and a class that needs the entities
    /// of a class.
    async fn world(to: &str) -> (tempfile::TempDir, Store) {
        let (directory, store) = store().await;
        let idclass = store.class(to).unwrap().id.to_string();
        let property = json!({"name": "about", "data_type": "entity", "required": true,
                              "idclass": idclass});
        let class = json!({"classname": "crm/Tickets", "properties": [property]});
        let class = created(&class, store.clock().new_class_id()).unwrap();
        store.class_create(&store.classes(), class).await.unwrap();
        let profile = create(&store, PROFILES, 1, json!({"name": "p"})).await;
        let account = json!({"profile_id": profile.to_string(), "address": "a@b.example"});
        let account = create(&store, ACCOUNTS, 2, account).await;
        let of_account = json!({"account_id": account.to_string(), "name": "INBOX"});
        create(&store, FOLDERS, 3, of_account.clone()).await;
        let message = json!({"account_id": account.to_string(), "messageDirection": "out"});
        create(&store, MESSAGES, 4, message).await;
        (directory, store)
    }

    #[on_both]
    async fn a_refused_deletion_names_class_property_and_a_few_ids() {
        let (_directory, store) = world(MESSAGES).await;
        let message = EntityId::from_u128(4);
        let about = json!({"about": message.to_string()});
        let ticket = create(&store, "crm/Tickets", 10, about.clone()).await;
        let said = refusal(&store, MESSAGES, message).await;
        assert!(said.ends_with(&format!("crm/Tickets {ticket}, by `about`")), "{said}");
        for number in 11..14 {
            create(&store, "crm/Tickets", number, about.clone()).await;
        }
        let said = refusal(&store, MESSAGES, message).await;
        let last = EntityId::from_u128(12);
        assert!(said.ends_with(&format!("{last} and others, by `about`")), "{said}");
        // Who may not read them learns no ids.
        let rights = json!([{"actions": ["read", "delete"], "classes": [MESSAGES]}]);
        let rights = Rights::from_json(&rights).unwrap();
        let within = store.clone().within(&Domain::default_domain(), &rights);
        let said = refusal(&within, MESSAGES, message).await;
        assert!(said.ends_with("an entity of crm/Tickets, by `about`"), "{said}");
    }

    #[on_both]
    async fn what_refers_to_the_folder_of_an_account_is_named_too() {
        let (_directory, store) = world(FOLDERS).await;
        let (account, folder) = (EntityId::from_u128(2), EntityId::from_u128(3));
        let about = json!({"about": folder.to_string()});
        let ticket = create(&store, "crm/Tickets", 10, about).await;
        for (class, id) in [(FOLDERS, folder), (ACCOUNTS, account)] {
            let said = refusal(&store, class, id).await;
            assert!(said.contains(&format!("crm/Tickets {ticket}")), "{class}: {said}");
        }
    }

    #[on_both]
    async fn a_message_to_which_another_entity_refers_keeps_no_other_one_of_a_deleted_account() {
        let (_directory, store) = world(MESSAGES).await;
        let (account, message) = (EntityId::from_u128(2), EntityId::from_u128(4));
        create(&store, "crm/Tickets", 10, json!({"about": message.to_string()})).await;
        let later = json!({"account_id": account.to_string(), "messageDirection": "out"});
        create(&store, MESSAGES, 5, later).await;
        let (domain, class) = (Domain::default_domain(), store.class(ACCOUNTS).unwrap());
        let place = EntityPlace::new(&domain, &class, AccountId::of(account).into());
        store.account_delete_whole(place, DeleteTerms::default()).await.unwrap();
        store.purge().await.unwrap();
        let left = store.read(Statement::new("SELECT \"id\" FROM \"email/Messages\"")).await;
        let left: Vec<_> = left.unwrap().iter().filter_map(|row| row.id(0)).collect();
        assert_eq!(left, [message]);
    }
}
