//! Tests: a page of a list is read from a range of an index, for every parameter that the
//! documentation names.
//!
//! An empty table suffices for SQLite, because its plans do not depend on the rows. For PostgreSQL,
//! the table is filled, because its plans depend on statistics.

use crate::database::Statement;
use crate::fixture::store;
use crate::full_text_dialect::WordsPlan;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Query;
use postroom_model::builtin;
use postroom_model::filter;
use postroom_model::filter::Literal;
use postroom_model::filter::Subject;
use postroom_model::parse_order;
use postroom_testkit::TestDatabase;
use std::sync::Arc;

const ID: &str = "01234567-89ab-7cde-8f01-23456789abcd";
/// MD5 of `folder1` and of `account1`.
const FOLDER: &str = "60ca9306-988b-4de5-ae4b-b263c60a051e";
const ACCOUNT: &str = "809d7aea-9eac-f339-b2e3-5e3c8ae0a57c";

/// The plan of SQLite for a statement.
async fn plan(store: &Store, statement: Statement) -> String {
    explained(store, "EXPLAIN QUERY PLAN", 3, statement).await
}

async fn explained(store: &Store, explain: &str, column: usize, statement: Statement) -> String {
    let sql = format!("{explain} {}", statement.sql);
    let rows = store.read(Statement { sql: sql.into(), ..statement }).await.unwrap();
    let lines: Vec<_> = rows.iter().map(|row| row.text(column).unwrap_or_default()).collect();
    lines.join("; ")
}

/// The lists with a filter, in each order and at each position that the tests try.
fn lists(class: &Class, filter: Option<&Filter>) -> Vec<Query> {
    let mut all = vec![];
    for order in ["", "id", "-id", "dateTime", "-dateTime"] {
        for after in positions(order) {
            let (filter, order) = (filter.cloned(), parse_order(class, order).unwrap());
            all.push(Query { filter, order, after, ..Query::default() });
        }
    }
    all
}

/// Whether a filter asks for one value of a property.
fn asks_for(filter: Option<&Filter>, property: &str) -> bool {
    matches!(filter, Some(Filter::Compare(of, _, literal))
        if of.subject == Subject::Property(property.to_owned()) && *literal != Literal::Null)
}

fn messages(store: &Store) -> Arc<Class> {
    store.builtin(builtin::MESSAGES).unwrap()
}

/// The filters of the documented parameters for properties.
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

// SQLite alone: the test reads the words of its plans.
#[tokio::test]
async fn a_page_is_a_range_of_an_index_for_every_documented_parameter() {
    let (_directory, store) = store().await;
    let (domain, class) = (Domain::default_domain(), messages(&store));
    for filter in filters(&class) {
        let filter = filter.as_ref();
        // Few messages have the same Message-ID. SQLite sorts them.
        let is_sorted = asks_for(filter, "messageId");
        for query in lists(&class, filter) {
            let found = plan(&store, store.list(&domain, &class, &query, WordsPlan::Sorted)).await;
            let asked = format!("{filter:?} {:?} {:?}: {found}", query.order, query.after);
            assert!(!found.contains("SCAN email"), "{asked}");
            assert!(is_sorted || !found.contains("TEMP B-TREE"), "{asked}");
            for search in found.split("; ").filter(|step| step.starts_with("SEARCH email")) {
                let range = match (filter, &query.after) {
                    _ if asks_for(filter, "id") => "id=?",
                    _ if is_sorted => "(messageId=?)",
                    (None, None) => "(domain=?)",
                    (None, Some(_)) => "(domain=? AND ",
                    // Messages without a Message-ID have an index of their own.
                    (Some(Filter::IsNull(of)), None)
                        if of.subject == Subject::Property("messageId".to_owned()) =>
                    {
                        "unidentified listed"
                    }
                    (Some(_), None) => "=? AND ",
                    (Some(_), Some(_)) => "=?",
                };
                assert!(search.contains(range), "{asked}");
            }
        }
        let counted = plan(&store, store.counting(&domain, &class, filter, "1=1")).await;
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
        let found = plan(&store, store.list(&domain, &class, &query, WordsPlan::Sorted)).await;
        assert!(found.contains("dateTime>? AND dateTime<?"), "{found}");
        assert!(!found.contains("TEMP B-TREE"), "{found}");
    }
}

// SQLite alone: the test reads the words of its plans.
#[tokio::test]
async fn a_list_of_any_class_is_read_in_the_order_of_its_ids() {
    let (_directory, store) = store().await;
    for class in store.classes().iter() {
        let list =
            store.list(&Domain::default_domain(), class, &Query::default(), WordsPlan::Sorted);
        let found = plan(&store, list).await;
        assert!(found.contains(&format!("{} listed (domain=?)", class.classname)), "{found}");
    }
}

/// Fills the table of messages with 20,000 messages of 10 folders and 5 accounts. A tenth of them
/// is sent.
async fn fill(store: &Store) {
    let fill = ["INSERT INTO \"email/Messages\" (\"domain\", \"id\", \"version\", \"folder_id\",
           \"account_id\", \"messageState\", \"messageId\", \"dateTime\", \"messageDirection\")
         SELECT 'default', MD5('message' || n)::uuid, 1, MD5('folder' || n % 10)::uuid,
           MD5('account' || n % 5)::uuid, CASE n % 10 WHEN 0 THEN 'sent' ELSE 'received' END,
           n || '@host.test', TIMESTAMPTZ '2026-01-01' + n * INTERVAL '1 minute',
           CASE n % 10 WHEN 0 THEN 'out' ELSE 'in' END
         FROM GENERATE_SERIES(1, 20000) AS of (n)"];
    store.write(fill.map(Statement::new).to_vec()).await.unwrap();
    store.write(vec![Statement::new("ANALYZE \"email/Messages\"")]).await.unwrap();
}

/// The filters of values that the filled table has.
fn filters_of_filled(class: &Class) -> Vec<Option<Filter>> {
    let named = [
        ("folder_id", FOLDER),
        ("account_id", ACCOUNT),
        ("messageState", "received"),
        ("messageState", "sent"),
        ("messageId", "77@host.test"),
        ("id", ID),
        ("messageId", "null"),
    ];
    let equal = |(name, text)| Some(filter::equality(class, name, text).unwrap());
    std::iter::once(None).chain(named.map(equal)).collect()
}

// PostgreSQL alone: the test reads the words of its plans.
#[test]
fn a_page_is_a_range_of_an_index_on_postgresql() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(TestDatabase::Postgres.run(pages_on_postgresql));
}

async fn pages_on_postgresql() {
    let (_directory, store) = store().await;
    fill(&store).await;
    let (domain, class) = (Domain::default_domain(), messages(&store));
    for filter in filters_of_filled(&class) {
        let filter = filter.as_ref();
        let is_single = asks_for(filter, "messageId") || asks_for(filter, "id");
        for query in lists(&class, filter) {
            let list = store.list(&domain, &class, &query, WordsPlan::Sorted);
            let found = explained(&store, "EXPLAIN", 0, list).await;
            let asked = format!("{filter:?} {:?} {:?}: {found}", query.order, query.after);
            assert!(found.contains("Index") && !found.contains("Seq Scan"), "{asked}");
            let is_sorted = found.contains("->  Sort") || found.contains("Incremental Sort");
            assert!(is_single || !is_sorted, "{asked}");
        }
    }
}
