//! The open connections: how many there may be, and which one gives way to a new one.
//!
//! A connection is anonymous until a request on it has a good token. Anonymous connections give way
//! first: the oldest one of the source that has the most. Each source may have only so many of
//! them. If no connection is anonymous, one of the token that has the most gives way, of the domain
//! that has the most: the one that was idle for longest, or else the one whose request began first.
//! Therefore neither a client without a token keeps others out, not even behind a proxy, where all
//! connections come from one address, nor one with a token.

use crate::answering::Answering;
use crate::limits::Limits;
use crate::rates::RatedToken;
use crate::source;
use postroom_model::Domain;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
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
    answering: Answering,
    /// The first good token that a request on it had. Unset: it is anonymous.
    token: OnceLock<RatedToken>,
    leave: watch::Sender<Leave>,
}

impl Connection {
    /// Whether the head of a request has arrived on it.
    #[must_use]
    pub(crate) fn has_asked(&self) -> bool {
        self.used.load(Ordering::Relaxed) > 0
    }

    /// Its requests.
    #[must_use]
    pub(crate) fn answering(&self) -> &Answering {
        &self.answering
    }

    /// Notes that a request on it had this good token.
    pub(crate) fn is_of(&self, token: &RatedToken) {
        self.token.get_or_init(|| token.clone());
    }

    fn is_idle(&self) -> bool {
        self.answering.all_ended().is_some()
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

impl Seat {
    /// Ends when the connection has to give way to another one, or Postroom ends. `None`: never.
    pub(crate) async fn gives_way(seat: Option<&Self>) {
        match seat {
            // It has the sender, so this cannot fail.
            Some(seat) => {
                let _ = seat.connection.leaving().wait_for(|leave| *leave != Leave::No).await;
            }
            None => std::future::pending().await,
        }
    }
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
            answering: Answering::default(),
            token: OnceLock::new(),
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
        let mut known: HashMap<&Domain, HashMap<&str, Vec<&Arc<Connection>>>> = HashMap::new();
        for connection in open.values().filter(|connection| connection.stays()) {
            let of_one = match connection.token.get() {
                None => anonymous.entry(connection.source).or_default(),
                Some(RatedToken { domain, name }) => {
                    known.entry(domain).or_default().entry(name).or_default()
                }
            };
            of_one.push(connection);
        }
        let own = anonymous.get(&source).filter(|own| own.len() >= self.inner.anonymous_max);
        let is_full = self.inner.places.available_permits() == 0;
        let oldest = own
            .or_else(|| anonymous.values().filter(|_| is_full).max_by_key(|of_one| of_one.len()));
        if let Some(oldest) = oldest.and_then(|of_one| of_one.first()) {
            oldest.tell(Leave::Now);
        } else if is_full {
            let size = |domain: &&HashMap<_, Vec<_>>| domain.values().map(Vec::len).sum::<usize>();
            let most = known.values().max_by_key(size);
            let most = most.and_then(|domain| domain.values().max_by_key(|of_one| of_one.len()));
            if let Some(of_one) = most {
                give_way(of_one);
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells one connection of a token to give way. What streams events has no end to wait for.
fn give_way(connections: &[&Arc<Connection>]) {
    let used = |connection: &&&Arc<Connection>| connection.used.load(Ordering::Relaxed);
    let idle = connections.iter().filter(|connection| connection.is_idle()).min_by_key(used);
    if let Some(idle) = idle {
        idle.tell(Leave::WhenDone);
    } else if let Some(busy) = connections.iter().min_by_key(used) {
        tracing::warn!(
            token = busy.token.get().map(|token| token.name.as_str()),
            domain = busy.token.get().map(|token| token.domain.as_str()),
            connections = connections.len(),
            "all places for connections are taken: a request of the token with the most is ended"
        );
        busy.tell(Leave::Now);
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
        seats[1].connection.is_of(&token("acme", "a"));
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

    fn token(domain: &str, name: &str) -> RatedToken {
        RatedToken { domain: Domain::new(domain).unwrap(), name: name.to_owned() }
    }

    #[tokio::test]
    async fn among_idle_ones_of_a_token_the_quietest_ends_when_it_is_done() {
        let connections = connections(2, 2);
        let seats = [connections.seat(HERE).await, connections.seat(HERE).await];
        for seat in seats.iter().rev() {
            seat.connection.is_of(&token("acme", "a"));
            connections.used(&seat.connection);
        }
        connections.make_room(THERE);
        assert_eq!(told(&seats), [Leave::No, Leave::WhenDone]);
    }

    #[tokio::test]
    async fn the_token_with_the_most_of_the_domain_with_the_most_gives_way() {
        let of = ["default", "acme", "evil", "evil", "evil", "evil", "evil", "acme", "acme"];
        let names = ["a", "b", "c", "d", "d", "c", "c", "b", "b"];
        let connections = connections(of.len(), of.len());
        let (mut seats, mut running) = (vec![], vec![]);
        for (domain, name) in of.into_iter().zip(names) {
            let seat = connections.seat(HERE).await;
            seat.connection.is_of(&token(domain, name));
            connections.used(&seat.connection);
            running.push(seat.connection.answering().begin());
            seats.push(seat);
        }
        let of_evil = |told: &[Leave]| told[2..7].iter().filter(|it| **it == Leave::Now).count();
        for count in 1..=2 {
            connections.make_room(THERE);
            let told = told(&seats);
            assert_eq!(of_evil(&told), count, "{told:?}");
            assert_eq!(told.iter().filter(|it| **it != Leave::No).count(), count, "{told:?}");
        }
        // An idle one of the domain that has the most now.
        let left = told(&seats).iter().position(|it| *it == Leave::Now).unwrap();
        drop(seats.remove(left));
        let idle = connections.seat(HERE).await;
        idle.connection.is_of(&token("acme", "b"));
        connections.make_room(THERE);
        assert_eq!(told(&[idle]), [Leave::WhenDone]);
        assert_eq!(told(&seats).iter().filter(|it| **it != Leave::No).count(), 1);
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
