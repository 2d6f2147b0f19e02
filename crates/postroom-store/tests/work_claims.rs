//! Work claims: each entity is given to one worker, until its claim has expired or ended.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "opened/leading.rs"]
mod leading;
#[path = "opened/config.rs"]
mod opened;

use leading::leading;
use postroom_model::ClaimToken;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Query;
use postroom_model::created;
use postroom_model::filter;
use postroom_store::*;
use postroom_testkit::on_both;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use tempfile::TempDir;

/// How many workers race.
const WORKERS: usize = 64;
/// How many tasks they share.
const TASKS: usize = 10_000;
/// How many a worker claims at once.
const AT_ONCE: u32 = 10;
/// A claim that does not expire while a test runs.
const LONG_MS: i64 = 3_600_000;

struct Queue {
    _directory: TempDir,
    database: Arc<dyn Database>,
    store: Store,
    domain: Domain,
    class: Arc<Class>,
}

impl Queue {
    /// A class with a state, and tasks in state `new`.
    async fn with(tasks: usize) -> Self {
        let (_directory, database, store) = leading().await;
        let definition = json!({
            "classname": "crm/Tasks",
            "properties": [{"name": "state", "data_type": "string"}],
            "opts": {"indexes": [["state"]]},
        });
        let class = created(&definition, store.clock().new_class_id()).unwrap();
        store.class_create(&store.classes(), class).await.unwrap();
        let (domain, class) = (Domain::default_domain(), store.class("crm/Tasks").unwrap());
        let ids: Vec<_> = (0..tasks).map(|_| store.clock().new_id()).collect();
        for some in ids.chunks(500) {
            let new = |id: &EntityId| {
                let values = json!({"state": "new"}).as_object().unwrap().clone();
                NewEntity { entity: Entity::new(*id, values), files: vec![] }
            };
            store.entity_create(&domain, &class, some.iter().map(new).collect()).await.unwrap();
        }
        Self { _directory, database, store, domain, class }
    }

    /// One of another process that has the same database.
    async fn elsewhere(&self) -> Store {
        Store::open(Arc::clone(&self.database), &opened::config("a")).await.unwrap()
    }

    async fn claim(&self, store: &Store, limit: u32, lease_ms: i64) -> Vec<WorkClaim> {
        let state = filter::equality(&*self.class, "state", "new").unwrap();
        let token = ClaimToken::of(store.clock().new_id());
        let query = Query::filtered(state, limit);
        let wanted = WantedClaim { query: &query, token, by: "worker", lease_ms, once: None };
        store.work_claim(&self.domain, &self.class, wanted).await.unwrap()
    }

    fn place(&self, id: EntityId) -> EntityPlace<'_> {
        EntityPlace::new(&self.domain, &self.class, id)
    }

    /// Does the work of a claim.
    async fn acknowledge(&self, store: &Store, claim: &WorkClaim) -> Result<Updated, Error> {
        let done = json!({"state": "done"}).as_object().unwrap().clone();
        let claim_step = ClaimStep { token: claim.token, then: ClaimThen::Acknowledged };
        let terms = ChangeTerms { claim: Some(claim_step), ..ChangeTerms::default() };
        store.entity_update_on(self.place(claim.entity), &done, terms).await
    }
}

/// Lets workers claim and work until nothing is left. Gives how often each task was given.
async fn race(queue: &Arc<Queue>, stores: &[Store]) -> HashMap<EntityId, usize> {
    let mut workers = tokio::task::JoinSet::new();
    for at in 0..WORKERS {
        let (queue, store) = (Arc::clone(queue), stores[at % stores.len()].clone());
        workers.spawn(async move {
            let mut given = vec![];
            loop {
                let claims = queue.claim(&store, AT_ONCE, LONG_MS).await;
                if claims.is_empty() {
                    return given;
                }
                let works = claims.iter().map(|claim| queue.acknowledge(&store, claim));
                for done in futures_util::future::join_all(works).await {
                    assert!(matches!(done.unwrap(), Updated::Done(_)));
                }
                given.extend(claims.iter().map(|claim| claim.entity));
            }
        });
    }
    let mut times = HashMap::new();
    while let Some(given) = workers.join_next().await {
        for id in given.unwrap() {
            *times.entry(id).or_default() += 1;
        }
    }
    times
}

#[on_both(flavor = "multi_thread")]
async fn sixty_four_workers_get_each_of_ten_thousand_tasks_once() {
    let queue = Arc::new(Queue::with(TASKS).await);
    let elsewhere = queue.elsewhere().await;
    let times = race(&queue, &[queue.store.clone(), elsewhere]).await;
    assert!(times.values().all(|count| *count == 1), "a task was given twice");
    assert_eq!(times.len(), TASKS);
    assert_eq!(queue.claim(&queue.store, 1, LONG_MS).await, []);
}

#[on_both(flavor = "multi_thread")]
async fn what_is_claimed_and_not_done_is_given_to_nobody_else() {
    let queue = Arc::new(Queue::with(200).await);
    let claims = (0..WORKERS).map(|_| queue.claim(&queue.store, AT_ONCE, LONG_MS));
    let claims = futures_util::future::join_all(claims).await.concat();
    let mut ids: Vec<_> = claims.iter().map(|claim| claim.entity).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), claims.len()), (200, 200));
    assert!(claims.iter().all(|claim| claim.claims == 1));
}

#[on_both]
async fn a_claim_that_has_expired_is_given_to_the_next_and_lost_to_the_first() {
    let queue = Queue::with(1).await;
    // It has expired at once.
    let first = queue.claim(&queue.store, 9, 0).await.remove(0);
    // As long as nobody else has claimed it, it can be extended, and its work counts.
    queue.store.claim_extend(queue.place(first.entity), first.token, 0).await.unwrap();
    let second = queue.claim(&queue.store, 9, LONG_MS).await.remove(0);
    assert_eq!((second.entity, second.claims), (first.entity, 2));
    assert_ne!(second.token, first.token);
    let before = queue.store.entity_get(&queue.domain, &queue.class, first.entity).await.unwrap();
    let lost = |done: Result<Updated, Error>| {
        assert!(matches!(done, Err(Error::Condition(Failed::ClaimLost))), "{done:?}");
    };
    lost(queue.acknowledge(&queue.store, &first).await);
    let place = queue.place(first.entity);
    let extended = queue.store.claim_extend(place, first.token, LONG_MS).await;
    assert!(matches!(extended, Err(Error::Condition(Failed::ClaimLost))), "{extended:?}");
    let back = queue.store.claim_give_back(place, first.token, 0).await;
    assert!(matches!(back, Err(Error::Condition(Failed::ClaimLost))), "{back:?}");
    let after = queue.store.entity_get(&queue.domain, &queue.class, first.entity).await.unwrap();
    assert_eq!(before, after, "nothing was changed");
    queue.acknowledge(&queue.store, &second).await.unwrap();
    let state = queue.store.claim_state(place, second.token).await.unwrap();
    assert_eq!(state, ClaimState::Acknowledged);
}

#[on_both]
async fn the_work_of_a_claim_that_has_expired_counts_while_nobody_else_has_it() {
    let queue = Queue::with(1).await;
    let claim = queue.claim(&queue.store, 1, 0).await.remove(0);
    assert!(matches!(queue.acknowledge(&queue.store, &claim).await.unwrap(), Updated::Done(_)));
    assert_eq!(queue.claim(&queue.store, 1, LONG_MS).await, []);
}

#[on_both]
async fn what_is_given_back_is_free_again_after_its_delay() {
    let queue = Queue::with(2).await;
    let claims = queue.claim(&queue.store, 2, LONG_MS).await;
    let places = [0, 1].map(|at| queue.place(claims[at].entity));
    queue.store.claim_give_back(places[0], claims[0].token, LONG_MS).await.unwrap();
    queue.store.claim_give_back(places[1], claims[1].token, 0).await.unwrap();
    let again = queue.claim(&queue.store, 2, LONG_MS).await;
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].entity, again[0].claims), (claims[1].entity, 2));
}

#[on_both]
async fn a_deleted_entity_has_no_claim_and_a_claim_needs_its_entity() {
    let queue = Queue::with(2).await;
    let claims = queue.claim(&queue.store, 2, LONG_MS).await;
    let [one, two] = [0, 1].map(|at| queue.place(claims[at].entity));
    let token = claims[0].token;
    assert_eq!(
        queue.store.claims_under(&queue.domain, &queue.class, token).await.unwrap().len(),
        2
    );
    queue.store.entity_delete(one, None).await.unwrap();
    let left = queue.store.claims_under(&queue.domain, &queue.class, token).await.unwrap();
    assert_eq!(left.iter().map(|claim| claim.entity).collect::<Vec<_>>(), [two.id]);
    let other = Domain::new("other").unwrap();
    let elsewhere = EntityPlace::new(&other, &queue.class, two.id);
    let state = queue.store.claim_state(elsewhere, token).await.unwrap();
    assert_eq!(state, ClaimState::Lost, "a token is worth nothing in another domain");
    // Verification names a claim of what is missing.
    let told = async || {
        let mut told = vec![];
        queue.store.verify(|line| told.push(line.to_owned())).await.unwrap();
        told
    };
    assert_eq!(told().await, Vec::<String>::new());
    let gone = Statement::new("DELETE FROM \"crm/Tasks\"");
    queue.database.write(vec![gone], Room::Free).await.unwrap();
    let want = format!("crm/Tasks/{}: a claim of what is missing", two.id);
    assert_eq!(told().await, [want]);
}
