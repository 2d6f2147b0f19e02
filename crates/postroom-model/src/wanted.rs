//! Which news somebody wants: those who ask for events, who subscribe, and webhooks.

use crate::builtin::names;
use crate::class::Class;
use crate::entity::Entity;
use crate::filter;
use crate::filter::Filter;
use crate::filter::Names;
use crate::filter::matches;
use crate::invalid::Invalid;
use crate::mask::Mask;
use crate::news::Changed;
use crate::news::EventName;
use crate::news::Operation;
use crate::rights::is_administrative;
use serde_json::Value as Json;
use std::sync::Arc;

/// Which news somebody wants. Nothing: all of them.
#[derive(Debug, Clone, Default)]
pub struct WantedNews {
    /// Only those of this class.
    pub class: Option<Arc<Class>>,
    /// Only those of entities that it lets through.
    pub filter: Option<Filter>,
    /// What of the entities is shown.
    pub mask: Option<Mask>,
    /// Only these operations. Empty: all.
    pub operations: Vec<Operation>,
    /// Only these events. Empty: all.
    pub events: Vec<EventName>,
}

impl WantedNews {
    /// What a change is for the one who wants these news, and its event. `None`: it is not wanted.
    #[must_use]
    pub fn seen(&self, changed: &Changed<'_>) -> Option<(Operation, EventName)> {
        if self.class.as_ref().is_some_and(|class| class.classname != changed.class) {
            return None;
        }
        let operation = match &self.filter {
            // Nobody knows any more whether it was let through. Its id tells nothing else.
            Some(_) if changed.before.is_none() && changed.after.is_none() => {
                Some(changed.operation).filter(|operation| *operation == Operation::Delete)
            }
            Some(filter) => {
                let is_seen = |entity: Option<&Entity>| {
                    entity.is_some_and(|entity| matches(filter, entity, &|_, _| None))
                };
                Operation::seen(is_seen(changed.before), is_seen(changed.after))
            }
            None => Some(changed.operation),
        }?;
        let name = changed.event();
        let is_asked = (self.operations.is_empty() || self.operations.contains(&operation))
            && (self.events.is_empty() || self.events.contains(&name));
        is_asked.then_some((operation, name))
    }

    /// An entity as it is shown.
    #[must_use]
    pub fn shown(&self, class: &Class, entity: &Entity) -> Json {
        let whole = entity.to_json(class);
        match &self.mask {
            Some(mask) => mask.apply(&whole),
            None => whole,
        }
    }
}

/// The class of that name.
///
/// # Errors
///
/// There is none. `property` is what names it.
pub fn wanted_class(
    classes: &[Arc<Class>],
    property: &str,
    name: &str,
) -> Result<Arc<Class>, Invalid> {
    let found = classes.iter().find(|class| class.classname == name).cloned();
    found.ok_or_else(|| Invalid::new(property, format!("there is no class `{name}`")))
}

/// A mask of the entity alone.
///
/// # Errors
///
/// As [`Mask::parse`]; a mask that names files or other entities.
pub fn wanted_mask(class: &Class, classes: &[Arc<Class>], text: &str) -> Result<Mask, Invalid> {
    let mask = Mask::parse(class, classes, text)?;
    if mask.has_files() || mask.has_claim() || !mask.references().is_empty() {
        let reason = "names properties of the entity alone: an event has neither files nor others, \
                      and a claim is no event";
        return Err(Invalid::new("mask", reason));
    }
    Ok(mask)
}

/// A filter that looks at the entity alone.
///
/// # Errors
///
/// As [`filter::parse`]; a filter that looks through references, or for words.
pub fn wanted_filter(
    class: &Class,
    classes: &[Arc<Class>],
    json: &Json,
) -> Result<Filter, Invalid> {
    let filter = filter::parse(Names::among(class, classes), json)?;
    if filter.refers() {
        let reason = "looks at the entity alone: events know nothing of what it refers to";
        return Err(Invalid::new("filter", reason));
    }
    if !filter.match_queries().is_empty() {
        let reason = "match: an event is told before the words of its message are kept; use like \
                      or contains";
        return Err(Invalid::new("filter", reason));
    }
    Ok(filter)
}

/// What is wrong with what a client wants of a webhook: as [`wanted_by_webhook`], and events that
/// none of its classes has, which would never be sent.
#[must_use]
pub fn webhook_problems(classes: &[Arc<Class>], webhook: &Entity) -> Vec<Invalid> {
    let mut problems = wanted_by_webhook(classes, webhook).err().unwrap_or_default();
    let of: Vec<_> = webhook.texts(names::CLASSES).collect();
    for (at, text) in webhook.texts(names::EVENTS).enumerate() {
        let event = EventName::from_text(text).filter(|_| !of.is_empty());
        if event.is_some_and(|event| !of.iter().any(|class| event.is_of(class))) {
            let reason = format!("would never be sent: none of {} has such events", of.join(", "));
            problems.push(Invalid::new(format!("{}[{at}]", names::EVENTS), reason));
        }
    }
    problems
}

/// What a webhook wants: an event is sent if one of these wants it.
///
/// # Errors
///
/// Everything that is wrong with its classes, its filter, its mask and its events.
pub fn wanted_by_webhook(
    classes: &[Arc<Class>],
    webhook: &Entity,
) -> Result<Vec<WantedNews>, Vec<Invalid>> {
    let mut problems = vec![];
    let events: Vec<_> = webhook.texts(names::EVENTS).filter_map(EventName::from_text).collect();
    let names: Vec<_> = webhook.texts(names::CLASSES).collect();
    let json = Some(webhook.get(names::FILTER)).filter(|json| !json.is_null());
    let mask = webhook.text(names::MASK);
    if names.is_empty() {
        let given = [(names::FILTER, json.is_some()), (names::MASK, mask.is_some())];
        let reason = "goes with `classes`: [\"email/Messages\"]";
        let alone = given.iter().filter(|(_, is_given)| *is_given);
        problems.extend(alone.map(|(name, _)| Invalid::new(*name, reason)));
    }
    let mut all = vec![];
    for (at, name) in names.iter().enumerate() {
        let place = format!("{}[{at}]", names::CLASSES);
        if is_administrative(name) {
            let reason = "is told to no webhook: follow it with GET /rest/v1/events";
            problems.push(Invalid::new(place, reason));
            continue;
        }
        let class = match wanted_class(classes, &place, name) {
            Ok(class) => class,
            Err(invalid) => {
                problems.push(invalid);
                continue;
            }
        };
        let filter = json.map(|json| wanted_filter(&class, classes, json)).transpose();
        let mask = mask.map(|text| wanted_mask(&class, classes, text)).transpose();
        match (filter, mask) {
            (Ok(filter), Ok(mask)) => {
                let (class, events) = (Some(class), events.clone());
                all.push(WantedNews { class, filter, mask, events, ..WantedNews::default() });
            }
            (filter, mask) => problems.extend(filter.err().into_iter().chain(mask.err())),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    if all.is_empty() {
        all.push(WantedNews { events, ..WantedNews::default() });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::id::EntityId;
    use serde_json::json;

    #[test]
    fn what_a_webhook_wants_fits_each_of_its_classes() {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        let wanted = |json: Json| {
            let webhook = Entity::new(EntityId::nil(), json.as_object().unwrap().clone());
            wanted_by_webhook(&classes, &webhook).map(|all| all.len()).map_err(|problems| {
                problems.iter().map(|one| one.property.clone()).collect::<Vec<_>>().join(",")
            })
        };
        let of_subject = json!(["==", ["property", "subject"], "x"]);
        #[rustfmt::skip]
        let table = [
            (json!({}),                                                                  Ok(1)),
            (json!({"events": ["message.sent"]}),                                        Ok(1)),
            (json!({"classes": ["email/Messages", "email/Folders"]}),                    Ok(2)),
            (json!({"classes": ["email/Messages"], "filter": of_subject, "mask": "id"}), Ok(1)),
            (json!({"filter": of_subject, "mask": "id"}),                                Err("filter,mask")),
            (json!({"classes": ["email/Messages", "email/Nope"]}),                       Err("classes[1]")),
            (json!({"classes": ["iam/Tokens"]}),                                         Err("classes[0]")),
            (json!({"classes": ["email/Folders"], "filter": of_subject}),                Err("filter[1]")),
            (json!({"classes": ["email/Accounts"], "mask": "password"}),                 Err("mask")),
            (json!({"classes": ["email/Messages"], "mask": "files.name"}),               Err("mask")),
        ];
        for (json, want) in table {
            assert_eq!(wanted(json.clone()), want.map_err(str::to_owned), "{json}");
        }
    }

    #[test]
    fn a_webhook_asks_for_no_events_that_its_classes_never_have() {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        #[rustfmt::skip]
        let table = [
            (json!({"events": ["message.sent", "entity.created"]}),                            ""),
            (json!({"events": ["message.sent"], "classes": ["email/Messages"]}),               ""),
            (json!({"events": ["message.sent"], "classes": ["email/Folders", "email/Messages"]}), ""),
            (json!({"events": ["entity.created"], "classes": ["email/OAuthApps"]}),            ""),
            (json!({"events": ["folder.found", "message.sent"], "classes": ["email/Folders"]}), "events[1]"),
            (json!({"events": ["entity.created"], "classes": ["email/Folders"]}),              "events[0]"),
        ];
        for (json, want) in table {
            let webhook = Entity::new(EntityId::nil(), json.as_object().unwrap().clone());
            let problems = webhook_problems(&classes, &webhook);
            let places: Vec<_> = problems.iter().map(|one| one.property.as_str()).collect();
            assert_eq!(places.join(","), want, "{json}");
        }
    }
}
