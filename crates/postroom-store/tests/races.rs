//! Rules hold whoever is first: each is raced by eight at once, in both orders, and looked at after
//! each round.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "opened/leading.rs"]
mod leading;
#[path = "opened/config.rs"]
mod opened;
#[path = "opened/queued.rs"]
mod queued;
#[path = "opened/received.rs"]
mod received;

use leading::leading;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::ProfileId;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_store::DueAt;
use postroom_store::EntityPlace;
use postroom_store::OriginalPage;
use postroom_store::*;
use postroom_testkit::on_both;
use queued::object;
use queued::prepared;
use received::received;
use serde_json::Value as Json;
use serde_json::json;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use tempfile::TempDir;
use tokio::sync::Barrier;

/// How many rounds each race has.
const ROUNDS: u32 = 200;
/// How many take part in each.
const RACERS: usize = 8;

/// What is due at any time.
const DUE: DueAt = DueAt { now_ms: 1, latest_ms: i64::MAX };

/// What one who takes part does; whether it was done.
type Racer = Pin<Box<dyn Future<Output = Result<bool, Error>> + Send>>;

struct Track {
    _directory: TempDir,
    database: Arc<dyn Database>,
    store: Store,
    domain: Domain,
}

impl Track {
    async fn open() -> Arc<Self> {
        let (_directory, database, store) = leading().await;
        Arc::new(Self { _directory, database, store, domain: Domain::default_domain() })
    }

    async fn create(&self, class: &str, values: Json) -> Result<EntityId, Error> {
        let entity = Entity::new(Clock::system().new_id(), object(values));
        let (id, class) = (entity.id, self.store.class(class).unwrap());
        let new = NewEntity { entity, files: vec![] };
        self.store.entity_create(&self.domain, &class, vec![new]).await.map(|_| id)
    }

    async fn profile(&self) -> ProfileId {
        let host = format!("{}.test", uuid::Uuid::now_v7().simple());
        let values = json!({"name": "p", "imapHost": host, "imapSecurity": "tls",
                            "smtpHost": "smtp.b.test"});
        ProfileId::of(self.create(builtin::PROFILES, values).await.unwrap())
    }

    async fn account_of(&self, profile: ProfileId, address: &str) -> Result<AccountId, Error> {
        let values = json!({"profile_id": profile.to_string(), "address": address});
        self.create(builtin::ACCOUNTS, values).await.map(AccountId::of)
    }

    async fn send_box(&self, account: AccountId) -> Result<(), Error> {
        self.store.send_box_ensure(&self.domain, account, "a@b.test", "box").await
    }

    async fn account(&self) -> AccountId {
        self.account_of(self.profile().await, "a@b.test").await.unwrap()
    }

    async fn folder_of(&self, account: AccountId, name: &str) -> Result<FolderId, Error> {
        let values = json!({"account_id": account.to_string(), "name": name, "title": name});
        self.create(builtin::FOLDERS, values).await.map(FolderId::of)
    }

    async fn change(&self, class: &str, id: EntityId, values: Json) -> Result<bool, Error> {
        self.change_of(class, id, values, None).await
    }

    async fn change_of(
        &self,
        class: &str,
        id: EntityId,
        values: Json,
        version: Option<i64>,
    ) -> Result<bool, Error> {
        let class = self.store.class(class).unwrap();
        let place = EntityPlace::new(&self.domain, class.as_ref(), id);
        let updated = self.store.entity_update(place, &object(values), version).await?;
        Ok(matches!(updated, Updated::Done(_)))
    }

    async fn delete(&self, class: &str, id: EntityId) -> Result<bool, Error> {
        let class = self.store.class(class).unwrap();
        let gone =
            self.store.entity_delete(EntityPlace::new(&self.domain, &class, id), None).await?;
        Ok(matches!(gone, Updated::Done(_)))
    }

    async fn message(&self, account: AccountId) -> Entity {
        let values = json!({
            "account_id": account.to_string(), "messageDirection": "out", "to": ["x@y.test"],
            "messageState": "sending",
        });
        let id = self.create(builtin::MESSAGES, values).await.unwrap();
        self.get(builtin::MESSAGES, id).await.unwrap()
    }

    async fn get(&self, class: &str, id: EntityId) -> Option<Entity> {
        let class = self.store.class(class).unwrap();
        self.store.entity_get(&self.domain, &class, id).await.unwrap()
    }

    async fn prepare(&self, account: AccountId, message: &Entity) -> Result<bool, Error> {
        let prepared = prepared(account, json!({"recipients": [{"address": "x@y.test"}]}));
        let end = self.store.delivery_prepare(&self.domain, message, prepared).await?;
        Ok(end == PrepareEnd::Queued)
    }

    /// Sends what is due, as a sender does; whether something was sent.
    async fn send(&self, account: AccountId) -> Result<bool, Error> {
        let mut sent = false;
        for mut claimed in self.store.delivery_claim(account, DUE, 9).await? {
            if self.store.delivery_dot_sent(claimed.message, 1, &[0]).await? != BeforeDot::Send {
                self.store.delivery_release(claimed.message).await?;
                continue;
            }
            claimed.recipients = vec![json!({"address": "x@y.test", "state": "sent"})];
            self.store.delivery_settle(&claimed, &Verdict::Sent, Timestamp::from_ms(5)).await?;
            sent = true;
        }
        Ok(sent)
    }

    async fn receive(&self, folder: FolderId, uid: u64) -> Result<bool, Error> {
        let batch = received(&self.store, &self.domain, folder, uid);
        let outcome = self.store.receive_commit(batch).await?;
        Ok(matches!(outcome, ReceiveOutcome::Done { stored: 1, .. }))
    }

    async fn html(&self, id: EntityId) -> Option<FileRow> {
        let mut files = self.store.file_list(&self.domain, id, "html").await.unwrap();
        assert!(files.len() <= 1, "{files:?}");
        files.pop()
    }

    /// The number that a query of the database gives.
    async fn number(&self, query: Statement) -> i64 {
        let rows = self.database.read(query).await.unwrap();
        rows.first().and_then(|row| row.whole(0)).unwrap()
    }
}

/// Lets them start at the same moment, those of odd rounds the other way round, and gives what each
/// has come to, in the order in which they are given.
async fn race(round: u32, racers: Vec<Racer>) -> Vec<Result<bool, Error>> {
    let barrier = Arc::new(Barrier::new(racers.len()));
    let mut running: Vec<_> = racers.into_iter().enumerate().collect();
    if round % 2 == 1 {
        running.reverse();
    }
    let start = |(at, racer): (usize, Racer)| {
        let barrier = Arc::clone(&barrier);
        let run = async move {
            barrier.wait().await;
            racer.await
        };
        (at, tokio::spawn(run))
    };
    let mut done = vec![];
    for (at, running) in running.into_iter().map(start).collect::<Vec<_>>() {
        done.push((at, running.await.unwrap()));
    }
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, done)| done).collect()
}

/// As many as race, each made by its number.
fn racers<F>(count: usize, make: impl Fn(usize) -> F) -> Vec<Racer>
where
    F: Future<Output = Result<bool, Error>> + Send + 'static,
{
    (0..count).map(|at| Box::pin(make(at)) as Racer).collect()
}

fn count(done: &[Result<bool, Error>]) -> usize {
    done.iter().filter(|done| matches!(done, Ok(true))).count()
}

/// Each that was refused was refused by one of these.
fn refused_by(done: &[Result<bool, Error>], allowed: impl Fn(&Failed) -> bool) {
    for error in done.iter().filter_map(|done| done.as_ref().err()) {
        assert!(matches!(error, Error::Condition(failed) if allowed(failed)), "{error:?}");
    }
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn an_account_has_its_profile() {
    let track = Track::open().await;
    for round in 0..ROUNDS {
        let (profile, other) = (track.profile().await, track.account().await);
        let mut all = racers(3, |at| {
            let track = Arc::clone(&track);
            async move { track.account_of(profile, &format!("a{at}@b.test")).await.map(|_| true) }
        });
        all.extend(racers(2, |_| {
            let (track, to) = (Arc::clone(&track), json!({"profile_id": profile.to_string()}));
            async move { track.change(builtin::ACCOUNTS, other.into(), to).await }
        }));
        all.extend(racers(3, |_| {
            let track = Arc::clone(&track);
            async move { track.delete(builtin::PROFILES, profile.into()).await }
        }));
        let done = race(round, all).await;
        assert!(count(&done[..5]) == 0 || count(&done[5..]) == 0, "{done:?}");
        assert!(count(&done) > 0, "somebody is first: {done:?}");
        refused_by(&done, |failed| {
            matches!(failed, Failed::Reference { .. } | Failed::InUse { .. } | Failed::Crowded)
        });
    }
    let orphans = "SELECT COUNT(*) FROM \"email/Accounts\" WHERE \"profile_id\" NOT IN
        (SELECT \"id\" FROM \"email/Profiles\")";
    assert_eq!(track.number(Statement::new(orphans)).await, 0);
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn a_folder_has_its_account() {
    let track = Track::open().await;
    for round in 0..ROUNDS {
        let account = track.account().await;
        let mut all = racers(2, |at| {
            let track = Arc::clone(&track);
            async move { track.folder_of(account, &format!("f{at}")).await.map(|_| true) }
        });
        all.extend(racers(2, |at| {
            let track = Arc::clone(&track);
            async move {
                let survey = surveyed(&[&format!("m{at}"), "m"]);
                track.store.survey_commit(&track.domain, account, &survey).await.map(|()| true)
            }
        }));
        all.extend(racers(2, |_| {
            let track = Arc::clone(&track);
            async move { track.send_box(account).await.map(|()| true) }
        }));
        all.extend(racers(2, |_| {
            let track = Arc::clone(&track);
            async move { track.delete(builtin::ACCOUNTS, account.into()).await }
        }));
        let done = race(round, all).await;
        assert_eq!(count(&done[6..]), 1, "{done:?}");
        refused_by(&done, |failed| matches!(failed, Failed::Reference { .. }));
    }
    assert_eq!(track.number(Statement::new("SELECT COUNT(*) FROM \"email/Folders\"")).await, 0);
}

/// What takes the permission to send away.
type Stop = fn(Arc<Track>, AccountId, ProfileId) -> Racer;

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn nothing_leaves_once_the_account_may_not_send() {
    let stops: [Stop; 3] = [
        |track, account, _| {
            let values = json!({"enabled": false});
            Box::pin(async move { track.change(builtin::ACCOUNTS, account.into(), values).await })
        },
        |track, _, profile| {
            let values = json!({"smtpHost": null});
            Box::pin(async move { track.change(builtin::PROFILES, profile.into(), values).await })
        },
        |track, account, _| {
            Box::pin(async move { track.delete(builtin::ACCOUNTS, account.into()).await })
        },
    ];
    let track = Track::open().await;
    for (round, stop) in (0..ROUNDS).zip(stops.into_iter().cycle()) {
        let profile = track.profile().await;
        let account = track.account_of(profile, &format!("a{round}@b.test")).await.unwrap();
        for _ in 0..3 {
            let message = track.message(account).await;
            assert!(track.prepare(account, &message).await.unwrap());
        }
        let is_stopped = Arc::new(AtomicBool::new(false));
        let mut all = racers(RACERS - 1, |_| {
            let (track, is_stopped) = (Arc::clone(&track), Arc::clone(&is_stopped));
            async move {
                // Those that begin after the answer are tried too.
                let mut is_last = false;
                while !is_last {
                    is_last = is_stopped.load(Ordering::SeqCst);
                    for claimed in track.store.delivery_claim(account, DUE, 1).await? {
                        assert!(!is_last, "claimed after the answer");
                        let was_stopped = is_stopped.load(Ordering::SeqCst);
                        let before_dot =
                            track.store.delivery_dot_sent(claimed.message, 1, &[0]).await?;
                        let leaves = before_dot == BeforeDot::Send;
                        assert!(!(leaves && was_stopped), "left after the answer");
                    }
                }
                Ok(true)
            }
        });
        all.push({
            let (track, is_stopped) = (Arc::clone(&track), Arc::clone(&is_stopped));
            Box::pin(async move {
                let done = stop(Arc::clone(&track), account, profile).await?;
                is_stopped.store(true, Ordering::SeqCst);
                Ok(done)
            })
        });
        let done = race(round, all).await;
        assert_eq!(count(&done), RACERS, "{done:?}");
        if track.get(builtin::ACCOUNTS, account.into()).await.is_some() {
            let late = track.message(account).await;
            assert!(track.prepare(account, &late).await.unwrap());
            assert!(!track.send(account).await.unwrap(), "it came after the answer");
        }
    }
}

fn surveyed(mailboxes: &[&str]) -> Survey {
    let folder = |name: &&str| SurveyedFolder {
        mailbox: (*name).to_owned(),
        name: (*name).to_owned(),
        title: format!("a@b.test/{name}"),
        delimiter: "/".to_owned(),
        flags: vec![],
        special_use: None,
    };
    Survey { folders: mailboxes.iter().map(folder).collect(), is_whole: true }
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn a_mailbox_has_one_folder() {
    let track = Track::open().await;
    for round in 0..ROUNDS {
        let account = track.account().await;
        let other = track.folder_of(account, "other").await.unwrap();
        let mut all = racers(3, |at| {
            let (track, name) = (Arc::clone(&track), ["INBOX", "inbox"][at % 2]);
            async move { track.folder_of(account, name).await.map(|_| true) }
        });
        all.extend(racers(1, |_| {
            let track = Arc::clone(&track);
            async move { track.change(builtin::FOLDERS, other.into(), json!({"name": "Inbox"})).await }
        }));
        all.extend(racers(2, |_| {
            let track = Arc::clone(&track);
            async move { track.send_box(account).await.map(|()| false) }
        }));
        all.extend(racers(2, |_| {
            let track = Arc::clone(&track);
            async move {
                let survey = surveyed(&["INBOX"]);
                track.store.survey_commit(&track.domain, account, &survey).await.map(|()| false)
            }
        }));
        let done = race(round, all).await;
        assert!(count(&done) <= 1, "{done:?}");
        refused_by(&done, |failed| matches!(failed, Failed::OneFolder));
    }
    let twice = "SELECT COUNT(*) FROM (SELECT 1 FROM \"email/Folders\"
        GROUP BY \"account_id\", UPPER(\"name\") HAVING COUNT(*) <> 1) twice";
    assert_eq!(track.number(Statement::new(twice)).await, 0);
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn a_login_at_a_server_has_one_account() {
    let track = Track::open().await;
    for round in 0..ROUNDS {
        let (one, two) = (track.profile().await, track.profile().await);
        let host = track
            .get(builtin::PROFILES, one.into())
            .await
            .unwrap()
            .text("imapHost")
            .map(str::to_owned);
        let mut all = racers(6, |at| {
            let (track, profile) = (Arc::clone(&track), [one, two][at % 2]);
            async move { track.account_of(profile, "Twin@b.test").await.map(|_| true) }
        });
        all.extend(racers(2, |_| {
            let (track, to) = (Arc::clone(&track), json!({"imapHost": host}));
            async move { track.change(builtin::PROFILES, two.into(), to).await.map(|_| false) }
        }));
        let done = race(round, all).await;
        // Where the profiles stayed two servers there is one account at each.
        assert!((1..=2).contains(&count(&done)), "{done:?}");
        refused_by(&done, |failed| matches!(failed, Failed::SameLogin | Failed::Crowded));
    }
    let twins = "SELECT COUNT(*) FROM (SELECT 1 FROM \"email/Accounts\" a
        JOIN \"email/Profiles\" p ON p.\"id\" = a.\"profile_id\"
        GROUP BY p.\"imapHost\", LOWER(a.\"address\") HAVING COUNT(*) > 1) twins";
    assert_eq!(track.number(Statement::new(twins)).await, 0);
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn of_changes_of_one_version_one_is_made() {
    let track = Track::open().await;
    let profile = track.profile().await;
    for round in 0..ROUNDS {
        let version = track.get(builtin::PROFILES, profile.into()).await.unwrap().version;
        let all = racers(RACERS, |at| {
            let (track, name) = (Arc::clone(&track), json!({"name": format!("{round}-{at}")}));
            async move { track.change_of(builtin::PROFILES, profile.into(), name, Some(version)).await }
        });
        let done = race(round, all).await;
        assert_eq!(count(&done), 1, "{done:?}");
        let now = track.get(builtin::PROFILES, profile.into()).await.unwrap();
        let first = done.iter().position(|done| matches!(done, Ok(true))).unwrap();
        assert_eq!(now.text("name"), Some(format!("{round}-{first}").as_str()));
        assert_eq!(now.version, version + 1);
    }
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn what_a_key_creates_is_created_once() {
    let track = Track::open().await;
    for round in 0..ROUNDS {
        let once = Once { key: format!("k{round}"), request: [1; 32] };
        let all = racers(RACERS, |_| {
            let (track, once) = (Arc::clone(&track), once.clone());
            async move {
                let class = track.store.class(builtin::PROFILES).unwrap();
                let entity = Entity::new(
                    EntityId::from_u128(uuid::Uuid::now_v7().as_u128()),
                    object(json!({"name": "once"})),
                );
                let new = vec![NewEntity { entity, files: vec![] }];
                let terms = Terms { once: Some(&once), ..Terms::default() };
                let (domain, class) = (&track.domain, class.as_ref());
                Ok(track.store.entity_create_on(domain, class, new, terms).await?.is_some())
            }
        });
        let done = race(round, all).await;
        assert_eq!(count(&done), 1, "{done:?}");
        refused_by(&done, |_| false);
    }
    assert_eq!(
        track.number(Statement::new("SELECT COUNT(*) FROM \"email/Profiles\"")).await,
        i64::from(ROUNDS)
    );
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn what_is_sent_is_what_the_message_was() {
    let track = Track::open().await;
    let account = track.account().await;
    for round in 0..ROUNDS {
        let message = track.message(account).await;
        assert!(track.prepare(account, &message).await.unwrap());
        let id = message.id;
        let mut all = racers(4, |_| {
            let track = Arc::clone(&track);
            async move { track.send(account).await }
        });
        let change = [
            json!({"messageState": null}),
            json!({"subject": "new"}),
            json!({"to": ["other@y.test"]}),
        ][round as usize % 3]
            .clone();
        all.extend(racers(2, |_| {
            let (track, change) = (Arc::clone(&track), change.clone());
            async move { track.change(builtin::MESSAGES, id, change).await }
        }));
        all.extend(racers(2, |at| {
            let track = Arc::clone(&track);
            async move {
                let class = track.store.class(builtin::MESSAGES).unwrap();
                let place = EntityPlace::new(&track.domain, class.as_ref(), id);
                track.store.file_add(place, vec![file(at)], &Replace::Any).await.map(|()| true)
            }
        }));
        let done = race(round, all).await;
        let (sent, changed) = (count(&done[..4]), count(&done[4..]));
        assert!(sent <= 1 && (sent == 0) == (changed > 0), "{done:?}");
        refused_by(&done, |failed| {
            let read_only = matches!(failed, Failed::ReadOnly { .. } | Failed::Invalid { .. });
            read_only || matches!(failed, Failed::Sending | Failed::Crowded)
        });
        let state = track.get(builtin::MESSAGES, id).await.unwrap();
        assert_eq!(state.text("messageState") == Some("sent"), sent == 1);
        track.delete(builtin::MESSAGES, id).await.unwrap();
    }
    assert_eq!(track.number(Statement::new("SELECT COUNT(*) FROM \"delivery\"")).await, 0);
}

fn file(number: usize) -> NewFile {
    NewFile {
        property: "file".to_owned(),
        name: format!("{number}.txt"),
        media_type: "text/plain".to_owned(),
        content_id: None,
        content: NewContent::Own(Content::prepare(b"file")),
    }
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn a_message_that_is_deleted_is_not_sent() {
    let track = Track::open().await;
    let account = track.account().await;
    for round in 0..ROUNDS {
        let message = track.message(account).await;
        let id = message.id;
        let mut all = racers(4, |at| {
            let (track, message) = (Arc::clone(&track), message.clone());
            async move {
                if at == 0 {
                    track.prepare(account, &message).await?;
                }
                track.send(account).await
            }
        });
        all.extend(racers(4, |_| {
            let track = Arc::clone(&track);
            async move { track.delete(builtin::MESSAGES, id).await }
        }));
        let done = race(round, all).await;
        assert!(count(&done[4..]) <= 1, "{done:?}");
        refused_by(&done, |failed| matches!(failed, Failed::Sending | Failed::Crowded));
        if count(&done[4..]) == 0 {
            while track.send(account).await.unwrap() {}
            track.delete(builtin::MESSAGES, id).await.unwrap();
        }
        assert!(track.get(builtin::MESSAGES, id).await.is_none());
    }
    for table in ["delivery", "delivered", "file", "chunk"] {
        assert_eq!(
            track.number(Statement::new(format!("SELECT COUNT(*) FROM \"{table}\""))).await,
            0,
            "{table}"
        );
    }
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn a_uid_is_recorded_once_and_a_ledger_ends_with_its_folder() {
    let track = Track::open().await;
    let account = track.account().await;
    for round in 0..ROUNDS {
        let folder = track.folder_of(account, &format!("f{round}")).await.unwrap();
        let mut all = racers(4, |_| {
            let track = Arc::clone(&track);
            async move { track.receive(folder, 1).await }
        });
        all.extend(racers(2, |at| {
            let track = Arc::clone(&track);
            async move {
                if at == 0 {
                    return track.store.origin_note(folder, "login").await.map(|()| false);
                }
                let begun = Beginning {
                    login: "login",
                    uid_validity: 1,
                    mailbox_id: None,
                    baseline: 0,
                    unloaded: None,
                    former: None,
                };
                track.store.epoch_begin(folder, begun).await.map(|_| false)
            }
        }));
        if round % 3 > 0 {
            all.extend(racers(2, |_| {
                let track = Arc::clone(&track);
                async move { track.delete(builtin::FOLDERS, folder.into()).await }
            }));
        }
        let done = race(round, all).await;
        let over = |failed: &Failed| {
            matches!(failed, Failed::Recorded | Failed::NoFolder | Failed::EpochOver)
        };
        refused_by(&done, over);
        let of_folder = async |table: &str, column: &str| {
            let sql = format!("SELECT COUNT(*) FROM \"{table}\" WHERE \"{column}\" = $1");
            track.number(Statement::new(sql).bind(folder)).await
        };
        assert!(of_folder("email/Messages", "folder_id").await <= 1, "{done:?}");
        let receipts = of_folder("receipt", "folder").await;
        if round % 3 == 0 {
            assert_eq!((count(&done[..4]), receipts), (1, 1), "{done:?}");
        } else {
            assert_eq!((receipts, of_folder("origin", "folder").await), (0, 0));
        }
    }
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn a_queue_ends_with_its_account() {
    let track = Track::open().await;
    for round in 0..ROUNDS {
        let account = track.account().await;
        let (one, two) = (track.message(account).await, track.message(account).await);
        assert!(track.prepare(account, &one).await.unwrap());
        let mut all = racers(4, |_| {
            let (track, two) = (Arc::clone(&track), two.clone());
            async move { track.prepare(account, &two).await }
        });
        all.extend(racers(4, |_| {
            let track = Arc::clone(&track);
            async move { track.delete(builtin::ACCOUNTS, account.into()).await }
        }));
        let done = race(round, all).await;
        assert_eq!(count(&done[4..]), 1, "{done:?}");
        refused_by(&done, |_| false);
    }
    assert_eq!(track.number(Statement::new("SELECT COUNT(*) FROM \"delivery\"")).await, 0);
    let sql = "SELECT COUNT(*) FROM \"email/Messages\" WHERE \"messageState\" = 'sending'";
    assert_eq!(
        track.number(Statement::new(sql)).await,
        2 * i64::from(ROUNDS),
        "they wait to be told so"
    );
    assert!(!track.store.delivery_orphaned(0).await.unwrap().is_empty());
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn a_job_that_was_taken_away_changes_nothing() {
    let track = Track::open().await;
    let folder = track.folder_of(track.account().await, "f").await.unwrap();
    assert!(track.receive(folder, 1).await.unwrap());
    let class = track.store.class(builtin::MESSAGES).unwrap();
    for round in 0..ROUNDS {
        let job = track.store.job_create(&track.domain, &class, None).await.unwrap();
        let page = OriginalPage { filter: None, behind: None, limit: 9 };
        let message = track.store.original_list(&track.domain, &class, page).await;
        let message = message.unwrap().remove(0).message.unwrap();
        let mut all = racers(6, |at| {
            let (track, job, message) = (Arc::clone(&track), job.clone(), message.clone());
            let class = Arc::clone(&class);
            async move {
                let changes = object(json!({"preview": format!("{round}-{at}")}));
                let again = Redecomposed { message, changes, files: None };
                let (domain, class) = (&track.domain, class.as_ref());
                let recorded = track.store.message_redecompose(domain, class, again, &job).await?;
                Ok(recorded == Recorded::Done)
            }
        });
        all.extend(racers(2, |_| {
            let (track, id) = (Arc::clone(&track), job.id);
            async move { track.store.job_delete(&track.domain, id).await }
        }));
        let done = race(round, all).await;
        let (changed, taken) = (count(&done[..6]), count(&done[6..]));
        assert!(changed <= 1 && taken == 1, "{done:?}");
        refused_by(&done, |_| false);
        let now = track.get(builtin::MESSAGES, message.id).await.unwrap();
        assert_eq!(now.version, message.version + i64::try_from(changed).unwrap());
        let late = object(json!({"preview": "late"}));
        let again = Redecomposed { message: now.clone(), changes: late, files: None };
        let (domain, class) = (&track.domain, class.as_ref());
        let late = track.store.message_redecompose(domain, class, again, &job).await.unwrap();
        assert_eq!(late, Recorded::JobGone);
        assert_eq!(track.get(builtin::MESSAGES, message.id).await, Some(now));
    }
}

#[on_both(flavor = "multi_thread", worker_threads = 8)]
async fn of_changes_of_one_content_one_is_made() {
    let track = Track::open().await;
    let values = json!({"messageDirection": "out"});
    let id = track.create(builtin::MESSAGES, values).await.unwrap();
    let mut seen = None;
    for round in 0..ROUNDS {
        let all = racers(RACERS, |at| {
            let (track, seen) = (Arc::clone(&track), seen.clone());
            async move {
                let class = track.store.class(builtin::MESSAGES).unwrap();
                let place = EntityPlace::new(&track.domain, class.as_ref(), id);
                let html = NewFile { property: "html".to_owned(), ..file(at) };
                let replace = Replace::Seen(seen.clone());
                match (at % 2, &seen) {
                    (1, Some(tag)) => {
                        let name = track.html(id).await.map(|html| html.name).unwrap_or_default();
                        track.store.file_delete(place, "html", &name, Some(tag)).await
                    }
                    _ => track.store.file_add(place, vec![html], &replace).await.map(|()| true),
                }
            }
        });
        let done = race(round, all).await;
        assert_eq!(count(&done), 1, "{done:?}");
        refused_by(&done, |failed| matches!(failed, Failed::OtherFile | Failed::Crowded));
        seen = track.html(id).await.map(|html| html.etag());
    }
    assert!(track.number(Statement::new("SELECT COUNT(*) FROM \"file\"")).await <= 1);
}
