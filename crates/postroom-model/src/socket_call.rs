//! What a client of the WebSocket sends: JSON pairs of a method and its members.
//!
//! ```text
//!   ["follow", {"id": "a", "after": 123, "class": "email/Messages", "filter": […]}]
//!   ["subscribe", {"id": "b", "events": ["modelevents.data_changed"], "objects": […]}]
//!   ["unsubscribe", {"id": "a"}]
//! ```
//! This reads the form alone. Whether there are such classes, filters and rights is known later.

use crate::invalid::Invalid;
use serde_json::Map;
use serde_json::Value as Json;
use std::time::Duration;

/// The name of the only event of `subscribe`.
pub const PLATFORM_EVENT: &str = "modelevents.data_changed";
/// How long a subscription lasts by default.
const EXPIRES: Duration = Duration::from_secs(3600);
/// How long it lasts at most: a day.
const EXPIRES_MAX: Duration = Duration::from_secs(24 * 3600);
/// How many classes one subscription names.
const OBJECTS_MAX: usize = 20;
/// How many bytes the id of a subscription may have.
const ID_BYTES_MAX: usize = 200;
/// The members of `follow` that are parameters of requests for events too.
const OF_EVENTS: [&str; 6] = ["after", "class", "filter", "mask", "operation", "event"];

/// The parameters of a request for events: names and texts.
pub type EventParameters = Vec<(String, String)>;

/// A message of a client.
#[derive(Debug)]
pub struct SocketCall {
    /// A value that the client recognises in the answer. Null: it sent none.
    pub qid: Json,
    /// The id of the subscription.
    pub id: String,
    /// What the client wants.
    pub asks: CallAsks,
}

/// What the client wants.
#[derive(Debug)]
pub enum CallAsks {
    /// Events after a number.
    Follow(EventParameters),
    /// Changes of the entities of some classes from now on, in the form of [`PLATFORM_EVENT`].
    Subscribe(SubscribeCall),
    /// The end of a subscription.
    Unsubscribe,
}

/// What the client asks for with `subscribe`.
#[derive(Debug)]
pub struct SubscribeCall {
    /// The parameters for each class.
    pub requests: Vec<EventParameters>,
    /// How long it lasts.
    pub expires: Duration,
    /// The members without `expires`. A message with the same ones renews the subscription.
    pub asked: Json,
}

/// A message that cannot be read, with the values by which its client recognises the answer.
#[derive(Debug)]
pub struct CallRefused {
    /// As in [`SocketCall`].
    pub qid: Json,
    /// The id that was sent, whatever it is.
    pub id: Json,
    /// What is wrong.
    pub why: CallProblem,
}

/// What is wrong with a message.
#[derive(Debug)]
pub enum CallProblem {
    /// It is not JSON.
    NotJson(serde_json::Error),
    /// It is no call, in words.
    Malformed(String),
    /// Members are wrong.
    Invalid(Vec<Invalid>),
}

impl From<Invalid> for CallProblem {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(vec![invalid])
    }
}

impl SocketCall {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// What is wrong with it, by its place.
    pub fn parse(text: &str) -> Result<Self, Box<CallRefused>> {
        let refused = |why| Box::new(CallRefused { qid: Json::Null, id: Json::Null, why });
        let pair: Json =
            serde_json::from_str(text).map_err(|error| refused(CallProblem::NotJson(error)))?;
        let form = || {
            let form = "a message is [\"method\", {…}]";
            refused(CallProblem::Malformed(form.to_owned()))
        };
        let Json::Array(pair) = pair else { return Err(form()) };
        let Ok([Json::String(method), Json::Object(members)]) = <[Json; 2]>::try_from(pair) else {
            return Err(form());
        };
        let known = |name: &str| members.get(name).cloned().unwrap_or_default();
        let (qid, id) = (known("qid"), known("id"));
        Self::read(&method, members).map_err(|why| Box::new(CallRefused { qid, id, why }))
    }

    fn read(method: &str, mut members: Map<String, Json>) -> Result<Self, CallProblem> {
        let names: &[&str] = match method {
            "follow" => &OF_EVENTS,
            "subscribe" => &["events", "objects", "expires", "exargs"],
            "unsubscribe" => &[],
            _ => {
                let reason = format!("`{method}`: there is follow, subscribe and unsubscribe");
                return Err(CallProblem::Malformed(reason));
            }
        };
        let qid = members.remove("qid").unwrap_or_default();
        let id = id(members.remove("id"))?;
        let odd = members.keys().filter(|name| !names.contains(&name.as_str()));
        let reason =
            || format!("`{method}` has no such member; it has qid, id, {}", names.join(", "));
        let odd: Vec<_> = odd.map(|name| Invalid::new(name, reason())).collect();
        if !odd.is_empty() {
            return Err(CallProblem::Invalid(odd));
        }
        let asks = match method {
            "follow" => CallAsks::Follow(texts(members)),
            "subscribe" => CallAsks::Subscribe(SubscribeCall::read(&members)?),
            _ => CallAsks::Unsubscribe,
        };
        Ok(Self { qid, id, asks })
    }
}

impl SubscribeCall {
    fn read(members: &Map<String, Json>) -> Result<Self, CallProblem> {
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
            texts(members)
        };
        let requests = objects.iter().map(of_class).collect();
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
fn texts(members: Map<String, Json>) -> EventParameters {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a message is, or what is wrong with it.
    fn read(text: &str) -> String {
        match SocketCall::parse(text) {
            Ok(SocketCall { id, asks: CallAsks::Follow(texts), .. }) => format!("{id} {texts:?}"),
            Ok(SocketCall { id, asks: CallAsks::Subscribe(call), .. }) => {
                format!("{id} {:?} {}", call.requests, call.expires.as_secs())
            }
            Ok(SocketCall { id, asks: CallAsks::Unsubscribe, .. }) => id,
            Err(refused) => match refused.why {
                CallProblem::NotJson(_) => "not JSON".to_owned(),
                CallProblem::Malformed(text) => text,
                CallProblem::Invalid(all) => format!("{}: {}", refused.id, all[0].property),
            },
        }
    }

    #[test]
    fn a_message_is_a_call_or_says_what_is_wrong() {
        let event = format!("\"events\": [\"{PLATFORM_EVENT}\"]");
        let table = [
            ("[", "not JSON".to_owned()),
            ("{}", "a message is [\"method\", {…}]".to_owned()),
            ("[\"follow\"]", "a message is [\"method\", {…}]".to_owned()),
            ("[\"x\", {}]", "`x`: there is follow, subscribe and unsubscribe".to_owned()),
            (
                r#"["follow", {"id": "a", "after": 5, "mask": ["b", "c"]}]"#,
                r#"a [("mask", "b,c"), ("after", "5")]"#.to_owned(),
            ),
            (
                r#"["follow", {"id": "a", "filter": ["==", 1]}]"#,
                r#"a [("filter", "[\"==\",1]")]"#.to_owned(),
            ),
            (r#"["follow", {"id": "a", "after": 5}]"#, r#"a [("after", "5")]"#.to_owned()),
            (r#"["follow", {"id": 5}]"#, "5: id".to_owned()),
            (r#"["follow", {"id": "a", "x": 1}]"#, "\"a\": x".to_owned()),
            (r#"["unsubscribe", {"id": "a"}]"#, "a".to_owned()),
            (r#"["subscribe", {"id": "a"}]"#, "\"a\": events".to_owned()),
            (&format!(r#"["subscribe", {{"id": "a", {event}}}]"#), "\"a\": objects".to_owned()),
            (
                &format!(
                    r#"["subscribe", {{"id": "a", {event}, "objects": ["c"], "expires": 0}}]"#
                ),
                "\"a\": expires".to_owned(),
            ),
            (
                &format!(
                    r#"["subscribe", {{"id": "a", {event}, "objects": ["c"], "exargs": {{"y": 1}}}}]"#
                ),
                "\"a\": exargs.y".to_owned(),
            ),
            (
                &format!(
                    r#"["subscribe", {{"id": "a", {event}, "objects": ["c"], "expires": 7}}]"#
                ),
                r#"a [[("class", "c"), ("after", "now")]] 7"#.to_owned(),
            ),
        ];
        for (text, want) in table {
            assert_eq!(read(text), want, "{text}");
        }
    }
}
