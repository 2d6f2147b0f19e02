//! A session on its socket. It reads and writes with deadlines, and holds a buffer only while data
//! arrives.
//!
//! ```text
//!   idle: no buffer, reads land on the stack · busy: 4 KiB, doubled while reads fill it
//! ```
//! Message bodies are handed on as slices of the buffer, so a used buffer is replaced by a new one.
//! A message that does not fit gets a buffer of its own size, into which the socket reads directly.

use crate::answer::CommandResponses;
use crate::command::Command;
use crate::encoder::Octets;
use crate::error::Error;
use crate::limits::ImapLimits;
use crate::limits::ImapOptions;
use crate::numbering::is_selecting;
use crate::reading_pace::ReadingPace;
use crate::response::Response;
use crate::response_timer::ResponseTimer;
use crate::session::Session;
use crate::session::SessionEvent;
use crate::unsolicited::UnsolicitedLog;
use bytes::Buf;
use bytes::BytesMut;
use secrecy::zeroize::Zeroizing;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::ready;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadBuf;
use tokio::time::Instant;
use tokio::time::timeout;

/// The first buffer of a busy connection.
const BUFFER_BYTES_MIN: usize = 4 << 10;
/// How much an idle connection reads at once.
const IDLE_READ_BYTES: usize = 2 << 10;
/// Room for the other items of the response that contains a message.
const AROUND_BYTES: usize = 1 << 10;
/// How much is written under one deadline.
const WRITE_BYTES: usize = 64 << 10;

/// How many octets of a server that does not speak IMAP an error quotes.
const FIRST_WORDS_OCTETS: usize = 100;

/// The first line, as far as it has arrived, in printable characters.
fn first_words(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    line.get(..FIRST_WORDS_OCTETS).unwrap_or(line).escape_ascii().to_string()
}

/// A session and its socket.
pub(crate) struct ImapWire<S> {
    stream: S,
    session: Session,
    options: Arc<ImapOptions>,
    buffer: BytesMut,
    read_bytes: usize,
    received: u64,
    /// How many messages the selected mailbox has, as the server said last.
    exists: Option<u32>,
    unsolicited: UnsolicitedLog,
    pace: ReadingPace,
}

/// How many more UIDs than messages a search may give, because mail arrives meanwhile and servers
/// miscount.
const UIDS_BEYOND_EXISTS_MAX: usize = 100_000;

/// How many UIDs a search may give in a mailbox of so many messages.
fn uids_count_max(exists: Option<u32>, limits: &ImapLimits) -> usize {
    let known = exists.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    known.saturating_add(UIDS_BEYOND_EXISTS_MAX).min(limits.uids_count_max)
}

impl<S: AsyncRead + AsyncWrite + Unpin> ImapWire<S> {
    /// A session before the greeting.
    pub(crate) fn new(stream: S, options: Arc<ImapOptions>) -> Self {
        let session = Session::new(Arc::clone(&options));
        let (buffer, read_bytes) = (BytesMut::new(), BUFFER_BYTES_MIN);
        Self {
            stream,
            session,
            options,
            buffer,
            read_bytes,
            received: 0,
            exists: None,
            unsolicited: UnsolicitedLog::default(),
            pace: ReadingPace::default(),
        }
    }

    /// Gives the socket back, if nothing was read beyond the last response.
    ///
    /// # Errors
    ///
    /// [`Error::StartTls`] if more was read. Those bytes came in clear text and must not count as
    /// bytes under TLS.
    pub(crate) fn into_stream(self) -> Result<S, Error> {
        if !self.buffer.is_empty() {
            return Err(Error::StartTls {
                reason: "bytes came in the clear after the server's OK",
            });
        }
        Ok(self.stream)
    }

    /// The session.
    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The limits and deadlines of the connection.
    pub(crate) fn options(&self) -> &Arc<ImapOptions> {
        &self.options
    }

    /// How many octets have arrived so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Waits for the first octets of the server. They must begin an untagged response, because a
    /// greeting is one (RFC 3501 §7.1).
    ///
    /// # Errors
    ///
    /// [`Error::NotImap`] if they do not, or as [`Self::fill`].
    pub(crate) async fn begin(&mut self, timer: &mut ResponseTimer) -> Result<(), Error> {
        loop {
            let blank = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.buffer.advance(blank);
            match self.buffer.first() {
                None => self.fill(timer).await?,
                Some(b'*') => return Ok(()),
                // QUIRK: a NUL in front of responses, as some servers send.
                Some(0) => self.buffer.advance(1),
                Some(_) => return Err(Error::NotImap { said: first_words(&self.buffer) }),
            }
        }
    }

    /// The next event from bytes that have already arrived.
    ///
    /// # Errors
    ///
    /// As [`Session::receive`].
    pub(crate) fn ready_event(&mut self) -> Result<Option<SessionEvent>, Error> {
        let command = self.session.running();
        let event = self.session.receive(&mut self.buffer);
        match &event {
            Ok(Some(event)) => self.unsolicited.hear(command, event, &mut self.exists),
            Err(Error::Bye { text, .. }) => self.unsolicited.bye(text),
            Ok(None) | Err(_) => {}
        }
        event
    }

    /// What the server says without being asked.
    pub(crate) fn unsolicited_log(&self) -> &UnsolicitedLog {
        &self.unsolicited
    }

    /// The next event.
    ///
    /// # Errors
    ///
    /// As [`Self::fill`] and [`Session::receive`].
    pub(crate) async fn event(&mut self, timer: &mut ResponseTimer) -> Result<SessionEvent, Error> {
        loop {
            if let Some(event) = self.ready_event()? {
                return Ok(event);
            }
            self.fill(timer).await?;
        }
    }

    /// Waits, without a deadline, until the server says something unasked.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub(crate) async fn unasked(&mut self) -> Result<(), Error> {
        while self.ready_event()?.is_some() {}
        self.release();
        self.pace.rest(self.received).await;
        let read = self.read().await;
        self.took(read)
    }

    /// Whether the server has begun a line that has no end yet.
    pub(crate) fn is_in_line(&self) -> bool {
        self.session.is_in_first_line(&self.buffer)
    }

    /// Ends that line in place of the server.
    pub(crate) fn end_line(&mut self) {
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// Says that so many bytes have come in since the server last said something that we wait for.
    /// Many of them are read slowly.
    pub(crate) fn is_idle_for(&mut self, bytes: u64) {
        self.pace.is_idle_for(bytes);
    }

    /// Waits for more bytes. Dropping the future loses none.
    ///
    /// # Errors
    ///
    /// The connection is lost, or `timer` has run out.
    pub(crate) async fn fill(&mut self, timer: &mut ResponseTimer) -> Result<(), Error> {
        self.pace.rest(self.received).await;
        let (started, before) = (Instant::now(), self.received);
        let read = timeout(timer.left(), self.read()).await;
        timer.spend(started.elapsed());
        let Ok(read) = read else {
            let waited = timer.waited();
            return Err(Error::Timeout { command: self.session.running(), waited });
        };
        self.took(read)?;
        timer.earn(self.received - before);
        Ok(())
    }

    fn took(&mut self, read: io::Result<usize>) -> Result<(), Error> {
        let command = self.session.running();
        let ended = match read {
            Ok(0) => Error::Closed { command },
            Ok(count) => {
                self.received += count as u64;
                return Ok(());
            }
            Err(lost) if lost.kind() == io::ErrorKind::UnexpectedEof => Error::Closed { command },
            Err(source) => Error::Lost { command, source },
        };
        Err(self.session.reason_of(ended))
    }

    async fn read(&mut self) -> io::Result<usize> {
        if self.buffer.capacity() == 0 {
            return self.read_small().await;
        }
        self.make_room();
        let room = self.buffer.capacity() - self.buffer.len();
        let count = self.stream.read_buf(&mut self.buffer).await?;
        if count >= room.min(self.read_bytes) {
            self.read_bytes = (self.read_bytes * 2).min(self.options.limits.read_buffer_bytes);
        }
        Ok(count)
    }

    /// Reads without holding a buffer while it waits.
    async fn read_small(&mut self) -> io::Result<usize> {
        let (stream, buffer) = (&mut self.stream, &mut self.buffer);
        poll_fn(|context| {
            let mut small = [0; IDLE_READ_BYTES];
            let mut small = ReadBuf::new(&mut small);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut small))?;
            if !small.filled().is_empty() {
                buffer.reserve(BUFFER_BYTES_MIN);
                buffer.extend_from_slice(small.filled());
            }
            Ok(small.filled().len()).into()
        })
        .await
    }

    fn make_room(&mut self) {
        let (length, room) = (self.buffer.len(), self.buffer.capacity() - self.buffer.len());
        let wanted = self.session.wanted(&self.buffer);
        let enough = if wanted > 1 { wanted } else { (self.read_bytes / 8).max(512) };
        if room >= enough {
            return;
        }
        let bytes = self.read_bytes.max(wanted + AROUND_BYTES);
        if !self.buffer.try_reclaim(bytes) {
            let mut larger = BytesMut::with_capacity(length + bytes);
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
    }

    /// Gives back the memory that an idle connection does not need.
    fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.read_bytes = BUFFER_BYTES_MIN;
            self.session.shrink();
        }
    }

    /// Sends what the session has to send now.
    ///
    /// # Errors
    ///
    /// The connection is lost, or the server does not take what we send.
    pub(crate) async fn send(&mut self) -> Result<(), Error> {
        let mut line: Option<Zeroizing<Vec<u8>>> = None;
        while let Some(octets) = self.session.take_output() {
            match (octets, &mut line) {
                (Octets::Text(text), Some(line)) => line.extend_from_slice(&text),
                (Octets::Text(text), None) => line = Some(text),
                (Octets::Body(body), _) => {
                    if let Some(line) = line.take() {
                        self.write(&line).await?;
                    }
                    self.write(&body).await?;
                }
            }
        }
        if let Some(line) = line {
            self.write(&line).await?;
        }
        self.within(async |stream| stream.flush().await).await
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Error> {
        for piece in octets.chunks(WRITE_BYTES) {
            self.within(async |stream| stream.write_all(piece).await).await?;
        }
        Ok(())
    }

    async fn within<F>(&mut self, write: F) -> Result<(), Error>
    where
        F: AsyncFnOnce(&mut S) -> io::Result<()>,
    {
        let (command, waited) = (self.session.running(), self.options.deadlines.write);
        match timeout(waited, write(&mut self.stream)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(self.session.reason_of(Error::Lost { command, source })),
            Err(_) => Err(Error::Timeout { command, waited }),
        }
    }

    /// Runs one command to its end.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], which leaves the connection good for more, or what ended it.
    pub(crate) async fn command(&mut self, command: Command) -> Result<CommandResponses, Error> {
        self.end_half_line().await?;
        let (name, deadlines) = (command.name, &self.options.deadlines);
        let mut timer = match name {
            "LOGOUT" => ResponseTimer::whole(deadlines.logout, deadlines.logout),
            _ => ResponseTimer::whole(deadlines.silence, deadlines.command),
        };
        if is_selecting(name) {
            self.exists = None;
            self.unsolicited.reselected();
        }
        let mut limits = self.options.limits.clone();
        limits.uids_count_max = uids_count_max(self.exists, &limits);
        self.session.start(command);
        self.send().await?;
        let (mut answer, before) = (CommandResponses::default(), self.received);
        let mut useful_at = before;
        self.pace.is_idle_for(0);
        loop {
            match self.event(&mut timer).await? {
                SessionEvent::Continue => self.send().await?,
                SessionEvent::Completed(completion) => {
                    answer.take_code(completion.refused(name)?);
                    answer.capabilities = Arc::clone(self.session.capabilities());
                    self.pace.is_idle_for(0);
                    return match answer.found_over {
                        Some(max) => Err(Error::TooManyFound { command: name, max }),
                        None => Ok(answer),
                    };
                }
                SessionEvent::Response(response) => {
                    let received_bytes = self.received - before;
                    if matches!(response, Response::Search(..) | Response::Esearch(..)) {
                        useful_at = self.received;
                    }
                    self.pace.is_idle_for(self.received - useful_at);
                    answer.take(response, received_bytes, &limits)?;
                    if name != "UID STORE" {
                        // Nobody asked for them, and there may be very many.
                        answer.fetched.clear();
                    }
                    limits.uids_count_max = uids_count_max(self.exists, &self.options.limits);
                }
                SessionEvent::BodyStart { .. } | SessionEvent::Chunk(_) | SessionEvent::BodyEnd => {
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::Capabilities;
    use crate::command::Mode;
    use crate::encoder::NameForm;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_is_read_slowly_and_other_tasks_have_their_turn() {
        let took = async |name: &'static str, line: &str, is_busy: bool| {
            let said = format!("{}P1 OK done\r\n", line.repeat(300_000));
            let (stream, mut server) = tokio::io::duplex(said.len());
            server.write_all(said.as_bytes()).await.unwrap();
            let mut wire = ImapWire::new(stream, Arc::new(ImapOptions::default()));
            let turns = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&turns);
            let other = tokio::spawn(async move {
                if !is_busy {
                    return;
                }
                loop {
                    counted.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            });
            let began = Instant::now();
            let mut command = Command::uid_search("ALL", false).unwrap();
            command.name = name;
            wire.command(command).await.unwrap();
            other.abort();
            (began.elapsed(), turns.load(Ordering::Relaxed))
        };
        let (elapsed, _) = took("NOOP", "* OK still here\r\n", false).await;
        assert!(elapsed > Duration::from_secs(5), "{elapsed:?}");
        // A long answer to what was asked is not slowed down.
        let (elapsed, turns) = took("UID SEARCH", "* SEARCH 1 2 3 4 5 6 7 8\r\n", true).await;
        assert!(elapsed.is_zero() && turns > 40, "{elapsed:?} {turns}");
    }

    #[tokio::test]
    async fn a_search_gives_not_many_more_uids_than_the_mailbox_has_messages() {
        let found = async |exists: &str, count: usize| {
            let flood: String = (1..=count).map(|uid| format!(" {uid}")).collect();
            let selected = format!("{exists}P1 OK done\r\n");
            let listed = format!("* SEARCH{flood}\r\nP2 OK done\r\n");
            let (stream, mut server) = tokio::io::duplex(listed.len());
            let mut wire = ImapWire::new(stream, Arc::new(ImapOptions::default()));
            let (name, form) = (b"INBOX", NameForm::Quoted);
            let select = Command::select(&Capabilities::default(), name, Mode::Examine, form);
            server.write_all(selected.as_bytes()).await.unwrap();
            wire.command(select.unwrap()).await.unwrap();
            server.write_all(listed.as_bytes()).await.unwrap();
            let search = Command::uid_search("ALL", false).unwrap();
            wire.command(search).await.map(|answer| answer.uids.len())
        };
        let few = UIDS_BEYOND_EXISTS_MAX + 3;
        assert_eq!(found("* 3 EXISTS\r\n", few).await.unwrap(), few);
        let error = found("* 3 EXISTS\r\n", few + 1).await.unwrap_err();
        assert!(matches!(error, Error::TooManyFound { max, .. } if max == few as u64));
        // Where it does not count, what it lists is all that is known.
        assert_eq!(found("", few + 1).await.unwrap(), few + 1);
    }

    #[tokio::test]
    async fn flags_that_nobody_asked_for_are_not_kept() {
        let kept = async |command: Command| {
            let said = "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\nP1 OK done\r\n";
            let (stream, mut server) = tokio::io::duplex(said.len());
            server.write_all(said.as_bytes()).await.unwrap();
            let mut wire = ImapWire::new(stream, Arc::new(ImapOptions::default()));
            wire.command(command).await.unwrap().fetched.len()
        };
        assert_eq!(kept(Command::uid_search("ALL", false).unwrap()).await, 0);
        let mut store = Command::expunge();
        store.name = "UID STORE";
        assert_eq!(kept(store).await, 1);
    }
}
