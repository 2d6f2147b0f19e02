//! The account, the folder and the class with which the work is done.

use crate::blob::Content;
use crate::entity::NewEntity;
use crate::entity_place::EntityPlace;
use crate::file::NewContent;
use crate::file::NewFile;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::FolderId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_model::created;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;

/// The class of a client.
pub(in crate::tests) const CLASS: &str = "crm/Deals";
/// A class that is deleted. Its properties are properties of the other class too.
pub(in crate::tests) const DELETED_CLASS: &str = "crm/Gone";

/// An account with a folder, and a class of a client.
pub(super) struct World {
    /// The store for the engine.
    pub engine: Store,
    /// The store for a client.
    pub store: Store,
    pub domain: Domain,
    pub profile: Entity,
    pub account: AccountId,
    pub folder: FolderId,
}

/// The members of an object.
pub(super) fn object(json: &Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

impl World {
    pub(super) async fn begin(store: &Store) -> Self {
        let deals = json!({
            "classname": CLASS,
            "properties": [
                {"name": "title", "data_type": "string"}, {"name": "worth", "data_type": "long"},
                {"name": "count", "data_type": "increment"}, {"name": "until", "data_type": "date"},
                {"name": "paper", "data_type": "attachment", "multi": true},
                {"name": "scan", "data_type": "attachment", "multi": true},
                {"name": "buyer", "data_type": "entity",
                 "idclass": store.class(ACCOUNTS).unwrap().id.to_string()},
            ],
            "opts": {"indexes": [["worth"]]},
        });
        let class = created(&deals, store.clock().new_class_id()).unwrap();
        store.class_create(&store.classes(), class).await.unwrap();
        let engine = store.clone();
        let (store, domain) = (store.on_behalf_of("client"), Domain::default_domain());
        let profile = json!({
            "name": "p", "imapHost": "imap.life.test", "imapSecurity": "tls",
            "smtpHost": "smtp.life.test",
        });
        let profile = create(&store, &domain, PROFILES, &profile).await;
        let account = json!({
            "profile_id": profile.id.to_string(), "address": "life@b.test", "enabled": true,
            "password": "hush-7391",
        });
        let account = AccountId::of(create(&store, &domain, ACCOUNTS, &account).await.id);
        let folder = json!({
            "account_id": account.to_string(), "title": "life@b.test/INBOX", "name": "INBOX",
            "enabled": true,
        });
        let folder = FolderId::of(create(&store, &domain, FOLDERS, &folder).await.id);
        Self { engine, store, domain, profile, account, folder }
    }

    pub(super) fn class(&self, name: &str) -> Arc<Class> {
        self.store.class(name).unwrap()
    }

    pub(super) async fn create(&self, class: &str, values: Json) -> Entity {
        create(&self.store, &self.domain, class, &values).await
    }

    pub(super) async fn get(&self, class: &str, entity: &Entity) -> Entity {
        let class = self.class(class);
        self.store.entity_get(&self.domain, &class, entity.id).await.unwrap().unwrap()
    }

    pub(super) async fn update(&self, class: &str, entity: &Entity, values: Json) {
        let class = self.class(class);
        let place = EntityPlace::new(&self.domain, &class, entity.id);
        self.store.entity_update(place, &object(&values), None).await.unwrap();
    }

    pub(super) async fn delete(&self, class: &str, entity: &Entity) {
        let class = self.class(class);
        let place = EntityPlace::new(&self.domain, &class, entity.id);
        self.store.entity_delete(place, None).await.unwrap();
    }

    /// A message that is to be sent.
    pub(super) async fn outgoing(&self, subject: &str) -> Entity {
        let values = json!({
            "account_id": self.account.to_string(), "messageDirection": "out",
            "messageState": "sending", "subject": subject, "to": ["x@b.test"],
            "recipients": [{"address": "x@b.test", "type": "to"}],
        });
        self.create(MESSAGES, values).await
    }
}

async fn create(store: &Store, domain: &Domain, class: &str, values: &Json) -> Entity {
    let entity = Entity::new(store.clock().new_id(), object(values));
    let class = store.class(class).unwrap();
    let new = NewEntity { entity, files: vec![] };
    store.entity_create(domain, &class, vec![new]).await.unwrap().remove(0)
}

/// A file with a text.
pub(super) fn file(property: &str, name: &str) -> NewFile {
    NewFile {
        property: property.to_owned(),
        name: name.to_owned(),
        media_type: "text/plain".to_owned(),
        content_id: None,
        content: NewContent::Own(Content::prepare(b"text")),
    }
}
