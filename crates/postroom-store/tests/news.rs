//! News of entities that change often, and of large ones.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "opened/leading.rs"]
mod leading;
#[path = "opened/config.rs"]
mod opened;

use leading::leading;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin;
use postroom_store::*;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::on_both;
use postroom_testkit::require;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn object(json: &Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

/// A database whose answer to how far the feed may be read is smaller at every later time. On
/// PostgreSQL it can be, because it looks at what the sessions of other databases are doing.
#[derive(Debug)]
struct Shrinking {
    database: Arc<dyn Database>,
    is_first: AtomicBool,
}

impl DatabaseFront for Shrinking {
    fn behind(&self) -> &dyn Database {
        self.database.as_ref()
    }

    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        let Some(settled) = self.database.dialect().seq_settled() else {
            return self.database.read(statement);
        };
        let asks = statement.sql.contains(settled);
        if !asks || self.is_first.swap(false, Ordering::SeqCst) {
            return self.database.read(statement);
        }
        let smaller = format!("({settled} - (CAST(1 AS BIGINT) << 40))");
        let mut statement = statement;
        statement.sql = statement.sql.replace(settled, &smaller).into();
        self.database.read(statement)
    }
}

async fn create(store: &Store, class: &str, values: &Json) -> EntityId {
    let (domain, class) = (Domain::default_domain(), store.class(class).unwrap());
    let entity = Entity::new(store.clock().new_id(), object(values));
    let id = entity.id;
    store.entity_create(&domain, &class, vec![NewEntity { entity, files: vec![] }]).await.unwrap();
    id
}

/// All news behind a number, read in pages of at most so many, until there are `count`. With the
/// greatest number of news that a page had.
async fn behind(store: &Store, after: i64, limit: u32, count: usize) -> (Vec<EntityNews>, usize) {
    let (domain, mut after) = (Domain::default_domain(), after);
    let (mut all, mut most) = (vec![], 0);
    while all.len() < count {
        let page = store.news(&domain, after, limit).await.unwrap();
        let NewsPage::News { news, next, is_full } = page else {
            panic!("{page:?}");
        };
        assert!(next > after || !is_full, "whoever reads gets on");
        most = most.max(news.len());
        all.extend(news.iter().cloned());
        after = next;
    }
    (all, most)
}

#[on_both]
async fn an_entity_that_changes_all_the_time_is_told_as_any_other() {
    const CHANGES: usize = 500;
    let (_directory, _, store) = leading().await;
    let (domain, class) = (Domain::default_domain(), store.class(builtin::PROFILES).unwrap());
    let store = store.of_client("tester");
    let id =
        create(&store, builtin::PROFILES, &json!({"name": "0", "imapHost": "same.test"})).await;
    for number in 1..=CHANGES {
        let name = object(&json!({"name": number.to_string()}));
        let place = EntityPlace::new(&domain, &class, id);
        store.entity_update(place, &name, None).await.unwrap();
    }
    let (news, _) = behind(&store, 0, 40, CHANGES + 1).await;
    let name =
        |entity: &Option<Entity>| entity.as_ref().and_then(|e| e.text("name").map(str::to_owned));
    for (number, one) in news.iter().enumerate() {
        let before = number.checked_sub(1).map(|former| former.to_string());
        assert_eq!((name(&one.before), name(&one.after)), (before, Some(number.to_string())));
        let after = one.after.as_ref().unwrap();
        assert_eq!(after.text("imapHost"), Some("same.test"));
        assert_eq!(after.version, i64::try_from(number).unwrap() + 1);
    }
    let wholes = news.iter().filter(|one| one.row.is_whole).count();
    assert!((1..CHANGES / 10).contains(&wholes), "{wholes} changes tell the whole entity");
    let whole = news.iter().find(|one| one.row.is_whole).unwrap();
    assert_eq!(whole.row.replaced.as_ref().unwrap()["imapHost"], "same.test");
}

#[on_both]
async fn a_page_of_large_entities_has_fewer_of_them() {
    const COUNT: usize = 12;
    let (_directory, _, store) = leading().await;
    let text = "x".repeat(400_000);
    for number in 0..COUNT {
        let subject = number.to_string();
        create(
            &store,
            builtin::MESSAGES,
            &json!({"messageDirection": "out", "subject": subject, "text": text}),
        )
        .await;
    }
    let (news, most) = behind(&store, 0, 100, COUNT).await;
    assert!((1..=4).contains(&most), "a page had {most}");
    for (number, one) in news.iter().enumerate() {
        let after = one.after.as_ref().unwrap();
        assert_eq!(after.text("subject"), Some(number.to_string().as_str()));
        assert_eq!(after.text("text").map(str::len), Some(text.len()));
    }
}

/// While an older transaction runs, no reader may pass the number of a change that was just
/// written. Whoever reads from there on waits for what comes.
#[on_both]
async fn the_number_of_a_change_is_known_at_once() {
    let (_directory, database, store) = leading().await;
    let (domain, class) = (Domain::default_domain(), store.class(builtin::PROFILES).unwrap());
    let older = database.dialect().seq_settled().map(|_| {
        let begun = Statement::new("SELECT CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)");
        let lasts = Statement::new("SELECT CAST(1 AS BIGINT) FROM pg_sleep(3)");
        tokio::spawn(database.write(vec![begun, lasts], Room::Free))
    });
    let runs =
        "SELECT CAST(1 AS BIGINT) FROM \"pg_stat_activity\" WHERE \"backend_xid\" IS NOT NULL
        AND \"datname\" = current_database() AND \"pid\" <> pg_backend_pid()";
    while older.as_ref().is_some_and(|older| !older.is_finished()) {
        if !database.read(Statement::new(runs)).await.unwrap().is_empty() {
            break;
        }
    }
    let store = store.of_client("tester");
    let id = create(&store, builtin::PROFILES, &json!({"name": "a", "imapHost": "a.test"})).await;
    let seq = store.entity_get(&domain, &class, id).await.unwrap().unwrap().seq;
    let page = store.news(&domain, seq, 10).await.unwrap();
    let NewsPage::News { news, next, .. } = page else {
        panic!("{page:?}");
    };
    assert_eq!((news.len(), next), (0, seq));
    if let Some(older) = older {
        older.await.unwrap().unwrap();
    }
    let FeedBounds { given, .. } = store.feed_bounds().await.unwrap();
    let never = store.news(&domain, given + (1 << 40), 10).await.unwrap();
    assert!(matches!(never, NewsPage::Unknown { .. }), "{never:?}");
    create(&store, builtin::PROFILES, &json!({"name": "b", "imapHost": "b.test"})).await;
    assert_eq!(behind(&store, seq, 10, 1).await.0.len(), 1);
}

// PostgreSQL alone: SQLite prepares no transactions.
#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_of_another_program_does_not_hold_up_the_news() {
    if !require(&[Need::Postgres]) {
        return;
    }
    let extra = "max_prepared_transactions = 5".to_owned();
    let server = Postgres::start(&PostgresOptions { extra, ..PostgresOptions::default() }).unwrap();
    server.database_create("shared").await.unwrap();
    let url = server.url("shared");
    let (other, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let prepared = "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'of another'";
    other.batch_execute(prepared).await.unwrap();
    let database = PostgresDatabase::open(PostgresConfig::parse(&url).unwrap()).await.unwrap();
    let store = Store::open(database, &opened::config("a")).await.unwrap();
    create(&store, builtin::PROFILES, &json!({"name": "a", "imapHost": "a.test"})).await;
    let told = tokio::time::timeout(Duration::from_secs(60), behind(&store, 0, 10, 1)).await;
    assert_eq!(told.expect("it is told").0.len(), 1);
}

// PostgreSQL alone: after a crash, it gives such numbers again, and a reader would miss the changes
// that have them.
#[tokio::test]
async fn no_number_is_told_that_is_not_durable() {
    if !require(&[Need::Postgres]) {
        return;
    }
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    server.database_create("shared").await.unwrap();
    let url = server.url("shared");
    let database = PostgresDatabase::open(PostgresConfig::parse(&url).unwrap()).await.unwrap();
    let store = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
    create(&store, builtin::PROFILES, &json!({"name": "a", "imapHost": "a.test"})).await;
    behind(&store, 0, 10, 1).await;
    let sql = Statement::new("SELECT MAX(\"seq\") FROM \"change\"");
    let last = database.read(sql).await.unwrap()[0].whole(0).unwrap();
    for _ in 0..3 {
        let took = "BEGIN; SELECT pg_current_xact_id(); ROLLBACK";
        server.execute("shared", took).await.unwrap();
    }
    let bounds = store.feed_bounds().await.unwrap();
    assert_eq!(bounds.newest, last);
    assert!(bounds.given > last);
}

// PostgreSQL alone: SQLite counts the numbers that it gives.
#[tokio::test]
async fn changes_up_to_a_bound_that_was_told_are_not_passed_over() {
    if !require(&[Need::Postgres]) {
        return;
    }
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    server.database_create("shared").await.unwrap();
    let config = PostgresConfig::parse(&server.url("shared")).unwrap();
    let database = PostgresDatabase::open(config).await.unwrap();
    let shrinking = Arc::new(Shrinking { database, is_first: AtomicBool::new(false) });
    let store = Store::open(Arc::clone(&shrinking) as _, &opened::config("a")).await.unwrap();
    create(&store, builtin::PROFILES, &json!({"name": "a", "imapHost": "a.test"})).await;
    shrinking.is_first.store(true, Ordering::SeqCst);
    let page = store.news(&Domain::default_domain(), 0, 10).await.unwrap();
    assert!(!shrinking.is_first.load(Ordering::SeqCst), "the database was asked how far");
    let NewsPage::News { news, next, .. } = page else {
        panic!("{page:?}");
    };
    assert_eq!(news.len(), 1, "the change is told before {next}");
}
