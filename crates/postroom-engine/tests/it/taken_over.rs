//! Two engines on one database: one of them leads, and the other one does not.

use postroom_engine::Dialing;
use postroom_engine::GroupNode;
use postroom_engine::NodePlace;
use postroom_engine::NodeTerms;
use postroom_engine::Settings;
use postroom_engine::Supervisor;
use postroom_model::Instance;
use postroom_model::InstanceRest;
use postroom_model::InstanceRole;
use postroom_model::builtin;
use postroom_net::Dialer;
use postroom_net::Trust;
use postroom_store::Clock;
use postroom_store::Database;
use postroom_store::FeedRetention;
use postroom_store::MasterKey;
use postroom_store::Member;
use postroom_store::NodeState;
use postroom_store::ObjectsAccess;
use postroom_store::SqliteDirectory;
use postroom_store::Store;
use postroom_store::StoreConfig;
use postroom_store::Work;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

fn settings(directory: &Path, spool: &str) -> Settings {
    let dialer = Dialer::new(&Trust::default()).unwrap();
    let dialing = Dialing { dialer, ehlo_name: "x.test".to_owned() };
    Settings::new(dialing, directory.join(spool))
}

/// The process with this place in its group.
fn instance(order: u64) -> Instance {
    Instance { order, ..Instance::named(format!("node {order}")) }
}

/// A database that several stores share, as several processes share one.
struct SharedDatabase {
    directory: TempDir,
    database: Arc<dyn Database>,
}

impl SharedDatabase {
    fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // A key is made only where there is no database yet.
        MasterKey::in_directory(directory.path()).unwrap();
        let database = SqliteDirectory::open_inline(directory.path(), Clock::system()).unwrap();
        Self { directory, database }
    }

    /// The store of a process with this place in its group.
    async fn store(&self, order: u64) -> Store {
        let instance = instance(order);
        let config = StoreConfig {
            key: MasterKey::in_directory(self.directory.path()).unwrap(),
            classes: builtin::classes().unwrap(),
            clock: Clock::system(),
            work: Work::Inline,
            member: Member { instance, seat: None },
            objects: ObjectsAccess::None,
            feed: FeedRetention::default(),
        };
        Store::open(Arc::clone(&self.database), &config).await.unwrap()
    }

    async fn node(&self, order: u64, spool: &str) -> GroupNode {
        let settings = settings(self.directory.path(), spool);
        let place = NodePlace::of(instance(order));
        let terms = NodeTerms { settings, place, is_alone: false };
        GroupNode::start(self.store(order).await, terms).await.unwrap()
    }
}

/// Waits until just these of the nodes are active.
async fn until(nodes: [&GroupNode; 2], want: [bool; 2]) {
    let reached = async {
        while nodes.map(|node| node.view().is_active()) != want {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
    assert!(reached.is_ok(), "{:?} instead of {want:?}", nodes.map(GroupNode::view));
}

#[tokio::test(start_paused = true)]
async fn a_node_hands_over_to_a_preferred_one_and_waits_again_when_it_is_deposed() {
    let shared = SharedDatabase::open();
    let later = shared.node(2, "later").await;
    assert!(later.view().is_active());
    let preferred = shared.node(1, "preferred").await;
    assert!(!preferred.view().is_active(), "it waits until the other one has finished");
    until([&preferred, &later], [true, false]).await;
    // A process that does not wait takes the lease away.
    let leader = shared.store(3).await.lead().await.unwrap();
    until([&preferred, &later], [false, false]).await;
    assert_eq!(preferred.view().problem(), None, "it waits, which is no problem");
    leader.give_up().await.unwrap();
    until([&preferred, &later], [true, false]).await;
    preferred.stop().await;
    later.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_takes_each_place_that_it_is_given_without_a_restart() {
    let shared = SharedDatabase::open();
    let one = shared.node(1, "one").await;
    let other = shared.node(2, "other").await;
    let nodes = [&one, &other];
    until(nodes, [true, false]).await;
    // It comes last now, so it hands over.
    one.place(NodePlace::of(Instance { order: 3, ..instance(1) }));
    until(nodes, [false, true]).await;
    let mut rests = NodePlace::of(instance(2));
    rests.details.rest = Some(InstanceRest::Disabled);
    other.place(rests);
    until(nodes, [true, false]).await;
    assert_eq!(other.view().rest(), Some(InstanceRest::Disabled));
    // It gives up the lease of its group, and takes that of the other one.
    one.place(NodePlace::of(Instance { group: 7, ..instance(1) }));
    let watcher = shared.store(9).await;
    let is_there = async || {
        let nodes = watcher.nodes().await.unwrap();
        let of = nodes.into_iter().find(|node| node.name == "node 1").unwrap();
        of.group.as_deref() == Some("7") && of.state == NodeState::Active
    };
    let moved = async {
        while !is_there().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), moved).await.unwrap();
    until(nodes, [true, false]).await;
    one.place(NodePlace::of(Instance { role: InstanceRole::Api, ..instance(1) }));
    until(nodes, [false, false]).await;
    other.place(NodePlace::of(instance(2)));
    until(nodes, [false, true]).await;
    assert_eq!(other.view().rest(), None);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_stops_and_says_so_when_another_process_has_taken_over() {
    let shared = SharedDatabase::open();
    let (one, other, directory) = (shared.store(1).await, shared.store(2).await, &shared.directory);
    let former = Supervisor::start(one, settings(directory.path(), "one")).await.unwrap();
    let health = former.watch_health();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(health(), None);
    let next = Supervisor::start(other, settings(directory.path(), "other")).await.unwrap();
    // It has nothing to write, so it learns of it when it renews its lease.
    let told = async {
        while health().is_none() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        health().unwrap()
    };
    let told = tokio::time::timeout(Duration::from_secs(120), told).await.unwrap();
    assert!(told.starts_with("another process has taken over"), "{told}");
    // It has ended by itself, and still says why.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(health(), Some(told));
    former.stop().await;
    assert_eq!(next.watch_health()(), None);
    next.stop().await;
}
