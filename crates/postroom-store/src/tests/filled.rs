//! Fills a database with so many rows that a bad plan would be slow.

use crate::database::Statement;
use crate::database::Value;
use crate::store::Store;
use crate::tests::life;
use postroom_model::EntityId;
use postroom_testkit::TestDatabase;

const PROFILES: u128 = 40;
const ACCOUNTS: u128 = 1_000;
const FOLDERS: u128 = 3_000;
const MESSAGES: u128 = 20_000;
/// They are so few that the column of a removed property is dropped.
const DEALS: u128 = 8_000;

/// How many rows are made. SQLite gets few, because its plans do not depend on the rows.
fn count(of: u128) -> u128 {
    if TestDatabase::present() == TestDatabase::Postgres { of } else { (of / 50).max(10) }
}

/// How many rows are written at once.
const AT_ONCE: u128 = 2_000;

/// The id of an entity of the filled tables. The ids of successive numbers are far apart.
fn id(of: &str, number: u128) -> Value {
    let hash = blake3::hash(format!("{of} {number}").as_bytes());
    let bytes: [u8; 16] = hash.as_bytes()[..16].try_into().unwrap();
    Value::Id(EntityId::from_u128(u128::from_be_bytes(bytes)))
}

/// Half of all numbers become 0, and the others are spread over `count`.
fn skewed(number: u128, count: u128) -> u128 {
    if number.is_multiple_of(2) { 0 } else { number % count }
}

/// Writes `count` rows of a table. `values` gives the columns of each.
async fn rows(store: &Store, into: &str, count: u128, values: impl Fn(u128) -> Vec<Value>) {
    let columns: Vec<_> = into.split_once('(').unwrap().1.split(',').collect();
    let places: Vec<_> = (1..=columns.len()).map(|at| format!("${at}")).collect();
    let sql = format!("INSERT INTO {into} VALUES ({})", places.join(", "));
    for first in (0..count).step_by(AT_ONCE as usize) {
        let some = first..(first + AT_ONCE).min(count);
        let batch = some.map(|number| Statement::new(sql.clone()).bind_all(values(number)));
        store.write(batch.collect()).await.unwrap();
    }
}

fn domain(number: u128) -> Value {
    if number.is_multiple_of(5) { "other" } else { "default" }.into()
}

fn moment(number: u128) -> Value {
    Value::Moment(1_760_000_000_000 + 60_000 * whole(number))
}

fn whole(number: u128) -> i64 {
    i64::try_from(number).unwrap()
}

/// Fills all tables that can be large.
pub(super) async fn fill(store: &Store) {
    configuration(store).await;
    messages(store).await;
    queue(store).await;
    work_claims(store).await;
    analyze(store).await;
}

/// Makes claims that have expired. Some of them were acknowledged.
async fn work_claims(store: &Store) {
    let into = "\"work claim\" (\"class\", \"entity\", \"domain\", \"token\", \"by\", \"until\",
        \"claims\", \"acknowledged\")";
    let claim = |n: u128| {
        let acknowledged = if n.is_multiple_of(10) { moment(n) } else { Value::Null };
        let of = vec![Value::from("email/Messages"), id("message", n), domain(n)];
        let by = vec![id("token", n / 10), "worker".into(), moment(n), 1.into(), acknowledged];
        [of, by].concat()
    };
    rows(store, into, count(DEALS), claim).await;
}

/// Fills the table of a class of a client.
pub(super) async fn fill_deals(store: &Store) {
    let into =
        format!("\"{}\" (\"domain\", \"id\", \"version\", \"title\", \"worth\")", life::CLASS);
    let deal = |n: u128| {
        let worth: Value =
            if n.is_multiple_of(100) { Value::Null } else { whole(n % 1_000).into() };
        vec![domain(n), id("deal", n), 1.into(), format!("deal {n}").into(), worth]
    };
    rows(store, &into, count(DEALS), deal).await;
    analyze(store).await;
}

/// Makes PostgreSQL collect statistics. SQLite plans without them.
async fn analyze(store: &Store) {
    if TestDatabase::present() == TestDatabase::Postgres {
        // It fails if a table, such as that of a deleted class, is removed at the same time.
        let mut failures = 0;
        while let Err(error) = store.write(vec![Statement::new("ANALYZE")]).await {
            failures += 1;
            assert!(failures < 10, "{error}");
        }
    }
}

async fn configuration(store: &Store) {
    let into = "\"email/Profiles\" (\"domain\", \"id\", \"version\", \"name\", \"imapHost\",
        \"imapSecurity\", \"smtpHost\")";
    let profile = |n: u128| {
        let host = format!("mail{n}.test");
        let texts = [format!("p{n}"), host.clone(), "tls".to_owned(), host].map(Value::from);
        [vec![domain(n), id("profile", n), 1.into()], texts.to_vec()].concat()
    };
    rows(store, into, count(PROFILES), profile).await;
    let into = "\"email/Accounts\" (\"domain\", \"id\", \"version\", \"profile_id\", \"address\",
        \"enabled\", \"state\")";
    let account = |n: u128| {
        let profile = id("profile", skewed(n, count(PROFILES)));
        let leading = vec![domain(n), id("account", n), 1.into(), profile];
        [leading, vec![format!("user{n}@a.test").into(), true.into(), "ok".into()]].concat()
    };
    rows(store, into, count(ACCOUNTS), account).await;
    let into = "\"email/Folders\" (\"domain\", \"id\", \"version\", \"account_id\", \"title\",
        \"name\", \"mailbox\", \"enabled\")";
    let folder = |n: u128| {
        let leading =
            vec![domain(n), id("folder", n), 1.into(), id("account", n % count(ACCOUNTS))];
        let name = format!("box{n}");
        let names = vec![format!("a/{name}").into(), name.clone().into(), name.into()];
        [leading, names, vec![n.is_multiple_of(10).into()]].concat()
    };
    rows(store, into, count(FOLDERS), folder).await;
    let into = "\"origin\" (\"folder\", \"login\", \"moves\", \"epoch\")";
    let origin = |n| vec![id("folder", n), format!("user{n}@mail.test").into(), 0.into(), 1.into()];
    rows(store, into, count(FOLDERS), origin).await;
}

async fn messages(store: &Store) {
    let into = "\"email/Messages\" (\"domain\", \"id\", \"version\", \"folder_id\", \"account_id\",
        \"messageDirection\", \"messageState\", \"messageId\", \"dateTime\", \"dateTimeSource\",
        \"subject\")";
    let message = |n: u128| {
        let folder = skewed(n, count(FOLDERS));
        let leading = vec![domain(n), id("message", n), 1.into(), id("folder", folder)];
        let sends = n.is_multiple_of(50);
        let direction = if sends { ["out", "sending"] } else { ["in", "received"] };
        let source = if sends { Value::Null } else { "date".into() };
        let account = id("account", folder % count(ACCOUNTS));
        let named: Value =
            if n.is_multiple_of(7) { Value::Null } else { format!("{n}@host.test").into() };
        let rest = vec![named, moment(n), source, format!("subject {n}").into()];
        [leading, vec![account], direction.map(Value::from).to_vec(), rest].concat()
    };
    rows(store, into, count(MESSAGES), message).await;
    let into = "\"receipt\" (\"folder\", \"epoch\", \"key\", \"message\", \"hash\", \"wish\",
        \"reason\")";
    let receipt = |n: u128| {
        let Value::Id(hash) = id("hash", n) else { unreachable!("an id") };
        let wish = if n.is_multiple_of(4) { 1.into() } else { Value::Null };
        let reason = if n.is_multiple_of(9) { "too_big".into() } else { Value::Null };
        let key = vec![id("folder", skewed(n, count(FOLDERS))), 1.into(), whole(n + 1).into()];
        let hash = Value::from(hash.uuid().as_bytes().to_vec());
        [key, vec![id("message", n), hash, wish, reason]].concat()
    };
    rows(store, into, count(MESSAGES), receipt).await;
    let into = "\"file\" (\"domain\", \"entity\", \"property\", \"name\", \"position\",
        \"media_type\", \"size\", \"blob\")";
    let file = |n: u128| {
        let entity = vec![domain(n), id("message", n), "rawMessage".into(), "message.eml".into()];
        let blob = whole(n) + 1_000_000;
        [entity, vec![0.into(), "message/rfc822".into(), 9.into(), blob.into()]].concat()
    };
    rows(store, into, count(MESSAGES), file).await;
    let into = "\"chunk\" (\"id\", \"codec\", \"bytes\")";
    let chunk = |n: u128| vec![((whole(n) + 1_000_000) << 20).into(), 0.into(), vec![7].into()];
    rows(store, into, count(MESSAGES), chunk).await;
    let into = "\"object\" (\"blob\", \"name\", \"length\", \"hash\")";
    let object = |n: u128| {
        let name = format!("another/999/{n}");
        vec![(whole(n) + 1_000_000).into(), name.into(), 9.into(), vec![7].into()]
    };
    rows(store, into, count(MESSAGES), object).await;
    let into = "\"change\" (\"seq\", \"domain\", \"class\", \"entity\", \"operation\", \"at\",
        \"replaced\")";
    let change = |n: u128| {
        let json = Value::Json("{\"version\":1}".to_owned());
        let class = "email/Messages".into();
        // The first ones are old.
        let now_ms = store.clock().now_ms();
        let at = Value::Moment(if n < 50 { 0 } else { now_ms });
        let entity = id("message", n);
        vec![(whole(n) - 1_000_000).into(), domain(n), class, entity, 1.into(), at, json]
    };
    rows(store, into, count(MESSAGES), change).await;
}

async fn queue(store: &Store) {
    let into = "\"delivery\" (\"message\", \"domain\", \"account\", \"phase\", \"order\", \"due\",
        \"planned\", \"attempts\", \"reverse_path\", \"smtp_utf8\", \"blob\", \"size\")";
    let delivery = |n: u128| {
        let account = id("account", skewed(n, count(ACCOUNTS)));
        let phase = if n.is_multiple_of(500) { "in-doubt" } else { "due" };
        let place = vec![id("message", n), domain(n), account, phase.into(), moment(n), moment(n)];
        let rest = vec![false.into(), 0.into(), "a@b.test".into(), false.into()];
        [place, rest, vec![(whole(n) + 1_000_000).into(), 9.into()]].concat()
    };
    rows(store, into, count(MESSAGES) / 2, delivery).await;
    let into = "\"delivered\" (\"message\", \"address\")";
    rows(store, into, count(MESSAGES) / 2, |n| vec![id("message", n), "x@b.test".into()]).await;
    let into = "\"job entity\" (\"job\", \"entity\")";
    rows(store, into, count(MESSAGES) / 2, |n| vec![id("job", 0), id("message", n)]).await;
    let into = "\"once\" (\"domain\", \"class\", \"key\", \"request\", \"entities\", \"at\")";
    let once = |n: u128| {
        let request = vec![7; 32].into();
        let keyed = vec![domain(n), "email/Messages".into(), format!("key {n}").into(), request];
        // All of them are new.
        let at = Value::Moment(store.clock().now_ms());
        [keyed, vec![Value::Json("[]".to_owned()), at]].concat()
    };
    rows(store, into, count(MESSAGES) / 4, once).await;
}
