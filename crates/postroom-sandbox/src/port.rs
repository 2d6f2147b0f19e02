//! One listening port and its connections.

use crate::imap;
use crate::peer::House;
use crate::peer::Peer;
use crate::smtp;
use crate::stream::PeerStream;
use crate::transcript::Protocol;
use postroom_watch::Watcher;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How long to wait after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listener and its connections.
pub(crate) struct Port {
    /// What all connections share.
    pub house: Arc<House>,
    /// The protocol of the port.
    pub protocol: Protocol,
    /// Whether TLS begins with the first byte.
    pub implicit_tls: bool,
    /// All open connections end when this changes.
    pub hang_up: Watcher<()>,
}

impl Port {
    /// Serves connections until `stopping` changes. Then all its tasks have ended.
    pub(crate) async fn accept_until(self, listener: TcpListener, mut stopping: Watcher<bool>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                _ = stopping.changed() => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => {
                    let Ok((tcp, _)) = accepted else {
                        // The process has no descriptors left. They come back when a connection
                        // ends.
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    };
                    // A failure only makes it slower.
                    let _ = tcp.set_nodelay(true);
                    let stream = PeerStream::Plain(tcp);
                    let peer = Peer::new(Arc::clone(&self.house), stream, self.protocol);
                    connections.spawn(self.serve(peer));
                }
            }
        }
        drop(listener);
        connections.shutdown().await;
    }

    /// Serves one client until it is gone or all are cut off.
    pub(crate) fn serve(&self, peer: Peer) -> impl Future<Output = ()> + Send + 'static {
        let (protocol, implicit_tls) = (self.protocol, self.implicit_tls);
        let mut hang_up = self.hang_up.clone();
        hang_up.mark_unchanged();
        let id = peer.id();
        let dialogue = async move {
            match protocol {
                Protocol::Imap => imap::serve(peer, implicit_tls).await,
                Protocol::Smtp => smtp::serve(peer, implicit_tls).await,
            }
        };
        async move {
            tokio::select! {
                biased;
                // What is cut off carries out nothing more, whatever has come already.
                _ = hang_up.changed() => {}
                ended = dialogue => if let Err(error) = ended {
                    tracing::debug!(connection = id, %error, "connection ended");
                },
            }
        }
    }
}
