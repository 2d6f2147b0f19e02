//! A connection's bytes: plain, under TLS, or in memory.
//!
//! Standards: RFC 9266 (the binding of a login to TLS 1.3).

use rustls::ProtocolVersion;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::DuplexStream;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const EXPORTER_OCTETS: usize = 32;

/// How a login can be bound to its connection.
#[derive(Clone, PartialEq, Eq)]
pub enum ChannelBinding {
    /// It cannot, because the connection is not under TLS.
    ClearText,
    /// It cannot, although the connection is under TLS.
    None,
    /// By `tls-exporter`.
    Exporter([u8; EXPORTER_OCTETS]),
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClearText => "ClearText",
            Self::None => "None",
            Self::Exporter(_) => "Exporter",
        })
    }
}

impl ChannelBinding {
    /// What a proof covers. Empty: it is not bound.
    pub(crate) fn octets(&self) -> &[u8] {
        match self {
            Self::ClearText | Self::None => &[],
            Self::Exporter(octets) => octets,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Clear text.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// In memory: what is handed in as [`crate::Network`] makes it.
    Memory(DuplexStream),
}

impl Stream {
    /// Whether it is under TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// How a login can be bound to this connection: under TLS 1.3 by `tls-exporter`. The binding of
    /// TLS 1.2 (`tls-unique`) needs what the TLS library does not tell.
    #[must_use]
    pub fn channel_binding(&self) -> ChannelBinding {
        let Self::Tls(stream) = self else {
            return ChannelBinding::ClearText;
        };
        let (_, tls) = stream.get_ref();
        if tls.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return ChannelBinding::None;
        }
        let exported = tls.export_keying_material(
            [0; EXPORTER_OCTETS],
            b"EXPORTER-Channel-Binding",
            Some(&[]),
        );
        exported.map_or(ChannelBinding::None, ChannelBinding::Exporter)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Memory(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Memory(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Memory(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
