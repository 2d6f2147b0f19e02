//! The event of a change, as those see it who ask for events, who subscribe, and webhooks.

use postroom_model::Changed;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::EventName;
use postroom_model::Operation;
use postroom_model::Timestamp;
use postroom_model::WantedNews;
use postroom_store::EntityNews;
use postroom_store::Modifier;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;

/// An event as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownEvent {
    /// The number of the change.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub name: EventName,
    /// What happened to what the reader sees.
    pub operation: Operation,
    /// The event.
    pub json: Json,
}

impl ShownEvent {
    /// The event of a change, if it is wanted. `classes` are the present ones.
    #[must_use]
    pub fn of(wanted: &WantedNews, classes: &[Arc<Class>], news: &EntityNews) -> Option<Self> {
        let row = &news.row;
        let (before, after) = (news.before.as_ref(), news.after.as_ref());
        let changed = Changed { class: &row.class, operation: row.operation, before, after };
        let (operation, name) = wanted.seen(&changed)?;
        let class = classes.iter().find(|class| class.classname == row.class);
        let shown = |entity: Option<&Entity>| match (entity, class) {
            (Some(entity), Some(class)) => wanted.shown(class, entity),
            (None, _) | (_, None) => Json::Null,
        };
        let mut former = shown(before);
        if let Some(former) = former.as_object_mut() {
            // It is known of the present one alone.
            former.remove("seq");
        }
        let json = json!({
            "seq": row.seq, "at": row.at.to_string(), "class": row.class,
            "operation": operation.as_str(), "event": name.to_string(),
            "id": row.entity.to_string(), "entity": shown(after), "entity0": former,
            "modifier": row.modifier.as_ref().map(modifier),
        });
        Some(Self { seq: row.seq, at: row.at, name, operation, json })
    }
}

fn modifier(modifier: &Modifier) -> Json {
    json!({"type": modifier.kind(), "id": modifier.id()})
}
