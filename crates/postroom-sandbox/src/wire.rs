//! The buffers of one connection, and the faults that are about bytes instead of commands.
//!
//! Output is collected, and sent when it is complete or the buffer is full. So memory stays bounded
//! however large a mailbox is. Any error ends the connection.

use crate::script::Ending;
use crate::stream::PeerStream;
use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;
use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

/// How much output is collected before it is sent.
const OUTPUT_BYTES: usize = 64 * 1024;
/// How much is read at once.
const INPUT_BYTES: usize = 16 * 1024;
/// How much memory is reserved for a literal before any of it arrives.
const LITERAL_ROOM_BYTES: usize = 1024 * 1024;

/// A line from the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClientLine {
    /// Without its line end.
    Text(Vec<u8>),
    /// It was longer than allowed and was dropped.
    TooLong,
}

/// The buffers of one connection.
pub(crate) struct ClientWire {
    stream: PeerStream,
    input: BytesMut,
    /// How much of `input` is known to have no LF.
    searched: usize,
    /// Whether the current line is already too long.
    dropping: bool,
    output: Vec<u8>,
    pace: Option<(usize, Duration)>,
    budget: Option<(u64, Ending)>,
}

impl ClientWire {
    /// With empty buffers.
    pub(crate) fn new(stream: PeerStream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            searched: 0,
            dropping: false,
            output: Vec::new(),
            pace: None,
            budget: None,
        }
    }

    /// Whether TLS is on.
    pub(crate) fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// The bytes that have arrived and are not used yet.
    pub(crate) fn input(&self) -> &[u8] {
        &self.input
    }

    /// Marks the first `count` bytes of the input as used.
    pub(crate) fn used(&mut self, count: usize) {
        self.input.advance(count.min(self.input.len()));
        self.searched = 0;
    }

    /// Waits for more input. Can be canceled at any time without loss.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the client has hung up.
    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        self.input.reserve(INPUT_BYTES);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Reads a line of at most `bytes_max`. Can be canceled at any time without loss.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the client has hung up.
    pub(crate) async fn line(&mut self, bytes_max: usize) -> io::Result<ClientLine> {
        loop {
            let fresh = self.input.get(self.searched..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let end = self.searched + at;
                let mut line = self.input.split_to(end + 1).to_vec();
                self.searched = 0;
                line.pop();
                line.pop_if(|byte| *byte == b'\r');
                let too_long = std::mem::take(&mut self.dropping) || line.len() > bytes_max;
                return Ok(if too_long { ClientLine::TooLong } else { ClientLine::Text(line) });
            }
            self.searched = self.input.len();
            if self.input.len() > bytes_max {
                self.dropping = true;
                self.used(self.input.len());
            }
            self.fill().await?;
        }
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the client has hung up.
    pub(crate) async fn literal(&mut self, count: usize) -> io::Result<Bytes> {
        let mut body = BytesMut::with_capacity(count.min(LITERAL_ROOM_BYTES));
        body.extend_from_slice(&self.input.split_to(count.min(self.input.len())));
        self.searched = 0;
        while body.len() < count {
            let missing = (count - body.len()) as u64;
            if body.capacity() == body.len() {
                body.reserve(body.len().min(count - body.len()));
            }
            if (&mut self.stream).take(missing).read_buf(&mut body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(body.freeze())
    }

    /// Reads `count` bytes and drops them.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the client has hung up.
    pub(crate) async fn skip(&mut self, count: u64) -> io::Result<()> {
        let mut left = count;
        loop {
            let here = self.input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.used(here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Adds output.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Adds output that may be large, and sends when there is enough.
    ///
    /// # Errors
    ///
    /// The connection is lost, or ended by a rule.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() >= OUTPUT_BYTES {
            self.flush().await?;
            return self.send(bytes).await;
        }
        self.push(bytes);
        if self.output.len() >= OUTPUT_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends the collected output.
    ///
    /// # Errors
    ///
    /// The connection is lost, or ended by a rule.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let mut output = std::mem::take(&mut self.output);
        let result = self.send(&output).await;
        output.clear();
        self.output = output;
        result
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some((left, ending)) = self.budget else {
            return self.send_paced(bytes).await;
        };
        if left > bytes.len() as u64 {
            self.budget = Some((left - bytes.len() as u64, ending));
            return self.send_paced(bytes).await;
        }
        let last = bytes.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(bytes);
        self.send_paced(last).await?;
        Err(self.end(ending).await)
    }

    async fn send_paced(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some((piece_bytes, every)) = self.pace else {
            self.stream.write_all(bytes).await?;
            return self.stream.flush().await;
        };
        for piece in bytes.chunks(piece_bytes.max(1)) {
            self.stream.write_all(piece).await?;
            self.stream.flush().await?;
            tokio::time::sleep(every).await;
        }
        Ok(())
    }

    /// From now on sends in pieces of at most this many bytes, with a pause after each.
    pub(crate) fn slow(&mut self, bytes: usize, every: Duration) {
        self.pace = Some((bytes, every));
    }

    /// Ends the connection after this many more bytes of output.
    pub(crate) fn end_after(&mut self, bytes: u64, ending: Ending) {
        self.budget = Some((bytes, ending));
    }

    /// Ends the connection and returns the error that says so.
    pub(crate) async fn end(&mut self, ending: Ending) -> io::Error {
        std::mem::replace(&mut self.stream, PeerStream::Closed).end(ending).await;
        io::ErrorKind::ConnectionAborted.into()
    }

    /// Ends the connection as a good server does: sends everything, closes TLS, then TCP.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await
    }

    /// Performs the TLS handshake. Input from before it is discarded (RFC 3207 §4.2).
    ///
    /// # Errors
    ///
    /// What the handshake failed with.
    pub(crate) async fn start_tls(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        self.flush().await?;
        self.input.clear();
        self.searched = 0;
        let plain = std::mem::replace(&mut self.stream, PeerStream::Closed);
        self.stream = plain.accept_tls(acceptor).await?;
        Ok(())
    }
}
