//! Webhooks: the secrets that new ones get, and `POST …/<id>/test`.

use crate::app::Asked;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::WebhookId;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::builtin::names;
use postroom_store::NewEntity;
use postroom_store::webhook_secret;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value;
use serde_json::json;
use std::collections::HashMap;

/// The secrets that Postroom has made for new webhooks. Only the answer to their creation has them.
#[derive(Debug, Default)]
pub(crate) struct MadeSecrets(HashMap<EntityId, SecretString>);

impl MadeSecrets {
    /// Makes a secret for each new webhook without one. Entities of other classes are not changed.
    pub(crate) fn give(class: &Class, new: &mut [NewEntity]) -> Self {
        let mut made = HashMap::new();
        if class.classname == WEBHOOKS {
            for NewEntity { entity, .. } in new {
                if entity.get(names::SECRET).is_null() {
                    let secret = webhook_secret();
                    let shown = json!(secret.expose_secret());
                    entity.properties.insert(names::SECRET.to_owned(), shown);
                    made.insert(entity.id, secret);
                }
            }
        }
        Self(made)
    }

    /// A new entity as the answer to its creation shows it.
    pub(crate) fn shown(&self, class: &Class, entity: &Entity) -> Value {
        let mut shown = entity.to_json(class);
        if let (Some(secret), Some(members)) = (self.0.get(&entity.id), shown.as_object_mut()) {
            members.insert(names::SECRET.to_owned(), json!(secret.expose_secret()));
        }
        shown
    }
}

/// `POST`: sends a ping to the receiver, and returns what the receiver answered.
///
/// # Errors
///
/// 404 when the domain has no webhook of that id; 409 without an engine; 422 for parameters.
pub(crate) async fn test(asked: Asked, id: EntityId) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let Some(tester) = &asked.app.webhooks else {
        let detail = "this process has no engine, so it sends nothing";
        return Err(Problem::conflict("no-engine", detail));
    };
    let ping = tester.ping(&asked.domain, WebhookId::of(id)).await?;
    let ping = ping.ok_or_else(|| Problem::not_found("there is no webhook of this id"))?;
    Ok(Json(ping.to_json()).into_response())
}
