//! Domains: which of them are suspended, and which are empty.

use crate::audit_trim;
use crate::class_deleted;
use crate::columns::quoted;
use crate::database::Lock;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_model::builtin::AUDIT;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::names;
use std::collections::HashSet;

impl Store {
    /// Whether a domain is suspended. One without an entity is not.
    pub(crate) async fn domain_is_suspended(&self, domain: &Domain) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM \"iam/Domains\" WHERE \"name\" = $1 AND \"suspended\"";
        Ok(!self.read(Statement::new(sql).bind(domain.as_str())).await?.is_empty())
    }

    /// The names of the domains that are suspended.
    pub(crate) async fn domains_suspended(&self) -> Result<HashSet<String>, Error> {
        let sql = "SELECT \"name\" FROM \"iam/Domains\" WHERE \"suspended\"";
        let rows = self.read(Statement::new(sql)).await?;
        Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
    }

    /// The conditions that a domain has no entity, for a batch that deletes it, and the statement
    /// that deletes its audit.
    pub(crate) async fn domain_is_empty(
        &self,
        domain: &Domain,
        id: EntityId,
    ) -> Result<Vec<Statement>, Error> {
        let class = self.builtin(DOMAINS)?;
        let Some(deleted) = self.entity_get(domain, &class, id).await? else {
            return Ok(vec![]);
        };
        let name = deleted.text(names::NAME).unwrap_or_default().to_owned();
        let is_empty = |class: &Class| {
            let table = quoted(&class.table());
            let sql =
                format!("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE \"domain\" = $1)");
            let by = format!("entities of {} in this domain: delete them first", class.classname);
            let lock = Lock::row(DOMAINS, id);
            Statement::new(sql).bind(name.as_str()).assert(Failed::InUse { by }, lock)
        };
        let deleted = self.deleted_classes().await?;
        for class in &deleted {
            if self.deleted_has(class, &name).await? {
                let by = format!(
                    "entities of {} in this domain, which is being deleted: try again in a moment",
                    class.name
                );
                return Err(Error::Condition(Failed::InUse { by }));
            }
        }
        let no_others = class_deleted::no_others(&deleted, Failed::Stale, Lock::row(DOMAINS, id));
        // What clients did in the domain goes with it.
        let classes = self.classes();
        let kept = classes.iter().filter(|class| class.classname != AUDIT);
        let empty = kept.map(|class| is_empty(class));
        Ok(empty.chain([no_others, audit_trim::gone(&name)]).collect())
    }
}

/// Why an entity may not be in a domain. `None`: it may be.
pub(crate) fn place_problem(domain: &Domain, class: &Class) -> Option<Invalid> {
    let is_elsewhere = class.classname == DOMAINS && *domain != Domain::master();
    let reason = "is made only by administrators of the domain `master`";
    is_elsewhere.then(|| Invalid::new("", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bell::Topic;
    use crate::copied::Suspended;
    use crate::entity::NewEntity;
    use crate::entity_place::EntityPlace;
    use crate::fixture::store;
    use postroom_model::Entity;
    use postroom_model::builtin::ACCOUNTS;
    use postroom_model::builtin::PROFILES;
    use postroom_model::builtin::WEBHOOKS;
    use postroom_testkit::on_both;
    use serde_json::Value as Json;
    use serde_json::json;

    async fn create(
        store: &Store,
        domain: &Domain,
        class: &'static str,
        values: &Json,
    ) -> EntityId {
        let class = store.builtin(class).unwrap();
        let entity = Entity::new(store.clock().new_id(), values.as_object().unwrap().clone());
        let id = entity.id;
        store
            .entity_create(domain, &class, vec![NewEntity { entity, files: vec![] }])
            .await
            .unwrap();
        id
    }

    #[on_both]
    async fn the_webhooks_of_a_copy_rest_until_sending_is_resumed() {
        let (_directory, store) = store().await;
        let hook = json!({"url": "https://a.example/", "enabled": true});
        create(&store, &Domain::default_domain(), WEBHOOKS, &hook).await;
        let running = async || store.webhook_list_enabled().await.unwrap().len();
        assert_eq!(running().await, 1);
        store.write(vec![Suspended::Restored.begin()]).await.unwrap();
        assert_eq!(running().await, 0);
        let mut listener = store.listen(Topic::Configuration);
        listener.catch_up();
        store.sending_resume().await.unwrap();
        listener.rung().await;
        assert_eq!(running().await, 1);
    }

    #[on_both]
    async fn the_accounts_and_webhooks_of_a_suspended_domain_rest() {
        let (_directory, store) = store().await;
        let acme = Domain::new("acme").unwrap();
        let master = Domain::master();
        let row =
            create(&store, &master, DOMAINS, &json!({"name": "acme", "suspended": false})).await;
        for domain in [&acme, &Domain::default_domain()] {
            let profile = json!({"name": "p", "imapHost": "mail.example"});
            let profile = create(&store, domain, PROFILES, &profile).await;
            let account = json!({"profile_id": profile, "address": "a@b.test", "enabled": true});
            create(&store, domain, ACCOUNTS, &account).await;
            let hook = json!({"url": "https://a.example/", "enabled": true});
            create(&store, domain, WEBHOOKS, &hook).await;
        }
        let running = async || {
            let accounts = store.account_list_enabled_folders().await.unwrap();
            let runs = |row: &&crate::AccountRow| *row.account.get("enabled") == json!(true);
            let mut all: Vec<_> =
                accounts.iter().filter(runs).map(|row| row.domain.clone()).collect();
            let hooks = store.webhook_list_enabled().await.unwrap();
            all.extend(hooks.into_iter().map(|row| row.domain));
            all.iter().filter(|domain| **domain == acme).count()
        };
        assert_eq!(running().await, 2);
        let class = store.builtin(DOMAINS).unwrap();
        let place = EntityPlace::new(&master, &class, row);
        for (is_suspended, want) in [(true, 0), (false, 2)] {
            let changes = json!({"suspended": is_suspended}).as_object().unwrap().clone();
            store.entity_update(place, &changes, None).await.unwrap();
            assert_eq!(running().await, want);
            assert_eq!(store.domain_is_suspended(&acme).await.unwrap(), is_suspended);
        }
        let refused = store.entity_delete(place, None).await;
        assert!(matches!(refused, Err(Error::Condition(Failed::InUse { .. }))), "{refused:?}");
        let class = store.builtin(DOMAINS).unwrap();
        let entity =
            Entity::new(store.clock().new_id(), json!({"name": "x"}).as_object().unwrap().clone());
        let elsewhere =
            store.entity_create(&acme, &class, vec![NewEntity { entity, files: vec![] }]).await;
        assert!(
            matches!(elsewhere, Err(Error::Condition(Failed::Invalid { .. }))),
            "{elsewhere:?}"
        );
    }
}
