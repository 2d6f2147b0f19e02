//! The bodies of `CLAIM` and `NACK`.

use crate::problem::Problem;
use postroom_engine::carried;
use postroom_engine::claiming::DeadLetter;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_model::Property;
use postroom_model::Query;
use postroom_model::filter;
use postroom_model::filter::Names;
use postroom_model::parse_order;
use postroom_model::validate;
use serde_json::Map;
use serde_json::Value as Json;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// How many entities a worker may claim at once.
const LIMIT_MAX: u32 = 1000;
/// How long a claim may last, in seconds: up to a day.
const LEASE_SECONDS: RangeInclusive<f64> = 1.0..=86_400.0;
/// How long an entity that is given back may be withheld, in seconds: up to a week.
const DELAY_SECONDS: RangeInclusive<f64> = 0.0..=604_800.0;
/// The range of `claims_max`: how many times an entity may be claimed.
const CLAIMS_MAX: RangeInclusive<u64> = 1..=1000;
/// How long the name of a worker may be.
const BY_BYTES_MAX: usize = 255;

/// The members of a claim.
const MEMBERS: [&str; 8] =
    ["filter", "order", "limit", "lease", "claimedBy", "set", "claims_max", "dead_letter"];
/// The text for a body that is not an object.
const FORM: &str = "takes an object: {\"filter\": […], \"limit\": 10, \"lease\": 60}";

/// What a worker asks for.
pub(crate) struct ClaimRequest<'a> {
    /// Which entities, in which order, and how many.
    pub query: Query,
    /// How long they are claimed.
    pub lease_ms: i64,
    /// The name that the worker gives itself. `None`: the name of its token.
    pub by: Option<&'a str>,
    /// The change that is made to each claimed entity.
    pub set: Option<&'a Json>,
    /// What is done with entities that were claimed too often.
    pub dead_letter: Option<DeadLetter<'a>>,
}

impl<'a> ClaimRequest<'a> {
    /// Reads the body of a claim.
    ///
    /// # Errors
    ///
    /// 422 with every member that is unknown or wrong.
    pub(crate) fn read(
        class: &Class,
        classes: &[Arc<Class>],
        json: &'a Json,
    ) -> Result<Self, Problem> {
        let members = BodyMembers::of(json, &MEMBERS, FORM)?;
        let mut problems = vec![];
        let filter = members.0.get("filter").filter(|filter| !filter.is_null());
        let filter = kept(
            &mut problems,
            filter.map(|json| filter::parse(Names::among(class, classes), json)),
        );
        let order = kept(&mut problems, members.order(class)).unwrap_or_default();
        let limit_max = class.limit_max().min(LIMIT_MAX);
        let limit = members.whole("limit", 1..=u64::from(limit_max));
        let limit = kept(&mut problems, limit).and_then(|limit| u32::try_from(limit).ok());
        let lease_ms = kept(&mut problems, Some(members.lease_ms()));
        let by = kept(&mut problems, members.by());
        let claims_max = kept(&mut problems, members.whole("claims_max", CLAIMS_MAX));
        let set = changes(&mut problems, &members, class, "set");
        let dead = changes(&mut problems, &members, class, "dead_letter");
        let goes_with = |name: &str, other: &str| {
            Invalid::new(name, format!("goes with `{other}`: after so many claims, the change"))
        };
        let (has_max, has_dead) = (members.has("claims_max"), members.has("dead_letter"));
        match (has_max, has_dead) {
            (true, false) => problems.push(goes_with("claims_max", "dead_letter")),
            (false, true) => problems.push(goes_with("dead_letter", "claims_max")),
            (true, true) if !members.has("filter") => {
                let reason = "needs a `filter` that does not match the entity afterwards";
                problems.push(Invalid::new("dead_letter", reason));
            }
            (true, true) | (false, false) => {}
        }
        let (true, Some(lease_ms)) = (problems.is_empty(), lease_ms) else {
            return Err(problems.into());
        };
        let dead_letter = claims_max.zip(dead);
        let query = Query { filter, order, limit: limit.unwrap_or(1), ..Query::default() };
        let dead_letter = dead_letter.map(|(claims_max, set)| DeadLetter { claims_max, set });
        Ok(Self { query, lease_ms, by, set, dead_letter })
    }
}

/// The value of a member. `None`: it is missing or wrong. What is wrong is added to `problems`.
fn kept<T>(problems: &mut Vec<Invalid>, read: Option<Result<T, Invalid>>) -> Option<T> {
    match read? {
        Ok(value) => Some(value),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

/// The changes in a member. They are checked as far as this does not depend on the entity.
fn changes<'a>(
    problems: &mut Vec<Invalid>,
    members: &BodyMembers<'a>,
    class: &Class,
    name: &str,
) -> Option<&'a Json> {
    let sent = members.0.get(name).filter(|sent| !sent.is_null())?;
    if !sent.is_object() {
        problems.push(Invalid::new(name, "takes an object of properties"));
        return None;
    }
    let carried = carried::by_fields(class, sent);
    let checked = validate::change(class, &carried, &Entity::new(EntityId::nil(), Map::new()));
    let within = |one: Invalid| Invalid::new(format!("{name}.{}", one.property), one.reason);
    problems.extend(checked.err().into_iter().flatten().map(within));
    let is_secret = |property: &str| class.property(property).is_some_and(Property::write_only);
    let secrets = sent.as_object().into_iter().flat_map(Map::keys).filter(|name| is_secret(name));
    let reason = "is a secret, which is set for one entity at a time";
    problems.extend(secrets.map(|secret| Invalid::new(format!("{name}.{secret}"), reason)));
    Some(sent)
}

/// The members of a body.
pub(crate) struct BodyMembers<'a>(&'a Map<String, Json>);

impl<'a> BodyMembers<'a> {
    /// The members of a body that has none but these.
    ///
    /// # Errors
    ///
    /// 422 with every other member; `form` for what is no object.
    pub(crate) fn of(json: &'a Json, names: &[&str], form: &str) -> Result<Self, Problem> {
        let Some(members) = json.as_object() else {
            return Err(Invalid::new("", form).into());
        };
        let there = names.join(", ");
        let unknown = members.keys().filter(|name| !names.contains(&name.as_str()));
        let reason = format!("no such member; there is {there}");
        let unknown: Vec<_> = unknown.map(|name| Invalid::new(name, reason.clone())).collect();
        if unknown.is_empty() { Ok(Self(members)) } else { Err(unknown.into()) }
    }

    /// `lease`, in milliseconds.
    ///
    /// # Errors
    ///
    /// When it is missing, or not in its range.
    pub(crate) fn lease_ms(&self) -> Result<i64, Invalid> {
        let reason = "is missing: how many seconds the claim lasts, such as 60";
        self.seconds("lease", LEASE_SECONDS)?.ok_or_else(|| Invalid::new("lease", reason))
    }

    /// `delay`, in milliseconds.
    ///
    /// # Errors
    ///
    /// When it is not in its range.
    pub(crate) fn delay_ms(&self) -> Result<i64, Invalid> {
        Ok(self.seconds("delay", DELAY_SECONDS)?.unwrap_or(0))
    }

    fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// A number of seconds, in milliseconds.
    fn seconds(&self, name: &str, range: RangeInclusive<f64>) -> Result<Option<i64>, Invalid> {
        let Some(value) = self.0.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let seconds = value.as_f64().filter(|seconds| range.contains(seconds));
        let (from, to) = range.into_inner();
        let reason = || Invalid::new(name, format!("takes seconds, from {from} to {to}"));
        #[expect(clippy::cast_possible_truncation, reason = "in a range")]
        seconds.map(|seconds| Some((seconds * 1000.0) as i64)).ok_or_else(reason)
    }

    fn whole(&self, name: &str, range: RangeInclusive<u64>) -> Option<Result<u64, Invalid>> {
        let value = self.0.get(name).filter(|value| !value.is_null())?;
        let number = value.as_u64().filter(|number| range.contains(number));
        let (from, to) = range.into_inner();
        Some(number.ok_or_else(|| Invalid::new(name, format!("takes {from} to {to}"))))
    }

    /// `order`, as a text or a list of names.
    fn order(&self, class: &Class) -> Option<Result<Vec<postroom_model::Order>, Invalid>> {
        let text = match self.0.get("order").filter(|value| !value.is_null())? {
            Json::String(text) => Some(text.clone()),
            Json::Array(names) => {
                let names: Option<Vec<_>> = names.iter().map(Json::as_str).collect();
                names.map(|names| names.join(","))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => None,
        };
        let reason = "takes names of properties: \"dateTime\" or \"-dateTime,id\"";
        let text = text.ok_or_else(|| Invalid::new("order", reason));
        Some(text.and_then(|text| parse_order(class, &text)))
    }

    /// `claimedBy`.
    fn by(&self) -> Option<Result<&'a str, Invalid>> {
        let value = self.0.get("claimedBy").filter(|value| !value.is_null())?;
        let name = value.as_str().filter(|name| (1..=BY_BYTES_MAX).contains(&name.len()));
        let reason = format!("takes the name of the worker, 1 to {BY_BYTES_MAX} bytes");
        Some(name.ok_or_else(|| Invalid::new("claimedBy", reason)))
    }
}
