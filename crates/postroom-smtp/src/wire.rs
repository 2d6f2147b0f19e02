//! The bytes of a connection. Lines that come in have a size limit, and every wait has a deadline.

use crate::error::Error;
use crate::noise::Noise;
use crate::noise::begins_reply;
use crate::noise::is_of_another_protocol;
use crate::noise::noise_octets;
use crate::reply::LINE_OCTETS_MAX;
use crate::reply::LINES_READ_MAX;
use crate::reply::NotAReply;
use crate::reply::Reply;
use crate::reply::ReplyCollector;
use crate::reply::ReplyProgress;
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

/// How many octets of a line show a reply code.
const CODE_OCTETS: usize = 3;
/// How many octets of lines that are no replies are skipped at once where no reply is waited for.
const UNASKED_OCTETS_MAX: usize = 64 * 1024;
/// A stream and what was read of it but not used yet.
#[derive(Debug)]
pub(crate) struct SmtpWire {
    stream: Option<Stream>,
    buffer: Vec<u8>,
    used: usize,
    is_out_of_step: bool,
    is_pipelined: bool,
    /// Whether the first reply has come.
    is_greeted: bool,
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

/// A reply without its end.
#[derive(Debug)]
struct UnfinishedReply {
    /// What came of it. `None`: nothing that shows its first digit.
    begun: Option<Reply>,
    /// Why its end did not come.
    error: Error,
}

impl From<Error> for UnfinishedReply {
    fn from(error: Error) -> Self {
        Self { begun: None, error }
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
            is_greeted: false,
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

    /// Whether a reply that was not asked for has begun. Lines that are no replies do not count,
    /// unless they may belong to a reply that was left unfinished.
    pub(crate) fn has_unread_reply(&self) -> bool {
        let unread = self.unread();
        if self.is_out_of_step {
            return !unread.is_empty();
        }
        begins_reply(unread.get(noise_octets(unread)..).unwrap_or_default())
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Notes that the next reply may not be the answer to the next command.
    pub(crate) fn lose_step(&mut self) {
        self.is_out_of_step = true;
    }

    /// Whether the beginning of a reply has arrived that was not asked for. It is kept for the next
    /// reply. Lines before it that are no replies are skipped.
    pub(crate) async fn has_arrived(&mut self, command: &'static str) -> Result<bool, Error> {
        let (mut empty_looks, mut skipped) = (0, 0);
        while empty_looks < 2 {
            if self.has_unread_reply() || skipped > UNASKED_OCTETS_MAX {
                return Ok(true);
            }
            let noise = noise_octets(self.unread());
            self.used += noise;
            skipped += noise;
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
                Poll::Pending => {
                    empty_looks += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(false)
    }

    /// Reads one reply. If its first digit is known, it counts even if its end does not come, but
    /// not if it has too many lines, because the rest would be taken for the next reply.
    pub(crate) async fn reply(
        &mut self,
        command: &'static str,
        within: Duration,
    ) -> Result<Reply, Error> {
        let UnfinishedReply { begun, error } = match self.read_reply(command, within).await {
            Ok(reply) => return Ok(reply),
            Err(unfinished) => unfinished,
        };
        let is_too_long = matches!(error, Error::Protocol { .. });
        begun.filter(|_| !is_too_long).ok_or(error)
    }

    /// Reads one reply. Without its end it counts only if it refuses: what begins as `250-` may end
    /// as `550`.
    pub(crate) async fn whole_reply(
        &mut self,
        command: &'static str,
        within: Duration,
    ) -> Result<Reply, Error> {
        let UnfinishedReply { begun, error } = match self.read_reply(command, within).await {
            Ok(reply) => return Ok(reply),
            Err(unfinished) => unfinished,
        };
        match begun {
            Some(refusal) if refusal.code >= 400 => Ok(refusal),
            Some(reply) => {
                let why = error.with_cause();
                let reason = format!("its reply `{reply}` has no end; {why}");
                Err(Error::Protocol { reason })
            }
            None => Err(error),
        }
    }

    /// Reads one reply. Until then, or until the time is over, everything else is waited out: lines
    /// that are no replies, and the lines of a reply that has begun.
    async fn read_reply(
        &mut self,
        command: &'static str,
        within: Duration,
    ) -> Result<Reply, UnfinishedReply> {
        let _waiting = self.silence.begin(command);
        let until = Instant::now() + within;
        let mut collector = ReplyCollector::default();
        let mut noise = Noise::default();
        loop {
            let line = timeout_at(until, self.line(command)).await;
            let line = match line.unwrap_or(Err(Error::Timeout { command })) {
                Ok(line) => line,
                Err(error) => return Err(self.unfinished(collector.finish(), &noise, error)),
            };
            if line.is_cut && line.bytes.len() < CODE_OCTETS {
                let lost = Error::Lost { command, source: closed() };
                return Err(self.unfinished(collector.finish_cut(&line.bytes), &noise, lost));
            }
            if self.is_pipelined && collector.is_ended_by(&line.bytes) {
                // The reply has no last line. This line begins the reply to the next command.
                self.used = line.start;
                return collector.finish().ok_or(Error::Timeout { command }.into());
            }
            self.is_out_of_step |= line.is_cut;
            match collector.push(&line.bytes) {
                Ok(ReplyProgress::More) => {}
                Ok(ReplyProgress::Whole(reply)) => return self.whole(reply),
                Ok(ReplyProgress::Cut(reply)) => {
                    let reason = format!(
                        "its reply to {command} has more than {LINES_READ_MAX} lines, and no more \
                         are read"
                    );
                    return Err(self.unfinished(Some(reply), &noise, Error::Protocol { reason }));
                }
                Err(NotAReply) => {
                    noise.add(&line.bytes);
                    if self.is_pipelined {
                        self.group_noise.add(&line.bytes);
                    }
                    if let Some(why) = self.no_reply_follows(&noise, &line.bytes) {
                        self.is_out_of_step = true;
                        return Err(noise.because(why).into());
                    }
                }
            }
        }
    }

    /// A reply that has its end.
    fn whole(&mut self, reply: Reply) -> Result<Reply, UnfinishedReply> {
        self.is_greeted = true;
        if self.is_pipelined && reply.is_go_on() && !self.group_noise.is_empty() {
            // This is the reply to DATA, so one of those lines was the reply to a command before.
            self.is_out_of_step = true;
            let why = format!("the reply `{reply}` came too early");
            return Err(self.group_noise.because(&why).into());
        }
        self.shrink();
        Ok(reply)
    }

    /// Ends a reply whose end does not come.
    fn unfinished(&mut self, begun: Option<Reply>, noise: &Noise, error: Error) -> UnfinishedReply {
        self.is_out_of_step = true;
        let all = if self.group_noise.is_empty() { noise } else { &self.group_noise };
        let error = if begun.is_some() { error } else { all.error(error) };
        UnfinishedReply { begun, error }
    }

    /// Why no reply will follow after a line that is none. `None`: it may follow.
    fn no_reply_follows(&self, noise: &Noise, line: &[u8]) -> Option<&'static str> {
        if !self.is_greeted && is_of_another_protocol(line) {
            return Some("is this the port of another service?");
        }
        noise.is_full().then_some("it said too much of that kind")
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
        if self.unread().is_empty() {
            self.buffer = vec![];
            self.used = 0;
        }
    }

    /// The next line without its line end. The last bytes before the connection ends count as a
    /// line. So does the beginning of a line that is too long.
    async fn line(&mut self, command: &'static str) -> Result<RawLine, Error> {
        loop {
            let unused = self.unread();
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
        if !self.unread().is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DOT: Duration = Duration::from_secs(600);

    /// What is read of a server that says these pieces, one each 40 seconds, and then closes the
    /// connection, or is silent.
    async fn read(pieces: &'static [&str], closes: bool, is_dot: bool) -> (String, u64, bool) {
        let (ours, mut theirs) = tokio::io::duplex(100_000);
        let mut wire = SmtpWire::new(Stream::Memory(ours));
        let (begun, what) = (Instant::now(), "end of data");
        let server = tokio::spawn(async move {
            for piece in pieces {
                tokio::time::sleep(Duration::from_secs(40)).await;
                theirs.write_all(piece.as_bytes()).await.unwrap();
            }
            if !closes {
                std::future::pending::<()>().await;
            }
        });
        let read =
            if is_dot { wire.whole_reply(what, DOT).await } else { wire.reply(what, DOT).await };
        server.abort();
        let read = read.map_or_else(|error| error.with_cause(), |reply| reply.to_string());
        (read, begun.elapsed().as_secs(), wire.is_out_of_step())
    }

    const CLOSED: &str =
        "the connection was lost during end of data: the other side closed the connection";
    const LATE: &str = "the server did not answer end of data in time";

    #[tokio::test(start_paused = true)]
    async fn what_is_no_reply_and_a_reply_without_its_end_are_waited_out() {
        let no_reply = |said: &str, why| {
            format!("the server broke the SMTP protocol: {said}, which is no reply; {why}")
        };
        let closed_after = |said: &str| {
            format!(
                "the connection was lost during end of data: {said}, which is no reply; the other \
                 side closed the connection"
            )
        };
        let no_end = |reply, why| {
            format!("the server broke the SMTP protocol: its reply `{reply}` has no end; {why}")
        };
        let ok = || "250 ok".to_owned();
        #[rustfmt::skip]
        let table: Vec<(&'static [&str], bool, String, u64, bool)> = vec![
            // pieces, each 40 s later,                          closes, what is read,       s,   out of step
            (&["250 ok\r\n"],                                    false, ok(),                40,  false),
            (&["\r\n", "250 ok\r\n"],                            false, ok(),                80,  false),
            (&["scanning...\r\n", "550 no\r\n"],                 false, "550 no".to_owned(), 80,  false),
            (&["150 wait\r\n", "150 wait\r\n", "250 ok\r\n"],    true,  ok(),                120, false),
            (&["\r\n", "scanning\r\n"],                          true,  closed_after("it said `scanning`"), 80, true),
            (&["\r\n"],                                          false, no_reply("it sent an empty line", LATE), 600, true),
            (&["\r\n", "\r\n"],                                  true,  closed_after("it sent empty lines"), 80, true),
            (&["* OK IMAP4 ready\r\n"],                          false, no_reply("it said `* OK IMAP4 ready`", "is this the port of another service?"), 40, true),
            (&["250-wait\r\n", "250 ok\r\n"],                    false, "250 wait ok".to_owned(), 80, false),
            (&["550-wait\r\n", "550 no\r\n"],                    false, "550 wait no".to_owned(), 80, false),
            (&["250-wait\r\n", "550 no\r\n"],                    true,  "550 wait no (the lines of this reply contradict each other)".to_owned(), 80, false),
            (&["250-wait\r\n", "25"],                            true,  no_end("250 wait", CLOSED), 80, true),
            (&["250-wait\r\n"],                                  true,  no_end("250 wait", CLOSED), 40, true),
            (&["250-wait\r\n"],                                  false, no_end("250 wait", LATE), 600, true),
            (&["550-wait\r\n"],                                  true,  "550 wait".to_owned(), 40, true),
            (&["450-wait\r\n"],                                  false, "450 wait".to_owned(), 600, true),
        ];
        for (pieces, closes, want, seconds, out_of_step) in table {
            let got = read(pieces, closes, true).await;
            assert_eq!(got, (want, seconds, out_of_step), "{pieces:?}");
        }
        // Before the message is there, the class is enough: nothing is lost by it.
        let got = read(&["250-wait\r\n"], false, false).await;
        assert_eq!(got, ("250 wait".to_owned(), 600, true));
        let many: &'static str = "x\r\n".repeat(1001).leak();
        let got = read(vec![many].leak(), false, true).await;
        assert_eq!(got, (no_reply("it said `x`", "it said too much of that kind"), 40, true));
    }
}
