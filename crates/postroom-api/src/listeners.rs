//! The sockets on which clients connect. They can be replaced while clients are served.

use std::future::poll_fn;
use std::io;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// How many connections of a socket wait to be accepted.
const BACKLOG: u32 = 1024;

/// The sockets on which clients connect. Clones share them.
#[derive(Debug, Clone)]
pub struct RestListeners(Arc<SharedListeners>);

#[derive(Debug)]
struct SharedListeners {
    /// `None`: they are closed for good.
    open: Mutex<Option<Vec<TcpListener>>>,
    replaced: Notify,
    /// The number of the last accepted connection. Each one begins with the next socket.
    turn: AtomicUsize,
}

impl From<TcpListener> for RestListeners {
    fn from(listener: TcpListener) -> Self {
        let open = Mutex::new(Some(vec![listener]));
        let (replaced, turn) = (Notify::new(), AtomicUsize::new(0));
        Self(Arc::new(SharedListeners { open, replaced, turn }))
    }
}

impl RestListeners {
    fn open(&self) -> MutexGuard<'_, Option<Vec<TcpListener>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where clients connect now.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.open().iter().flatten().filter_map(|one| one.local_addr().ok()).collect()
    }

    /// Lets clients connect at just these addresses. Connections that are open go on. If one of the
    /// addresses cannot be had, clients connect where they did. It must be called within a runtime.
    ///
    /// # Errors
    ///
    /// When an address is in use, or is not of this host. If not even the former addresses can be
    /// had again, [`Self::addresses`] has less, and the caller tries again.
    pub fn replace(&self, wanted: &[SocketAddr]) -> io::Result<()> {
        let mut held = self.open();
        let Some(open) = held.as_mut() else { return Ok(()) };
        let at = |one: &TcpListener| one.local_addr().ok();
        let (mut missing, mut leaving) = (wanted.to_vec(), vec![]);
        for address in open.iter().filter_map(at) {
            match wanted.contains(&address) {
                true => missing.retain(|one| *one != address),
                false => leaving.push(address),
            }
        }
        let stays = |one: &TcpListener| at(one).is_some_and(|address| wanted.contains(&address));
        let bound = match bound(&missing) {
            // A socket of all addresses keeps others from each of them.
            Err(error) if error.kind() == ErrorKind::AddrInUse && !leaving.is_empty() => {
                open.retain(stays);
                self.0.replaced.notify_one();
                bound(&missing).or_else(|error| {
                    open.extend(bound(&leaving)?);
                    Err(error)
                })?
            }
            bound => bound?,
        };
        open.retain(stays);
        open.extend(bound);
        self.0.replaced.notify_one();
        Ok(())
    }

    /// The next connection. One task at a time waits for it.
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            tokio::select! {
                biased;
                accepted = poll_fn(|context| self.poll_accept(context)) => return accepted,
                () = self.0.replaced.notified() => {}
            }
        }
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let held = self.open();
        let open = held.as_deref().unwrap_or_default();
        let turn = self.0.turn.load(Ordering::Relaxed) % open.len().max(1);
        let (first, last) = open.split_at(turn);
        for one in last.iter().chain(first) {
            if let Poll::Ready(accepted) = one.poll_accept(context) {
                self.0.turn.fetch_add(1, Ordering::Relaxed);
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    /// Closes all of them for good.
    pub(crate) fn close(&self) {
        *self.open() = None;
    }
}

fn bound(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let one = |address: &SocketAddr| {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(*address)?;
        socket.listen(BACKLOG)
    };
    addresses.iter().map(one).collect()
}

#[expect(clippy::disallowed_methods, reason = "connections to the test itself")]
#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    async fn is_answered(listeners: &RestListeners, to: SocketAddr) -> bool {
        let Ok(stream) = TcpStream::connect(to).await else { return false };
        let (accepted, peer) = listeners.accept().await.unwrap();
        drop(accepted);
        peer == stream.local_addr().unwrap()
    }

    async fn opened(host: Ipv4Addr) -> (RestListeners, u16) {
        let first = TcpListener::bind((host, 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        (RestListeners::from(first), port)
    }

    #[tokio::test]
    async fn sockets_are_replaced_also_where_one_covers_the_other() {
        let (listeners, port) = opened(Ipv4Addr::UNSPECIFIED).await;
        let at = |last: u8| SocketAddr::from(([127, 0, 0, last], port));
        let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        assert!(is_answered(&listeners, at(5)).await);
        listeners.replace(&[at(1), at(2)]).unwrap();
        assert_eq!(listeners.addresses(), [at(1), at(2)]);
        for last in [1, 2, 1] {
            assert!(is_answered(&listeners, at(last)).await, "{last}");
        }
        assert!(!is_answered(&listeners, at(5)).await, "it is closed");
        listeners.replace(&[at(2), at(3)]).unwrap();
        assert_eq!(listeners.addresses(), [at(2), at(3)]);
        listeners.replace(&[all]).unwrap();
        assert!(is_answered(&listeners, at(9)).await);
    }

    #[tokio::test]
    async fn who_waits_for_a_connection_hears_of_a_new_socket() {
        let (listeners, port) = opened(Ipv4Addr::LOCALHOST).await;
        let waiting = tokio::spawn({
            let listeners = listeners.clone();
            async move { listeners.accept().await.unwrap().1 }
        });
        tokio::task::yield_now().await;
        let other = SocketAddr::from(([127, 0, 0, 2], port));
        listeners.replace(&[other]).unwrap();
        let stream = TcpStream::connect(other).await.unwrap();
        assert_eq!(waiting.await.unwrap(), stream.local_addr().unwrap());
    }

    #[tokio::test]
    async fn if_an_address_cannot_be_had_nothing_changes() {
        for host in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let (listeners, port) = opened(host).await;
            let before = listeners.addresses();
            // 192.0.2.0/24 is for documentation, so no host of a test has this address.
            let odd = SocketAddr::from(([192, 0, 2, 77], port));
            let second = SocketAddr::from(([127, 0, 0, 2], port));
            assert!(listeners.replace(&[second, odd]).is_err());
            assert_eq!(listeners.addresses(), before);
            assert!(is_answered(&listeners, SocketAddr::from(([127, 0, 0, 1], port))).await);
        }
        let (listeners, port) = opened(Ipv4Addr::LOCALHOST).await;
        let taken = SocketAddr::from(([127, 0, 0, 2], port));
        let _other = TcpListener::bind(taken).await.unwrap();
        let before = listeners.addresses();
        assert_eq!(listeners.replace(&[taken]).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(listeners.addresses(), before);
    }
}
