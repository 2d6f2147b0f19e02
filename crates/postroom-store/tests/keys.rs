//! The keys of domains: who opens what, and what becomes of the secrets of an earlier version, also
//! when a kill ends the work after any of its statements.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "opened/killed.rs"]
mod killed;
#[path = "opened/config.rs"]
mod opened;
#[path = "opened/overtaken.rs"]
mod overtaken;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use killed::Killed;
use killed::moments;
use overtaken::Overtaken;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Configuration;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::OAuthAppId;
use postroom_model::ProfileId;
use postroom_model::Timestamp;
use postroom_model::WebhookId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::USERS;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::oauth::TokenSlot;
use postroom_store::*;
use postroom_testkit::TOTP_STEP_MS;
use postroom_testkit::on_both;
use postroom_testkit::totp_code;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;

const PROFILE: EntityId = EntityId::from_u128(1);
const ACCOUNT: EntityId = EntityId::from_u128(2);
const HOOK: EntityId = EntityId::from_u128(3);
const TOKEN: EntityId = EntityId::from_u128(4);
const USER: EntityId = EntityId::from_u128(5);
const ADMIN: &str = "the administrator's token";
const READER: &str = "the token of a reader, which is long";
/// What a sealed secret begins with since domains have keys.
const SEALED: &[u8] = b"\xF3sealed\x01";
/// The version before domains had keys.
const EARLIER: &[&str] = &[
    "DROP TABLE \"root key\"",
    "DROP TABLE \"data key\"",
    "ALTER TABLE \"owner\" DROP COLUMN \"key\"",
    // Steps after that one.
    "ALTER TABLE \"owner\" DROP COLUMN \"details\"",
    "DROP TABLE \"erasure\"",
    "DROP TABLE \"erased\"",
    "DROP TABLE \"device consent\"",
    "DROP TABLE \"session\"",
    "DROP TABLE \"usage\"",
    "ALTER TABLE \"origin\" DROP COLUMN \"unloaded\"",
    "ALTER TABLE \"origin\" DROP COLUMN \"unloaded_keys\"",
    "ALTER TABLE \"receipt\" DROP COLUMN \"linked\"",
    "ALTER TABLE \"delivery\" DROP COLUMN \"named\"",
    "DROP TABLE \"domain class\"",
    "DROP TABLE \"retired value\"",
    "DROP TABLE \"deleted class\"",
    "UPDATE \"meta\" SET \"number\" = 28 WHERE \"name\" IN ('schema', 'oldest schema')",
];

fn acme() -> Domain {
    Domain::new("acme").unwrap()
}

async fn create(store: &Store, domain: &Domain, class: &str, id: EntityId, values: Json) {
    let class: Arc<Class> = store.class(class).unwrap();
    let entity = Entity::new(id, values.as_object().unwrap().clone());
    let new = vec![NewEntity { entity, files: vec![] }];
    store.entity_create(domain, &class, new).await.unwrap();
}

/// Secrets of two domains, of all kinds.
async fn fill(store: &Store) {
    let (own, acme) = (Domain::default_domain(), acme());
    let profile = json!({"name": "p", "imapHost": "mail.example", "proxyPassword": "by proxy"});
    create(store, &own, PROFILES, PROFILE, profile).await;
    let account = json!({"profile_id": PROFILE, "address": "a@b.test", "password": "hush"});
    create(store, &own, ACCOUNTS, ACCOUNT, account).await;
    let hook = json!({"url": "https://a.example/", "secret": "whsec_", "enabled": true});
    create(store, &acme, WEBHOOKS, HOOK, hook).await;
    let token = json!({"name": "t", "role": "reader", "enabled": true, "token": READER});
    create(store, &acme, TOKENS, TOKEN, token).await;
    store.token_set(&own, "admin", &SecretString::from(ADMIN)).await.unwrap();
    let asked = ConsentRequest {
        domain: own.clone(),
        account: AccountId::of(ACCOUNT),
        slot: TokenSlot::Account,
        app: OAuthAppId::from_u128(9),
        verifier: SecretString::from("verifier"),
        until: Timestamp::from_ms(7),
    };
    store.consent_ask(&SecretString::from("state"), &asked).await.unwrap();
    let role = json!({"roles": [{"name": "w", "roletype": "web", "apiKey": "of a role"}]});
    let next = NextConfiguration {
        after: 0,
        domain: &own,
        author: "ops",
        restored: None,
        configuration: &Configuration::default().patched(&role).unwrap(),
    };
    store.configuration_write(next).await.unwrap();
}

/// Makes everything as the version before made it, with the key of the digit `a`.
async fn age(database: &dyn Database) {
    let master = MasterKey::from_hex(&SecretString::from("a".repeat(64))).unwrap();
    let set = |table: &str, column: &str, place: &str, secret: &str| {
        let sql = format!("UPDATE \"{table}\" SET \"{column}\" = $1");
        Statement::new(sql).bind(master.seal(place, secret))
    };
    let hash = |text: &str| blake3::keyed_hash(&[0xAA; 32], text.as_bytes()).as_bytes().to_vec();
    let of = |class: &str, id: EntityId, name: &str| format!("{class}/{id}/{name}");
    let document = json!({"roles": [{
        "name": "w", "roletype": "web",
        "apiKey": {"sealed": BASE64_STANDARD.encode(master.seal("configuration", "of a role"))},
    }]});
    let mut batch = vec![
        set(PROFILES, "proxyPassword", &of(PROFILES, PROFILE, "proxyPassword"), "by proxy"),
        set(ACCOUNTS, "password", &of(ACCOUNTS, ACCOUNT, "password"), "hush"),
        set(WEBHOOKS, "secret", &of(WEBHOOKS, HOOK, "secret"), "whsec_"),
        set("consent", "verifier", &format!("consent/{ACCOUNT}/account"), "verifier"),
        Statement::new("UPDATE \"consent\" SET \"state\" = $1").bind(hash("state")),
        Statement::new("UPDATE \"token\" SET \"hash\" = $1").bind(hash(ADMIN)),
        Statement::new("UPDATE \"iam/Tokens\" SET \"token\" = $1").bind(hash(READER)),
        Statement::new("UPDATE \"configuration\" SET \"document\" = $1").bind(document.to_string()),
    ];
    batch.extend(EARLIER.iter().map(|sql| Statement::new(*sql)));
    database.write(batch, Room::Reserve).await.unwrap();
}

/// What is stored of each secret.
async fn stored(database: &dyn Database) -> Vec<Vec<u8>> {
    let columns = [
        "\"proxyPassword\" FROM \"email/Profiles\"",
        "\"password\" FROM \"email/Accounts\"",
        "\"secret\" FROM \"email/Webhooks\"",
        "\"verifier\" FROM \"consent\"",
    ];
    let mut all = vec![];
    for column in columns {
        let rows = database.read(Statement::new(format!("SELECT {column}"))).await.unwrap();
        all.push(rows[0].bytes(0).unwrap().to_vec());
    }
    let document = Statement::new("SELECT \"document\" FROM \"configuration\"");
    let rows = database.read(document).await.unwrap();
    let document: Json = serde_json::from_str(rows[0].text(0).unwrap()).unwrap();
    let sealed = document["roles"][0]["apiKey"]["sealed"].as_str().unwrap();
    all.push(BASE64_STANDARD.decode(sealed).unwrap());
    all
}

/// All secrets can be opened, and all tokens are good.
async fn assert_open(store: &Store) {
    let open = |sealed: Option<Sealed>| sealed.unwrap().open().unwrap().expose_secret().to_owned();
    let account = store.account_find(AccountId::of(ACCOUNT)).await.unwrap().unwrap();
    assert_eq!(open(account.secrets.password), "hush");
    let hook = store.webhook_find(&acme(), WebhookId::of(HOOK)).await.unwrap().unwrap();
    assert_eq!(open(hook.secret), "whsec_");
    let proxy = store.proxy_password(ProfileId::of(PROFILE)).await.unwrap();
    assert_eq!(open(proxy), "by proxy");
    // Twice: it may be hashed anew the first time.
    for _ in 0..2 {
        assert!(store.token_verify(ADMIN).await.unwrap().is_some());
        assert_eq!(store.token_verify(READER).await.unwrap().unwrap().token, Some(TOKEN));
        assert_eq!(store.token_verify("another token").await.unwrap(), None);
    }
}

#[on_both]
async fn secrets_of_an_earlier_version_are_sealed_anew_whenever_a_kill_ends_it() {
    let mut whole = 0;
    for statements in moments(3) {
        let directory = tempfile::tempdir().unwrap();
        let database = opened::database(directory.path()).await.unwrap();
        let store = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
        fill(&store).await;
        age(database.as_ref()).await;
        let killed = Killed::of(Arc::clone(&database));
        killed.after(statements);
        let beneath: Arc<dyn Database> = Arc::clone(&killed) as Arc<dyn Database>;
        if let Ok(store) = Store::open(beneath, &opened::config("a")).await {
            let done = store.secrets_reseal().await;
            whole += usize::from(done.is_ok() && !killed.is_dead());
        }
        killed.after(0);
        let store = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
        assert_open(&store).await;
        let done = store.secrets_reseal().await.unwrap();
        assert_eq!(done.damaged, 0, "{statements}");
        assert!(whole == 0 || done.secrets == 0, "{statements}: {done:?}");
        for sealed in stored(database.as_ref()).await {
            assert!(sealed.starts_with(SEALED), "{statements}: {sealed:?}");
        }
        let taken = store.consent_take("state").await.unwrap().unwrap();
        assert_eq!(taken.verifier.expose_secret(), "verifier");
        assert_open(&store).await;
        let store = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
        assert_open(&store).await;
        if whole > 0 {
            assert!(statements > 10, "{statements}");
            return;
        }
    }
}

async fn numbers(database: &dyn Database) -> Vec<(i64, String)> {
    let sql = "SELECT \"number\", \"domain\" FROM \"data key\" WHERE \"domain\" <> ''
        ORDER BY \"domain\", \"number\"";
    let rows = database.read(Statement::new(sql)).await.unwrap();
    rows.iter().map(|row| (row.whole(0).unwrap(), row.text(1).unwrap().to_owned())).collect()
}

#[on_both]
async fn the_secrets_of_a_domain_cannot_be_opened_when_its_key_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let store = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
    fill(&store).await;
    let keys = numbers(database.as_ref()).await;
    let domains: Vec<_> = keys.iter().map(|(_, domain)| domain.as_str()).collect();
    assert_eq!(domains, ["acme", "default", "master"]);
    let gone = "DELETE FROM \"data key\" WHERE \"domain\" = 'acme'";
    database.write(vec![Statement::new(gone)], Room::Reserve).await.unwrap();
    // A process that has the key in memory seals nothing more with it.
    let hook = json!({"url": "https://a.example/", "secret": "whsec_", "enabled": true});
    let class = store.class(WEBHOOKS).unwrap();
    let again = async |store: &Store| {
        let entity = Entity::new(store.clock().new_id(), hook.as_object().unwrap().clone());
        let new = vec![NewEntity { entity, files: vec![] }];
        store.entity_create(&acme(), &class, new).await
    };
    let refused = again(&store).await;
    assert!(matches!(refused, Err(Error::Condition(Failed::OtherKey))), "{refused:?}");
    again(&store).await.unwrap();
    let other = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
    let hook = other.webhook_find(&acme(), WebhookId::of(HOOK)).await.unwrap().unwrap();
    let opened = hook.secret.unwrap().open();
    assert!(matches!(opened, Err(Error::SecretKeyGone)), "{opened:?}");
    let account = other.account_find(AccountId::of(ACCOUNT)).await.unwrap().unwrap();
    assert_eq!(account.secrets.password.unwrap().open().unwrap().expose_secret(), "hush");
}

#[on_both]
async fn processes_open_what_others_sealed_with_keys_that_they_have_made() {
    let directory = tempfile::tempdir().unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let open = async || Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
    let (one, other) = tokio::join!(open(), open());
    let hook = json!({"url": "https://a.example/", "secret": "whsec_", "enabled": true});
    let ids = [EntityId::from_u128(7), EntityId::from_u128(8)];
    let acme = acme();
    tokio::join!(
        create(&one, &acme, WEBHOOKS, ids[0], hook.clone()),
        create(&other, &acme, WEBHOOKS, ids[1], hook.clone()),
    );
    for store in [&one, &other, &open().await] {
        for id in ids {
            let hook = store.webhook_find(&acme, WebhookId::of(id)).await.unwrap().unwrap();
            assert_eq!(hook.secret.unwrap().open().unwrap().expose_secret(), "whsec_");
        }
    }
    // The root key is made once, whoever was first.
    let roots = Statement::new("SELECT COUNT(*) FROM \"root key\"");
    assert_eq!(database.read(roots).await.unwrap()[0].whole(0), Some(1));
}

#[on_both]
async fn who_is_overtaken_while_there_is_no_root_key_takes_that_of_the_other_process() {
    for (digit, is_same) in [("a", true), ("b", false)] {
        let directory = tempfile::tempdir().unwrap();
        let database = opened::database(directory.path()).await.unwrap();
        let front: Arc<dyn Database> = Arc::new(Overtaken::of(database));
        match Store::open(front, &opened::config(digit)).await {
            Ok(_) => assert!(is_same),
            Err(Error::KeyDiffers { .. }) => assert!(!is_same),
            Err(other) => panic!("{other}"),
        }
    }
}

fn master(digit: &str) -> MasterKey {
    opened::config(digit).key
}

/// Another store of a database, as of another process. The database stays open when it is closed.
async fn beside(database: &Arc<dyn Database>, digit: &str) -> Result<Store, Error> {
    let front: Arc<dyn Database> = Killed::of(Arc::clone(database));
    Store::open(front, &opened::config(digit)).await
}

#[on_both]
async fn a_master_key_is_replaced_whenever_a_kill_ends_it() {
    for statements in moments(3) {
        let directory = tempfile::tempdir().unwrap();
        let database = opened::database(directory.path()).await.unwrap();
        let killed = Killed::of(Arc::clone(&database));
        let front: Arc<dyn Database> = Arc::clone(&killed) as Arc<dyn Database>;
        let store = Store::open(Arc::clone(&front), &opened::config("a")).await.unwrap();
        fill(&store).await;
        killed.after(statements);
        let rotated = async {
            store.master_accept(&master("b")).await?;
            store.close().await?;
            Store::open(front, &opened::config("b")).await?.master_alone().await
        };
        let is_whole = rotated.await.is_ok() && !killed.is_dead();
        killed.after(0);
        // At each point one of the keys opens everything, and the same commands go on.
        match beside(&database, "b").await {
            Err(Error::KeyDiffers { .. }) => {
                let store = beside(&database, "a").await.unwrap();
                assert_open(&store).await;
                store.master_accept(&master("b")).await.unwrap();
                store.close().await.unwrap();
            }
            opened => assert_open(&opened.unwrap()).await,
        }
        // A process that was killed counts as there for five seconds.
        let gone = "DELETE FROM \"owner\"";
        database.write(vec![Statement::new(gone)], Room::Reserve).await.unwrap();
        let store = beside(&database, "b").await.unwrap();
        store.master_alone().await.unwrap();
        assert_eq!(store.master_keys().await.unwrap().len(), 1);
        assert_open(&store).await;
        let former = beside(&database, "a").await;
        assert!(matches!(former, Err(Error::KeyDiffers { .. })), "{former:?}");
        if is_whole {
            assert!(statements > 5, "{statements}");
            return;
        }
    }
}

/// What becomes of a login.
async fn tried(store: &Store, code: Option<&str>) -> LoginOutcome {
    let login = OfferedLogin {
        domain: &acme(),
        login: "anna",
        password: SecretString::from("correct horse battery"),
        code: code.map(SecretString::from),
    };
    store.session_begin(login).await.unwrap()
}

async fn begun(store: &Store, code: Option<&str>) -> BegunSession {
    let outcome = tried(store, code).await;
    let LoginOutcome::Begun(begun) = outcome else { unreachable!("{outcome:?}") };
    begun
}

/// A second factor that is set up at two processes. A code that was used at one is used at the
/// other. Gives a recovery code.
async fn second_factor_of_both(former: &Store, next: &Store) -> SecretString {
    let waits = next.totp_begin(&acme(), USER).await.unwrap().unwrap();
    let at_ms = next.clock().now_ms();
    let code = |steps: i64| totp_code(waits.key.expose_secret(), at_ms + steps * TOTP_STEP_MS);
    let first = SecretString::from(code(0));
    let mut recovery = former.totp_activate(&acme(), USER, &first).await.unwrap().unwrap();
    begun(former, Some(&code(1))).await;
    let again = tried(next, Some(&code(1))).await;
    assert!(matches!(again, LoginOutcome::CodeWrong), "{again:?}");
    recovery.remove(0)
}

#[on_both]
async fn while_two_master_keys_are_accepted_processes_work_with_either() {
    let directory = tempfile::tempdir().unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let former = beside(&database, "a").await.unwrap();
    fill(&former).await;
    former.master_accept(&master("b")).await.unwrap();
    former.master_accept(&master("b")).await.unwrap();
    let third = former.master_accept(&master("c")).await;
    assert!(matches!(third, Err(Error::Condition(Failed::OtherKey))), "{third:?}");
    let next = beside(&database, "b").await.unwrap();
    let hook = json!({"url": "https://a.example/", "secret": "whsec_", "enabled": true});
    for (at, store, other) in [(7, &former, &next), (8, &next, &former)] {
        // A domain that has no key so far.
        let (domain, id) = (Domain::new(&format!("d{at}")).unwrap(), EntityId::from_u128(at));
        create(store, &domain, WEBHOOKS, id, hook.clone()).await;
        let read = other.webhook_find(&domain, WebhookId::of(id)).await.unwrap().unwrap();
        assert_eq!(read.secret.unwrap().open().unwrap().expose_secret(), "whsec_");
    }
    let nodes = next.nodes().await.unwrap();
    let marks: Vec<_> = nodes.iter().map(|node| node.key.unwrap()).collect();
    assert!(marks.contains(&master("a").mark()) && marks.contains(&master("b").mark()));
    let refused = next.master_alone().await.unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, Error::MasterInUse { .. }) && text.contains("postroom"), "{text}");
    // A user who signed in at one process is known at the other, also when the former key is gone.
    let values = json!({"login": "anna", "role": "reader", "enabled": true, "password": "correct horse battery"});
    create(&former, &acme(), USERS, USER, values).await;
    let sessions = [
        begun(&next, None).await.token,
        former.session_begin_with(READER).await.unwrap().unwrap().token,
    ];
    let goes_on = async |store: &Store| {
        let [user, token] = &sessions;
        let user = store.token_verify(user.expose_secret()).await.unwrap().unwrap();
        assert_eq!((user.user, user.domain), (Some(USER), acme()));
        let token = store.token_verify(token.expose_secret()).await.unwrap().unwrap();
        assert_eq!((token.token, token.user), (Some(TOKEN), None));
    };
    goes_on(&former).await;
    goes_on(&next).await;
    let recovery = second_factor_of_both(&former, &next).await;
    assert_open(&former).await;
    former.close().await.unwrap();
    next.master_alone().await.unwrap();
    assert_open(&next).await;
    goes_on(&next).await;
    let missing = tried(&next, None).await;
    assert!(matches!(missing, LoginOutcome::CodeMissing), "{missing:?}");
    begun(&next, Some(recovery.expose_secret())).await;
    assert!(matches!(beside(&database, "a").await, Err(Error::KeyDiffers { .. })));
    let reopened = beside(&database, "b").await.unwrap();
    goes_on(&reopened).await;
}
