//! Tests: lists are read in the order of the indexes that clients define.

use crate::database::Statement;
use crate::full_text_dialect::WordsPlan;
use crate::store::Store;
use crate::tests::explain;
use crate::tests::filled::fill_deals;
use crate::tests::life::CLASS;
use postroom_model::Class;
use postroom_model::ClassId;
use postroom_model::Domain;
use postroom_model::Query;
use postroom_model::created;
use postroom_model::filter;
use postroom_model::parse_order;
use postroom_testkit::on_both;
use serde_json::json;
use std::sync::Arc;

/// Makes the class with an index.
async fn made(store: &Store, id: ClassId) -> Arc<Class> {
    let deals = json!({
        "classname": CLASS,
        "properties": [
            {"name": "title", "data_type": "string"}, {"name": "worth", "data_type": "long"},
        ],
        "opts": {"indexes": [["worth"]]},
    });
    store.class_create(&store.classes(), created(&deals, id).unwrap()).await.unwrap();
    fill_deals(store).await;
    settled(store).await;
    store.class(CLASS).unwrap()
}

async fn settled(store: &Store) {
    store.classes_settle().await;
    assert!(store.classes_are_settled().await.unwrap());
}

/// Checks that lists are read from the index, in its order.
async fn is_used(store: &Store, class: &Class) {
    let domain = Domain::default_domain();
    for order in ["worth", "-worth"] {
        let order = parse_order(class, order).unwrap();
        let query = Query { order, ..Query::default() };
        in_order(store, store.list(&domain, class, &query, WordsPlan::Sorted)).await;
    }
    let of_worth = filter::equality(class, "worth", "7").unwrap();
    in_order(store, store.list(&domain, class, &Query::filtered(of_worth, 9), WordsPlan::Sorted))
        .await;
}

async fn in_order(store: &Store, list: Statement) {
    let explained = explain::scans(store.inner.database.as_ref(), &list).await.unwrap();
    let plan = explained.plan;
    assert!(plan.contains("own "), "{}\n{plan}", list.sql);
    assert!(!plan.contains("TEMP B-TREE") && !plan.contains("Sort"), "{}\n{plan}", list.sql);
}

#[on_both(flavor = "multi_thread")]
async fn an_index_of_a_client_is_used_also_after_its_class_was_made_again() {
    let (_directory, store) = crate::fixture::store().await;
    let id = store.clock().new_class_id();
    let class = made(&store, id).await;
    is_used(&store, &class).await;
    let count = store.entity_count(&Domain::default_domain(), &class, &Query::default()).await;
    // A fifth of the entities belong to the other domain, and they count too.
    let count = count.unwrap() * 5 / 4;
    store.class_delete(&store.classes(), id, Some(count)).await.unwrap();
    settled(&store).await;
    // The index of the former class had the same name.
    let class = made(&store, id).await;
    is_used(&store, &class).await;
}
