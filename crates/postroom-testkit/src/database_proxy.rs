//! The network between a process and its database, which a test can cut.
#![expect(clippy::disallowed_methods, reason = "nothing of it is simulated")]

use anyhow::Result;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How much is passed on at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Passes connections on to a port of loopback. While it is cut, nothing passes in either
/// direction, and no connection ends. What was held back passes when it is mended.
pub(crate) struct DatabaseProxy {
    port: u16,
    is_cut: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl DatabaseProxy {
    /// Listens on a free port.
    pub(crate) async fn start(to: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (is_cut, seen) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(relay(near, to, seen.clone()));
            }
        });
        Ok(Self { port, is_cut, task })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Lets nothing pass from now on.
    pub(crate) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Lets everything pass again.
    pub(crate) fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

impl Drop for DatabaseProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(near: TcpStream, to: u16, is_cut: watch::Receiver<bool>) {
    // A server that does not listen is an end of the connection for the one who asked.
    let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let there = pass(near_read, far_write, is_cut.clone());
    tokio::join!(there, pass(far_read, near_write, is_cut));
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut is_cut: watch::Receiver<bool>,
) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await.unwrap_or(0);
        if is_cut.wait_for(|is_cut| !is_cut).await.is_err() {
            return;
        }
        let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else {
            // The other side learns of the end by this.
            let _ = to.shutdown().await;
            return;
        };
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}
