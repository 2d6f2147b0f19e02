//! Tests: a page of a list is read from a range of an index, for every parameter that the
//! documentation names.

use crate::database::Statement;
use crate::fixture::store;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Query;
use postroom_model::builtin;
use postroom_model::filter;
use postroom_model::filter::Literal;
use postroom_model::parse_order;
use std::sync::Arc;

const ID: &str = "01234567-89ab-7cde-8f01-23456789abcd";

/// What SQLite says that it does.
async fn plan(store: &Store, statement: Statement) -> String {
    let sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
    let rows = store.read(Statement { sql: sql.into(), ..statement }).await.unwrap();
    let lines: Vec<_> = rows.iter().map(|row| row.text(3).unwrap_or_default()).collect();
    lines.join("; ")
}

fn messages(store: &Store) -> Arc<Class> {
    store.builtin(builtin::MESSAGES).unwrap()
}

/// The filters of the documented parameters: those of properties, and `interval`.
fn filters(class: &Class) -> Vec<Option<Filter>> {
    let equal = |(name, text)| Some(filter::equality(class, name, text).unwrap());
    let named = [
        ("folder_id", ID),
        ("account_id", ID),
        ("messageState", "received"),
        ("messageId", "a@b.test"),
        ("id", ID),
        ("folder_id", "null"),
        ("messageId", "null"),
    ];
    std::iter::once(None).chain(named.map(equal)).collect()
}

/// The positions that a page in this order may begin at.
fn positions(order: &str) -> Vec<Option<Vec<Literal>>> {
    let id = Literal::Id(ID.parse::<EntityId>().unwrap());
    match order.trim_start_matches('-') {
        "dateTime" => {
            vec![None, Some(vec![Literal::Moment(7), id.clone()]), Some(vec![Literal::Null, id])]
        }
        _ => vec![None, Some(vec![id])],
    }
}

// SQLite alone: the plan is in its words.
#[tokio::test]
async fn a_page_is_a_range_of_an_index_for_every_documented_parameter() {
    let (_directory, store) = store().await;
    let (domain, class) = (Domain::default_domain(), messages(&store));
    for filter in filters(&class) {
        for order in ["", "id", "-id", "dateTime", "-dateTime"] {
            for after in positions(order) {
                let query = Query {
                    filter: filter.clone(),
                    order: parse_order(&class, order).unwrap(),
                    after,
                    ..Query::default()
                };
                let found = plan(&store, store.list(&domain, &class, &query)).await;
                let asked = format!("{filter:?} {order} {:?}: {found}", query.after);
                assert!(!found.contains("SCAN email") && !found.contains("TEMP B-TREE"), "{asked}");
                let by_id = matches!(&filter, Some(Filter::Compare(of, ..)) if of.property == "id");
                for search in found.split("; ").filter(|step| step.starts_with("SEARCH")) {
                    let range = match (&filter, &query.after) {
                        _ if by_id => "id=?",
                        (None, None) => "(domain=?)",
                        (None, Some(_)) => "(domain=? AND ",
                        (Some(_), None) => "=? AND ",
                        (Some(_), Some(_)) => "=?",
                    };
                    assert!(search.contains(range), "{asked}");
                }
            }
        }
        let counted = plan(&store, store.counting(&domain, &class, filter.as_ref(), "1=1")).await;
        assert!(counted.contains("SEARCH") && counted.contains("INDEX"), "{filter:?}: {counted}");
    }
    let between = serde_json::json!([
        "and",
        [">=", ["property", "dateTime"], "2026-11-01T00:00:00Z"],
        ["<", ["property", "dateTime"], "2026-12-01T00:00:00Z"]
    ]);
    let interval = filter::parse(&class, &between).unwrap();
    for filter in [interval.clone(), filters(&class).remove(1).unwrap().and(interval)] {
        let order = parse_order(&class, "-dateTime").unwrap();
        let query = Query { filter: Some(filter), order, ..Query::default() };
        let found = plan(&store, store.list(&domain, &class, &query)).await;
        assert!(found.contains("dateTime>? AND dateTime<?"), "{found}");
        assert!(!found.contains("TEMP B-TREE"), "{found}");
    }
}

// SQLite alone: the plan is in its words.
#[tokio::test]
async fn a_list_of_any_class_is_read_in_the_order_of_its_ids() {
    let (_directory, store) = store().await;
    for class in store.classes().iter() {
        let list = store.list(&Domain::default_domain(), class, &Query::default());
        let found = plan(&store, list).await;
        assert!(found.contains(&format!("{} listed (domain=?)", class.classname)), "{found}");
    }
}
