//! TLS to the server of a database. The process that opens the store says how to make it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio_postgres::tls::ChannelBinding;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::tls::TlsConnect;

/// A link from which bytes are read, and to which bytes are written.
pub trait ByteLink: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteLink for T {}

/// A link that is being made.
pub type Securing = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteLink>>> + Send>>;

/// Makes links secure, so that only the server of a name can read them.
pub trait Secure: Send + Sync + fmt::Debug {
    /// Makes the link to the server of this name secure.
    fn secure(&self, host: &str, link: Box<dyn ByteLink>) -> Securing;
}

/// Makes secure links.
#[derive(Clone)]
pub(crate) struct Securer(pub Arc<dyn Secure>);

/// One link that is about to be made secure.
pub(crate) struct ToSecure {
    secure: Arc<dyn Secure>,
    host: String,
}

/// A secure link.
pub(crate) struct SecureLink(Box<dyn ByteLink>);

impl<S: ByteLink + 'static> MakeTlsConnect<S> for Securer {
    type Stream = SecureLink;
    type TlsConnect = ToSecure;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<ToSecure> {
        Ok(ToSecure { secure: Arc::clone(&self.0), host: host.to_owned() })
    }
}

impl<S: ByteLink + 'static> TlsConnect<S> for ToSecure {
    type Stream = SecureLink;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<SecureLink>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let securing = self.secure.secure(&self.host, Box::new(stream));
        Box::pin(async move { securing.await.map(SecureLink) })
    }
}

impl tokio_postgres::tls::TlsStream for SecureLink {
    fn channel_binding(&self) -> ChannelBinding {
        // The login need not be bound to the TLS channel, because the certificate is verified.
        ChannelBinding::none()
    }
}

impl AsyncRead for SecureLink {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for SecureLink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
