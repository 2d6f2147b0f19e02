//! Pages of messages that have certain words, in the order of their time.

use crate::columns::quoted;
use crate::condition::Conditions;
use crate::database::Value;
use crate::full_text_dialect::BoundQuery;
use crate::full_text_dialect::TimePage;
use crate::full_text_dialect::WordsPlan;
use crate::page;
use postroom_model::Class;
use postroom_model::Filter;
use postroom_model::MatchQuery;
use postroom_model::Query;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names::DATE_TIME;
use postroom_model::filter::Literal;

/// A filter as words that each message must have, and the other conditions.
#[derive(Debug)]
pub(crate) struct WithWords<'a> {
    pub words: &'a MatchQuery,
    pub rest: Vec<&'a Filter>,
}

impl<'a> WithWords<'a> {
    /// `None`: the list is not of messages, has no such words, or is not in the order of time.
    pub(crate) fn of(class: &Class, query: &'a Query) -> Option<Self> {
        if class.classname != MESSAGES {
            return None;
        }
        let steps = query.steps();
        let is_by_time = steps.len() == 2
            && steps.first().is_some_and(|step| step.property == DATE_TIME)
            && steps.iter().all(|step| Some(step.descending) == steps.last().map(|s| s.descending));
        if !is_by_time {
            return None;
        }
        match query.filter.as_ref()? {
            Filter::Match(words) => Some(Self { words, rest: vec![] }),
            Filter::And(all) => {
                let is_words = |filter: &Filter| matches!(filter, Filter::Match(_));
                let at = all.iter().position(is_words)?;
                let Some(Filter::Match(words)) = all.get(at) else {
                    return None;
                };
                let others = all.iter().enumerate().filter(|(other, _)| *other != at);
                Some(Self { words, rest: others.map(|(_, filter)| filter).collect() })
            }
            Filter::Compare(..)
            | Filter::In(..)
            | Filter::Between(..)
            | Filter::Like(..)
            | Filter::Contains(..)
            | Filter::StartsWith(..)
            | Filter::IsNull(_)
            | Filter::Some(..)
            | Filter::Refers(..)
            | Filter::Or(_)
            | Filter::Not(_) => None,
        }
    }
}

/// The SQL of a page ([`page::page`]).
pub(crate) fn page(
    conditions: &mut Conditions<'_>,
    select: &str,
    query: &Query,
    with: &WithWords<'_>,
    plan: WordsPlan,
) -> String {
    let dialect = conditions.dialect();
    let columns = select.strip_suffix(&format!(" FROM {}", quoted(MESSAGES))).unwrap_or(select);
    let parts = PageParts::of(conditions, query, with);
    let (limit, offset) = page::limits(query);
    let limit = conditions.bind(Value::Whole(limit));
    let offset = conditions.bind(Value::Whole(offset));
    let until = format!("CAST({limit} AS BIGINT) + CAST({offset} AS BIGINT)");
    let arms = parts.ranges.iter().map(|range| {
        let page = TimePage { columns, range, until: &until, ..parts.page() };
        dialect.full_text().by_time(&page, plan)
    });
    let arms: Vec<_> = arms.collect();
    let order: Vec<_> = query.steps().iter().map(|step| page::ordered(dialect, step)).collect();
    let order = order.join(", ");
    format!("{} ORDER BY {order} LIMIT {limit} OFFSET {offset}", arms.join(" UNION ALL "))
}

/// The query that estimates how frequent the words are. `None`: the database does not need it.
pub(crate) fn probe(
    conditions: &mut Conditions<'_>,
    query: &Query,
    with: &WithWords<'_>,
    sample: u32,
) -> Option<String> {
    let parts = PageParts::of(conditions, query, with);
    // The ranges after the first one have only messages without a time.
    let range = parts.ranges.first().map_or("", String::as_str);
    let page = TimePage { range, ..parts.page() };
    conditions.dialect().full_text().probe(&page, sample)
}

/// The parts of the SQL of a page.
struct PageParts {
    words: BoundQuery,
    rest: String,
    /// At least one. No message is in two of them.
    ranges: Vec<String>,
    bound_ms: Option<i64>,
    descending: bool,
}

impl PageParts {
    fn of(conditions: &mut Conditions<'_>, query: &Query, with: &WithWords<'_>) -> Self {
        let dialect = conditions.dialect();
        let mut rest = String::new();
        for filter in &with.rest {
            rest.push_str(" AND ");
            rest.push_str(&conditions.filter(filter));
        }
        rest.push_str(&page::settled(dialect, false, query.filter.as_ref()));
        let words =
            dialect.full_text().bound(with.words, &mut |text| conditions.bind(Value::Text(text)));
        let steps = query.steps();
        let ranges = match &query.after {
            None => vec![String::new()],
            Some(after) => {
                let ranges = page::ranges(conditions, &steps, after);
                ranges.into_iter().map(|range| format!(" AND {range}")).collect()
            }
        };
        let bound_ms = match query.after.as_ref().and_then(|after| after.first()) {
            Some(Literal::Moment(ms)) => Some(*ms),
            _ => None,
        };
        let descending = steps.first().is_some_and(|step| step.descending);
        Self { words, rest, ranges, bound_ms, descending }
    }

    fn page(&self) -> TimePage<'_> {
        let Self { words, rest, bound_ms, descending, .. } = self;
        let (bound_ms, descending) = (*bound_ms, *descending);
        TimePage { columns: "", query: words, rest, range: "", bound_ms, descending, until: "" }
    }
}
