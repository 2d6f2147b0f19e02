//! The store itself: it is opened, reads and writes through its database, and wakes those who wait.

use crate::audit_actor::Asker;
use crate::being_claimed::BeingClaimed;
use crate::bell::Topic;
use crate::chunk::Abandoned;
use crate::chunk::BlobIds;
use crate::chunk::Damage;
use crate::class_begin::Begin;
use crate::classes;
use crate::classes::Classes;
use crate::clock::Clock;
use crate::copied;
use crate::damaged_rows::DamagedRows;
use crate::database::ClassRevision;
use crate::database::Database;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::dated_time::KnownTimes;
use crate::error::Error;
use crate::failed::Failed;
use crate::feed_gap;
use crate::feed_gap::FeedGap;
use crate::feed_marks::LastTrim;
use crate::feed_retention::FeedRetention;
use crate::key::MasterKey;
use crate::keyring::Keyring;
use crate::lease;
use crate::lease::Lease;
use crate::lease::Member;
use crate::lease::Presence;
use crate::limits;
use crate::modifier::KnownTokens;
use crate::modifier::Modifier;
use crate::modifier::TokenHash;
use crate::modifier::Uses;
use crate::moving;
use crate::notices::Notices;
use crate::object_place;
use crate::object_place::ObjectsHeld;
use crate::objects::ObjectsAccess;
use crate::poll_times::Unwritten;
use crate::scan_meter::ScanMeter;
use crate::seq;
use crate::set_up;
use crate::work::HashTurns;
use crate::work::Work;
use crate::wrapped_key;
use postroom_model::Class;
use postroom_model::EntityId;
use postroom_model::RightReach;
use postroom_model::Timestamp;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use tokio::sync::RwLock;

/// What a store is opened with, beside its database.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The key that opens the keys of the database.
    pub key: MasterKey,
    /// The built-in classes.
    pub classes: Vec<Class>,
    /// The time of day, new ids and random numbers.
    pub clock: Clock,
    /// Where long work runs.
    pub work: Work,
    /// Which process this is.
    pub member: Member,
    /// Where the objects are.
    pub objects: ObjectsAccess,
    /// How long the feed keeps changes, and how many.
    pub feed: FeedRetention,
}

/// Everything durable. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
    /// The modifier of the changes through this clone.
    pub(crate) modifier: Modifier,
    /// The right of the engine to write. `None`: this clone is not the engine's.
    pub(crate) lease: Option<Arc<Lease>>,
    /// The entities that this clone may read and change. `None`: all.
    pub(crate) reach: Option<Arc<RightReach>>,
    /// What measures the work of queries through this clone. `None`: nobody asks.
    pub(crate) meter: Option<ScanMeter>,
    /// Who asks for the changes through this clone, as the audit tells it. `None`: only the name of
    /// the modifier is known.
    pub(crate) asker: Option<Arc<Asker>>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub database: Arc<dyn Database>,
    /// The keys that secrets are encrypted with.
    pub keys: Keyring,
    pub clock: Clock,
    work: Work,
    /// Which process this is now, and what it tells of itself.
    pub presence: Mutex<Presence>,
    /// The number of this process among those that have or had the database.
    pub owner: i64,
    pub lease: Mutex<Option<Arc<Lease>>>,
    /// The lease of another process, as it was seen last.
    pub seen_lease: crate::seen_lease::SeenLeases,
    pub objects: ObjectsHeld,
    pub blobs: BlobIds,
    pub blobs_refill: tokio::sync::Mutex<()>,
    pub abandoned: Abandoned,
    pub damage: Damage,
    /// The damaged rows that the log names already.
    pub damaged_rows: DamagedRows,
    /// The times of polls that are not written yet.
    pub unwritten: Unwritten,
    /// The last chunk of a version that wrote no checksums. 0: there is none.
    pub unsummed: i64,
    /// The tokens that were used lately, by their hashes. `None` until somebody asks.
    pub tokens: RwLock<Option<KnownTokens>>,
    /// When tokens were used, as long as it is not written.
    pub token_uses: Uses<EntityId>,
    /// The same of sessions.
    pub session_uses: Uses<TokenHash>,
    /// What the audit counts.
    pub notices: Notices,
    /// For how many milliseconds the audit keeps entries.
    pub audit_kept_ms: AtomicI64,
    pub hash_turns: HashTurns,
    pub classes: std::sync::RwLock<Classes>,
    pub being_claimed: BeingClaimed,
    /// The classes that are built in.
    pub built_in: Vec<Class>,
    pub feed: Mutex<FeedRetention>,
    /// The numbers between changes of this database that are of others.
    pub feed_gaps: Vec<FeedGap>,
    /// The last time at which rows of the feed were removed.
    pub last_trim: tokio::sync::Mutex<LastTrim>,
    /// What is known of the time of day.
    pub times: KnownTimes,
    /// Held by the one who makes indexes and deletes values after a change of the classes.
    pub settling: tokio::sync::Mutex<()>,
    /// Held by the one who deletes the entities of deleted classes.
    pub emptying: tokio::sync::Mutex<()>,
}

impl Store {
    /// Opens the store of a database, or makes its tables. Other stores may share the database.
    ///
    /// # Errors
    ///
    /// When the key is another, the schema is newer, or the database does not work.
    pub async fn open(database: Arc<dyn Database>, config: &StoreConfig) -> Result<Self, Error> {
        set_up::set_up(database.as_ref(), &config.key).await?;
        moving::check(database.as_ref()).await?;
        let (clock, now_ms) = (&config.clock, config.clock.now_ms());
        let now = Timestamp::from_ms(now_ms).to_string();
        seq::raise(database.as_ref()).await?;
        copied::check(database.as_ref(), now_ms).await?;
        let keys = wrapped_key::begin(database.as_ref(), &config.key, now_ms).await?;
        let objects = object_place::settle(database.as_ref(), &config.objects, clock).await?;
        let begin = Begin { database: database.as_ref(), built_in: &config.classes, now: &now };
        let classes = begin.begin().await?;
        let all: Vec<_> = classes.iter().map(|class| Class::clone(class)).collect();
        set_up::renew(database.as_ref(), &all).await?;
        lease::blobs_begin(database.as_ref(), now_ms).await?;
        let feed_gaps = feed_gap::all(database.as_ref()).await?;
        let owner = lease::register(database.as_ref(), &config.member, config.key.mark()).await?;
        let times = KnownTimes::begin(database.as_ref(), clock).await?;
        let unsummed = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'chunks without sum'";
        let unsummed = set_up::read_one(database.as_ref(), unsummed).await?;
        let store = Self {
            inner: Arc::new(Inner {
                database,
                keys,
                clock: config.clock.clone(),
                work: config.work,
                presence: Mutex::new(Presence::of(&config.member)),
                owner,
                lease: Mutex::default(),
                seen_lease: Mutex::default(),
                objects,
                blobs: BlobIds::default(),
                blobs_refill: tokio::sync::Mutex::default(),
                abandoned: Abandoned::default(),
                damage: Damage::default(),
                damaged_rows: DamagedRows::default(),
                unwritten: Unwritten::default(),
                unsummed: unsummed.and_then(|row| row.whole(0)).unwrap_or(0),
                tokens: RwLock::default(),
                token_uses: Uses::default(),
                session_uses: Uses::default(),
                notices: Notices::default(),
                audit_kept_ms: AtomicI64::new(i64::MAX),
                hash_turns: HashTurns::default(),
                classes: std::sync::RwLock::new(classes),
                being_claimed: BeingClaimed::default(),
                built_in: config.classes.clone(),
                feed: Mutex::new(config.feed),
                feed_gaps,
                last_trim: tokio::sync::Mutex::default(),
                times,
                settling: tokio::sync::Mutex::default(),
                emptying: tokio::sync::Mutex::default(),
            }),
            modifier: Modifier::System,
            lease: None,
            reach: None,
            meter: None,
            asker: None,
        };
        store.classes_used().await?;
        store.blob_sweep().await?;
        store.tidy().await;
        tokio::spawn(Self::sweep_on(Arc::downgrade(&store.inner)));
        if store.inner.objects.own.is_some() {
            tokio::spawn(Self::objects_on(Arc::downgrade(&store.inner)));
        }
        store.reseal_follow().await?;
        store.classes_follow();
        Ok(store)
    }

    /// The time of day, new ids and random numbers.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Where long work runs.
    #[must_use]
    pub fn work(&self) -> Work {
        self.inner.work
    }

    /// The same store for a client. The feed says that the client made the changes. `name` is the
    /// name of its token.
    #[must_use]
    pub fn of_client(&self, name: &str) -> Self {
        let modifier = Modifier::Client(name.into());
        Self { modifier, lease: None, reach: None, meter: None, asker: None, ..self.clone() }
    }

    /// The same store, whose queries with a limit of time are measured by `meter`.
    #[must_use]
    pub fn measured_by(self, meter: &ScanMeter) -> Self {
        Self { meter: Some(meter.clone()), ..self }
    }

    /// Checks that the database answers reads and writes, and has room.
    ///
    /// # Errors
    ///
    /// When it does not answer; [`Error::Full`] when it has no room.
    pub async fn check(&self) -> Result<(), Error> {
        self.inner.database.check().await
    }

    /// What was found damaged since the start and still exists, in words. `None`: nothing.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn damage(&self) -> Result<Option<&'static str>, Error> {
        if let Some(damage) = self.inner.database.damage() {
            return Ok(Some(damage));
        }
        let is_damaged = self.blobs_are_damaged().await?;
        Ok(is_damaged.then_some("stored bytes of messages are damaged"))
    }

    /// Closes the store and its database. SQLite then has everything in one file, so that a copy of
    /// the data directory is complete. Later calls are refused, also those of other stores on the
    /// database.
    ///
    /// # Errors
    ///
    /// When a thread of the database ended by a fault.
    pub async fn close(self) -> Result<(), Error> {
        self.sweep_last().await;
        if let Err(error) = self.resign().await {
            tracing::warn!(%error, "the end of this process was not recorded: others wait for it");
        }
        let closed = self.work().spawn(move || self.inner.database.close()).await;
        closed.map_err(|_| Error::Closed)
    }

    /// Runs a query. If it was built with a former definition of a class, and names a column that
    /// does not exist any more, it fails with [`Failed::OtherClasses`].
    pub(crate) async fn read(&self, statement: Statement) -> Result<Vec<Row>, Error> {
        let class = statement.class.clone();
        let meter = self.meter.clone().filter(|_| statement.within.is_some());
        let statement = Statement { meter, ..statement };
        let read = self.inner.database.read(statement).await;
        self.of_present(read, class.as_slice()).await
    }

    /// The result `done` of statements that were built with these classes. If the database did not
    /// understand them, and a class has changed since, the result is [`Failed::OtherClasses`].
    async fn of_present<T>(
        &self,
        done: Result<T, Error>,
        classes: &[ClassRevision],
    ) -> Result<T, Error> {
        let was_not_understood = matches!(done, Err(Error::Database(_)));
        if classes.is_empty() || !was_not_understood {
            return done;
        }
        self.classes_refresh().await?;
        let present = self.classes();
        let is_same = |class: &ClassRevision| {
            let present = match &class.domain {
                Some(domain) => present.of(domain),
                None => present.clone(),
            };
            present.get(&class.classname).is_some_and(|now| now.revision == class.revision)
        };
        match classes.iter().all(is_same) {
            true => done,
            false => Err(Error::Condition(Failed::OtherClasses)),
        }
    }

    /// The store of these parts, for periodic work.
    pub(crate) fn of_inner(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            modifier: Modifier::System,
            lease: None,
            reach: None,
            meter: None,
            asker: None,
        }
    }

    /// Writes, if there is space.
    pub(crate) async fn write(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, Error> {
        self.write_in(batch, Room::Free).await
    }

    /// Writes a batch and gives the number before that of its first change.
    pub(crate) async fn write_numbered(&self, mut batch: Vec<Statement>) -> Result<i64, Error> {
        let before = format!("SELECT {}", self.inner.database.dialect().seq("0"));
        batch.push(Statement::new(before));
        let outcomes = self.write(batch).await?;
        let before = outcomes.last().and_then(|outcome| outcome.rows.first());
        before.and_then(|row| row.whole(0)).ok_or(Error::Damaged { what: "the number of a change" })
    }

    /// Writes a batch that frees space, or that is small and must not be lost. On a full disk it
    /// uses the reserve.
    pub(crate) async fn write_at_need(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, Error> {
        self.write_in(batch, Room::Reserve).await
    }

    /// Writes a batch. A batch of the engine fails if the engine no longer leads. A batch that
    /// changes entities fails if the classes changed since it was built.
    async fn write_in(&self, mut batch: Vec<Statement>, room: Room) -> Result<Vec<Outcome>, Error> {
        let mut asserts = vec![];
        if let Some(lease) = self.lease.as_ref().filter(|_| !batch.is_empty()) {
            asserts.push(lease.holds());
        }
        let mut classes: Vec<ClassRevision> = vec![];
        for class in batch.iter().filter_map(|statement| statement.class.as_ref()) {
            if !classes.contains(class) {
                classes.push(class.clone());
            }
        }
        asserts.extend(classes.iter().map(classes::is_of));
        asserts.extend(limits::conditions(&batch));
        let keys = wrapped_key::numbers_of(&batch);
        asserts.extend(wrapped_key::conditions(&self.inner.keys, &keys, self.clock().now_ms()));
        let (count, len) = (asserts.len(), batch.len());
        let domains: Vec<_> = limits::domains(&batch);
        batch.extend(limits::counted(&batch));
        batch.splice(0..0, asserts);
        let is_numbered = seq::numbered(self.inner.database.dialect(), &mut batch)?;
        let wrote = self.inner.database.write(batch, room).await;
        let is_news = wrote.is_ok() && is_numbered;
        let wrote = self.of_present(wrote, &classes).await;
        if is_news {
            self.inner.database.ring(Topic::News);
        }
        match (&wrote, &self.lease) {
            (Err(Error::Condition(Failed::Deposed)), Some(lease)) => lease.end(),
            (Err(Error::Condition(Failed::OtherClasses)), _) => self.classes_refresh().await?,
            (Err(Error::Condition(Failed::OtherKey)), _) => self.inner.keys.forget(&keys),
            (Ok(_), _) => self.inner.keys.stored(&keys),
            _ => {}
        }
        // The caller does not know of the statements that were added.
        match wrote {
            Ok(outcomes) => Ok(outcomes.into_iter().skip(count).take(len).collect()),
            Err(error) => Err(self.limit_told(error, domains).await),
        }
    }
}
