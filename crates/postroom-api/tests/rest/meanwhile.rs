//! What somebody else does between the moment at which a request reads an entity and that at which
//! it writes.

use crate::server::Answer as Answered;
use crate::server::Server;
use crate::server::answer;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_store::Answer;
use postroom_store::Database;
use postroom_store::DatabaseFront;
use postroom_store::EntityPlace;
use postroom_store::Outcome;
use postroom_store::Room;
use postroom_store::Row;
use postroom_store::Statement;
use postroom_testkit::on_both;
use serde_json::json;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

const PROFILES: &str = "email/Profiles";
const TABLE: &str = "\"email/Profiles\"";

type Deed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What happens at a database.
#[derive(Default)]
struct Meantime {
    /// What is done just before the next profile is written.
    deed: Mutex<Option<Deed>>,
    /// How many times a profile was read.
    reads: AtomicUsize,
}

impl std::fmt::Debug for Meantime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meantime")
    }
}

#[derive(Debug)]
struct Interrupted {
    database: Arc<dyn Database>,
    meantime: Arc<Meantime>,
}

impl DatabaseFront for Interrupted {
    fn behind(&self) -> &dyn Database {
        self.database.as_ref()
    }

    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        if statement.sql.contains(&format!("FROM {TABLE}")) {
            self.meantime.reads.fetch_add(1, Ordering::SeqCst);
        }
        self.database.read(statement)
    }

    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        let writes = [format!("UPDATE {TABLE}"), format!("DELETE FROM {TABLE}")];
        let is_it = |statement: &Statement| writes.iter().any(|it| statement.sql.contains(it));
        let deed = batch.iter().any(is_it).then(|| self.meantime.deed.lock().unwrap().take());
        let Some(deed) = deed.flatten() else {
            return self.database.write(batch, room);
        };
        let database = Arc::clone(&self.database);
        Box::pin(async move {
            deed.await;
            database.write(batch, room).await
        })
    }
}

/// What somebody else does with a profile meanwhile.
#[derive(Debug, Clone, Copy)]
enum Meddling {
    Change,
    Delete,
}

struct Place {
    server: Server,
    meantime: Arc<Meantime>,
}

impl Place {
    async fn open() -> Self {
        let meantime = Arc::<Meantime>::default();
        let of = Arc::clone(&meantime);
        let front =
            |database| -> Arc<dyn Database> { Arc::new(Interrupted { database, meantime: of }) };
        Self { server: Server::start_behind(front).await, meantime }
    }

    /// Somebody does this with a profile just before the next write of one.
    fn meanwhile(&self, id: &str, meddling: Meddling) {
        let (store, id) = (self.server.store.clone(), id.parse::<EntityId>().unwrap());
        let deed = async move {
            let (domain, class) = (Domain::default_domain(), store.class(PROFILES).unwrap());
            let place = EntityPlace::new(&domain, &class, id);
            let change = json!({"imapHost": "imap.b.test"}).as_object().unwrap().clone();
            match meddling {
                Meddling::Change => store.entity_update(place, &change, None).await.unwrap(),
                Meddling::Delete => store.entity_delete(place, None).await.unwrap(),
            };
        };
        *self.meantime.deed.lock().unwrap() = Some(Box::pin(deed));
    }

    /// The answer to a request about a new profile with which this is done meanwhile, and the path
    /// of the profile.
    async fn ask(&self, verb: &str, matches: bool, meddling: Meddling) -> (Answered, String) {
        let id = self.server.create(PROFILES, &json!({"name": "p"})).await;
        let path = format!("{PROFILES}/{id}");
        let tag = self.server.get(&path).await.header("etag").to_owned();
        self.meanwhile(&id, meddling);
        let request = self.server.request(verb, &path).json(&json!({"name": "q"}));
        let request = if matches { request.header("if-match", tag) } else { request };
        let answered = answer(request).await;
        assert!(self.meantime.deed.lock().unwrap().is_none(), "nothing was done meanwhile");
        (answered, path)
    }
}

#[on_both]
async fn what_changes_between_reading_and_writing_is_seen() {
    let place = Place::open().await;
    for verb in ["PATCH", "PUT", "DELETE"] {
        let (answered, path) = place.ask(verb, true, Meddling::Change).await;
        answered.expect(412);
        let kept = place.server.get(&path).await.expect(200);
        assert_eq!((&kept["version"], &kept["name"]), (&json!(2), &json!("p")), "{verb}");
        let (answered, path) = place.ask(verb, false, Meddling::Change).await;
        if verb == "DELETE" {
            answered.expect(204);
            assert_eq!(place.server.get(&path).await.status, 404);
        } else {
            let changed = answered.expect(200);
            assert_eq!((&changed["version"], &changed["name"]), (&json!(3), &json!("q")));
            // A PUT is all of the profile. A PATCH leaves what somebody else has set.
            let host = if verb == "PUT" { json!(null) } else { json!("imap.b.test") };
            assert_eq!(changed["imapHost"], host, "{verb}");
        }
        for matches in [true, false] {
            place.ask(verb, matches, Meddling::Delete).await.0.expect(404);
        }
    }
}

#[on_both]
async fn a_request_reads_its_entity_once() {
    let place = Place::open().await;
    for verb in ["PATCH", "PUT", "DELETE"] {
        let id = place.server.create(PROFILES, &json!({"name": "p"})).await;
        place.meantime.reads.store(0, Ordering::SeqCst);
        let path = format!("{PROFILES}/{id}");
        let status = place.server.send(verb, &path, &json!({"name": "q"})).await.status;
        assert_eq!(status, if verb == "DELETE" { 204 } else { 200 });
        assert_eq!(place.meantime.reads.load(Ordering::SeqCst), 1, "{verb}");
    }
}
