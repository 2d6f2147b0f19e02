//! Two engines on one database: the one that starts later takes over, and the former one stops.

use postroom_engine::Dialing;
use postroom_engine::Settings;
use postroom_engine::Supervisor;
use postroom_model::builtin;
use postroom_net::Dialer;
use postroom_net::Trust;
use postroom_store::Clock;
use postroom_store::FeedRetention;
use postroom_store::MasterKey;
use postroom_store::Member;
use postroom_store::ObjectsAccess;
use postroom_store::SqliteDirectory;
use postroom_store::Store;
use postroom_store::StoreConfig;
use postroom_store::Work;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn settings(directory: &Path, spool: &str) -> Settings {
    let dialer = Dialer::new(&Trust::default()).unwrap();
    let dialing = Dialing { dialer, ehlo_name: "x.test".to_owned() };
    Settings::new(dialing, directory.join(spool))
}

#[tokio::test(start_paused = true)]
async fn an_engine_stops_and_says_so_when_another_process_has_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        key: MasterKey::in_directory(directory.path()).unwrap(),
        classes: builtin::classes().unwrap(),
        clock: Clock::system(),
        work: Work::Inline,
        member: Member::alone(),
        objects: ObjectsAccess::None,
        feed: FeedRetention::default(),
    };
    let database = SqliteDirectory::open_inline(directory.path(), Clock::system()).unwrap();
    let one = Store::open(Arc::clone(&database), &config).await.unwrap();
    let other = Store::open(database, &config).await.unwrap();
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
