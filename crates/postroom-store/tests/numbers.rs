//! Whoever reads changes by their numbers misses none, whatever is written at the same time.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "opened/leading.rs"]
mod leading;
#[path = "opened/config.rs"]
mod opened;

use leading::leading;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::FolderId;
use postroom_model::Query;
use postroom_model::builtin;
use postroom_model::filter;
use postroom_model::parse_order;
use postroom_store::*;
use postroom_testkit::on_both;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

/// Those who write at the same time: every third writes much at once.
const WRITERS: usize = 12;
const BATCHES: usize = 40;
const MANY: usize = 40;

struct World {
    _directory: TempDir,
    database: Arc<dyn Database>,
    store: Store,
    domain: Domain,
}

impl World {
    async fn open() -> Arc<Self> {
        let (_directory, database, store) = leading().await;
        Arc::new(Self { _directory, database, store, domain: Domain::default_domain() })
    }

    async fn create(&self, class: &str, all: Vec<Json>) -> Vec<EntityId> {
        let new: Vec<_> = all.into_iter().map(new).collect();
        let ids = new.iter().map(|new| new.entity.id).collect();
        let class = self.store.class(class).unwrap();
        self.store.entity_create(&self.domain, &class, new).await.unwrap();
        ids
    }

    /// The profiles whose number is greater, in the order of their numbers.
    async fn behind(&self, seq: i64) -> Vec<Entity> {
        let class = self.store.class(builtin::PROFILES).unwrap();
        let filter = json!([">", ["property", "seq"], seq]);
        let filter: Filter = filter::parse(&class, &filter).unwrap();
        let order = parse_order(&class, "seq").unwrap();
        let query = Query { limit: 500, order, filter: Some(filter), ..Query::default() };
        self.store.entity_list(&self.domain, &class, &query).await.unwrap()
    }

    /// The greatest number, whether readers may pass it yet or not.
    async fn newest(&self) -> i64 {
        let newest = "SELECT MAX(\"seq\") FROM \"change\"";
        let rows = self.database.read(Statement::new(newest)).await.unwrap();
        rows[0].whole(0).unwrap_or(0)
    }

    async fn write(&self, writer: usize) {
        for batch in 0..BATCHES {
            let count = if writer.is_multiple_of(3) { MANY } else { 1 };
            let name = |at: usize| json!({"name": format!("{writer} {batch} {at}")});
            self.create(builtin::PROFILES, (0..count).map(name).collect()).await;
        }
    }
}

fn new(values: Json) -> NewEntity {
    let values: Map<String, Json> = values.as_object().unwrap().clone();
    NewEntity { entity: Entity::new(Clock::system().new_id(), values), files: vec![] }
}

#[on_both]
async fn a_reader_that_never_goes_back_sees_what_many_write_at_once() {
    let world = World::open().await;
    let writing = Arc::new(AtomicUsize::new(WRITERS));
    let write = |writer| {
        let (world, writing) = (Arc::clone(&world), Arc::clone(&writing));
        tokio::spawn(async move {
            world.write(writer).await;
            writing.fetch_sub(1, Ordering::SeqCst);
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(write).collect();
    let wanted = BATCHES * (0..WRITERS).map(|w| if w % 3 == 0 { MANY } else { 1 }).sum::<usize>();
    let (mut listed, mut told) = (HashSet::new(), HashSet::new());
    let (mut last_listed, mut last_told) = (0, 0);
    loop {
        let is_written = writing.load(Ordering::SeqCst) == 0;
        let newest = world.newest().await;
        for entity in world.behind(last_listed).await {
            assert!(entity.seq > last_listed);
            last_listed = entity.seq;
            assert!(listed.insert(entity.id));
        }
        for row in world.store.feed_list(&world.domain, last_told, 500).await.unwrap() {
            assert!(row.seq > last_told);
            last_told = row.seq;
            assert!(told.insert(row.entity));
        }
        // Both have come to the last that was written.
        if is_written && last_listed == newest && last_told == newest {
            break;
        }
    }
    assert_eq!((listed.len(), told.len()), (wanted, wanted));
    for writer in writers {
        writer.await.unwrap();
    }
}

#[on_both]
async fn the_changes_of_an_entity_have_ascending_numbers_whoever_began_first() {
    let world = World::open().await;
    let profile = world.create(builtin::PROFILES, vec![json!({"name": "p"})]).await[0];
    let account = json!({"profile_id": profile.to_string(), "address": "a@b.test"});
    let account = world.create(builtin::ACCOUNTS, vec![account]).await[0];
    let folder = json!({"account_id": account.to_string(), "title": "t", "name": "n"});
    let folder = world.create(builtin::FOLDERS, vec![folder]).await[0];
    let class = world.store.class(builtin::FOLDERS).unwrap();
    let change = |who: usize| {
        let (world, class) = (Arc::clone(&world), Arc::clone(&class));
        tokio::spawn(async move {
            for round in 0..50 {
                if who.is_multiple_of(2) {
                    let text = Some(format!("{who} {round}"));
                    let report = FolderReport { status_text: text, ..FolderReport::default() };
                    let (domain, folder) = (&world.domain, FolderId::of(folder));
                    let _ = world.store.folder_report(domain, folder, &report).await;
                } else {
                    let values = json!({"title": format!("{who} {round}")});
                    let place = EntityPlace::new(&world.domain, &class, folder);
                    let values = values.as_object().unwrap();
                    let _ = world.store.entity_update(place, values, None).await;
                }
            }
        })
    };
    for changing in (0..8).map(change).collect::<Vec<_>>() {
        changing.await.unwrap();
    }
    let mut entity = world.store.entity_get(&world.domain, &class, folder).await.unwrap().unwrap();
    let rows = world.store.feed_of(&world.domain, &[folder], 0).await.unwrap();
    assert!(rows.len() > 200, "{}", rows.len());
    assert_eq!(rows.last().unwrap().seq, entity.seq);
    // Each change replaced what the one before it has left.
    for row in rows.iter().rev() {
        match row.undo(entity.clone()) {
            Some(before) => {
                for (name, former) in row.replaced.iter().flatten() {
                    if name != "version" {
                        assert_eq!(before.get(name), former);
                    }
                }
                assert!(entity.version - before.version <= 1 && before.version <= entity.version);
                entity = before;
            }
            None => assert_eq!((entity.version, entity.text("title")), (1, Some("t"))),
        }
    }
}

#[on_both]
async fn what_was_restored_gives_numbers_that_were_never_given_before() {
    let world = World::open().await;
    world.create(builtin::PROFILES, vec![json!({"name": "kept"})]).await;
    let kept = world.newest().await;
    // What the lost database gave after the backup was made, if it had 1,000 changes a second for a year.
    let lost = kept + 1000 * 365 * 24 * 3600;
    world.store.restored(false).await.unwrap();
    world.create(builtin::PROFILES, vec![json!({"name": "new"})]).await;
    let first = world.newest().await;
    assert!(first > lost, "{first}");
    // The same backup is restored again later, and JavaScript still reads the number as it is.
    world.store.restored(false).await.unwrap();
    world.create(builtin::PROFILES, vec![json!({"name": "newer"})]).await;
    assert!(world.newest().await > first + 1 && world.newest().await < 1 << 53);
    // Until readers may pass both.
    loop {
        let news = world.store.news(&world.domain, kept, 9).await.unwrap();
        if matches!(news, NewsPage::News { news, .. } if news.len() == 2) {
            break;
        }
    }
}
