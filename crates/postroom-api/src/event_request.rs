//! Which news a client asks for, and how an event is shown.

use crate::mask::Mask;
use crate::parameters;
use crate::problem::Problem;
use axum::http::Uri;
use postroom_model::Changed;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::EventName;
use postroom_model::Filter;
use postroom_model::Invalid;
use postroom_model::Operation;
use postroom_model::filter;
use postroom_model::filter::Names;
use postroom_model::filter::matches;
use postroom_store::EntityNews;
use postroom_store::Modifier;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The parameters.
const PARAMETERS: [&str; 8] =
    ["after", "class", "filter", "mask", "operation", "event", "limit", "wait"];
/// How many events an answer has when nothing else is asked for.
const LIMIT: u32 = 100;
/// How many events an answer has at most.
const LIMIT_MAX: u32 = 1000;
/// How long an answer waits at most.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Where a client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// With the oldest change that is kept.
    First,
    /// With what changes from now on.
    Now,
    /// Behind a number.
    Seq(i64),
}

/// Which news a client asks for.
#[derive(Debug, Clone)]
pub(crate) struct EventRequest {
    /// Where to begin. `None`: the client did not say.
    pub after: Option<After>,
    /// How many events an answer has at most.
    pub limit: u32,
    /// How long to wait for the first event.
    pub wait: Duration,
    class: Option<Arc<Class>>,
    filter: Option<Filter>,
    mask: Option<Mask>,
    operations: Vec<Operation>,
    events: Vec<EventName>,
}

impl EventRequest {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    ///
    /// 422 with every parameter that is unknown or wrong; 400 when `filter` is no JSON.
    pub(crate) fn parse(classes: &[Arc<Class>], uri: &Uri) -> Result<Self, Problem> {
        Self::of(classes, &parameters::of(uri, &PARAMETERS)?)
    }

    /// Reads parameters, each of which is there once.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub(crate) fn of(classes: &[Arc<Class>], pairs: &[(String, String)]) -> Result<Self, Problem> {
        let value = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, text)| text);
        let mut problems = vec![];
        let mut read = Self {
            after: None,
            limit: LIMIT,
            wait: Duration::ZERO,
            class: None,
            filter: None,
            mask: None,
            operations: vec![],
            events: vec![],
        };
        let mut note = |done: Result<(), Invalid>| problems.extend(done.err());
        note(or_none(value("after"), after).map(|after| read.after = after));
        note(or_none(value("limit"), limit).map(|limit| read.limit = limit.unwrap_or(LIMIT)));
        note(or_none(value("wait"), wait).map(|wait| read.wait = wait.unwrap_or_default()));
        note(or_none(value("operation"), operations).map(|all| {
            read.operations = all.unwrap_or_default();
        }));
        note(or_none(value("event"), events).map(|all| read.events = all.unwrap_or_default()));
        note(or_none(value("class"), |name| class(classes, name)).map(|class| read.class = class));
        let of_class = ["filter", "mask"].into_iter().filter_map(|name| Some((name, value(name)?)));
        for (name, text) in of_class {
            let Some(class) = &read.class else {
                if value("class").is_none() {
                    let reason = "goes with `class`: class=email/Messages";
                    note(Err(Invalid::new(name, reason)));
                }
                continue;
            };
            if name == "mask" {
                note(mask(class, classes, text).map(|mask| read.mask = Some(mask)));
            } else {
                let json = parameters::filter(text)?;
                let names = Names::among(class, classes);
                let filter = filter::parse(names, &json).and_then(alone);
                note(filter.map(|filter| read.filter = Some(filter)));
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(problems.into()) }
    }

    /// The event of a change, if it is one of those that are asked for. `classes` are the present
    /// ones.
    pub(crate) fn event(&self, classes: &[Arc<Class>], news: &EntityNews) -> Option<ShownEvent> {
        let row = &news.row;
        if self.class.as_ref().is_some_and(|class| class.classname != row.class) {
            return None;
        }
        let (before, after) = (news.before.as_ref(), news.after.as_ref());
        let operation = match &self.filter {
            // Nobody knows any more whether it was let through. Its id tells nothing else.
            Some(_) if before.is_none() && after.is_none() => {
                Some(row.operation).filter(|operation| *operation == Operation::Delete)
            }
            Some(filter) => {
                let is_seen = |entity: Option<&Entity>| {
                    entity.is_some_and(|entity| matches(filter, entity, &|_, _| None))
                };
                Operation::seen(is_seen(before), is_seen(after))
            }
            None => Some(row.operation),
        }?;
        let changed = Changed { class: &row.class, operation: row.operation, before, after };
        let name = changed.event();
        let is_asked = (self.operations.is_empty() || self.operations.contains(&operation))
            && (self.events.is_empty() || self.events.contains(&name));
        if !is_asked {
            return None;
        }
        let class = classes.iter().find(|class| class.classname == row.class);
        let shown = |entity: Option<&Entity>| match (entity, class) {
            (Some(entity), Some(class)) => self.shown(class, entity),
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
        Some(ShownEvent { seq: row.seq, name, operation, json })
    }

    fn shown(&self, class: &Class, entity: &Entity) -> Json {
        let whole = entity.to_json(class);
        self.mask.as_ref().map_or_else(|| whole.clone(), |mask| mask.apply(&whole))
    }
}

/// An event as it is shown.
#[derive(Debug)]
pub(crate) struct ShownEvent {
    /// The number of the change.
    pub seq: i64,
    /// What happened.
    pub name: EventName,
    /// What happened to what the reader sees.
    pub operation: Operation,
    /// The event.
    pub json: Json,
}

fn modifier(modifier: &Modifier) -> Json {
    json!({"type": modifier.kind(), "id": modifier.id()})
}

fn or_none<T>(
    text: Option<&String>,
    read: impl Fn(&str) -> Result<T, Invalid>,
) -> Result<Option<T>, Invalid> {
    text.map(|text| read(text)).transpose()
}

/// Where to begin.
///
/// # Errors
///
/// Anything but `first`, `now` and a number.
pub(crate) fn after(text: &str) -> Result<After, Invalid> {
    match (text, text.parse()) {
        ("first", _) => Ok(After::First),
        ("now", _) => Ok(After::Now),
        (_, Ok(seq)) if seq >= 0 => Ok(After::Seq(seq)),
        (_, _) => Err(Invalid::new(
            "after",
            "takes the number behind which to go on (`next` of an answer), `first` or `now`",
        )),
    }
}

fn limit(text: &str) -> Result<u32, Invalid> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Invalid::new("limit", format!("takes a number from 1 to {LIMIT_MAX}")))
}

fn wait(text: &str) -> Result<Duration, Invalid> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let reason = || format!("takes a number of seconds from 0 to {}", WAIT_MAX.as_secs());
    seconds.filter(|wait| *wait <= WAIT_MAX).ok_or_else(|| Invalid::new("wait", reason()))
}

fn operations(text: &str) -> Result<Vec<Operation>, Invalid> {
    let all = [Operation::Create, Operation::Change, Operation::Delete];
    let one = |name: &str| all.into_iter().find(|one| one.as_str() == name);
    let read: Option<Vec<_>> = text.split(',').map(str::trim).map(one).collect();
    read.ok_or_else(|| Invalid::new("operation", "takes create, change or delete, with commas"))
}

fn events(text: &str) -> Result<Vec<EventName>, Invalid> {
    let one = |name: &str| {
        EventName::from_text(name).ok_or_else(|| {
            let all: Vec<_> = EventName::all().map(|name| name.to_string()).collect();
            let reason = format!("there is no `{name}`; there are: {}", all.join(", "));
            Invalid::new("event", reason)
        })
    };
    text.split(',').map(str::trim).map(one).collect()
}

fn class(classes: &[Arc<Class>], name: &str) -> Result<Arc<Class>, Invalid> {
    let found = classes.iter().find(|class| class.classname == name).cloned();
    found.ok_or_else(|| Invalid::new("class", format!("there is no class `{name}`")))
}

fn mask(class: &Class, classes: &[Arc<Class>], text: &str) -> Result<Mask, Invalid> {
    let mask = Mask::parse(class, classes, text)?;
    if mask.has_files() || !mask.references().is_empty() {
        let reason = "names properties of the entity alone: an event has neither files nor others";
        return Err(Invalid::new("mask", reason));
    }
    Ok(mask)
}

/// A filter that looks at the entity alone.
fn alone(filter: Filter) -> Result<Filter, Invalid> {
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
