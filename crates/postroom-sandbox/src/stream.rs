//! One connection: TCP, plain or under TLS, or in memory.

use crate::script::Ending;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::DuplexStream;
use tokio::io::Interest;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A connection with a client.
pub(crate) enum PeerStream {
    /// Without TLS.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// In memory.
    Memory(DuplexStream),
    /// No more.
    Closed,
}

impl PeerStream {
    /// Whether TLS is on.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Performs the server's side of the TLS handshake.
    ///
    /// # Errors
    ///
    /// What the handshake failed with; also if TLS is on already.
    pub(crate) async fn accept_tls(self, acceptor: &TlsAcceptor) -> io::Result<Self> {
        match self {
            Self::Plain(tcp) => Ok(Self::Tls(Box::new(acceptor.accept(tcp).await?))),
            Self::Tls(_) | Self::Memory(_) | Self::Closed => {
                Err(io::ErrorKind::InvalidInput.into())
            }
        }
    }

    /// Ends the connection in the given way. A stalled connection is held until the client hangs
    /// up.
    pub(crate) async fn end(self, ending: Ending) {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.into_inner().0,
            Self::Memory(memory) => return end_in_memory(memory, ending).await,
            Self::Closed => return,
        };
        match ending {
            Ending::Close => drop(tcp),
            // If RST cannot be sent, FIN is the next best.
            Ending::Reset => drop(tcp.set_zero_linger()),
            Ending::Stall => until_hung_up(&tcp).await,
        }
    }
}

/// The same in memory, where a reset is no other than a close.
async fn end_in_memory(mut memory: DuplexStream, ending: Ending) {
    if ending == Ending::Stall {
        // The end of what the client says is the end of the client. What it says is dropped.
        let mut sink = tokio::io::sink();
        let _ = tokio::io::copy(&mut memory, &mut sink).await;
    }
}

/// Waits for the client's FIN or RST without reading what comes before it.
async fn until_hung_up(tcp: &TcpStream) {
    while let Ok(ready) = tcp.ready(Interest::READABLE | Interest::ERROR).await {
        if ready.is_read_closed() || ready.is_error() {
            return;
        }
        // Marks the readable bytes as seen, so that the next wait is for new ones.
        let unread = tcp
            .try_io(Interest::READABLE, || Err::<(), io::Error>(io::ErrorKind::WouldBlock.into()));
        drop(unread);
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buffer),
            Self::Memory(memory) => Pin::new(memory).poll_read(cx, buffer),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, bytes),
            Self::Memory(memory) => Pin::new(memory).poll_write(cx, bytes),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
            Self::Memory(memory) => Pin::new(memory).poll_flush(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
            Self::Memory(memory) => Pin::new(memory).poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}
