//! The task that owns a connection's socket. It takes one request at a time, and watches for the
//! server's BYE in between.
//!
//! A caller that goes away leaves no half-read connection. Its command runs to the end without it.
//! A FETCH is read to its end if little is left to read; otherwise the connection is closed. The
//! task ends at once when the handle is dropped.

use crate::answer::CommandResponses;
use crate::command::Command;
use crate::error::Error;
use crate::fetch::FetchBatch;
use crate::fetch::FetchEvent;
use crate::response::Body;
use crate::response::Fetched;
use crate::response::Response;
use crate::response_timer::ResponseTimer;
use crate::session::SessionEvent;
use crate::set::UidSet;
use crate::wire::ImapWire;
use std::collections::HashSet;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// A command, and the receiver of its outcome.
pub(crate) struct Request {
    /// The command.
    pub command: Command,
    /// Where its outcome goes.
    pub reply: Requester,
}

/// Where the outcome of a command goes.
pub(crate) enum Requester {
    /// One answer at the end.
    Answer(oneshot::Sender<Result<CommandResponses, Error>>),
    /// Events while they arrive: a FETCH.
    Events(mpsc::Sender<FetchBatch>),
}

impl Requester {
    async fn fail(self, error: Error) {
        // Nobody waits if the receiver is gone.
        match self {
            Self::Answer(sender) => drop(sender.send(Err(error))),
            Self::Events(sender) => drop(sender.send(FetchBatch::Done(Err(error))).await),
        }
    }
}

/// Serves requests until the handle is gone. After the connection has ended, every request fails.
/// The first of them gets the reason.
pub(crate) async fn run<S>(
    wire: ImapWire<S>,
    mut requests: mpsc::Receiver<Box<Request>>,
    handle: oneshot::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let serving = async move {
        let mut reason = serve(wire, &mut requests).await;
        while let Some(request) = requests.recv().await {
            request.reply.fail(reason.take().unwrap_or(Error::Ended)).await;
        }
    };
    tokio::select! {
        biased;
        () = serving => {}
        _ = handle => {}
    }
}

/// Serves requests until the connection ends. Gives the reason, unless a caller already got it.
async fn serve<S>(
    mut wire: ImapWire<S>,
    requests: &mut mpsc::Receiver<Box<Request>>,
) -> Option<Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let request = tokio::select! {
            biased;
            request = requests.recv() => request?,
            heard = wire.unasked() => match heard {
                Ok(()) => continue,
                Err(error) => return Some(error),
            },
        };
        let Request { command, reply } = *request;
        let is_last = command.name == "LOGOUT";
        let goes_on = match reply {
            Requester::Answer(sender) => {
                let answer = wire.command(command).await;
                let goes_on = answer.as_ref().map_or_else(Error::leaves_connection_open, |_| true);
                drop(sender.send(answer));
                goes_on
            }
            Requester::Events(sender) => {
                let result = fetch(&mut wire, command, &sender).await;
                let goes_on = result.as_ref().map_or_else(Error::leaves_connection_open, |()| true);
                drop(sender.send(FetchBatch::Done(result)).await);
                goes_on
            }
        };
        if is_last || !goes_on {
            return None;
        }
    }
}

/// Runs a FETCH. The events of one read are handed on together.
async fn fetch<S>(
    wire: &mut ImapWire<S>,
    command: Command,
    sender: &mpsc::Sender<FetchBatch>,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    wire.end_half_line().await?;
    let deadlines = &wire.options().deadlines;
    let stalls = command.wants_bodies && deadlines.stall < deadlines.silence;
    let silence = if stalls { deadlines.stall } else { deadlines.silence };
    let mut timer = ResponseTimer::by_rate(silence, deadlines.bytes_per_second_min);
    let name = command.name;
    let mut progress = FetchProgress::of(&command, wire.received());
    wire.session().start(command);
    wire.send().await?;
    let of_stall = |error: Error| error.of_stall(stalls);
    let mut given_up: Option<u64> = None;
    let mut events = vec![];
    loop {
        match wire.ready_event() {
            Ok(Some(SessionEvent::Completed(completion))) => {
                wire.is_idle_for(0);
                deliver(sender, &mut events).await;
                return completion.refused(name).map(drop);
            }
            Ok(Some(event)) => {
                let (received, max) = (wire.received(), wire.options().limits.answer_bytes_max);
                if progress.is_made(&event, received) {
                    timer.renew();
                }
                events.extend(fetch_event(event));
                wire.is_idle_for(progress.idle_bytes());
                if progress.idle_bytes() > max as u64 {
                    deliver(sender, &mut events).await;
                    let what = "bytes of responses that nobody asked for";
                    return Err(Error::Limit { what, max: max as u64 });
                }
            }
            Ok(None) => {
                if !deliver(sender, &mut events).await && given_up.is_none() {
                    given_up = Some(wire.received());
                    wire.session().discard_bodies();
                }
                check_given_up(wire, given_up)?;
                tokio::select! {
                    biased;
                    filled = wire.fill(&mut timer) => filled.map_err(of_stall)?,
                    () = sender.closed(), if given_up.is_none() => {}
                }
            }
            Err(error) => {
                deliver(sender, &mut events).await;
                return Err(error);
            }
        }
    }
}

/// The progress of a FETCH. Responses about other things, and repeated responses, are no progress.
struct FetchProgress {
    asked: UidSet,
    wants_bodies: bool,
    given: HashSet<u64>,
    /// The number of octets at the last progress.
    at_bytes: u64,
    /// The number of octets after the last response without progress.
    seen_bytes: u64,
}

impl FetchProgress {
    fn of(command: &Command, received: u64) -> Self {
        Self {
            asked: command.asked.clone(),
            wants_bodies: command.wants_bodies,
            given: HashSet::new(),
            at_bytes: received,
            seen_bytes: received,
        }
    }

    /// Whether the event is a message that was asked for and has not arrived before.
    fn is_made(&mut self, event: &SessionEvent, received: u64) -> bool {
        match event {
            SessionEvent::Response(Response::Fetch(fetched)) if self.is_news(fetched) => {
                (self.at_bytes, self.seen_bytes) = (received, received);
                return true;
            }
            SessionEvent::Response(_) => self.seen_bytes = received,
            // The message that follows these chunks shows whether it was asked for.
            SessionEvent::BodyStart { .. } | SessionEvent::Chunk(_) | SessionEvent::BodyEnd => {}
            SessionEvent::Continue | SessionEvent::Completed(_) => {}
        }
        false
    }

    fn is_news(&mut self, fetched: &Fetched) -> bool {
        let has_bytes = fetched.header.is_some() || !matches!(fetched.body, Body::Missing);
        let has_all = !self.wants_bodies || has_bytes;
        let asked = fetched.uid.filter(|uid| has_all && self.asked.contains(*uid));
        asked.is_some_and(|uid| self.given.insert(uid))
    }

    /// How many octets have arrived without progress, up to the last response without progress.
    fn idle_bytes(&self) -> u64 {
        self.seen_bytes - self.at_bytes
    }
}

/// Hands events on. `false`: the receiver is gone.
async fn deliver(sender: &mpsc::Sender<FetchBatch>, events: &mut Vec<FetchEvent>) -> bool {
    if events.is_empty() {
        return !sender.is_closed();
    }
    sender.send(FetchBatch::Events(std::mem::take(events))).await.is_ok()
}

/// A FETCH without a receiver is read to its end only if little is left.
fn check_given_up<S>(wire: &ImapWire<S>, given_up: Option<u64>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let drained = given_up.map_or(0, |from| wire.received() - from);
    if drained > wire.options().limits.drain_bytes_max {
        return Err(Error::Abandoned);
    }
    Ok(())
}

fn fetch_event(event: SessionEvent) -> Option<FetchEvent> {
    match event {
        SessionEvent::Response(Response::Fetch(fetched)) => Some(FetchEvent::Message(fetched)),
        SessionEvent::BodyStart { size_bytes } => Some(FetchEvent::BodyStart { size_bytes }),
        SessionEvent::Chunk(bytes) => Some(FetchEvent::Chunk(bytes)),
        SessionEvent::BodyEnd => Some(FetchEvent::BodyEnd),
        SessionEvent::Response(_) | SessionEvent::Continue | SessionEvent::Completed(_) => None,
    }
}
