//! The interface between Postroom and a database.
//!
//! A statement is portable SQL with `$1 … $n` and its bound values. A batch is a list of statements
//! that commits or fails as one. There are no interactive transactions. A statement of a batch may
//! have a condition: a query must find a row ([`Statement::assert`]), or a change must change a row
//! ([`Statement::must_change`]). Otherwise the batch fails with [`Error::Condition`], its name.

use crate::batch_change::BatchChange;
use crate::bell::Listener;
use crate::bell::Topic;
pub use crate::class_revision::ClassRevision;
pub(crate) use crate::column_kind::ColumnKind;
pub use crate::dialect::Dialect;
pub use crate::dialect::PlaceQueries;
use crate::error::Error;
use crate::failed::Failed;
use crate::keyring::KeyNumber;
pub(crate) use crate::lock::Lock;
use crate::made::Made;
use crate::nul::without_nul;
pub use crate::room::Room;
use crate::scan_meter::ScanMeter;
use postroom_model::AccountId;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::JobId;
use postroom_model::MessageEntityId;
use postroom_model::ProfileId;
use std::borrow::Cow;
use std::pin::Pin;
use std::time::Duration;

/// A value that is bound, or that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL's NULL.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A whole number.
    Whole(i64),
    /// A floating point number.
    Float(f64),
    /// Text.
    Text(String),
    /// JSON, as text.
    Json(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A moment, in milliseconds since 1970.
    Moment(i64),
    /// A UUID.
    Id(EntityId),
}

impl Value {
    /// How many bytes a text or bytes have.
    fn size_bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Null
            | Self::Boolean(_)
            | Self::Whole(_)
            | Self::Float(_)
            | Self::Moment(_)
            | Self::Id(_) => 0,
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self { Self::$variant(value.into()) }
        }
    )*};
}
from!(bool => Boolean, i64 => Whole, i32 => Whole, u32 => Whole, f64 => Float, Vec<u8> => Bytes,
      EntityId => Id, ProfileId => Id, AccountId => Id, FolderId => Id, MessageEntityId => Id,
      JobId => Id);

impl From<String> for Value {
    /// A text is kept without U+0000.
    fn from(text: String) -> Self {
        Self::Text(without_nul(text))
    }
}

impl From<&str> for Value {
    /// A text is kept without U+0000.
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<u64> for Value {
    /// A number of more than 63 bits becomes the greatest number of the database.
    fn from(value: u64) -> Self {
        Self::Whole(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The required result of a statement. Otherwise its batch fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Must {
    /// It changes a row.
    Change(Failed),
    /// It is a query, and finds a row.
    Hold {
        /// The reason of the failure if there is none.
        failed: Failed,
        /// What others must not change until the batch is committed.
        lock: Lock,
    },
}

impl Must {
    /// The reason of the failure if the statement changes, or finds, nothing.
    #[must_use]
    pub fn failed(&self) -> &Failed {
        match self {
            Self::Change(failed) | Self::Hold { failed, .. } => failed,
        }
    }
}

/// One SQL statement with its values.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The SQL, with `$1 … $n`.
    pub sql: Cow<'static, str>,
    /// The values of `$1 … $n`.
    pub values: Vec<Value>,
    /// Its required result. Otherwise its batch fails.
    pub must: Option<Must>,
    /// Reading ends after the row with which the answer exceeds this size.
    pub bytes_max: usize,
    /// Reading fails with [`Error::TooSlow`] if it takes longer. `None`: no limit.
    pub within: Option<Duration>,
    /// Whether it searches texts or JSON. Then it delays no statement that does not.
    pub searches: bool,
    /// What measures its work. `None`: nobody asks.
    pub(crate) meter: Option<ScanMeter>,
    /// The definition of a class that it was built with. `None`: it depends on none.
    pub class: Option<ClassRevision>,
    /// What it makes, in a domain that must not be erased, and may have limits.
    pub(crate) made: Option<Made>,
    /// The keys that it seals secrets with, beside those in values of a class.
    pub(crate) keys: Vec<KeyNumber>,
    /// The change that it belongs to, and whose number it writes.
    pub(crate) change: Option<BatchChange>,
    /// The place in the sources where it was made. Tests look at the plan of each.
    #[cfg(test)]
    pub(crate) made_at: &'static std::panic::Location<'static>,
}

impl Statement {
    /// A statement without values so far.
    #[track_caller]
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self {
            sql: sql.into(),
            values: vec![],
            must: None,
            bytes_max: usize::MAX,
            within: None,
            searches: false,
            meter: None,
            class: None,
            made: None,
            keys: vec![],
            change: None,
            #[cfg(test)]
            made_at: std::panic::Location::caller(),
        }
    }

    /// How many bytes its texts and bytes have.
    pub(crate) fn size_bytes(&self) -> usize {
        self.values.iter().map(Value::size_bytes).sum()
    }

    /// Binds the next value.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Binds the next values.
    #[must_use]
    pub fn bind_all(mut self, values: impl IntoIterator<Item = Value>) -> Self {
        self.values.extend(values);
        self
    }

    /// Makes the batch fail for this reason if the statement changes no row.
    #[must_use]
    pub fn must_change(mut self, failed: Failed) -> Self {
        self.must = Some(Must::Change(failed));
        self
    }

    /// Makes the batch fail for this reason if the query finds no row. What `lock` names stays as
    /// it is until the batch is committed.
    #[must_use]
    pub fn assert(mut self, failed: Failed, lock: Lock) -> Self {
        self.must = Some(Must::Hold { failed, lock });
        self
    }

    /// Says which definition of a class it was built with. The SQL says it too, because a
    /// connection keeps what it has prepared by its SQL, and a later definition has other types.
    #[must_use]
    pub(crate) fn of_class(mut self, class: impl Into<ClassRevision>) -> Self {
        let class = class.into();
        self.sql = format!("{} /* {} */", self.sql, class.revision).into();
        self.class = Some(class);
        self
    }

    /// Says which change it belongs to. Its place in the batch is bound as the last value.
    #[must_use]
    pub(crate) fn of_change(mut self, change: BatchChange) -> Self {
        self.change = Some(change);
        self
    }

    /// Says what it makes in a domain.
    #[must_use]
    pub(crate) fn makes(mut self, made: Made) -> Self {
        self.made = Some(made);
        self
    }

    /// Says with which keys it seals secrets.
    #[must_use]
    pub(crate) fn sealed_with(mut self, keys: impl IntoIterator<Item = KeyNumber>) -> Self {
        self.keys.extend(keys);
        self
    }

    /// Ends reading after the row with which the answer exceeds so many bytes.
    #[must_use]
    pub(crate) fn at_most(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// Makes reading fail with [`Error::TooSlow`] if it takes longer.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Says whether it searches texts or JSON, which may take long.
    #[must_use]
    pub fn searches(mut self, searches: bool) -> Self {
        self.searches = searches;
        self
    }
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// How many bytes its texts and bytes have.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.0.iter().map(Value::size_bytes).sum()
    }

    /// The value of a column, from 0. NULL when there is no such column.
    #[must_use]
    pub fn value(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    /// The whole number of a column. A moment counts as one, and so does a boolean.
    #[must_use]
    pub fn whole(&self, column: usize) -> Option<i64> {
        if let Value::Whole(number) | Value::Moment(number) = self.value(column) {
            return Some(*number);
        }
        if let Value::Boolean(flag) = self.value(column) { Some(i64::from(*flag)) } else { None }
    }

    /// The floating point number of a column.
    #[must_use]
    pub fn float(&self, column: usize) -> Option<f64> {
        if let Value::Float(number) = self.value(column) { Some(*number) } else { None }
    }

    /// The text of a column.
    #[must_use]
    pub fn text(&self, column: usize) -> Option<&str> {
        if let Value::Text(text) | Value::Json(text) = self.value(column) {
            return Some(text);
        }
        None
    }

    /// The bytes of a column.
    #[must_use]
    pub fn bytes(&self, column: usize) -> Option<&[u8]> {
        if let Value::Bytes(bytes) = self.value(column) { Some(bytes) } else { None }
    }

    /// The id of a column; 16 bytes count as one.
    #[must_use]
    pub fn id(&self, column: usize) -> Option<EntityId> {
        if let Value::Id(id) = self.value(column) {
            return Some(*id);
        }
        self.bytes(column).and_then(EntityId::from_slice)
    }
}

/// What a statement of a batch did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How many rows it changed.
    pub changed: usize,
    /// The rows of its RETURNING clause.
    pub rows: Vec<Row>,
}

/// A pending answer. Dropping it does not undo the request.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// A database. Whoever opens a store makes a database first. Several stores may share it.
pub trait Database: Send + Sync + std::fmt::Debug {
    /// Runs a query.
    fn read(&self, statement: Statement) -> Answer<Vec<Row>>;

    /// Writes all statements or none. Waiting batches may be committed together, but each succeeds
    /// or fails by itself. The answer comes after the batch is durable.
    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>>;

    /// Makes an index. This blocks no reader, and if the database can, no writer. It may take more
    /// than one transaction. `name` and `on`, a table with its columns, are quoted.
    fn index(&self, name: &str, on: &str) -> Answer<()> {
        let sql = format!("CREATE INDEX IF NOT EXISTS {name} ON {on}");
        let written = self.write(vec![Statement::new(sql)], Room::Free);
        Box::pin(async move { written.await.map(drop) })
    }

    /// Ends the making of the indexes of a table that is to be changed, by any process. It is then
    /// an error there. `table` is quoted. Nothing is done if an index is made in one step.
    fn indexing_ended(&self, _table: &str) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    /// Gives back some of the space of deleted rows, and clears the rows from logs. The answer says
    /// whether there is more to give back.
    fn tidy(&self) -> Answer<bool>;

    /// Checks that the database answers reads and writes, and has room. The answer is
    /// [`Error::Full`] if it has no room.
    fn check(&self) -> Answer<()>;

    /// Whether the last batch that needed space found none.
    fn is_full(&self) -> bool;

    /// What was found damaged since it was opened, in words for people. `None`: nothing.
    fn damage(&self) -> Option<&'static str>;

    /// Tells the database that a row that it returned is damaged.
    fn found_damaged(&self, error: &Error);

    /// Whether no other process can have the database open, and this was not asked before since it
    /// was opened. If so, all processes that are registered in it have ended.
    fn is_first(&self) -> bool;

    /// Wakes those who listen to a topic, in this process and in others. Rings for other processes
    /// may be lost.
    fn ring(&self, topic: Topic);

    /// Listens to a topic from now on.
    fn listen(&self, topic: Topic) -> Listener;

    /// Closes the database after the batches that are being written, and waits for that. Later
    /// requests are refused.
    fn close(&self);

    /// The SQL that is not portable.
    fn dialect(&self) -> &'static dyn Dialect;
}
