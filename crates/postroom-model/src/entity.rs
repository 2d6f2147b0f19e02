//! An entity: one thing of a class, with the values of its properties.

use crate::class::Class;
use crate::id::EntityId;
use serde_json::Map;
use serde_json::Value as Json;

/// One entity. `id`, `version` and `seq` are not among the properties. An unset property is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its id, unique within the class.
    pub id: EntityId,
    /// 1 for a new entity, one more after each change. It is the ETag.
    pub version: i64,
    /// The number of its last change in the feed. 0: it has not changed since changes are numbered,
    /// or is not stored yet.
    pub seq: i64,
    /// The values by name, in their JSON form; times as RFC 3339 text.
    pub properties: Map<String, Json>,
}

impl Entity {
    /// A new entity.
    #[must_use]
    pub fn new(id: EntityId, properties: Map<String, Json>) -> Self {
        Self { id, version: 1, seq: 0, properties }
    }

    /// The value of a property; `null` when it is unset.
    #[must_use]
    pub fn get(&self, name: &str) -> &Json {
        self.properties.get(name).unwrap_or(&Json::Null)
    }

    /// Gives properties these values. Null unsets a property.
    pub fn apply(&mut self, changes: &Map<String, Json>) {
        for (name, value) in changes {
            if value.is_null() {
                self.properties.remove(name);
            } else {
                self.properties.insert(name.clone(), value.clone());
            }
        }
    }

    /// The text of a property. `None`: it is unset or not a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).as_str()
    }

    /// The number of a property. `None`: it is unset or not a whole number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name).as_i64()
    }

    /// Whether a boolean property is set to `true`.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name) == &Json::Bool(true)
    }

    /// The id that a property of type `entity` or `uuid` holds.
    #[must_use]
    pub fn reference(&self, name: &str) -> Option<EntityId> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// The texts of a list property; empty when it is unset.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.get(name).as_array().into_iter().flatten().filter_map(Json::as_str)
    }

    /// The entity as a client sees it: every property of the class in its order, without secrets
    /// and files. An unset property is `null`, an unset list is `[]`.
    #[must_use]
    pub fn to_json(&self, class: &Class) -> Json {
        let mut shown = Map::new();
        shown.insert("id".to_owned(), Json::String(self.id.to_string()));
        for property in class.columns().filter(|property| !property.write_only()) {
            let unset = if property.multi { Json::Array(vec![]) } else { Json::Null };
            let value = self.properties.get(&property.name);
            let value = value.filter(|value| !value.is_null()).cloned().unwrap_or(unset);
            shown.insert(property.name.clone(), value);
        }
        shown.insert("version".to_owned(), Json::from(self.version));
        shown.insert("seq".to_owned(), Json::from(self.seq));
        Json::Object(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use serde_json::json;

    #[test]
    fn secrets_and_files_are_never_shown() {
        let classes = builtin::classes().unwrap();
        let values = json!({"address": "a@b.test", "password": "hush"});
        let entity = Entity::new(EntityId::nil(), values.as_object().unwrap().clone());
        let shown = entity.to_json(&classes[1]);
        assert_eq!(shown["address"], "a@b.test");
        assert_eq!(shown["name"], Json::Null);
        assert_eq!(shown["version"], 1);
        assert!(shown.get("password").is_none());
        let shown = Entity::new(EntityId::nil(), Map::new()).to_json(&classes[3]);
        assert_eq!(shown["to"], json!([]));
        assert!(shown.get("rawMessage").is_none());
    }
}
