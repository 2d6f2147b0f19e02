//! The feed as its readers use it: every entity is rebuilt from it, at any point of a history.
#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "opened/leading.rs"]
mod leading;
#[path = "opened/config.rs"]
mod opened;
#[path = "opened/queued.rs"]
mod queued;

use leading::leading;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::ErrorCode;
use postroom_model::FolderId;
use postroom_model::Operation;
use postroom_model::Query;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_store::DueAt;
use postroom_store::EntityPlace;
use postroom_store::MissedAt;
use postroom_store::SourceKey;
use postroom_store::Verdict;
use postroom_store::*;
use postroom_testkit::on_both;
use queued::object;
use queued::prepared;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Properties that change without a row of the feed.
const OF_TIME: [&str; 2] = ["lastPollAt", "lastProofAt"];
/// How many steps a history has.
const STEPS: u64 = 120;

/// All entities by class and id, with their files.
type State = BTreeMap<(String, EntityId), Entity>;

/// The mailbox has this name now.
fn renamed(name: &str) -> Renamed<'_> {
    Renamed { mailbox: name, name, former: None }
}

struct History {
    _directory: TempDir,
    database: Arc<dyn Database>,
    engine: Store,
    client: Store,
    domain: Domain,
    random: u64,
    uid: u64,
    /// What there was behind each change of the feed that a step ended with.
    states: Vec<(i64, State)>,
}

impl History {
    async fn new(seed: u64) -> Self {
        let (_directory, database, engine) = leading().await;
        let client = engine.of_client("tester");
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let domain = Domain::default_domain();
        let (uid, states) = (0, vec![]);
        Self { _directory, database, engine, client, domain, random, uid, states }
    }

    /// A number below `count`.
    fn below(&mut self, count: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % count
    }

    fn class(&self, name: &str) -> Arc<Class> {
        self.engine.class(name).unwrap()
    }

    async fn all(&self, class: &str) -> Vec<Entity> {
        let query = Query { limit: 10_000, ..Query::default() };
        self.engine.entity_list(&self.domain, &self.class(class), &query).await.unwrap()
    }

    async fn any(&mut self, class: &str) -> Option<Entity> {
        let all = self.all(class).await;
        let at = self.below(all.len().max(1) as u64);
        all.into_iter().nth(usize::try_from(at).unwrap())
    }

    async fn create(&mut self, class: &str, values: Json) {
        let entity = Entity::new(Clock::system().new_id(), object(values));
        let new = NewEntity { entity, files: vec![] };
        let class = self.class(class);
        self.client.entity_create(&self.domain, &class, vec![new]).await.unwrap();
    }

    async fn change(&mut self, class: &str, id: EntityId, values: Json) {
        let class = self.class(class);
        let place = EntityPlace::new(&self.domain, &class, id);
        let changed = self.client.entity_update(place, &object(values), None).await;
        // Not all of what is tried may be.
        let may_fail = matches!(&changed, Err(Error::Condition(Failed::Invalid { .. })));
        assert!(changed.is_ok() || may_fail, "{changed:?}");
    }

    async fn delete(&mut self, class: &str, id: EntityId) {
        let class = self.class(class);
        let gone =
            self.client.entity_delete(EntityPlace::new(&self.domain, &class, id), None).await;
        let may_fail =
            matches!(&gone, Err(Error::Condition(Failed::InUse { .. } | Failed::Sending)));
        assert!(gone.is_ok() || may_fail, "{gone:?}");
    }

    fn file(&mut self) -> NewFile {
        let name = format!("{}.txt", self.below(4));
        let content = NewContent::Own(Content::prepare(name.as_bytes()));
        let (property, media_type) = ("file".to_owned(), "text/plain".to_owned());
        NewFile { property, name, media_type, content_id: None, content }
    }

    /// What clients do.
    async fn client_step(&mut self) {
        let number = self.below(1000);
        match self.below(8) {
            0 => {
                self.create(
                    builtin::PROFILES,
                    json!({"name": format!("p{number}"), "smtpHost": "s.b.test"}),
                )
                .await
            }
            1 => {
                if let Some(profile) = self.any(builtin::PROFILES).await {
                    let address = format!("a{number}-{}@b.test", self.uid);
                    let profile = profile.id.to_string();
                    let account = json!({"profile_id": profile, "address": address});
                    self.uid += 1;
                    self.create(builtin::ACCOUNTS, account).await;
                }
            }
            2 => {
                let message = json!({
                    "messageDirection": "out", "subject": format!("s{number}"), "to": ["x@y.test"],
                });
                self.create(builtin::MESSAGES, message).await;
            }
            3 => {
                if let Some(message) = self.any(builtin::MESSAGES).await {
                    let values = json!({"subject": format!("t{number}"), "text": null});
                    self.change(builtin::MESSAGES, message.id, values).await;
                }
            }
            4 => {
                if let Some(account) = self.any(builtin::ACCOUNTS).await {
                    let values = json!({"name": format!("n{number}"), "password": "hush"});
                    self.change(builtin::ACCOUNTS, account.id, values).await;
                }
            }
            5 => {
                if let Some(folder) = self.any(builtin::FOLDERS).await {
                    let values =
                        json!({"enabled": number.is_multiple_of(2), "options": {"n": number}});
                    self.change(builtin::FOLDERS, folder.id, values).await;
                }
            }
            6 => {
                if let Some(message) = self.any(builtin::MESSAGES).await {
                    let (class, file) = (self.class(builtin::MESSAGES), self.file());
                    let place = EntityPlace::new(&self.domain, &class, message.id);
                    let changed = match number % 3 {
                        0 => {
                            self.client.file_delete(place, "file", &file.name, None).await.map(drop)
                        }
                        _ => self.client.file_add(place, vec![file], &Replace::Any).await,
                    };
                    let read_only =
                        matches!(&changed, Err(Error::Condition(Failed::ReadOnly { .. })));
                    assert!(changed.is_ok() || read_only, "{changed:?}");
                }
            }
            _ => {
                let class = [builtin::PROFILES, builtin::ACCOUNTS, builtin::FOLDERS];
                let class = class.into_iter().chain([builtin::MESSAGES; 3]);
                let class = class.cycle().nth(usize::try_from(number).unwrap()).unwrap();
                if let Some(entity) = self.any(class).await {
                    self.delete(class, entity.id).await;
                }
            }
        }
    }

    /// What the engine does.
    async fn engine_step(&mut self) {
        let number = self.below(1000);
        let (engine, domain) = (self.engine.clone(), self.domain.clone());
        let Some(account) = self.any(builtin::ACCOUNTS).await else {
            return;
        };
        let address = account.text("address").unwrap().to_owned();
        let folder = self.any(builtin::FOLDERS).await;
        match (self.below(10), folder) {
            (0, _) => {
                let state = ["ready", "failed"][usize::try_from(number % 2).unwrap()];
                let status_text = format!("trouble {number}");
                let last_connected_at = Some(Timestamp::from_ms(i64::try_from(number).unwrap()));
                let report = AccountReport { state, status_text, last_connected_at };
                engine.account_report(&domain, AccountId::of(account.id), &report).await.unwrap();
            }
            (1, _) => {
                let (account, name) = (AccountId::of(account.id), "Virtual_System_Send_Box");
                engine.send_box_ensure(&domain, account, &address, name).await.unwrap();
            }
            (2, _) => drop(engine.account_try(&domain, AccountId::of(account.id)).await.unwrap()),
            (9, _) => self.send(AccountId::of(account.id)).await,
            (3, _) | (_, None) => {
                let folders = (0..1 + number % 4).map(|n| SurveyedFolder {
                    mailbox: format!("m{n}"),
                    name: format!("m{n}"),
                    title: format!("{address}/m{n}"),
                    delimiter: "/".to_owned(),
                    flags: vec![format!("\\F{number}")],
                    special_use: None,
                });
                let survey =
                    Survey { folders: folders.collect(), is_whole: !number.is_multiple_of(3) };
                engine.survey_commit(&domain, AccountId::of(account.id), &survey).await.unwrap();
            }
            (4, Some(folder)) => {
                let poll = Some(Timestamp::from_ms(i64::try_from(number).unwrap()));
                let report = FolderReport {
                    status_text: Some(format!("s{}", number % 3)),
                    stored_count: Some(number),
                    times: PollTimes { poll, proof: None },
                    ..FolderReport::default()
                };
                engine.folder_report(&domain, FolderId::of(folder.id), &report).await.unwrap();
            }
            (5, Some(folder)) => {
                let begun = Beginning {
                    login: "l",
                    uid_validity: number,
                    mailbox_id: None,
                    baseline: number / 2,
                    unloaded: None,
                    former: None,
                };
                engine.epoch_begin(FolderId::of(folder.id), begun).await.unwrap();
            }
            (6, Some(folder)) => {
                let name = format!("renamed{number}");
                let (folder, renamed) = (FolderId::of(folder.id), renamed(&name));
                engine.folder_follow(&domain, folder, &renamed).await.unwrap();
            }
            (7, Some(folder)) => self.receive(FolderId::of(folder.id)).await,
            (_, Some(folder)) => {
                self.miss(AccountId::of(account.id), FolderId::of(folder.id)).await
            }
        }
    }

    /// The present epoch of a mailbox.
    async fn epoch(&self, folder: FolderId) -> MailboxEpoch {
        let present = self.engine.origin(folder).await.unwrap().epoch;
        present.unwrap_or(MailboxEpoch { folder, number: 1 })
    }

    async fn receive(&mut self, folder: FolderId) {
        let class = self.class(builtin::MESSAGES);
        let epoch = self.epoch(folder).await;
        let ledger = self.engine.ledger(epoch).await.unwrap();
        // What was there by its header alone is had as a whole now.
        let uid = ledger.oversized.first().map_or(self.uid, |oversized| oversized.key.uid());
        self.uid += 1;
        let values = json!({
            "messageDirection": "in", "messageState": "received", "uid": uid,
            "dateTimeSource": "arrival",
            "folder_id": folder.to_string(),
        });
        let entity = Entity::new(Clock::system().new_id(), object(values));
        let bytes = format!("Subject: {uid}\r\n\r\n");
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&uid.to_le_bytes());
        let message = ReceivedMessage {
            key: SourceKey::of_uid(uid),
            row: self.engine.entity_row(&self.domain, &class, &entity).unwrap(),
            files: vec![],
            original: Some(Content::prepare(bytes.as_bytes())),
            hash,
            witness: Witness::default(),
            reported: None,
            action: None,
        };
        let (domain, messages) = (self.domain.clone(), vec![message]);
        let batch = ReceiveBatch { domain, epoch, messages, relink: false };
        self.engine.receive_commit(batch).await.unwrap();
    }

    /// Composes a message, anew where it was before, and ends it in one way or another.
    async fn send(&mut self, account: AccountId) {
        let Some(message) = self.any(builtin::MESSAGES).await else {
            return;
        };
        if message.text("messageDirection") != Some("out") {
            return;
        }
        let values = json!({"messageState": "sending", "account_id": account.to_string()});
        self.change(builtin::MESSAGES, message.id, values).await;
        let engine = self.engine.clone();
        let class = self.class(builtin::MESSAGES);
        let message = engine.entity_get(&self.domain, &class, message.id).await.unwrap().unwrap();
        let prepared =
            prepared(account, json!({"preview": format!("{}", self.uid), "recipients": []}));
        let end = engine.delivery_prepare(&self.domain, &message, prepared).await.unwrap();
        if end != PrepareEnd::Queued {
            return;
        }
        for claimed in engine
            .delivery_claim(account, DueAt { now_ms: i64::MAX, latest_ms: i64::MAX }, 100)
            .await
            .unwrap()
        {
            let reason = "so".to_owned();
            let verdict = match self.below(3) {
                0 => Verdict::Sent,
                1 => Verdict::Error { code: ErrorCode::Refused, reason },
                _ => Verdict::Later { after: Duration::from_millis(4), reason, counts: true },
            };
            engine.delivery_settle(&claimed, &verdict, Timestamp::from_ms(5)).await.unwrap();
        }
    }

    async fn miss(&mut self, account: AccountId, folder: FolderId) {
        let epoch = self.epoch(folder).await;
        let uid = self.uid;
        self.uid += 1;
        let miss = MissedMessage {
            key: SourceKey::of_uid(uid),
            is_too_big: true,
            ..MissedMessage::default()
        };
        let at = MissedAt { domain: &self.domain, account, epoch, uid_validity: 1 };
        self.engine.receive_missed(at, &[miss], |_| 0).await.unwrap();
    }

    /// All entities as they are, with their files.
    async fn state(&self) -> State {
        let mut state = State::new();
        for class in self.fed() {
            for mut entity in self.all(&class.classname).await {
                for file in self.engine.file_list_all(&self.domain, entity.id).await.unwrap() {
                    let list = entity.properties.entry(file.property).or_insert(json!([]));
                    list.as_array_mut().unwrap().push(json!({
                        "name": file.name, "contentType": file.media_type,
                        "size": file.size_bytes, "contentId": file.content_id,
                    }));
                }
                state.insert((class.classname.clone(), entity.id), comparable(entity));
            }
        }
        state
    }

    /// The feed, once readers may pass all that was written.
    async fn feed(&self) -> Vec<FeedRow> {
        let newest = Statement::new("SELECT MAX(\"seq\") FROM \"change\"");
        let newest = self.database.read(newest).await.unwrap()[0].whole(0).unwrap_or(0);
        loop {
            let feed = self.engine.feed_list(&self.domain, 0, 1_000_000).await.unwrap();
            if feed.last().map_or(0, |row| row.seq) == newest {
                return feed;
            }
        }
    }

    /// The news, read in small pages, tell the feed, each entity from where the change before has
    /// left it to where it is now.
    async fn told_with_states(&self, feed: &[FeedRow], present: &State) {
        let (mut after, mut rows, mut was) = (0, vec![], BTreeMap::new());
        loop {
            let page = self.engine.news(&self.domain, after, 7).await.unwrap();
            let NewsPage::News { news, next, is_full } = page else {
                panic!("{page:?}");
            };
            for EntityNews { row, before, after } in news.iter().cloned() {
                let key = (row.class.clone(), row.entity);
                if present.contains_key(&key) {
                    let before = before.map(comparable);
                    assert_eq!(before.as_ref(), was.get(&key), "{row:?}");
                    let after = after.unwrap();
                    assert_eq!(after.seq, row.seq);
                    was.insert(key, comparable(after));
                } else {
                    assert!(before.is_none() && after.is_none(), "{row:?}");
                }
                rows.push(row);
            }
            assert!(next > after || !is_full);
            after = next;
            if !is_full {
                break;
            }
        }
        assert_eq!(rows, feed);
        let without_files = |(key, entity): (&(String, EntityId), &Entity)| {
            let mut entity = entity.clone();
            entity.properties.retain(|name, _| {
                !["file", "rawMessage", "html", "inlines"].contains(&name.as_str())
            });
            (key.clone(), entity)
        };
        let present: State = present.iter().map(without_files).collect();
        assert_eq!(was, present);
        let unknown = self.engine.news(&self.domain, i64::MAX, 7).await.unwrap();
        assert!(matches!(unknown, NewsPage::Unknown { newest } if newest >= after));
    }

    /// The classes whose changes the feed tells. The entries of the audit are no news.
    fn fed(&self) -> Vec<Arc<Class>> {
        let classes = self.engine.classes();
        classes.iter().filter(|class| class.classname != builtin::AUDIT).cloned().collect()
    }

    async fn run(&mut self) {
        for step in 0..STEPS {
            if step % 2 == 0 {
                self.client_step().await;
            } else {
                self.engine_step().await;
            }
            let feed = self.feed().await;
            let last: BTreeMap<EntityId, i64> =
                feed.iter().map(|row| (row.entity, row.seq)).collect();
            for class in self.fed() {
                for entity in self.all(&class.classname).await {
                    assert_eq!(Some(&entity.seq), last.get(&entity.id), "{}", class.classname);
                }
            }
            self.states.push((feed.last().map_or(0, |row| row.seq), self.state().await));
        }
    }
}

/// What the feed tells of an entity: without what is told of time alone; no files are no list. The
/// number is that of the row.
fn comparable(mut entity: Entity) -> Entity {
    entity.seq = 0;
    entity.properties.retain(|name, value| {
        let is_file = ["file", "html", "inlines", "rawMessage"].contains(&name.as_str());
        !(OF_TIME.contains(&name.as_str()) || is_file && *value == json!([]))
    });
    for name in ["file", "rawMessage"] {
        if let Some(list) = entity.properties.get_mut(name).and_then(Json::as_array_mut) {
            list.sort_by_key(ToString::to_string);
        }
    }
    entity
}

#[on_both]
async fn every_entity_is_rebuilt_from_the_feed_at_any_point_of_a_history() {
    for seed in 1..=6 {
        let mut history = History::new(seed).await;
        history.run().await;
        let feed = history.feed().await;
        let present = history.state().await;
        let is_gone = |row: &&FeedRow| row.operation == Operation::Delete;
        let gone: BTreeMap<EntityId, i64> =
            feed.iter().filter(is_gone).map(|row| (row.entity, row.seq)).collect();
        let mut compared = 0;
        for (seq, then) in &history.states {
            let mut rebuilt = present.clone();
            for row in feed.iter().rev().take_while(|row| row.seq > *seq) {
                let key = (row.class.clone(), row.entity);
                if let Some(entity) = rebuilt.remove(&key)
                    && let Some(before) = row.undo(entity)
                {
                    rebuilt.insert(key, comparable(before));
                }
            }
            // Of what was deleted since, its id alone is kept.
            let mut then = then.clone();
            then.retain(|(_, id), _| gone.get(id).is_none_or(|at| at <= seq));
            assert_eq!(rebuilt, then, "seed {seed}, change {seq}");
            compared += then.len();
        }
        assert!(compared > 100, "{compared} entities in seed {seed}");
        ends_with_its_deletion(&feed, &gone, &history.states);
        history.told_with_states(&feed, &present).await;
        let kinds = feed.iter().map(|row| row.modifier.clone().unwrap());
        let tester = Modifier::Client("tester".into());
        assert!(kinds.clone().any(|kind| kind == tester));
        assert!(kinds.clone().any(|kind| kind == Modifier::Engine));
        for row in feed.iter().filter(|row| row.class == builtin::PROFILES) {
            assert_eq!(row.modifier, Some(tester.clone()), "the engine changes no profile");
        }
    }
}

/// An entity that is gone was there from its first row up to its deletion, which is its last; none
/// of its rows has more than its id.
fn ends_with_its_deletion(
    feed: &[FeedRow],
    gone: &BTreeMap<EntityId, i64>,
    states: &[(i64, State)],
) {
    for (id, deleted) in gone {
        let of: Vec<_> = feed.iter().filter(|row| row.entity == *id).collect();
        assert_eq!(of[0].operation, Operation::Create);
        assert_eq!(of.last().unwrap().seq, *deleted);
        assert!(of.iter().all(|row| row.replaced.is_none()), "{of:?}");
        let was_there = |state: &State| state.keys().any(|(_, other)| other == id);
        for (seq, state) in states {
            assert_eq!(was_there(state), of[0].seq <= *seq && *seq < *deleted, "{id} at {seq}");
        }
    }
    assert!(!gone.is_empty());
}

#[on_both]
async fn what_many_change_at_once_is_undone_in_its_order() {
    let mut history = History::new(7).await;
    history.create(builtin::PROFILES, json!({"name": "p"})).await;
    let profile = history.any(builtin::PROFILES).await.unwrap().id.to_string();
    history.create(builtin::ACCOUNTS, json!({"profile_id": profile, "address": "a@b.test"})).await;
    let account = history.any(builtin::ACCOUNTS).await.unwrap();
    let folder = json!({"account_id": account.id.to_string(), "title": "t", "name": "n"});
    history.create(builtin::FOLDERS, folder).await;
    let folder = history.any(builtin::FOLDERS).await.unwrap();
    let (class, domain) = (history.class(builtin::FOLDERS), &history.domain.clone());
    for round in 0..20_u64 {
        let text = |who: &str| Some(format!("{who}{round}"));
        let report = |who: &str| FolderReport { status_text: text(who), ..FolderReport::default() };
        let (a, b) = (report("a"), report("b"));
        let begun = Beginning {
            login: "l",
            uid_validity: round,
            mailbox_id: None,
            baseline: 0,
            unloaded: None,
            former: None,
        };
        let values = object(json!({"name": format!("n{round}")}));
        let name = format!("f{round}");
        let renamed = renamed(&name);
        let (one, two, three, four, five) = tokio::join!(
            history.engine.folder_report(domain, FolderId::of(folder.id), &a),
            history.engine.folder_report(domain, FolderId::of(folder.id), &b),
            history.client.entity_update(
                EntityPlace::new(domain, &class, folder.id),
                &values,
                None
            ),
            history.engine.epoch_begin(FolderId::of(folder.id), begun),
            history.engine.folder_follow(domain, FolderId::of(folder.id), &renamed),
        );
        one.and(two).unwrap();
        three.map(drop).and(four.map(drop)).and(five).unwrap();
    }
    let present = history.any(builtin::FOLDERS).await.unwrap();
    let rows = history.engine.feed_of(domain, &[folder.id], 0).await.unwrap();
    assert!(rows.len() > 60, "{}", rows.len());
    let mut entity = present;
    for row in rows.iter().skip(1).rev() {
        // What was replaced is what was there, not what somebody had read before another change.
        let replaced = row.replaced.as_ref().unwrap();
        let stays = replaced.iter().find(|(name, former)| entity.get(name) == *former);
        assert!(row.is_whole || stays.is_none(), "{stays:?} in {row:?}");
        // A change that tells the whole entity tells it as the others have left it.
        let before = row.undo(entity).unwrap();
        let untold = before.properties.iter().find(|(name, value)| {
            !replaced.get(*name).is_some_and(|told| told == *value)
                && !OF_TIME.contains(&name.as_str())
        });
        assert!(!row.is_whole || untold.is_none(), "{untold:?} in {row:?}");
        entity = before;
    }
    assert_eq!(comparable(entity.clone()), comparable(folder));
    assert_eq!(rows[0].undo(entity), None);
}
