//! The bytes of a connection: bounded lines in, whole buffers out, a deadline on each wait.

use crate::error::Error;
use crate::reply::Collector;
use crate::reply::LINE_OCTETS_MAX;
use crate::reply::Reply;
use postroom_net::Dialer;
use postroom_net::Stream;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// A stream and what was read of it but not used yet.
#[derive(Debug)]
pub struct Wire {
    stream: Option<Stream>,
    buffer: Vec<u8>,
    used: usize,
}

impl Wire {
    /// A fresh connection.
    pub fn new(stream: Stream) -> Self {
        Self { stream: Some(stream), buffer: vec![], used: 0 }
    }

    /// Our own address as EHLO names it (RFC 5321 §4.1.3); `None` without a connection.
    pub fn address_literal(&self) -> Option<String> {
        let address = match self.stream.as_ref()? {
            Stream::Plain(stream) => stream.local_addr(),
            Stream::Tls(stream) => stream.get_ref().0.local_addr(),
        };
        match address.ok()?.ip().to_canonical() {
            IpAddr::V4(ip) => Some(format!("[{ip}]")),
            IpAddr::V6(ip) => Some(format!("[IPv6:{ip}]")),
        }
    }

    /// Whether there are bytes that were not asked for.
    pub fn has_unread(&self) -> bool {
        self.used < self.buffer.len()
    }

    /// Whether something has come that was not asked for; it is kept for the next reply.
    pub async fn has_arrived(&mut self, command: &'static str) -> Result<bool, Error> {
        for _ in 0..2 {
            if self.has_unread() {
                return Ok(true);
            }
            let lost = |source| Error::Lost { command, source };
            let stream = self.stream.as_mut().ok_or_else(|| lost(closed()))?;
            let buffer = &mut self.buffer;
            buffer.reserve(1024);
            let read = poll_fn(|context| {
                let mut reading = pin!(stream.read_buf(&mut *buffer));
                Poll::Ready(reading.as_mut().poll(context))
            });
            match read.await {
                Poll::Ready(Ok(0)) => return Err(lost(closed())),
                Poll::Ready(read) => drop(read.map_err(lost)?),
                // What the kernel has may not be known here before others had their turn.
                Poll::Pending => tokio::task::yield_now().await,
            }
        }
        Ok(self.has_unread())
    }

    /// Reads one reply.
    pub async fn reply(&mut self, command: &'static str, within: Duration) -> Result<Reply, Error> {
        let reply = timeout(within, self.read_reply(command)).await;
        reply.map_err(|_| Error::Timeout { command })?
    }

    async fn read_reply(&mut self, command: &'static str) -> Result<Reply, Error> {
        let mut collector = Collector::default();
        loop {
            let end = self.line_end(command).await?;
            let line = self.buffer.get(self.used..end).unwrap_or_default();
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let reply = collector.push(line);
            self.used = end;
            if let Some(reply) = reply.map_err(|reason| Error::Protocol { reason })? {
                if !self.has_unread() {
                    // An idle connection holds no memory.
                    self.buffer = vec![];
                    self.used = 0;
                }
                return Ok(reply);
            }
        }
    }

    /// Reads until there is a whole line; gives the place behind it.
    async fn line_end(&mut self, command: &'static str) -> Result<usize, Error> {
        loop {
            let unused = self.buffer.get(self.used..).unwrap_or_default();
            if let Some(at) = unused.iter().position(|byte| *byte == b'\n') {
                return Ok(self.used + at + 1);
            }
            if unused.len() > LINE_OCTETS_MAX {
                return Err(Error::Protocol { reason: "a line of a reply is too long" });
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            let lost = |source| Error::Lost { command, source };
            let stream = self.stream.as_mut().ok_or_else(|| lost(closed()))?;
            self.buffer.reserve(1024);
            let count = stream.read_buf(&mut self.buffer).await.map_err(lost)?;
            if count == 0 {
                return Err(lost(closed()));
            }
        }
    }

    /// Writes bytes.
    pub async fn write(
        &mut self,
        bytes: &[u8],
        command: &'static str,
        within: Duration,
    ) -> Result<(), Error> {
        let lost = |source| Error::Lost { command, source };
        let stream = self.stream.as_mut().ok_or_else(|| lost(closed()))?;
        let written = timeout(within, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        written.await.map_err(|_| Error::Timeout { command })?.map_err(lost)
    }

    /// Makes TLS. What the server sent before the handshake without being asked is an attack or a
    /// fault: the connection is not used.
    pub async fn start_tls(&mut self, dialer: &Dialer, host: &str) -> Result<(), Error> {
        if self.has_unread() {
            let reason = "it sent more than its answer to STARTTLS before the handshake";
            return Err(Error::Protocol { reason });
        }
        if let Some(stream) = self.stream.take() {
            self.stream = Some(dialer.start_tls(stream, host).await?);
        }
        Ok(())
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}
