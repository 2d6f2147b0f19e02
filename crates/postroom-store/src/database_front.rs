//! A database in front of another one, which changes some of what is asked of it.

use crate::bell::Listener;
use crate::bell::Topic;
use crate::database::Answer;
use crate::database::Database;
use crate::database::Dialect;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;

/// A database in front of another one. Whatever it does not do itself, the one behind does.
pub trait DatabaseFront: Send + Sync + std::fmt::Debug {
    /// The database behind.
    fn behind(&self) -> &dyn Database;

    /// [`Database::read`].
    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        self.behind().read(statement)
    }

    /// [`Database::write`].
    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        self.behind().write(batch, room)
    }

    /// [`Database::check`].
    fn check(&self) -> Answer<()> {
        self.behind().check()
    }

    /// [`Database::is_full`].
    fn is_full(&self) -> bool {
        self.behind().is_full()
    }

    /// [`Database::ring`].
    fn ring(&self, topic: Topic) {
        self.behind().ring(topic);
    }

    /// [`Database::listen`].
    fn listen(&self, topic: Topic) -> Listener {
        self.behind().listen(topic)
    }

    /// [`Database::close`].
    fn close(&self) {
        self.behind().close();
    }
}

impl<Front: DatabaseFront> Database for Front {
    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        DatabaseFront::read(self, statement)
    }

    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        DatabaseFront::write(self, batch, room)
    }

    fn index(&self, name: &str, on: &str) -> Answer<()> {
        self.behind().index(name, on)
    }

    fn indexing_ended(&self, table: &str) -> Answer<()> {
        self.behind().indexing_ended(table)
    }

    fn tidy(&self) -> Answer<bool> {
        self.behind().tidy()
    }

    fn check(&self) -> Answer<()> {
        DatabaseFront::check(self)
    }

    fn is_full(&self) -> bool {
        DatabaseFront::is_full(self)
    }

    fn damage(&self) -> Option<&'static str> {
        self.behind().damage()
    }

    fn found_damaged(&self, error: &Error) {
        self.behind().found_damaged(error);
    }

    fn is_first(&self) -> bool {
        self.behind().is_first()
    }

    fn ring(&self, topic: Topic) {
        DatabaseFront::ring(self, topic);
    }

    fn listen(&self, topic: Topic) -> Listener {
        DatabaseFront::listen(self, topic)
    }

    fn close(&self) {
        DatabaseFront::close(self);
    }

    fn dialect(&self) -> &'static dyn Dialect {
        self.behind().dialect()
    }
}
