//! The secrets that Postroom makes for new webhooks and tokens.

use crate::problem::Problem;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::builtin::names;
use postroom_store::NewEntity;
use postroom_store::random_token;
use postroom_store::webhook_secret;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value;
use serde_json::json;
use std::collections::HashMap;

/// The secrets that Postroom has made for new entities. Only the answer to their creation has them.
#[derive(Debug, Default)]
pub(crate) struct MadeSecrets(HashMap<EntityId, MadeSecret>);

#[derive(Debug)]
struct MadeSecret {
    property: &'static str,
    secret: SecretString,
}

impl MadeSecrets {
    /// Makes a secret for each new webhook without one, and for each new token. Entities of other
    /// classes are not changed.
    pub(crate) fn give(class: &Class, new: &mut [NewEntity]) -> Self {
        let (property, make): (_, fn() -> SecretString) = match class.classname.as_str() {
            WEBHOOKS => (names::SECRET, webhook_secret),
            TOKENS => (names::TOKEN, random_token),
            _ => return Self::default(),
        };
        let mut made = HashMap::new();
        for NewEntity { entity, .. } in new {
            if entity.get(property).is_null() {
                let secret = make();
                let value = json!(secret.expose_secret());
                entity.properties.insert(property.to_owned(), value);
                made.insert(entity.id, MadeSecret { property, secret });
            }
        }
        Self(made)
    }

    /// Refuses to repeat the answer to a creation, if only the first one has a secret that Postroom
    /// has made. Without it the client could not use what it has.
    ///
    /// # Errors
    ///
    /// 409 with what to do.
    pub(crate) fn refuse_repeat(
        class: &Class,
        sent: &Value,
        created: &[Entity],
    ) -> Result<(), Problem> {
        let (property, remedy) = match class.classname.as_str() {
            WEBHOOKS => (names::SECRET, "set another `secret`, or delete it"),
            TOKENS => (names::TOKEN, "give it another value (ROTATE), or delete it"),
            _ => return Ok(()),
        };
        let one = std::slice::from_ref(sent);
        let sent = sent.as_array().map_or(one, Vec::as_slice);
        let made = sent.iter().zip(created).find(|(sent, _)| sent[property].is_null());
        let Some((_, entity)) = made else {
            return Ok(());
        };
        let detail = format!(
            "the first request of this Idempotency-Key made {}, and only its answer had the value \
             of `{property}`: {remedy} and create another under another key",
            entity.id
        );
        Err(Problem::conflict("secret-told", detail))
    }

    /// A new entity as the answer to its creation shows it.
    pub(crate) fn shown(&self, class: &Class, entity: &Entity) -> Value {
        let mut shown = entity.to_json(class);
        if let (Some(made), Some(members)) = (self.0.get(&entity.id), shown.as_object_mut()) {
            members.insert(made.property.to_owned(), json!(made.secret.expose_secret()));
        }
        shown
    }
}
