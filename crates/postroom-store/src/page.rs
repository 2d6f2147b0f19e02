//! The SQL of a page of a list. It reads ranges of an index, if there is an index with the order.
//!
//! If no value is NULL, the entities after a position are one range:
//! `("dateTime", "id") > ($1, $2)`. NULL stands at an end of the order and is a range of its own.
//! `UNION ALL` joins the ranges, in their order, so that each is read from its index only as far as
//! the page goes. `OR` would make databases read and sort all.

use crate::columns::quoted;
use crate::condition::Conditions;
use crate::database::Dialect;
use crate::database::Value;
use crate::seq;
use crate::seq::SEQ;
use postroom_model::Class;
use postroom_model::Filter;
use postroom_model::OF_EVERY_ENTITY;
use postroom_model::Order;
use postroom_model::Query;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names::MESSAGE_ID;
use postroom_model::filter::Comparison;
use postroom_model::filter::Literal;
use postroom_model::filter::Operand;
use postroom_model::filter::Subject;

/// The SQL of a page. `conditions` binds its values. `select` ends before its `WHERE`. The domain
/// is
/// `$1`.
pub(crate) fn page(
    dialect: &dyn Dialect,
    conditions: &mut Conditions<'_>,
    class: &Class,
    select: &str,
    query: &Query,
) -> String {
    let domain = domain(dialect, class, query.filter.as_ref());
    let steps = by_column(class, query.steps());
    let is_by_seq = steps.iter().any(|step| step.property == SEQ);
    let filter = query.filter.as_ref().map(|filter| conditions.filter(filter));
    let filter = filter.map(|filter| format!(" AND {filter}")).unwrap_or_default();
    let filter = filter + &settled(dialect, is_by_seq, query.filter.as_ref()) + &conditions.also;
    let ranges = match &query.after {
        Some(after) => ranges(conditions, &steps, after),
        None => vec![],
    };
    let order: Vec<_> = steps.iter().map(|step| ordered(dialect, step)).collect();
    let order = format!("ORDER BY {}", order.join(", "));
    let (limit, offset) = limits(query);
    let limit = conditions.bind(Value::Whole(limit));
    let offset = conditions.bind(Value::Whole(offset));
    let range = |range: &String| format!("{select} WHERE {domain} = $1{filter} AND {range}");
    let all = match ranges.as_slice() {
        [] if query.after.is_some() => format!("{select} WHERE {domain} = $1 AND 1=0"),
        [] => format!("{select} WHERE {domain} = $1{filter}"),
        [one] => range(one),
        ranges => {
            let until = format!("CAST({limit} AS BIGINT) + CAST({offset} AS BIGINT)");
            let end = format!("{order} LIMIT {until}");
            let united = ranges.iter().map(|one| dialect.united(&range(one), &end));
            united.collect::<Vec<_>>().join(" UNION ALL ")
        }
    };
    format!("{all} {order} LIMIT {limit} OFFSET {offset}")
}

/// The end of a query for the rows of a class that match a filter: `FROM … WHERE …`. The domain is
/// `$1`.
pub(crate) fn matching(
    dialect: &dyn Dialect,
    conditions: &mut Conditions<'_>,
    class: &Class,
    filter: Option<&Filter>,
) -> String {
    let domain = domain(dialect, class, filter);
    let settled = settled(dialect, false, filter);
    let filter = filter.map(|filter| format!(" AND {}", conditions.filter(filter)));
    let filter = filter.unwrap_or_default();
    format!("FROM {} WHERE {domain} = $1{filter}{settled}", quoted(&class.table()))
}

/// The condition [`seq::settled`] for a list in the order of the numbers of changes.
pub(crate) fn settled(dialect: &dyn Dialect, is_by_seq: bool, filter: Option<&Filter>) -> String {
    let goes_by_seq = is_by_seq || filter.is_some_and(|filter| filter.names(SEQ));
    if goes_by_seq { seq::settled(dialect) } else { String::new() }
}

/// The limit and the offset. Their sum fits into a number of the database too.
pub(crate) fn limits(query: &Query) -> (i64, i64) {
    let limit = i64::from(query.limit);
    (limit, i64::try_from(query.offset).unwrap_or(i64::MAX).min(i64::MAX - limit))
}

/// The column of the domain in the condition of a query. If the filter names a Message-ID, SQLite
/// must not use an index of the domain. The index of Message-IDs has no domain, and finds few
/// messages. SQLite does not know that, and would read the whole domain in the order of the list.
fn domain(dialect: &dyn Dialect, class: &Class, filter: Option<&Filter>) -> String {
    let column = quoted("domain");
    if class.classname == MESSAGES && filter.is_some_and(names_message_id) {
        dialect.unindexed(&column)
    } else {
        column
    }
}

/// Whether a filter matches only messages with one of a few Message-IDs.
fn names_message_id(filter: &Filter) -> bool {
    let is_it = |operand: &Operand| operand.subject == Subject::Property(MESSAGE_ID.to_owned());
    match filter {
        Filter::And(all) => all.iter().any(names_message_id),
        Filter::Compare(operand, Comparison::Equal, literal) => {
            is_it(operand) && *literal != Literal::Null
        }
        Filter::In(operand, literals) => is_it(operand) && !literals.contains(&Literal::Null),
        Filter::Or(_)
        | Filter::Not(_)
        | Filter::Compare(..)
        | Filter::Between(..)
        | Filter::Like(..)
        | Filter::Contains(..)
        | Filter::StartsWith(..)
        | Filter::Some(..)
        | Filter::Refers(..)
        | Filter::Match(_)
        | Filter::IsNull(_) => false,
    }
}

/// An order by the columns of its properties.
fn by_column(class: &Class, steps: Vec<Order>) -> Vec<Order> {
    let of = |step: Order| match class.property(&step.property) {
        Some(property) => Order { property: property.column().to_owned(), ..step },
        None => step,
    };
    steps.into_iter().map(of).collect()
}

pub(crate) fn ordered(dialect: &dyn Dialect, step: &Order) -> String {
    let way = match (is_always_set(step), step.descending) {
        (true, false) => "ASC",
        (true, true) => "DESC",
        (false, false) => dialect.ascending(),
        (false, true) => dialect.descending(),
    };
    format!("{} {way}", quoted(&step.property))
}

fn is_always_set(step: &Order) -> bool {
    OF_EVERY_ENTITY.contains(&step.property.as_str())
}

/// The conditions of the entities after a position, one for each range. No entity is in two ranges.
pub(crate) fn ranges(
    conditions: &mut Conditions<'_>,
    steps: &[Order],
    after: &[Literal],
) -> Vec<String> {
    let descending = steps.first().is_some_and(|step| step.descending);
    let is_one_way = steps.iter().all(|step| step.descending == descending);
    if !is_one_way || after.contains(&Literal::Null) {
        return alternatives(conditions, steps, after);
    }
    let columns: Vec<_> = steps.iter().map(|step| quoted(&step.property)).collect();
    let values: Vec<_> = after.iter().map(|literal| conditions.literal(literal)).collect();
    let sign = if descending { '<' } else { '>' };
    let mut all = vec![match (columns.as_slice(), values.as_slice()) {
        ([column], [value]) => format!("{column} {sign} {value}"),
        (columns, values) => format!("({}) {sign} ({})", columns.join(", "), values.join(", ")),
    }];
    // NULL comes last in a descending order.
    let mut same = vec![];
    for ((step, column), value) in steps.iter().zip(&columns).zip(&values) {
        if descending && !is_always_set(step) {
            all.push(both(&same, format!("{column} IS NULL")));
        }
        same.push(format!("{column} = {value}"));
    }
    all
}

/// The same for an order with several directions, and for positions with NULL. Each condition is
/// for one step of the order: the entities are equal in the steps before it, and later in this one.
fn alternatives(
    conditions: &mut Conditions<'_>,
    steps: &[Order],
    after: &[Literal],
) -> Vec<String> {
    let (mut all, mut same) = (vec![], vec![]);
    for (step, literal) in steps.iter().zip(after) {
        let column = quoted(&step.property);
        if *literal == Literal::Null {
            if !step.descending {
                all.push(both(&same, format!("{column} IS NOT NULL")));
            }
            same.push(format!("{column} IS NULL"));
            continue;
        }
        let value = conditions.literal(literal);
        let sign = if step.descending { '<' } else { '>' };
        all.push(both(&same, format!("{column} {sign} {value}")));
        if step.descending && !is_always_set(step) {
            all.push(both(&same, format!("{column} IS NULL")));
        }
        same.push(format!("{column} = {value}"));
    }
    all
}

fn both(same: &[String], last: String) -> String {
    let all = same.iter().cloned().chain(std::iter::once(last));
    all.collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::SqliteDialect;
    use postroom_model::builtin;
    use postroom_model::parse_order;

    #[test]
    fn what_comes_after_a_position_is_a_few_ranges() {
        let messages = builtin::classes().unwrap().remove(3);
        let (set, unset) = (Literal::Moment(7), Literal::Null);
        let id = Literal::Id(postroom_model::EntityId::nil());
        #[rustfmt::skip]
        let table: &[(&str, &[&Literal], &[&str])] = &[
            ("",                  &[&id],             &[r#""id" > $1"#]),
            ("dateTime",          &[&set, &id],       &[r#"("dateTime", "id") > ($1, $2)"#]),
            ("-dateTime",         &[&set, &id],       &[r#"("dateTime", "id") < ($1, $2)"#, r#""dateTime" IS NULL"#]),
            ("dateTime",          &[&unset, &id],     &[r#""dateTime" IS NOT NULL"#, r#""dateTime" IS NULL AND "id" > $1"#]),
            ("-dateTime",         &[&unset, &id],     &[r#""dateTime" IS NULL AND "id" < $1"#]),
            ("-dateTime,id",      &[&set, &id],       &[r#""dateTime" < $1"#, r#""dateTime" IS NULL"#, r#""dateTime" = $1 AND "id" > $2"#]),
            ("-sentAt,-dateTime", &[&set, &set, &id], &[r#"("sentAt", "dateTime", "id") < ($1, $2, $3)"#, r#""sentAt" IS NULL"#, r#""sentAt" = $1 AND "dateTime" IS NULL"#]),
        ];
        for (order, after, want) in table {
            let order = parse_order(&messages, order).unwrap();
            let after: Vec<Literal> = after.iter().map(|literal| (*literal).clone()).collect();
            let mut conditions = Conditions::new(&SqliteDialect, vec![]);
            let found = ranges(&mut conditions, &postroom_model::steps(&order), &after);
            assert_eq!(found, *want, "{order:?}");
        }
    }
}
