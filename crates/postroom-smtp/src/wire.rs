//! The bytes of a connection. Lines that come in have a size limit, and every wait has a deadline.

use crate::error::Error;
use crate::reply::LINE_OCTETS_MAX;
use crate::reply::NotAReply;
use crate::reply::Reply;
use crate::reply::ReplyCollector;
use crate::reply::ReplyProgress;
use crate::reply::shown;
use crate::silence::Silence;
use postroom_net::ChannelBinding;
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
use tokio::time::Instant;
use tokio::time::timeout;
use tokio::time::timeout_at;

/// How long to wait for the next line of a reply whose first digit is known.
const REST_WITHIN: Duration = Duration::from_secs(30);
/// The same for a refusal, which holds whatever else comes.
const REST_OF_REFUSAL_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait for a reply after a line that is not a reply.
const BEHIND_NOISE_WITHIN: Duration = Duration::from_secs(1);
/// How long to wait for each reply of a pipelined group in which such a line came. It may have been
/// the reply to an earlier command, and then the last reply does not come.
const OF_NOISY_GROUP_WITHIN: Duration = Duration::from_secs(5);
/// How many octets of a line show a reply code.
const CODE_OCTETS: usize = 3;
/// How many lines that are not replies are skipped before a reply.
const NOISE_LINES_MAX: usize = 10;
/// How much of such a line an error shows.
const NOISE_CHARS_MAX: usize = 200;

/// A stream and what was read of it but not used yet.
#[derive(Debug)]
pub(crate) struct SmtpWire {
    stream: Option<Stream>,
    buffer: Vec<u8>,
    used: usize,
    is_out_of_step: bool,
    is_pipelined: bool,
    /// What came in the pipelined group that is no reply.
    group_noise: Noise,
    silence: Silence,
}

/// A line of a reply.
struct RawLine {
    bytes: Vec<u8>,
    /// Where it begins in the buffer.
    start: usize,
    /// Whether the line is longer than this, or has no line end.
    is_cut: bool,
}

/// Lines before a reply that are not replies.
#[derive(Debug, Clone, Default)]
struct Noise {
    lines: usize,
    first: String,
}

impl Noise {
    fn add(&mut self, line: &[u8]) {
        self.lines += 1;
        if self.first.is_empty() {
            self.first = shown(line).chars().take(NOISE_CHARS_MAX).collect();
        }
    }

    /// The error for a missing reply: it quotes what came instead. If nothing came, it is
    /// `otherwise`.
    fn error(self, otherwise: Error) -> Error {
        if self.lines == 0 {
            return otherwise;
        }
        Error::Protocol { reason: format!("it said `{}`", self.first) }
    }
}

impl SmtpWire {
    /// A fresh connection.
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream: Some(stream),
            buffer: vec![],
            used: 0,
            is_out_of_step: false,
            is_pipelined: false,
            group_noise: Noise::default(),
            silence: Silence::default(),
        }
    }

    /// Shows whether the connection waits for the server.
    pub(crate) fn silence(&self) -> Silence {
        self.silence.clone()
    }

    /// Our own address as EHLO names it (RFC 5321 §4.1.3); `None` without a connection.
    pub(crate) fn address_literal(&self) -> Option<String> {
        let address = match self.stream.as_ref()? {
            Stream::Plain(stream) => stream.local_addr(),
            Stream::Tls(stream) => stream.get_ref().0.local_addr(),
            Stream::Memory(_) => return None,
        };
        match address.ok()?.ip().to_canonical() {
            IpAddr::V4(ip) => Some(format!("[{ip}]")),
            IpAddr::V6(ip) => Some(format!("[IPv6:{ip}]")),
        }
    }

    /// How a login can be bound to the connection.
    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        self.stream.as_ref().map_or(ChannelBinding::ClearText, Stream::channel_binding)
    }

    /// Whether there are bytes that were not asked for.
    pub(crate) fn has_unread(&self) -> bool {
        self.used < self.buffer.len()
    }

    /// Notes that the next reply may not be the answer to the next command.
    pub(crate) fn lose_step(&mut self) {
        self.is_out_of_step = true;
    }

    /// Whether something has arrived that was not asked for. It is kept for the next reply.
    pub(crate) async fn has_arrived(&mut self, command: &'static str) -> Result<bool, Error> {
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
                // The runtime may learn what the kernel has only after other tasks had their turn.
                Poll::Pending => tokio::task::yield_now().await,
            }
        }
        Ok(self.has_unread())
    }

    /// Reads one reply. If its first digit is known, it counts even if its end does not come.
    pub(crate) async fn reply(
        &mut self,
        command: &'static str,
        within: Duration,
    ) -> Result<Reply, Error> {
        let _waiting = self.silence.begin(command);
        let until = Instant::now() + within;
        let mut collector = ReplyCollector::default();
        let mut noise = Noise::default();
        loop {
            let wait = match (collector.code(), noise.lines) {
                (Some(400..), _) => Instant::now() + REST_OF_REFUSAL_WITHIN,
                (Some(_), _) => Instant::now() + REST_WITHIN,
                (None, 0) if self.group_noise.lines > 0 => Instant::now() + OF_NOISY_GROUP_WITHIN,
                (None, 0) => until,
                (None, _) => Instant::now() + BEHIND_NOISE_WITHIN,
            };
            let line = timeout_at(wait.min(until), self.line(command)).await;
            let line = match line.unwrap_or(Err(Error::Timeout { command })) {
                Ok(line) => line,
                Err(error) => {
                    self.is_out_of_step = true;
                    let error = self.group_noise.clone().error(error);
                    return collector.finish().map_or_else(|| Err(noise.error(error)), Ok);
                }
            };
            if line.is_cut && line.bytes.len() < CODE_OCTETS {
                self.is_out_of_step = true;
                let lost = Error::Lost { command, source: closed() };
                return collector.finish_cut(&line.bytes).ok_or_else(|| noise.error(lost));
            }
            if self.is_pipelined && collector.is_ended_by(&line.bytes) {
                // The reply has no last line. This line begins the reply to the next command.
                self.used = line.start;
                return collector.finish().ok_or(Error::Timeout { command });
            }
            self.is_out_of_step |= line.is_cut;
            match collector.push(&line.bytes) {
                Ok(ReplyProgress::More) => {}
                Ok(ReplyProgress::Whole(reply)) => {
                    self.shrink();
                    return Ok(reply);
                }
                Ok(ReplyProgress::Cut(reply)) => {
                    self.is_out_of_step = true;
                    return Ok(reply);
                }
                Err(NotAReply) => {
                    noise.add(&line.bytes);
                    if self.is_pipelined {
                        self.group_noise.add(&line.bytes);
                    }
                    if noise.lines > NOISE_LINES_MAX {
                        self.is_out_of_step = true;
                        return Err(noise.error(Error::Timeout { command }));
                    }
                }
            }
        }
    }

    /// Sets whether several commands were sent together, so that their replies follow one another.
    pub(crate) fn set_pipelined(&mut self, is_pipelined: bool) {
        self.is_pipelined = is_pipelined;
        self.group_noise = Noise::default();
    }

    /// The last reply of the group comes next, so that no line belongs to another one.
    pub(crate) fn last_of_group(&mut self) {
        self.is_pipelined = false;
    }

    /// Whether a reply was left unfinished, so that the next bytes may belong to it.
    pub(crate) fn is_out_of_step(&self) -> bool {
        self.is_out_of_step
    }

    /// An idle connection holds no memory.
    fn shrink(&mut self) {
        if !self.has_unread() {
            self.buffer = vec![];
            self.used = 0;
        }
    }

    /// The next line without its line end. The last bytes before the connection ends count as a
    /// line. So does the beginning of a line that is too long.
    async fn line(&mut self, command: &'static str) -> Result<RawLine, Error> {
        loop {
            let unused = self.buffer.get(self.used..).unwrap_or_default();
            let end = unused.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                return Ok(self.take(end + 1, false));
            }
            if unused.len() > LINE_OCTETS_MAX {
                return Ok(self.take(LINE_OCTETS_MAX, true));
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            let lost = |source| Error::Lost { command, source };
            let stream = self.stream.as_mut().ok_or_else(|| lost(closed()))?;
            self.buffer.reserve(1024);
            match stream.read_buf(&mut self.buffer).await {
                Ok(0) if !self.buffer.is_empty() => return Ok(self.take(self.buffer.len(), true)),
                Ok(0) => return Err(lost(closed())),
                Ok(_) => {}
                Err(error) => return Err(lost(error)),
            }
        }
    }

    fn take(&mut self, octets: usize, is_cut: bool) -> RawLine {
        let end = self.used + octets;
        let line = self.buffer.get(self.used..end).unwrap_or_default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let bytes = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        let start = std::mem::replace(&mut self.used, end);
        RawLine { bytes, start, is_cut }
    }

    /// Writes bytes.
    pub(crate) async fn write(
        &mut self,
        bytes: &[u8],
        command: &'static str,
        within: Duration,
    ) -> Result<(), Error> {
        let _waiting = self.silence.begin(command);
        let lost = |source| Error::Lost { command, source };
        let stream = self.stream.as_mut().ok_or_else(|| lost(closed()))?;
        let written = timeout(within, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        written.await.map_err(|_| Error::Timeout { command })?.map_err(lost)
    }

    /// Starts TLS. Bytes that the server sent before the handshake without being asked are an
    /// attack or a fault, so the connection is not used.
    pub(crate) async fn start_tls(&mut self, dialer: &Dialer, host: &str) -> Result<(), Error> {
        if self.has_unread() {
            let reason = "it sent more than its answer to STARTTLS before the handshake";
            return Err(Error::Protocol { reason: reason.to_owned() });
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
