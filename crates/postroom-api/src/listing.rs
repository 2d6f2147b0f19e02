//! The parameters of a list: filter, order, page, mask.

use crate::cursor;
use crate::parameters;
use crate::parameters::flag;
use crate::percent;
use crate::problem::Problem;
use postroom_model::Aggregate;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::Filter;
use postroom_model::Invalid;
use postroom_model::Mask;
use postroom_model::Query;
use postroom_model::filter;
use postroom_model::filter::Literal;
use postroom_model::filter::Names;
use postroom_model::parse_aggregate;
use postroom_model::parse_order;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;

/// The parameters of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ListRequest {
    /// The query: which entities, in which order, how many.
    pub query: Query,
    /// The filter for counting, which includes entities before and after the page.
    pub counted: Option<Filter>,
    /// Whether `X-Total-Count` is wanted.
    pub count: bool,
    /// Whether a page has fewer entities than the limit that was asked for.
    pub is_capped: bool,
    /// The limit that was asked for. `None`: there was none.
    pub limit: Option<u32>,
    /// The shown fields. `None`: all.
    pub mask: Option<Mask>,
    /// Whether objects inside are shown as fields with dotted names.
    pub flat: bool,
    /// What is computed instead of a list. `None`: it is a list.
    pub aggregate: Option<Aggregate>,
}

/// Reads the parameters of a list. Any other parameter is an equality on the property of that name.
///
/// # Errors
///
/// 422 with every parameter that is unknown or wrong; 400 when `filter` is no JSON.
pub(crate) fn parse(
    class: &Class,
    classes: &[Arc<Class>],
    pairs: &[(String, String)],
) -> Result<ListRequest, Problem> {
    let names = Names::among(class, classes);
    let mut reader = ListReader::default();
    for (at, (name, text)) in pairs.iter().enumerate() {
        let twice = pairs.iter().skip(at + 1).any(|(other, _)| other == name);
        let read = match name.as_str() {
            _ if twice && is_single(class, name) => Err(Invalid::new(name, "is given twice")),
            "filter" => {
                let json = parameters::filter(text)?;
                filter::parse(names, &json).map(|filter| reader.filters.push(filter))
            }
            "order" => parse_order(class, text).map(|order| reader.query.order = order),
            "mask" => Mask::parse(class, classes, text).map(|mask| reader.mask = Some(mask)),
            "limit" => number(name, text).map(|limit| {
                let limit = u32::try_from(limit).unwrap_or(u32::MAX);
                reader.limit = Some(limit);
                reader.is_capped = limit > class.limit_max();
                reader.query.limit = limit.min(class.limit_max());
            }),
            "offset" => number(name, text).map(|offset| reader.query.offset = offset),
            "after" => {
                reader.after = Some(text.clone());
                Ok(())
            }
            "interval" => interval(class, text).map(|filter| reader.filters.push(filter)),
            "flat" => flag(name, text).map(|flat| reader.flat = flat),
            "aggregate" => {
                reader.aggregate = Some(text.clone());
                Ok(())
            }
            "group" => {
                reader.group = Some(text.clone());
                Ok(())
            }
            "count" => flag(name, text).map(|count| reader.count = count),
            _ => filter::equality(names, name, text).map(|filter| reader.filters.push(filter)),
        };
        reader.errors.extend(read.err());
    }
    let of_lists = pairs.iter().map(|(name, _)| name.as_str());
    let of_lists = of_lists.filter(|name| OF_LISTS_ALONE.contains(name));
    if reader.aggregate.is_some() {
        let alone = |name| Invalid::new(name, "does not go with `aggregate`, which makes no list");
        reader.errors.extend(of_lists.map(alone));
    } else if reader.group.is_some() {
        let reason = "goes with `aggregate`: aggregate=count";
        reader.errors.push(Invalid::new("group", reason));
    }
    reader.finish(class)
}

/// The parameters of lists, which do not go with sums.
const OF_LISTS_ALONE: [&str; 7] = ["order", "mask", "limit", "offset", "after", "count", "flat"];

/// The link to the page after `last`: the same request with a cursor.
#[must_use]
pub(crate) fn next_page(
    path: &str,
    pairs: &[(String, String)],
    query: &Query,
    last: &Entity,
) -> String {
    let kept = pairs.iter().filter(|(name, _)| !matches!(name.as_str(), "after" | "offset"));
    let mut reference = format!("{path}?");
    for (name, text) in kept {
        reference.push_str(&percent::encode(name));
        reference.push('=');
        reference.push_str(&percent::encode(text));
        reference.push('&');
    }
    reference.push_str("after=");
    reference.push_str(&cursor::behind(&query.order, last));
    reference
}

#[derive(Default)]
struct ListReader {
    query: Query,
    filters: Vec<Filter>,
    after: Option<String>,
    count: bool,
    is_capped: bool,
    limit: Option<u32>,
    mask: Option<Mask>,
    flat: bool,
    aggregate: Option<String>,
    group: Option<String>,
    errors: Vec<Invalid>,
}

impl ListReader {
    fn finish(mut self, class: &Class) -> Result<ListRequest, Problem> {
        let counted = self.filters.into_iter().reduce(Filter::and);
        self.query.filter.clone_from(&counted);
        if let Some(after) = self.after {
            match cursor::position(class, &self.query.order, &after) {
                Ok(position) => self.query.after = Some(position),
                Err(invalid) => self.errors.push(invalid),
            }
        }
        let mut aggregate = None;
        if let Some(text) = &self.aggregate {
            match parse_aggregate(class, text, self.group.as_deref()) {
                Ok(read) => aggregate = Some(read),
                Err(problems) => self.errors.extend(problems),
            }
        }
        if !self.errors.is_empty() {
            return Err(Problem::invalid(self.errors));
        }
        let Self { mut query, count, is_capped, limit, mask, flat, .. } = self;
        query.shown = mask.as_ref().map(Mask::properties);
        // Also where the client names no limit.
        query.limit = query.limit.min(class.limit_max());
        Ok(ListRequest { query, counted, count, is_capped, limit, mask, flat, aggregate })
    }
}

/// Whether the parameter may be given only once.
fn is_single(class: &Class, name: &str) -> bool {
    !class.property(name).is_some_and(|property| property.multi)
}

/// From one moment up to another, for a class that is kept by time: `2026-11-01,2026-12-01`. A day
/// means its beginning in UTC.
fn interval(class: &Class, text: &str) -> Result<Filter, Invalid> {
    let invalid = |reason: String| Invalid::new("interval", reason);
    let by = class.opts.get("partition_property").and_then(Json::as_str);
    let by = by.ok_or_else(|| {
        invalid(format!("no such parameter: {} is not kept by time", class.classname))
    })?;
    let (from, until) = text.split_once(',').ok_or_else(|| {
        invalid("takes two days or times, from the first up to the second: A,B".to_owned())
    })?;
    let moment = |text: &str| {
        let is_day = !text.contains(['T', 't', ' ']);
        if is_day { format!("{}T00:00:00Z", text.trim()) } else { text.to_owned() }
    };
    let property = json!(["property", by]);
    let both = json!(["and", [">=", property, moment(from)], ["<", property, moment(until)],]);
    let read = filter::parse(class, &both).map_err(|problem| invalid(problem.reason))?;
    if is_reversed(&read) {
        return Err(invalid("ends before it begins: the earlier moment comes first".to_owned()));
    }
    Ok(read)
}

fn is_reversed(interval: &Filter) -> bool {
    let Filter::And(both) = interval else {
        return false;
    };
    matches!(both.as_slice(), [
        Filter::Compare(.., Literal::Moment(from)),
        Filter::Compare(.., Literal::Moment(until)),
    ] if from > until)
}

fn number(name: &str, text: &str) -> Result<u64, Invalid> {
    let number = text.parse::<u64>().ok();
    // A number beyond SQL's range would find nothing, so it is refused.
    number
        .filter(|number| i64::try_from(*number).is_ok())
        .ok_or_else(|| Invalid::new(name, "takes a whole number, 0 or more"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters;
    use axum::http::Uri;
    use postroom_model::builtin;

    fn read(query: &str) -> Result<ListRequest, u16> {
        let messages = builtin::classes().unwrap().remove(3);
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        let listing = parameters::all(&uri).and_then(|pairs| parse(&messages, &[], &pairs));
        listing.map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn parameters_of_a_list() {
        let listing = read("").unwrap();
        assert_eq!(listing.query, Query::default());
        let listing = read("limit=5&offset=7&count=true&mask=id&order=-dateTime").unwrap();
        assert_eq!((listing.query.limit, listing.query.offset, listing.count), (5, 7, true));
        assert!(listing.query.order[0].descending && listing.mask.is_some());
        assert_eq!(read("limit=1000000").unwrap().query.limit, 1000);
        assert_eq!(read("limit=99999999999").unwrap().query.limit, 1000);
        let both = read(
            "messageState=received&filter=%5B%22isnull%22%2C%5B%22property%22%2C%22text%22%5D%5D",
        );
        assert!(matches!(both.unwrap().query.filter, Some(Filter::And(all)) if all.len() == 2));
        assert!(read("to=a%40b.test&to=e%40b.test&from=c%40d.test&uid=5&dateTime=null").is_ok());
    }

    #[test]
    fn a_class_limits_pages_also_where_the_client_does_not() {
        let mut messages = builtin::classes().unwrap().remove(3);
        messages.opts.insert("max_limit".to_owned(), json!(7));
        for (limit, want) in [("", 7), ("5", 5), ("7", 7), ("8", 7)] {
            let pairs = [("limit".to_owned(), limit.to_owned())];
            let pairs = if limit.is_empty() { &[][..] } else { &pairs };
            assert_eq!(parse(&messages, &[], pairs).unwrap().query.limit, want, "{limit}");
        }
    }

    #[test]
    fn what_is_unknown_or_wrong_is_refused() {
        #[rustfmt::skip]
        let table = [
            ("nope=1", 422), ("limit=x", 422), ("limit=-1", 422), ("offset=1e3", 422), ("count=yes", 422),
            ("order=nope", 422), ("order=uid,uid,uid,uid,uid,uid,uid,uid,uid", 422), ("mask=nope", 422), ("after=x", 422), ("limit=1&limit=2", 422), ("uid=1&uid=2", 422),
            ("interval=2026-01-01", 422), ("interval=a,b", 422), ("interval=2026-01-01,", 422), ("interval=2026-01-02,2026-01-01", 422),
            ("uid=five", 422), ("folder_id=7", 422), ("messageState=nope", 422), ("rawMessage=x", 422),
            ("group=uid", 422), ("aggregate=count&limit=5", 422), ("aggregate=count&mask=id", 422), ("aggregate=nope", 422),
            ("aggregate=count&group=nope", 422), ("flat=1", 422), ("filter=%5B", 400), ("filter=%5B%22drop%22%5D", 422), ("offset=99999999999999999999", 422),
        ];
        for (query, status) in table {
            assert_eq!(read(query), Err(status), "{query}");
        }
    }

    #[test]
    fn the_next_page_is_the_same_request() {
        let order = vec![];
        let query = Query { order, ..Query::default() };
        let entity = Entity::new(postroom_model::EntityId::nil(), serde_json::Map::new());
        let pairs = [("limit", "5"), ("offset", "9"), ("subject", "a&b ü"), ("after", "x")];
        let pairs = pairs.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let next = next_page("/p", &pairs, &query, &entity);
        assert!(next.starts_with("/p?limit=5&subject=a%26b%20%C3%BC&after="), "{next}");
        assert_eq!(next.matches("after").count(), 1);
        let messages = builtin::classes().unwrap().remove(3);
        assert!(parse(&messages, &[], &parameters::all(&next.parse().unwrap()).unwrap()).is_ok());
    }
}
