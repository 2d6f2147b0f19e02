//! `match`: the databases and the evaluator agree, and words follow their messages.
//!
//! `PROPTEST_RNG_SEED` repeats a run.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "opened/leading.rs"]
mod leading;
#[path = "opened/config.rs"]
mod opened;

use leading::leading;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Query;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_model::builtin::MESSAGES;
use postroom_model::filter;
use postroom_model::filter::Literal;
use postroom_model::parse_order;
use postroom_store::*;
use postroom_testkit::on_both;
use proptest::strategy::Strategy;
use proptest::strategy::ValueTree;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Pieces of documents and queries. Some are one word in another form.
#[rustfmt::skip]
const PIECES: [&str; 22] = [
    "a", "ab", "abc", "Ab", "b", "Straße", "STRASSE", "Привет", "привет", "при", "日本語", "日", "本",
    "resume", "résumé", "re\u{301}sume\u{301}", "x-y", "anna@x.test", "7", "не", "ΟΔΟΣ", "οδος",
];

struct Dice(TestRunner);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        (0..count).new_tree(&mut self.0).unwrap().current()
    }

    fn text(&mut self, pieces: usize) -> String {
        let count = self.below(pieces + 1);
        let pieces: Vec<_> = (0..count).map(|_| PIECES[self.below(PIECES.len())]).collect();
        pieces.join([" ", ", ", "\n"][self.below(3)])
    }

    fn term(&mut self) -> String {
        let piece = PIECES[self.below(PIECES.len())];
        match self.below(8) {
            0 | 1 => format!("\"{piece} {}\"", PIECES[self.below(PIECES.len())]),
            2 => format!("{piece}*"),
            3 => format!("-{piece}"),
            4 => format!("-\"{piece} {}\"", PIECES[self.below(PIECES.len())]),
            _ => piece.to_owned(),
        }
    }

    fn filter(&mut self) -> Json {
        let terms: Vec<_> = (0..=self.below(3)).map(|_| self.term()).collect();
        let words = json!(["match", terms.join(" ")]);
        let state = json!(["==", ["property", "messageType"], "text"]);
        match self.below(8) {
            0 => json!(["not", words]),
            1 => json!(["or", words, state]),
            2 => json!(["and", state, words]),
            3 => json!(["and", ["match", self.term()], words]),
            4 => json!(["and", words, ["not", ["match", self.term()]]]),
            _ => words,
        }
    }
}

struct World {
    directory: tempfile::TempDir,
    database: Arc<dyn Database>,
    store: Store,
    domain: Domain,
    class: Arc<Class>,
}

async fn world() -> World {
    let (directory, database, store) = leading().await;
    let class = store.builtin(MESSAGES).unwrap();
    World { directory, database, store, domain: Domain::default_domain(), class }
}

impl World {
    async fn create_in(&self, class: &str, all: Vec<Json>) -> Vec<EntityId> {
        let class = self.store.class(class).unwrap();
        let new = all.into_iter().map(|values| {
            let values = values.as_object().unwrap().clone();
            let entity = Entity::new(self.store.clock().new_id(), values);
            NewEntity { entity, files: vec![] }
        });
        let created = self.store.entity_create(&self.domain, &class, new.collect()).await.unwrap();
        created.into_iter().map(|entity| entity.id).collect()
    }

    async fn create(&self, all: Vec<Json>) -> Vec<EntityId> {
        self.create_in(MESSAGES, all).await
    }

    async fn keep_up(&self) {
        while self.store.words_step().await.unwrap() != WordsLeft::Nothing {}
    }

    fn query(&self, filter: &Json, order: &str) -> Query {
        let filter = filter::parse(&self.class, filter).unwrap();
        let order = parse_order(&self.class, order).unwrap();
        Query { filter: Some(filter), order, limit: 10_000, ..Query::default() }
    }

    async fn list(&self, query: &Query) -> Vec<Entity> {
        let listed = self.store.entity_list(&self.domain, &self.class, query).await;
        listed.unwrap()
    }

    async fn found(&self, words: &str) -> BTreeSet<EntityId> {
        let query = self.query(&json!(["match", words]), "-dateTime");
        self.list(&query).await.into_iter().map(|entity| entity.id).collect()
    }

    /// The same list page by page.
    async fn paged(&self, query: &Query, limit: u32) -> Vec<Entity> {
        let mut all: Vec<Entity> = vec![];
        loop {
            let after = all.last().map(|last| {
                let time = last.text("dateTime").map_or(Literal::Null, |text| {
                    Literal::Moment(Timestamp::parse(text).unwrap().as_ms())
                });
                vec![time, Literal::Id(last.id)]
            });
            let page = self.list(&Query { after, limit, ..query.clone() }).await;
            let is_last = page.len() < usize::try_from(limit).unwrap();
            all.extend(page);
            if is_last {
                return all;
            }
        }
    }
}

fn wanted(all: &[Entity], filter: &Filter) -> Vec<EntityId> {
    let is = |one: &&Entity| filter::matches(filter, one, &|_, _| None);
    all.iter().filter(is).map(|one| one.id).collect()
}

fn ids(entities: &[Entity]) -> Vec<EntityId> {
    entities.iter().map(|entity| entity.id).collect()
}

fn message(subject: &str) -> Json {
    json!({"messageDirection": "out", "subject": subject})
}

#[on_both]
async fn the_databases_and_the_evaluator_agree_on_every_match() {
    let world = world().await;
    let mut dice = Dice(TestRunner::new(Config::default()));
    let mut messages = vec![];
    for number in 0..60 {
        // Several have the same time, and some have none.
        let time = ["1969-12-31T23:59:58.5Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.9Z"];
        let to = &["anna@x.test", "b@y-x.test"][..dice.below(3)];
        let mut new = json!({
            "messageDirection": "out", "subject": dice.text(2), "text": dice.text(6),
            "to": to,
            "messageType": if number % 2 == 0 { "text" } else { "html" },
        });
        if dice.below(5) > 0 {
            new["dateTime"] = json!(time[dice.below(3)]);
        }
        messages.push(new);
    }
    world.create(messages).await;
    world.keep_up().await;
    let everything = Query { limit: 100, ..Query::default() };
    let (mut read, mut some) = (0, 0);
    for _ in 0..250 {
        let json = dice.filter();
        let Ok(parsed) = filter::parse(&world.class, &json) else {
            continue;
        };
        let all = world.list(&everything).await;
        let found = world.list(&world.query(&json, "")).await;
        assert_eq!(ids(&found), wanted(&all, &parsed), "{json}");
        let query = world.query(&json, "");
        let count = world.store.entity_count(&world.domain, &world.class, &query);
        assert_eq!(count.await.unwrap(), found.len() as u64, "{json}");
        for order in ["dateTime", "-dateTime"] {
            let listed = world.list(&Query { filter: None, ..world.query(&json, order) }).await;
            let query = world.query(&json, order);
            let want = wanted(&listed, &parsed);
            assert_eq!(ids(&world.list(&query).await), want, "{json} {order}");
            let limit = u32::try_from(dice.below(5) + 1).unwrap();
            assert_eq!(ids(&world.paged(&query, limit).await), want, "{json} {order} by {limit}");
            let skipped = Query { offset: 2, limit: 3, ..query };
            let want: Vec<_> = want.into_iter().skip(2).take(3).collect();
            assert_eq!(ids(&world.list(&skipped).await), want, "{json} {order} from 2");
        }
        read += 1;
        some += usize::from(!found.is_empty() && found.len() < 60);
    }
    assert!(read > 120 && some * 3 > read, "{some} of {read}");
}

#[on_both]
async fn rare_and_frequent_words_are_found_among_many_messages() {
    let world = world().await;
    let start = 1_700_000_000_000_i64;
    for block in 0..6 {
        let new = (block * 400..(block + 1) * 400).map(|number: i64| {
            let mut words = String::from("all");
            for (every, word) in [(2, "half"), (151, "rare"), (1_999, "once")] {
                if number % every == 0 {
                    words = format!("{words} {word}");
                }
            }
            // A word that only old messages have.
            let old = if number < 300 { " old" } else { "" };
            let time = Timestamp::from_ms(start + number * 250).to_string();
            json!({
                "messageDirection": "out", "subject": format!("{words}{old}"), "dateTime": time,
                "messageType": if number % 700 == 0 { "html" } else { "text" },
            })
        });
        world.create(new.collect()).await;
    }
    world.keep_up().await;
    let few =
        |words: &str| json!(["and", ["match", words], ["==", ["property", "messageType"], "html"]]);
    let many =
        |words: &str| json!(["and", ["match", words], ["==", ["property", "messageType"], "text"]]);
    let filters = [
        json!(["match", "all"]),
        json!(["match", "half"]),
        json!(["match", "rare"]),
        json!(["match", "once"]),
        json!(["match", "old"]),
        json!(["match", "all -half"]),
        json!(["match", "hal*"]),
        json!(["match", "\"all rare\""]),
        json!(["match", "\"half rare\""]),
        few("all"),
        few("half"),
        few("rare"),
        many("half"),
        many("rare"),
        many("old"),
    ];
    for order in ["-dateTime", "dateTime"] {
        let all = world.list(&Query { filter: None, ..world.query(&filters[0], order) }).await;
        assert_eq!(all.len(), 2_400);
        for json in &filters {
            let want = wanted(&all, &filter::parse(&world.class, json).unwrap());
            assert!(!want.is_empty());
            let query = world.query(json, order);
            for limit in [1, 100, 1_000] {
                let page = Query { limit, ..query.clone() };
                let want: Vec<_> = want.iter().copied().take(limit as usize).collect();
                assert_eq!(ids(&world.list(&page).await), want, "{json} {order} {limit}");
            }
            assert_eq!(ids(&world.paged(&query, 400).await), want, "{json} {order}");
        }
    }
}

#[on_both]
async fn a_prefix_finds_the_same_whether_few_or_many_words_begin_with_it() {
    let world = world().await;
    let numbered = |word: &str, count: usize| {
        let subjects = (0..count).map(|number| format!("{word}{number:02}"));
        subjects.chain([word.to_owned(), format!("{word}\u{20000}")]).collect::<Vec<_>>()
    };
    let mut subjects: Vec<String> = [("some", 1), ("most", 30), ("more", 31), ("Straße", 40)]
        .into_iter()
        .flat_map(|(word, count)| numbered(word, count))
        .collect();
    subjects.extend(["som", "son", "mosu", "x some30 more31"].map(str::to_owned));
    world.create(subjects.iter().map(|subject| message(subject)).collect()).await;
    world.keep_up().await;
    let all = world.list(&Query { limit: 10_000, ..Query::default() }).await;
    for words in [
        "some*",
        "most*",
        "more*",
        "strasse*",
        "so*",
        "som*",
        "none*",
        "mosu*",
        "some30*",
        "more* -more3*",
        "x -some*",
        "some* more*",
        "some* -most*",
        "nothin*",
    ] {
        let filter = filter::parse(&world.class, &json!(["match", words])).unwrap();
        let wanted: BTreeSet<_> = wanted(&all, &filter).into_iter().collect();
        assert_eq!(world.found(words).await, wanted, "{words}");
    }
}

#[on_both]
async fn words_follow_changes_and_files_and_leave_with_their_message() {
    let world = world().await;
    let made = world.create(vec![message("Rechnung zebraword"), message("other")]).await;
    assert!(world.found("rechnung").await.is_empty(), "not looked at yet");
    world.keep_up().await;
    assert_eq!(world.found("rechnung").await, BTreeSet::from([made[0]]));
    let at = EntityPlace::new(&world.domain, &world.class, made[0]);
    let change = json!({"subject": "Mahnung zebraword"});
    world.store.entity_update(at, change.as_object().unwrap(), None).await.unwrap();
    let file = NewFile {
        property: "file".to_owned(),
        name: "Лист 7.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        content_id: None,
        content: NewContent::Own(world.store.blob_writer().finish().await.unwrap()),
    };
    world.store.file_add(at, vec![file], &Replace::Nothing).await.unwrap();
    world.keep_up().await;
    assert!(world.found("rechnung").await.is_empty());
    assert_eq!(world.found("mahnung \"ЛИСТ 7\"").await, BTreeSet::from([made[0]]));
    world.store.entity_delete(at, None).await.unwrap();
    assert_eq!(kept(&world, made[0]).await, 0, "in the transaction of the deletion");
    assert!(world.found("mahnung").await.is_empty());
    world.keep_up().await;
    let verified = world.store.verify(|what| panic!("{what}")).await.unwrap();
    assert_eq!(verified.damaged, 0);
}

#[on_both]
async fn a_change_that_concerns_no_words_reads_no_text() {
    let world = world().await;
    let message = json!({"messageDirection": "out", "subject": "plum", "text": "apple"});
    let id = world.create(vec![message]).await[0];
    world.keep_up().await;
    // The feed does not tell of this, so it is found only if somebody reads the text.
    let behind = "UPDATE \"email/Messages\" SET \"text\" = 'cherry' WHERE \"id\" = $1";
    world.database.write(vec![Statement::new(behind).bind(id)], Room::Free).await.unwrap();
    let change = async |values: Json| {
        let place = EntityPlace::new(&world.domain, &world.class, id);
        world.store.entity_update(place, values.as_object().unwrap(), None).await.unwrap();
        world.keep_up().await;
        world.found("cherry").await.len()
    };
    assert_eq!(change(json!({"replyTo": ["x@y.test"]})).await, 0);
    assert_eq!(change(json!({"subject": "pear"})).await, 1);
}

/// How many rows of words a message has.
async fn kept(world: &World, id: EntityId) -> usize {
    let sql = "SELECT 1 FROM \"full text\" WHERE \"id\" = $1";
    world.database.read(Statement::new(sql).bind(id)).await.unwrap().len()
}

#[on_both]
async fn the_option_turns_it_off_and_on() {
    let world = world().await;
    let profile = world.create_in(builtin::PROFILES, vec![json!({"name": "x"})]).await[0];
    let account = json!({"address": "anna@x.test", "profile_id": profile.to_string()});
    let account = world.create_in(builtin::ACCOUNTS, vec![account]).await[0];
    let of_account = |subject: &str| {
        let mut new = message(subject);
        new["account_id"] = json!(account.to_string());
        new
    };
    let new: Vec<_> = (0..450).map(|_| of_account("word")).chain([message("word")]).collect();
    let made = world.create(new).await;
    world.keep_up().await;
    assert_eq!(world.found("word").await.len(), 451);
    let accounts = world.store.class(builtin::ACCOUNTS).unwrap();
    let set = async |value: Json| {
        let change = json!({"options": {"full_text": value}});
        let at = EntityPlace::new(&world.domain, &accounts, account);
        world.store.entity_update(at, change.as_object().unwrap(), None).await.unwrap();
        world.keep_up().await;
    };
    set(json!(false)).await;
    assert_eq!(world.found("word").await, BTreeSet::from([made[450]]));
    assert_eq!(kept(&world, made[0]).await, 0);
    world.create(vec![of_account("word")]).await;
    world.keep_up().await;
    assert_eq!(world.found("word").await.len(), 1);
    set(Json::Null).await;
    assert_eq!(world.found("word").await.len(), 452);
}

#[on_both]
async fn it_begins_again_when_the_feed_no_longer_reaches_back() {
    let world = world().await;
    world.create(vec![message("first")]).await;
    world.keep_up().await;
    let lag = world.store.words_lag(&world.domain).await.unwrap();
    assert_eq!((&lag["messages"], &lag["oldest"]), (&json!(0), &Json::Null), "{lag}");
    world.create(vec![message("second"), message("third")]).await;
    let lag = world.store.words_lag(&world.domain).await.unwrap();
    assert_eq!((&lag["messages"], &lag["building"]), (&json!(2), &json!(false)), "{lag}");
    assert!(lag["ageSeconds"].as_i64().unwrap() < 100, "{lag}");
    let trimmed = "INSERT INTO \"meta\" (\"name\", \"number\")
        SELECT 'feed trimmed', MAX(\"seq\") FROM \"change\"";
    let gone = "DELETE FROM \"change\"";
    let batch = [trimmed, gone].map(Statement::new).to_vec();
    world.database.write(batch, Room::Free).await.unwrap();
    assert_eq!(world.store.words_step().await.unwrap(), WordsLeft::More);
    let lag = world.store.words_lag(&world.domain).await.unwrap();
    assert_eq!((&lag["messages"], &lag["building"]), (&json!(3), &json!(true)), "{lag}");
    world.keep_up().await;
    assert_eq!(world.found("second").await.len() + world.found("third").await.len(), 2);
    // Without a mark, as after an upgrade or a move, everything is looked at.
    let marks = "DELETE FROM \"meta\" WHERE \"name\" LIKE 'full text%'";
    world.database.write(vec![Statement::new(marks)], Room::Free).await.unwrap();
    world.keep_up().await;
    assert_eq!(world.found("first").await.len(), 1);
    assert_eq!(world.store.words_lag(&world.domain).await.unwrap()["building"], json!(false));
}

// SQLite alone: it has a file whose pages can be read.
#[tokio::test]
async fn deleted_words_are_gone_from_the_pages_of_the_file() {
    let world = world().await;
    let new = (0..300).map(|number| message(&format!("secretword{number} sharedword")));
    let made = world.create(new.collect()).await;
    world.keep_up().await;
    for id in &made {
        let at = EntityPlace::new(&world.domain, &world.class, *id);
        world.store.entity_delete(at, None).await.unwrap();
    }
    let path = world.directory.path().join(DATABASE_FILE);
    world.store.clone().close().await.unwrap();
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(memchr::memmem::find_iter(&bytes, b"secretword").count(), 0);
    assert_eq!(memchr::memmem::find_iter(&bytes, b"sharedword").count(), 0);
}
