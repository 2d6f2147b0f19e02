//! The open connections: how many there may be, and which one gives way to a new one.
//!
//! A connection is anonymous until a request on it has a good token. Anonymous connections give way
//! first: the oldest one of the source that has the most. Each source may have only so many of
//! them. If no connection is anonymous, the one that was idle for longest is asked to end, and it
//! finishes its running request. Therefore a client without a token keeps nobody else out, not even
//! behind a proxy, where all connections come from one address.

use crate::limits::Limits;
use crate::source;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::watch;

/// How long a new connection waits before another one is asked to end.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What a connection has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leave {
    /// It may stay.
    No,
    /// It ends after the running request, or at once if there is none.
    WhenDone,
    /// It ends at once.
    Now,
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    number: u64,
    source: IpAddr,
    /// The number of its last request, in the order of all requests. 0: it had none.
    used: AtomicU64,
    known: AtomicBool,
    leave: watch::Sender<Leave>,
}

impl Connection {
    /// Whether the head of a request has arrived on it.
    #[must_use]
    pub(crate) fn has_asked(&self) -> bool {
        self.used.load(Ordering::Relaxed) > 0
    }

    /// Notes that a request on it had a good token.
    pub(crate) fn is_known(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// What it has to do from now on.
    #[must_use]
    pub(crate) fn leaving(&self) -> watch::Receiver<Leave> {
        self.leave.subscribe()
    }

    fn tell(&self, leave: Leave) {
        self.leave.send_if_modified(|told| {
            let more = *told < leave;
            *told = leave.max(*told);
            more
        });
    }

    fn stays(&self) -> bool {
        *self.leave.borrow() == Leave::No
    }
}

/// All open connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    inner: Arc<ConnectionTable>,
}

#[derive(Debug)]
struct ConnectionTable {
    open: Mutex<BTreeMap<u64, Arc<Connection>>>,
    places: Arc<Semaphore>,
    places_max: usize,
    anonymous_max: usize,
    numbers: AtomicU64,
    requests: AtomicU64,
}

/// The place of a connection. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The connection.
    pub connection: Arc<Connection>,
    connections: Connections,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.open().remove(&self.connection.number);
    }
}

impl Connections {
    /// No connections yet, with the limits of the interface.
    #[must_use]
    pub(crate) fn new(limits: &Limits) -> Self {
        let inner = ConnectionTable {
            open: Mutex::default(),
            places: Arc::new(Semaphore::new(limits.connections_max)),
            places_max: limits.connections_max,
            anonymous_max: limits.anonymous_max,
            numbers: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Waits for a place for a new connection. Others are told to give way for it.
    pub(crate) async fn seat(&self, address: IpAddr) -> Seat {
        let source = source::network(address);
        loop {
            self.make_room(source);
            let place = Arc::clone(&self.inner.places).acquire_owned();
            // The semaphore is never closed.
            if let Ok(Ok(permit)) = tokio::time::timeout(ASK_AGAIN, place).await {
                return self.enter(source, permit);
            }
        }
    }

    /// Notes that a request has begun on a connection.
    pub(crate) fn used(&self, connection: &Connection) {
        let number = self.inner.requests.fetch_add(1, Ordering::Relaxed) + 1;
        connection.used.store(number, Ordering::Relaxed);
    }

    /// Tells all to end, and waits until they have.
    pub(crate) async fn end(&self) {
        for connection in self.open().values() {
            let quiet = !connection.has_asked();
            connection.tell(if quiet { Leave::Now } else { Leave::WhenDone });
        }
        let all = u32::try_from(self.inner.places_max).unwrap_or(u32::MAX);
        // An error means that the semaphore is closed, which it never is.
        drop(self.inner.places.acquire_many(all).await);
    }

    #[expect(clippy::disallowed_methods, reason = "connections of clients are not simulated")]
    fn enter(&self, source: IpAddr, permit: OwnedSemaphorePermit) -> Seat {
        let connection = Arc::new(Connection {
            number: self.inner.numbers.fetch_add(1, Ordering::Relaxed),
            source,
            used: AtomicU64::new(0),
            known: AtomicBool::new(false),
            leave: watch::Sender::new(Leave::No),
        });
        self.open().insert(connection.number, Arc::clone(&connection));
        Seat { connection, connections: self.clone(), _permit: permit }
    }

    /// Tells one connection to give way, if there is no place for another one of this source.
    fn make_room(&self, source: IpAddr) {
        let open = self.open();
        if open.len() < self.inner.places_max.min(self.inner.anonymous_max) {
            return;
        }
        let mut anonymous: HashMap<IpAddr, Vec<&Arc<Connection>>> = HashMap::new();
        for connection in open.values().filter(|connection| connection.stays()) {
            if !connection.known.load(Ordering::Relaxed) {
                anonymous.entry(connection.source).or_default().push(connection);
            }
        }
        let own = anonymous.get(&source).filter(|own| own.len() >= self.inner.anonymous_max);
        let is_full = self.inner.places.available_permits() == 0;
        let oldest = own
            .or_else(|| anonymous.values().filter(|_| is_full).max_by_key(|of_one| of_one.len()));
        if let Some(oldest) = oldest.and_then(|of_one| of_one.first()) {
            oldest.tell(Leave::Now);
        } else if is_full {
            let known = open.values().filter(|connection| connection.stays());
            let quietest = known.min_by_key(|known| known.used.load(Ordering::Relaxed));
            if let Some(quietest) = quietest {
                quietest.tell(Leave::WhenDone);
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    fn connections(connections_max: usize, anonymous_max: usize) -> Connections {
        Connections::new(&Limits { connections_max, anonymous_max, ..Limits::default() })
    }

    fn told(seats: &[Seat]) -> Vec<Leave> {
        seats.iter().map(|seat| *seat.connection.leave.borrow()).collect()
    }

    #[tokio::test]
    async fn the_oldest_anonymous_one_of_the_source_with_the_most_gives_way() {
        let connections = connections(4, 4);
        let mut seats = vec![connections.seat(THERE).await];
        for _ in 0..3 {
            seats.push(connections.seat(HERE).await);
        }
        seats[1].connection.is_known();
        assert_eq!(told(&seats), [Leave::No; 4]);
        connections.make_room(THERE);
        assert_eq!(told(&seats), [Leave::No, Leave::No, Leave::Now, Leave::No]);
    }

    #[tokio::test]
    async fn a_source_has_so_many_anonymous_ones_and_no_more() {
        let connections = connections(100, 2);
        let mut seats = vec![connections.seat(THERE).await];
        for _ in 0..3 {
            seats.push(connections.seat(HERE).await);
        }
        assert_eq!(told(&seats), [Leave::No, Leave::Now, Leave::No, Leave::No]);
        seats.drain(..2);
        seats.push(connections.seat(THERE).await);
        assert_eq!(told(&seats), [Leave::No; 3]);
    }

    #[tokio::test]
    async fn among_known_ones_the_quietest_ends_when_it_is_done() {
        let connections = connections(2, 2);
        let seats = [connections.seat(HERE).await, connections.seat(HERE).await];
        for seat in seats.iter().rev() {
            seat.connection.is_known();
            connections.used(&seat.connection);
        }
        connections.make_room(THERE);
        assert_eq!(told(&seats), [Leave::No, Leave::WhenDone]);
    }

    #[tokio::test]
    async fn a_place_is_given_on() {
        let connections = connections(1, 1);
        let first = connections.seat(HERE).await;
        let mut leaving = first.connection.leaving();
        let (second, ()) = tokio::join!(connections.seat(HERE), async {
            leaving.wait_for(|leave| *leave == Leave::Now).await.unwrap();
            drop(first);
        });
        assert_eq!(connections.open().len(), 1);
        drop(second);
        connections.end().await;
    }
}
