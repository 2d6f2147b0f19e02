//! Two stores on one database, as two processes have one: the engine of the former writes nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "opened/directory.rs"]
mod directory;
#[path = "opened/config.rs"]
mod opened;
#[path = "opened/queued.rs"]
mod queued;
#[path = "opened/received.rs"]
mod received;

use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::ErrorCode;
use postroom_model::FolderId;
use postroom_model::MessageEntityId;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_store::SourceKey;
use postroom_store::*;
use postroom_testkit::on_both;
use queued::object;
use queued::prepared;
use received::received;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::Barrier;

/// How many rounds a race has.
const ROUNDS: u32 = 200;

struct Node {
    store: Store,
    domain: Domain,
}

/// Two nodes, of which neither leads.
async fn nodes() -> (TempDir, Arc<Node>, Arc<Node>) {
    let directory = tempfile::tempdir().unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let node = || async {
        let store = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
        Arc::new(Node { store, domain: Domain::default_domain() })
    };
    let (one, other) = (node().await, node().await);
    (directory, one, other)
}

const DUE: DueAt = DueAt { now_ms: 1, latest_ms: i64::MAX };

impl Node {
    async fn create(&self, class: &str, values: Json) -> EntityId {
        let entity = Entity::new(Clock::system().new_id(), object(values));
        let (id, class) = (entity.id, self.store.class(class).unwrap());
        let new = vec![NewEntity { entity, files: vec![] }];
        self.store.entity_create(&self.domain, &class, new).await.unwrap();
        id
    }

    async fn account(&self) -> AccountId {
        let profile =
            self.create(builtin::PROFILES, json!({"name": "p", "smtpHost": "smtp.b.test"}));
        let profile = profile.await.to_string();
        let values = json!({"profile_id": profile, "address": "a@b.test", "enabled": true});
        AccountId::of(self.create(builtin::ACCOUNTS, values).await)
    }

    async fn folder(&self, account: AccountId) -> FolderId {
        let values = json!({"account_id": account.to_string(), "name": "f", "title": "f"});
        FolderId::of(self.create(builtin::FOLDERS, values).await)
    }

    async fn get(&self, class: &str, id: EntityId) -> Entity {
        let class = self.store.class(class).unwrap();
        self.store.entity_get(&self.domain, &class, id).await.unwrap().unwrap()
    }

    /// A message in the queue.
    async fn queued(&self, account: AccountId) -> MessageEntityId {
        let values = json!({
            "account_id": account.to_string(), "messageDirection": "out", "to": ["x@y.test"],
            "messageState": "sending",
        });
        let id = self.create(builtin::MESSAGES, values).await;
        let message = self.get(builtin::MESSAGES, id).await;
        let prepared = prepared(account, json!({"recipients": [{"address": "x@y.test"}]}));
        let end = self.store.delivery_prepare(&self.domain, &message, prepared).await.unwrap();
        assert_eq!(end, PrepareEnd::Queued);
        MessageEntityId::of(id)
    }

    /// Commits a received message of this UID.
    async fn receive(&self, folder: FolderId, uid: u64) -> Result<ReceiveOutcome, Error> {
        self.store.receive_commit(received(&self.store, &self.domain, folder, uid)).await
    }

    /// Takes the lead, as an engine does that starts.
    async fn lead(&self) -> Self {
        let store = self.store.lead().await.unwrap();
        Self { store, domain: self.domain.clone() }
    }
}

fn is_deposed<T>(done: &Result<T, Error>) -> bool {
    matches!(done, Err(Error::Condition(Failed::Deposed)))
}

/// When an attempt ended.
fn at() -> Timestamp {
    Timestamp::from_ms(5)
}

#[on_both]
async fn the_late_batches_of_a_former_leader_are_refused_and_its_claims_are_recovered() {
    let (_directory, one, other) = nodes().await;
    let (account, former) = (one.account().await, one.lead().await);
    let folder = one.folder(account).await;
    let (claimed, dotted) = (one.queued(account).await, one.queued(account).await);
    let mut taken = former.store.delivery_claim(account, DUE, 9).await.unwrap();
    assert_eq!(taken.len(), 2);
    assert_eq!(former.store.delivery_dot_sent(dotted, 1, &[0]).await.unwrap(), BeforeDot::Send);
    former.receive(folder, 1).await.unwrap();

    let leader = other.lead().await;
    let late = taken.remove(0);
    assert!(is_deposed(&former.store.delivery_settle(&late, &Verdict::Sent, at()).await));
    assert!(is_deposed(&former.store.delivery_dot_sent(claimed, 1, &[0]).await));
    assert!(is_deposed(&former.store.delivery_release(claimed).await));
    assert!(is_deposed(&former.store.delivery_part(claimed, &[]).await));
    assert!(is_deposed(&former.store.delivery_recover(None).await));
    assert!(is_deposed(&former.receive(folder, 2).await));
    let epoch = MailboxEpoch { folder, number: 1 };
    assert!(is_deposed(&former.store.pending_forget(epoch, &[SourceKey::of_uid(1)]).await));
    assert!(is_deposed(&former.store.action_done(epoch, &[SourceKey::of_uid(1)]).await));
    let survey = Survey { folders: vec![], is_whole: true };
    let surveyed = former.store.survey_commit(&former.domain, account, &survey).await;
    assert!(surveyed.is_ok() || is_deposed(&surveyed), "nothing to write: {surveyed:?}");
    assert!(former.store.is_deposed());

    leader.store.delivery_recover(None).await.unwrap();
    let again = leader.store.delivery_claim(account, DUE, 9).await.unwrap();
    assert_eq!(again.iter().map(|one| one.message).collect::<Vec<_>>(), [claimed]);
    let doubt = leader.store.delivery_outcome_unknown(account).await.unwrap();
    assert_eq!(doubt.iter().map(|one| one.message).collect::<Vec<_>>(), [dotted]);
    leader.store.delivery_settle(&again[0], &Verdict::Sent, at()).await.unwrap();
    let message = one.get(builtin::MESSAGES, claimed.into()).await;
    assert_eq!(message.text("messageState"), Some("sent"));
    leader.receive(folder, 2).await.unwrap();
}

#[on_both]
async fn a_start_recovers_no_claim_of_its_own_epoch_and_a_sender_that_starts_does() {
    let (_directory, one, _other) = nodes().await;
    let (account, leader) = (one.account().await, one.lead().await);
    let message = one.queued(account).await;
    assert_eq!(leader.store.delivery_claim(account, DUE, 9).await.unwrap().len(), 1);
    leader.store.delivery_recover(None).await.unwrap();
    assert_eq!(leader.store.delivery_claim(account, DUE, 9).await.unwrap(), []);
    leader.store.delivery_recover(Some(account)).await.unwrap();
    let again = leader.store.delivery_claim(account, DUE, 9).await.unwrap();
    assert_eq!(again.iter().map(|one| one.message).collect::<Vec<_>>(), [message]);
}

#[on_both]
async fn the_next_start_recovers_what_a_killed_process_had_claimed() {
    let directory = tempfile::tempdir().unwrap();
    let domain = Domain::default_domain();
    let store = directory::open(directory.path(), "a").await.unwrap();
    let killed = Node { store, domain: domain.clone() };
    let account = killed.account().await;
    let message = killed.queued(account).await;
    assert_eq!(killed.store.delivery_claim(account, DUE, 9).await.unwrap().len(), 1);
    drop(killed);
    let store = directory::open(directory.path(), "a").await.unwrap();
    assert_eq!(store.delivery_claim(account, DUE, 9).await.unwrap(), []);
    store.delivery_recover(None).await.unwrap();
    let again = store.delivery_claim(account, DUE, 9).await.unwrap();
    assert_eq!(again.iter().map(|one| one.message).collect::<Vec<_>>(), [message]);
}

#[on_both]
async fn who_does_not_lead_claims_nothing() {
    let (_directory, one, _other) = nodes().await;
    let account = one.account().await;
    one.queued(account).await;
    let refused = one.store.delivery_claim(account, DUE, 9).await;
    assert!(matches!(refused, Err(Error::NotLeading)), "{refused:?}");
    let refused = one.store.delivery_recover(None).await;
    assert!(matches!(refused, Err(Error::NotLeading)), "{refused:?}");
}

/// An attempt of one node that ends while another node takes over, again and again: what a node was
/// told to be recorded is what is there, and each message is settled once.
#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn a_message_is_settled_by_one_epoch() {
    let (_directory, one, other) = nodes().await;
    let account = one.account().await;
    let (mut by_former, mut by_next) = (0, 0);
    for round in 0..ROUNDS {
        let (now, next) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let leader = now.lead().await;
        let message = now.queued(account).await;
        let mut claimed = leader.store.delivery_claim(account, DUE, 9).await.unwrap();
        let claimed = claimed.pop().unwrap();
        assert_eq!(claimed.message, message);
        let barrier = Arc::new(Barrier::new(2));
        let settles = {
            let (barrier, leader) = (Arc::clone(&barrier), leader);
            tokio::spawn(async move {
                barrier.wait().await;
                leader.store.delivery_settle(&claimed, &Verdict::Sent, at()).await
            })
        };
        let takes_over = {
            let (barrier, next) = (Arc::clone(&barrier), Arc::clone(next));
            tokio::spawn(async move {
                barrier.wait().await;
                let leader = next.lead().await;
                leader.store.delivery_recover(None).await.unwrap();
                let claimed = leader.store.delivery_claim(account, DUE, 9).await.unwrap();
                let reason = "by the next".to_owned();
                let ends = Verdict::Error { code: ErrorCode::Refused, reason };
                for one in &claimed {
                    leader.store.delivery_settle(one, &ends, at()).await.unwrap();
                }
                claimed.len()
            })
        };
        let (settled, recovered) = (settles.await.unwrap(), takes_over.await.unwrap());
        let state = now.get(builtin::MESSAGES, message.into()).await;
        match (&settled, recovered) {
            (Ok(_), 0) => {
                by_former += 1;
                assert_eq!(state.text("messageState"), Some("sent"));
            }
            (Err(Error::Condition(Failed::Deposed)), 1) => {
                by_next += 1;
                assert_eq!(state.text("messageState"), Some("error"));
            }
            (settled, recovered) => panic!("round {round}: {settled:?}, {recovered} recovered"),
        }
    }
    assert_eq!(by_former + by_next, ROUNDS, "{by_former} by the former, {by_next} by the next");
}

/// Many take the lead at once, each writes as long as it leads.
#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn each_epoch_has_one_leader_and_each_uid_one_message() {
    let (_directory, one, other) = nodes().await;
    let account = one.account().await;
    let folder = one.folder(account).await;
    for round in 0..ROUNDS / 8 {
        let barrier = Arc::new(Barrier::new(8));
        let racers = (0..8).map(|at| {
            let (barrier, node) = (Arc::clone(&barrier), Arc::clone([&one, &other][at % 2]));
            tokio::spawn(async move {
                barrier.wait().await;
                let leader = node.lead().await;
                leader.receive(folder, u64::from(round) + 1).await
            })
        });
        let mut stored = 0;
        for done in racers.collect::<Vec<_>>() {
            match done.await.unwrap() {
                Ok(ReceiveOutcome::Done { stored: new, .. }) => stored += new,
                // The UID was recorded between the look and the batch.
                Err(Error::Condition(Failed::Deposed | Failed::Recorded)) => {}
                done => panic!("{done:?}"),
            }
        }
        assert!(stored <= 1, "round {round}: {stored}");
    }
    let last = one.lead().await;
    for uid in 1..=u64::from(ROUNDS / 8) {
        last.receive(folder, uid).await.unwrap();
    }
    let class = one.store.class(builtin::MESSAGES).unwrap();
    let all = one.store.entity_count(&one.domain, &class, &Default::default()).await.unwrap();
    assert_eq!(all, u64::from(ROUNDS / 8));
}
