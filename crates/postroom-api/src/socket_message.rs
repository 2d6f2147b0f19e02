//! What a client of the WebSocket asks for: JSON pairs of a method and its members.
//!
//! ```text
//!   ["follow", {"id": "a", "after": 123, "class": "email/Messages", "filter": […]}]
//!   ["subscribe", {"id": "b", "events": ["modelevents.data_changed"], "objects": […]}]
//!   ["unsubscribe", {"id": "a"}]
//! ```

use crate::event_request::EventRequest;
use crate::event_request::NewsReader;
use crate::exact;
use crate::problem::Problem;
use postroom_model::Invalid;
use serde_json::Map;
use serde_json::Value as Json;
use std::time::Duration;

/// The name of the only event of `subscribe`.
pub(crate) const PLATFORM_EVENT: &str = "modelevents.data_changed";
/// How long a subscription lasts by default.
const EXPIRES: Duration = Duration::from_secs(3600);
/// How long it lasts at most: a day.
const EXPIRES_MAX: Duration = Duration::from_secs(24 * 3600);
/// How many classes one subscription names.
const OBJECTS_MAX: usize = 20;
/// How many bytes the id of a subscription may have.
const ID_BYTES_MAX: usize = 200;

/// The members of `follow` that are parameters of `GET /rest/v1/events` too.
const OF_EVENTS: [&str; 6] = ["after", "class", "filter", "mask", "operation", "event"];

/// A message of a client.
#[derive(Debug)]
pub(crate) struct SocketMessage {
    /// A value that the client recognises in the answer. Null: it sent none.
    pub qid: Json,
    /// The id of the subscription.
    pub id: String,
    pub wish: Wish,
}

/// What the client wants.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Events in the form of `GET /rest/v1/events`, after a number.
    Follow(Box<EventRequest>),
    /// Changes of the entities of some classes from now on, in the form of [`PLATFORM_EVENT`].
    Subscribe(Subscription),
    /// The end of a subscription.
    Unsubscribe,
}

/// What the client asks for with `subscribe`.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// One request for each class.
    pub requests: Vec<EventRequest>,
    /// How long it lasts.
    pub expires: Duration,
    /// The members without `expires`. A message with the same ones renews the subscription.
    pub asked: Json,
}

/// A message that cannot be read, with the values by which its client recognises the answer.
#[derive(Debug)]
pub(crate) struct Refused {
    pub qid: Json,
    pub id: Json,
    pub problem: Problem,
}

impl SocketMessage {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// What is wrong with it, by its place.
    pub(crate) fn parse(reader: &NewsReader, text: &str) -> Result<Self, Box<Refused>> {
        let refused = |problem| Box::new(Refused { qid: Json::Null, id: Json::Null, problem });
        let pair: Json = serde_json::from_str(text)
            .map_err(|error| refused(Problem::not_json("the message", &error)))?;
        let form = || refused(Problem::malformed("a message is [\"method\", {…}]"));
        let Json::Array(pair) = pair else { return Err(form()) };
        let Ok([Json::String(method), Json::Object(members)]) = <[Json; 2]>::try_from(pair) else {
            return Err(form());
        };
        let known = |name: &str| members.get(name).cloned().unwrap_or_default();
        let (qid, id) = (known("qid"), known("id"));
        let read = exact::refuse(&exact::rounded(text.as_bytes()));
        let read = read.and_then(|()| Self::read(reader, &method, members));
        read.map_err(|problem| Box::new(Refused { qid, id, problem }))
    }

    fn read(
        reader: &NewsReader,
        method: &str,
        mut members: Map<String, Json>,
    ) -> Result<Self, Problem> {
        let names: &[&str] = match method {
            "follow" => &OF_EVENTS,
            "subscribe" => &["events", "objects", "expires", "exargs"],
            "unsubscribe" => &[],
            _ => {
                let reason = format!("`{method}`: there is follow, subscribe and unsubscribe");
                return Err(Problem::malformed(reason));
            }
        };
        let qid = members.remove("qid").unwrap_or_default();
        let id = id(members.remove("id"))?;
        let odd = members.keys().filter(|name| !names.contains(&name.as_str()));
        let reason =
            || format!("`{method}` has no such member; it has qid, id, {}", names.join(", "));
        let odd: Vec<_> = odd.map(|name| Invalid::new(name, reason())).collect();
        if !odd.is_empty() {
            return Err(odd.into());
        }
        let wish = match method {
            "follow" => Wish::Follow(Box::new(EventRequest::of(reader, &texts(members))?)),
            "subscribe" => Wish::Subscribe(Subscription::read(reader, members)?),
            _ => Wish::Unsubscribe,
        };
        Ok(Self { qid, id, wish })
    }
}

impl Subscription {
    fn read(reader: &NewsReader, members: Map<String, Json>) -> Result<Self, Problem> {
        let asked = {
            let mut asked = members.clone();
            asked.remove("expires");
            Json::Object(asked)
        };
        let member = |name: &str| members.get(name).unwrap_or(&Json::Null);
        if member("events") != &Json::from(vec![PLATFORM_EVENT]) {
            let reason = format!("is [\"{PLATFORM_EVENT}\"]");
            return Err(Invalid::new("events", reason).into());
        }
        let objects: Option<Vec<&str>> =
            member("objects").as_array().and_then(|list| list.iter().map(Json::as_str).collect());
        let objects = objects.filter(|list| (1..=OBJECTS_MAX).contains(&list.len()));
        let objects = objects.ok_or_else(|| {
            Invalid::new("objects", format!("is a list of 1 to {OBJECTS_MAX} names of classes"))
        })?;
        let more = match (member("exargs").is_null(), member("exargs").as_object()) {
            (true, _) => Map::new(),
            (false, Some(more)) => more.clone(),
            (false, None) => {
                return Err(Invalid::new("exargs", "is {\"mask\", \"filter\"}").into());
            }
        };
        if let Some(odd) = more.keys().find(|name| !["mask", "filter"].contains(&name.as_str())) {
            let reason = "there is `mask` and `filter`";
            return Err(Invalid::new(format!("exargs.{odd}"), reason).into());
        }
        let of_class = |class: &&str| {
            let mut members = more.clone();
            members.insert("class".to_owned(), Json::from(*class));
            members.insert("after".to_owned(), Json::from("now"));
            EventRequest::of(reader, &texts(members))
        };
        let requests = objects.iter().map(of_class).collect::<Result<_, _>>()?;
        let expires = Some(member("expires")).filter(|seconds| !seconds.is_null());
        let expires = expires.map_or(Ok(EXPIRES), |seconds| {
            let seconds = seconds.as_u64().map(Duration::from_secs);
            let expires = seconds.filter(|time| !time.is_zero() && *time <= EXPIRES_MAX);
            let reason = || format!("is a number of seconds up to {}", EXPIRES_MAX.as_secs());
            expires.ok_or_else(|| Invalid::new("expires", reason()))
        })?;
        Ok(Self { requests, expires, asked })
    }
}

fn id(id: Option<Json>) -> Result<String, Invalid> {
    let id = id.and_then(|id| id.as_str().map(str::to_owned));
    let reason = "is required: a text by which the subscription is known, of 200 bytes at most";
    id.filter(|id| (1..=ID_BYTES_MAX).contains(&id.len())).ok_or_else(|| Invalid::new("id", reason))
}

/// The members as the parameters of a request for events. A list is one text with commas.
fn texts(members: Map<String, Json>) -> Vec<(String, String)> {
    let plain = |one: &Json| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
    let text = |(name, value): (String, Json)| {
        let text = match value.as_array().filter(|_| name != "filter") {
            Some(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
            None => plain(&value),
        };
        (!value.is_null()).then_some((name, text))
    };
    members.into_iter().filter_map(text).collect()
}
