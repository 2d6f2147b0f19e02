//! The disk: a database that takes nothing more for a while, as on a disk that is full.

use postroom_store::Answer;
use postroom_store::Database;
use postroom_store::DatabaseFront;
use postroom_store::Error;
use postroom_store::Outcome;
use postroom_store::Room;
use postroom_store::Statement;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

/// How full the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fullness {
    /// There is room.
    #[default]
    Room,
    /// Only the reserve is left.
    Full,
    /// The reserve is used up too.
    NotEvenReserve,
}

/// The state of the disk, which outlives the process.
#[derive(Debug, Default)]
pub struct DiskRoom(Mutex<RoomLeft>);

#[derive(Debug, Default)]
struct RoomLeft {
    fullness: Fullness,
    room_since: Duration,
}

impl DiskRoom {
    /// From `now` on it is so full.
    pub fn set(&self, fullness: Fullness, now: Duration) {
        let mut inner = self.inner();
        if inner.fullness != Fullness::Room {
            inner.room_since = now;
        }
        inner.fullness = fullness;
    }

    /// Since when there is room; `None`: there is none.
    #[must_use]
    pub fn room_since(&self) -> Option<Duration> {
        let inner = self.inner();
        (inner.fullness == Fullness::Room).then_some(inner.room_since)
    }

    fn takes(&self, room: Room) -> bool {
        match self.inner().fullness {
            Fullness::Room => true,
            Fullness::Full => room == Room::Reserve,
            Fullness::NotEvenReserve => false,
        }
    }

    fn inner(&self) -> MutexGuard<'_, RoomLeft> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A database on that disk.
#[derive(Debug)]
pub struct SimulatedDisk {
    /// The database.
    pub database: Arc<dyn Database>,
    /// Its disk.
    pub state: Arc<DiskRoom>,
}

impl SimulatedDisk {
    fn refused<T: Send + 'static>() -> Answer<T> {
        Box::pin(async { Err(Error::Full) })
    }
}

impl DatabaseFront for SimulatedDisk {
    fn behind(&self) -> &dyn Database {
        self.database.as_ref()
    }

    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        if self.state.takes(room) { self.database.write(batch, room) } else { Self::refused() }
    }

    fn check(&self) -> Answer<()> {
        if self.state.takes(Room::Free) { self.database.check() } else { Self::refused() }
    }

    fn is_full(&self) -> bool {
        !self.state.takes(Room::Free)
    }
}
