//! The keys of a database, as it keeps them: wrapped.
//!
//! The root key is wrapped by the master key, and all others by the root key. So another master key
//! means one more row of `root key`, and nothing else changes. While two rows are there, processes
//! run with either key.
//!
//! Reads and writes `root key` and `data key`.

use crate::database::Database;
use crate::database::Lock;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::key::MasterKey;
use crate::key_bytes::KeyBytes;
use crate::key_bytes::KeyMark;
use crate::keyring::DomainKey;
use crate::keyring::KeyNumber;
use crate::keyring::Keyring;
use crate::keyring::OpenedKeys;
use postroom_model::Domain;
use std::collections::BTreeSet;

/// The row of `meta` that says that an earlier version sealed secrets with the master key.
pub(crate) const BY_MASTER: &str = "secrets of the master key";
/// What those lock who make the root key, or wrap it for another master key.
pub(crate) const ROOT: &str = "root key";

/// What a key is for, if it is not for the secrets of a domain.
const HASH: &str = "hash";
const FORMER_HASH: &str = "former hash";
const SECRETS: &str = "secrets";
/// The place of the root key, so that no other key opens as it.
const ROOT_PLACE: &str = "root key";
const DAMAGED: Error = Error::Damaged { what: "a key" };

/// The place of a wrapped key, so that it opens as no other.
fn place(number: KeyNumber, domain: &str, purpose: &str) -> String {
    format!("data key/{}/{purpose}/{domain}", number.0)
}

/// The mark that says that an earlier version sealed secrets with the master key.
pub(crate) fn sealed_by_master() -> Statement {
    let sql = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ($1, 1)
        ON CONFLICT (\"name\") DO NOTHING";
    Statement::new(sql).bind(BY_MASTER)
}

/// The root key as a master key wraps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptMaster {
    /// The mark of the master key.
    pub mark: KeyMark,
    /// Since when it is accepted, in milliseconds since 1970.
    pub since_ms: i64,
}

/// The master keys that a database accepts, the oldest first. None: it has no root key so far.
pub(crate) async fn masters(database: &dyn Database) -> Result<Vec<KeptMaster>, Error> {
    let sql = "SELECT \"master\", \"since\" FROM \"root key\" ORDER BY \"since\", \"master\"";
    let rows = database.read(Statement::new(sql)).await?;
    let kept = |row: &Row| {
        let mark = row.bytes(0).and_then(KeyMark::from_bytes)?;
        Some(KeptMaster { mark, since_ms: row.whole(1)? })
    };
    rows.iter().map(|row| kept(row).ok_or(DAMAGED)).collect()
}

/// The error that a master key is not one of those that are accepted.
pub(crate) fn differs(master: &MasterKey, known: &[KeptMaster]) -> Error {
    let known: Vec<_> = known.iter().map(|kept| kept.mark.to_string()).collect();
    Error::KeyDiffers { given: master.mark().to_string(), known: known.join(" or ") }
}

/// The statement that lets a master key open the root key from now on (`now_ms`).
pub(crate) fn accept(master: &MasterKey, root: &KeyBytes, now_ms: i64) -> Statement {
    let sql = "INSERT INTO \"root key\" (\"master\", \"wrapped\", \"since\") VALUES ($1, $2, $3)
        ON CONFLICT (\"master\") DO NOTHING";
    let wrapped = master.bytes().wrap(ROOT_PLACE, root);
    let accept = Statement::new(sql).bind(master.mark().to_bytes()).bind(wrapped);
    accept.bind(Value::Moment(now_ms))
}

/// The statement that stores a key.
fn store(key: &KeyBytes, named: NamedKey<'_>, root: &KeyBytes, now_ms: i64) -> Statement {
    let NamedKey { number, domain, purpose } = named;
    let sql = "INSERT INTO \"data key\"
          (\"number\", \"domain\", \"purpose\", \"wrapped\", \"since\")
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (\"number\") DO NOTHING";
    let wrapped = root.wrap(&place(number, domain, purpose), key);
    let insert = Statement::new(sql).bind(number.0).bind(domain).bind(purpose);
    insert.bind(wrapped).bind(Value::Moment(now_ms))
}

/// Which key of the database it is.
#[derive(Clone, Copy)]
struct NamedKey<'a> {
    number: KeyNumber,
    /// Empty: of no domain.
    domain: &'a str,
    purpose: &'a str,
}

/// Opens the keys of a database. The first process makes the root key, and a key for hashes. If an
/// earlier version has hashed with the master key, that key is kept for these hashes.
///
/// # Errors
///
/// [`Error::KeyDiffers`] when the master key is not accepted; when the database fails.
pub(crate) async fn begin(
    database: &dyn Database,
    master: &MasterKey,
    now_ms: i64,
) -> Result<Keyring, Error> {
    let root = loop {
        let sql = "SELECT \"wrapped\" FROM \"root key\" WHERE \"master\" = $1";
        let own = Statement::new(sql).bind(master.mark().to_bytes());
        if let Some(row) = database.read(own).await?.first() {
            let wrapped = row.bytes(0).ok_or(DAMAGED)?;
            break master.bytes().unwrapped(ROOT_PLACE, wrapped).ok_or(DAMAGED)?;
        }
        let known = masters(database).await?;
        if known.is_empty() {
            make(database, master, now_ms).await?;
        } else if !known.iter().any(|known| known.mark == master.mark()) {
            return Err(differs(master, &known));
        }
        // By now there is a row of this key: ours, or that of a process that was faster.
    };
    let sql = "SELECT \"number\", \"domain\", \"purpose\", \"wrapped\" FROM \"data key\"
        ORDER BY \"since\", \"number\"";
    let (mut hash, mut former_hash, mut domains) = (None, None, vec![]);
    for row in database.read(Statement::new(sql)).await? {
        let key = unwrapped(&root, &row)?;
        match row.text(2) {
            Some(HASH) => hash = Some(key.key),
            Some(FORMER_HASH) => former_hash = Some(key.key),
            Some(_) | None => domains.push(key.of_domain()?),
        }
    }
    let hash = hash.ok_or(DAMAGED)?;
    let opened = OpenedKeys { master: master.clone(), root, hash, former_hash };
    Ok(Keyring::new(opened, domains))
}

/// Makes the root key and the key for hashes, unless another process does it first.
async fn make(database: &dyn Database, master: &MasterKey, now_ms: i64) -> Result<(), Error> {
    let (root, hash) = (KeyBytes::random(), KeyBytes::random());
    let none = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"root key\")";
    let none = Statement::new(none).assert(Failed::OtherKey, Lock::Name(ROOT));
    let named = |number, purpose| NamedKey { number: KeyNumber(number), domain: "", purpose };
    let mut batch = vec![none, accept(master, &root, now_ms)];
    batch.push(store(&hash, named(0, HASH), &root, now_ms));
    let earlier = "SELECT 1 FROM \"meta\" WHERE \"name\" = $1";
    if !database.read(Statement::new(earlier).bind(BY_MASTER)).await?.is_empty() {
        batch.push(store(master.bytes(), named(-1, FORMER_HASH), &root, now_ms));
    }
    match database.write(batch, Room::Reserve).await {
        Ok(_) | Err(Error::Condition(Failed::OtherKey)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A key as it was read.
struct ReadKey {
    number: KeyNumber,
    domain: String,
    key: KeyBytes,
}

impl ReadKey {
    fn of_domain(self) -> Result<DomainKey, Error> {
        let Self { number, domain, key } = self;
        let domain = Domain::new(&domain).map_err(|_| DAMAGED)?;
        Ok(DomainKey { number, domain, key, is_stored: true })
    }
}

/// The key of a row of number, domain, purpose and wrapped key.
fn unwrapped(root: &KeyBytes, row: &Row) -> Result<ReadKey, Error> {
    let number = KeyNumber(row.whole(0).ok_or(DAMAGED)?);
    let (domain, purpose) = row.text(1).zip(row.text(2)).ok_or(DAMAGED)?;
    let wrapped = row.bytes(3).ok_or(DAMAGED)?;
    let key = root.unwrapped(&place(number, domain, purpose), wrapped).ok_or(DAMAGED)?;
    Ok(ReadKey { number, domain: domain.to_owned(), key })
}

/// Reads the keys of sealed secrets in these rows that are not in memory, because another process
/// has made them.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn learn(
    database: &dyn Database,
    keys: &Keyring,
    rows: &[Row],
) -> Result<(), Error> {
    let numbers = rows.iter().flat_map(|row| row.0.iter().filter_map(number));
    let unknown: BTreeSet<_> = numbers.filter(|number| keys.get(*number).is_none()).collect();
    for number in unknown {
        let sql = "SELECT \"number\", \"domain\", \"purpose\", \"wrapped\" FROM \"data key\"
            WHERE \"number\" = $1";
        let rows = database.read(Statement::new(sql).bind(number.0)).await?;
        if let Some(row) = rows.first() {
            keys.learn(vec![unwrapped(&keys.opened().root, row)?.of_domain()?]);
        }
    }
    Ok(())
}

/// The key of a value. `None`: it is no sealed secret.
fn number(value: &Value) -> Option<KeyNumber> {
    if let Value::Bytes(bytes) = value { KeyNumber::of(bytes) } else { None }
}

/// The keys that a batch seals secrets with.
pub(crate) fn numbers_of(batch: &[Statement]) -> Vec<KeyNumber> {
    let mut numbers = BTreeSet::new();
    for statement in batch {
        numbers.extend(&statement.keys);
        // The tables of classes have no other bytes than secrets and hashes.
        if statement.class.is_some() {
            numbers.extend(statement.values.iter().filter_map(number));
        }
    }
    numbers.into_iter().collect()
}

/// The statements that store the keys of a batch, or check that they are still there.
pub(crate) fn conditions(keys: &Keyring, numbers: &[KeyNumber], now_ms: i64) -> Vec<Statement> {
    let root = &keys.opened().root;
    let condition = |number: &KeyNumber| match keys.get(*number) {
        Some(DomainKey { number, domain, key, is_stored: false }) => {
            let named = NamedKey { number, domain: domain.as_str(), purpose: SECRETS };
            store(&key, named, root, now_ms)
        }
        Some(_) | None => {
            let sql = "SELECT 1 FROM \"data key\" WHERE \"number\" = $1";
            Statement::new(sql).bind(number.0).assert(Failed::OtherKey, Lock::Found)
        }
    };
    numbers.iter().map(condition).collect()
}
