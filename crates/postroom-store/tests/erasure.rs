//! The erasure of a domain with all that is its own, whenever a kill ends it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "opened/killed.rs"]
mod killed;
#[path = "opened/config.rs"]
mod opened;
#[path = "opened/queued.rs"]
mod queued;
#[path = "opened/received.rs"]
mod received;

use killed::Killed;
use killed::moments;
use postroom_model::AccountId;
use postroom_model::ClassId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::OAuthAppId;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::OAUTH_APPS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::USERS;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::created;
use postroom_model::oauth::TokenSlot;
use postroom_model::patched;
use postroom_store::*;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use queued::object;
use secrecy::SecretString;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The class of a client.
const TICKETS: &str = "crm/Tickets";
/// The tables that keep what is not the domain's own: the receipt, the processes, what is known of
/// the whole database, and the changes of the entity of the domain itself, with who made them.
const KEPT: [&str; 7] = ["erasure", "erased", "meta", "owner", "lease", "change", "iam/Audit"];
const DOMAIN: EntityId = EntityId::from_u128(0x0aaa);

fn acme() -> Domain {
    Domain::new("acme").unwrap()
}

async fn create(store: &Store, domain: &Domain, class: &str, id: u128, values: Json) -> EntityId {
    let class = store.class(class).unwrap();
    let entity = Entity::new(EntityId::from_u128(id), object(values));
    let id = entity.id;
    let file = NewFile {
        property: "file".to_owned(),
        name: "a.txt".to_owned(),
        media_type: "text/plain".to_owned(),
        content_id: None,
        content: NewContent::Own(Content::prepare(b"twelve bytes")),
    };
    let files = if class.classname == TICKETS { vec![file] } else { vec![] };
    store.entity_create(domain, &class, vec![NewEntity { entity, files }]).await.unwrap();
    id
}

/// The domain with something in every table.
async fn fill(store: &Store, domain: &Domain, first: u128) {
    let id = |at: u128| first * 100 + at;
    let profile = json!({"name": "p", "imapHost": "mail.example", "proxyPassword": "x"});
    let profile = create(store, domain, PROFILES, id(1), profile).await;
    let app = json!({"name": "a", "provider": "google", "clientSecret": "hush"});
    let app = create(store, domain, OAUTH_APPS, id(2), app).await;
    let account = json!({
        "profile_id": profile, "address": "a@b.test", "password": "hush", "oauthApp_id": app,
    });
    let account = AccountId::of(create(store, domain, ACCOUNTS, id(3), account).await);
    let folder = json!({"account_id": account.to_string(), "name": "INBOX", "title": "t"});
    let folder = FolderId::of(create(store, domain, FOLDERS, id(4), folder).await);
    let mail = received::received(store, domain, folder, 1);
    store.receive_commit(mail).await.unwrap();
    let out = json!({
        "account_id": account.to_string(), "messageDirection": "out", "messageState": "sending",
        "subject": "s", "to": ["x@b.test"], "recipients": [{"address": "x@b.test", "type": "to"}],
    });
    let out = create(store, domain, MESSAGES, id(5), out).await;
    let class = store.class(MESSAGES).unwrap();
    let out = store.entity_get(domain, &class, out).await.unwrap().unwrap();
    let recipients = json!({"recipients": [{"address": "x@b.test", "type": "to"}]});
    let prepared = queued::prepared(account, recipients);
    let end = store.delivery_prepare(domain, &out, prepared).await.unwrap();
    assert_eq!(end, PrepareEnd::Queued);
    let hook = json!({"url": "https://a.example/", "secret": "whsec_", "enabled": true});
    create(store, domain, WEBHOOKS, id(6), hook).await;
    let token = json!({"name": "t", "role": "reader", "enabled": true,
                       "token": format!("a token of {domain:?}, which is long enough")});
    create(store, domain, TOKENS, id(7), token).await;
    create(store, domain, USERS, id(9), json!({"login": "u", "role": "reader"})).await;
    let value = format!("a token of {domain:?}, which is long enough");
    store.session_begin_with(&value).await.unwrap().unwrap();
    create(store, domain, TICKETS, id(8), json!({"title": "t"})).await;
    store
        .token_set(domain, "own", &SecretString::from(format!("own of {domain:?}")))
        .await
        .unwrap();
    let asked = ConsentRequest {
        domain: domain.clone(),
        account,
        slot: TokenSlot::Account,
        app: OAuthAppId::of(app),
        verifier: SecretString::from("verifier"),
        until: Timestamp::from_ms(7),
    };
    store.consent_ask(&SecretString::from(format!("state of {domain:?}")), &asked).await.unwrap();
    let device = DeviceRequest {
        domain: domain.clone(),
        account,
        slot: TokenSlot::Account,
        app: OAuthAppId::of(app),
        interval: Duration::from_secs(5),
        until: Timestamp::from_ms(7),
    };
    let code = SecretString::from("device code");
    store.device_ask(&device, &code, Timestamp::from_ms(7)).await.unwrap();
    store.job_create(domain, &class, None).await.unwrap();
    if *domain == acme() {
        extend(store, domain).await;
    }
}

/// The domain adds a property to a class for itself.
async fn extend(store: &Store, domain: &Domain) {
    let seat = json!({"properties": [{"name": "seat", "data_type": "long"}]});
    let former = store.classes();
    let change = patched(&former.of(domain).get(PROFILES).unwrap().extended(), &seat).unwrap();
    store.class_extend(domain, &former, change, None).await.unwrap();
}

async fn fill_all(store: &Store) {
    let class = json!({
        "classname": TICKETS,
        "properties": [
            {"name": "title", "data_type": "string"}, {"name": "number", "data_type": "increment"},
            {"name": "file", "data_type": "attachment"},
        ],
    });
    let class = created(&class, ClassId::from_u128(0xcc)).unwrap();
    store.class_create(&store.classes(), class).await.unwrap();
    fill(store, &Domain::default_domain(), 1).await;
}

/// How many rows each table has.
async fn counts(database: &dyn Database) -> BTreeMap<String, i64> {
    let tables = match TestDatabase::present() {
        TestDatabase::Sqlite => {
            "SELECT \"name\" FROM sqlite_schema WHERE \"type\" = 'table'
            AND \"name\" NOT LIKE 'sqlite%'"
        }
        TestDatabase::Postgres => {
            "SELECT CAST(tablename AS TEXT) FROM pg_tables
            WHERE schemaname = 'public'"
        }
    };
    let rows = database.read(Statement::new(tables)).await.unwrap();
    let mut counts = BTreeMap::new();
    for row in rows {
        let table = row.text(0).unwrap().to_owned();
        let sql = Statement::new(format!("SELECT COUNT(*) FROM \"{table}\""));
        let count = database.read(sql).await.unwrap()[0].whole(0).unwrap();
        // The inner tables of the full text of SQLite have no rows of their own.
        if !KEPT.contains(&table.as_str()) && !table.starts_with("full text_") {
            counts.insert(table, count);
        }
    }
    assert!(counts.len() > 20, "{counts:?}");
    counts
}

/// The rows of a domain in each table that has such rows.
async fn of_domain(database: &dyn Database, domain: &Domain) -> Vec<String> {
    let mut found = vec![];
    for table in counts(database).await.into_keys().chain(["change".to_owned()]) {
        let columns = Statement::new(database.dialect().columns()).bind(table.as_str());
        let columns = database.read(columns).await.unwrap();
        if columns.iter().all(|row| row.text(0) != Some("domain")) {
            continue;
        }
        let sql = format!("SELECT COUNT(*) FROM \"{table}\" WHERE \"domain\" = $1");
        let rows = database.read(Statement::new(sql).bind(domain.as_str())).await.unwrap();
        if rows[0].whole(0) != Some(0) {
            found.push(table);
        }
    }
    found
}

async fn begin(store: &Store) -> Result<(), Error> {
    let class = store.class(DOMAINS).unwrap();
    match store.entity_get(&Domain::master(), &class, DOMAIN).await? {
        Some(domain) => store.erasure_begin(&domain).await,
        None => Ok(()),
    }
}

/// Erases until the domain is gone.
async fn erase(store: &Store) -> Result<(), Error> {
    loop {
        store.erase().await?;
        if store.erasures(None).await?.iter().all(|erasure| erasure.ended.is_some()) {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// How many statements are between two kills: a prime, so that they are at all places of batches.
/// Opening a database of PostgreSQL takes longer.
fn step() -> usize {
    match TestDatabase::present() {
        TestDatabase::Sqlite => 7,
        TestDatabase::Postgres => 29,
    }
}

#[on_both]
async fn nothing_of_a_domain_is_left_in_any_table_whenever_a_kill_ends_its_erasure() {
    for statements in moments(step()) {
        let directory = tempfile::tempdir().unwrap();
        let database = opened::database(directory.path()).await.unwrap();
        let killed = Killed::of(Arc::clone(&database));
        let front: Arc<dyn Database> = Arc::clone(&killed) as Arc<dyn Database>;
        let store = Store::open(front, &opened::config("a")).await.unwrap().lead().await.unwrap();
        fill_all(&store).await;
        let before = counts(database.as_ref()).await;
        create(
            &store,
            &Domain::master(),
            DOMAINS,
            0x0aaa,
            json!({"name": "acme", "title": "A", "bytesMax": 1_000_000}),
        )
        .await;
        fill(&store, &acme(), 2).await;
        let filled = of_domain(database.as_ref(), &acme()).await;
        assert!(filled.len() >= 15, "{filled:?}");
        killed.after(statements);
        let is_begun = begin(&store).await.is_ok();
        if is_begun {
            erase(&store).await.ok();
        }
        let is_whole = !killed.is_dead();
        killed.after(0);
        let store = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
        let store = store.lead().await.unwrap();
        if is_begun {
            let refused = store.token_verify(&format!("own of {:?}", acme())).await.unwrap();
            assert!(refused.is_none_or(|bearer| bearer.is_suspended), "{statements}");
        } else {
            begin(&store).await.ok();
        }
        erase(&store).await.unwrap();
        assert_eq!(of_domain(database.as_ref(), &acme()).await, Vec::<String>::new());
        assert_eq!(counts(database.as_ref()).await, before, "{statements}");
        let receipt = store.erasures(Some(DOMAIN)).await.unwrap().remove(0);
        assert_eq!((&receipt.domain, receipt.title.as_deref()), (&acme(), Some("A")));
        let of = |class: &str| {
            let found = receipt.classes.iter().find(|of| of.class == class).unwrap();
            (found.entities, found.bytes)
        };
        assert_eq!(
            (of(MESSAGES).0, of(FOLDERS), of(TICKETS)),
            (2, (1, 0), (1, 12)),
            "{statements}"
        );
        assert!(of(MESSAGES).1 > 0 && receipt.rows > 5, "{receipt:?}");
        assert_eq!(receipt.classes.len(), 10, "{receipt:?}");
        if is_whole {
            return;
        }
    }
}

#[on_both]
async fn a_name_is_free_again_when_its_domain_is_erased_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let killed = Killed::of(Arc::clone(&database));
    let front: Arc<dyn Database> = Arc::clone(&killed) as Arc<dyn Database>;
    let store = Store::open(front, &opened::config("a")).await.unwrap().lead().await.unwrap();
    fill_all(&store).await;
    let values = json!({"name": "acme"});
    create(&store, &Domain::master(), DOMAINS, 0x0aaa, values.clone()).await;
    fill(&store, &acme(), 2).await;
    begin(&store).await.unwrap();
    let class = store.class(DOMAINS).unwrap();
    let new = |id: u128, values: &Json| {
        let entity = Entity::new(EntityId::from_u128(id), object(values.clone()));
        vec![NewEntity { entity, files: vec![] }]
    };
    let again = store.entity_create(&Domain::master(), &class, new(0x0bbb, &values)).await;
    assert!(matches!(again, Err(Error::Condition(Failed::Exists { .. }))), "{again:?}");
    // A request that was under way makes nothing in it, and nobody lets it go on.
    let profiles = store.class(PROFILES).unwrap();
    let profile = json!({"name": "late"});
    let late = store.entity_create(&acme(), &profiles, new(0x0ccc, &profile)).await;
    assert!(matches!(late, Err(Error::Condition(Failed::DomainErased))), "{late:?}");
    let master = Domain::master();
    let place = EntityPlace::new(&master, &class, DOMAIN);
    let goes_on = object(json!({"suspended": false}));
    let goes_on = store.entity_update(place, &goes_on, None).await;
    assert!(matches!(goes_on, Err(Error::Condition(Failed::DomainErased))), "{goes_on:?}");
    assert!(matches!(begin(&store).await, Err(Error::Condition(Failed::DomainErased))));
    erase(&store).await.unwrap();
    let late = store.entity_create(&acme(), &profiles, new(0x0ccc, &profile)).await;
    assert!(matches!(late, Err(Error::Condition(Failed::DomainErased))), "{late:?}");
    store.entity_create(&Domain::master(), &class, new(0x0bbb, &values)).await.unwrap();
    store.entity_create(&acme(), &profiles, new(0x0ccc, &profile)).await.unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn requests_under_way_leave_nothing_behind_and_two_who_erase_count_once() {
    let directory = tempfile::tempdir().unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let open = async || Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
    let store = open().await.lead().await.unwrap();
    fill_all(&store).await;
    create(&store, &Domain::master(), DOMAINS, 0x0aaa, json!({"name": "acme"})).await;
    let mut makers = vec![];
    for maker in 0..4_u128 {
        let store = open().await;
        makers.push(tokio::spawn(async move {
            let class = store.class(TICKETS).unwrap();
            for at in 0..u128::MAX {
                let id = EntityId::from_u128(0x1_0000_0000 * (maker + 1) + at);
                let entity = Entity::new(id, object(json!({"title": "t"})));
                let new = vec![NewEntity { entity, files: vec![] }];
                match store.entity_create(&acme(), &class, new).await {
                    Ok(_) => {}
                    Err(Error::Condition(Failed::DomainErased)) => return at,
                    Err(error) => panic!("{error}"),
                }
            }
            0
        }));
    }
    let class = store.class(TICKETS).unwrap();
    let few = async || {
        let query = "SELECT COUNT(*) FROM \"crm/Tickets\" WHERE \"domain\" = 'acme'";
        database.read(Statement::new(query)).await.unwrap()[0].whole(0) < Some(200)
    };
    while few().await {
        tokio::task::yield_now().await;
    }
    begin(&store).await.unwrap();
    // The leader erases after the request and in its sweep, and so may a former leader.
    let other = open().await;
    let (one, two) = tokio::join!(erase(&store), erase(&other));
    one.and(two).unwrap();
    let mut made = 0;
    for maker in makers {
        made += u64::try_from(maker.await.unwrap()).unwrap();
    }
    assert_eq!(of_domain(database.as_ref(), &acme()).await, Vec::<String>::new());
    let receipt = store.erasures(Some(DOMAIN)).await.unwrap().remove(0);
    let tickets = receipt.classes.iter().find(|of| of.class == class.classname).unwrap();
    assert_eq!(tickets.entities, made);
}
