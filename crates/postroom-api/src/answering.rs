//! The requests of one connection that are being answered, and when its client is too slow.
//!
//! HTTP/2 has many answers at once, each with a window of its own. So a client can leave an answer
//! unread while its connection looks healthy. Each answer is handed over in small pieces, and the
//! time since the last one was taken says whether the client reads.

use crate::limits::Limits;
use axum::body::Body;
use axum::body::Bytes;
use hyper::body::Frame;
use hyper::body::SizeHint;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::Interval;
use tokio::time::MissedTickBehavior;

/// How many bytes of an answer are handed over at once, where answers share a connection.
const PIECE_BYTES: usize = 64 * 1024;
/// How many looks fit into the shortest time that a client has.
const LOOKS: u32 = 4;

/// The requests of a connection. Shared with the code that answers them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answering(Arc<Requests>);

#[derive(Debug, Default)]
struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The answers whose last piece was handed over, and when.
    handed_over: Mutex<HashMap<u64, Instant>>,
}

impl Answering {
    /// A request has arrived. It is being answered until what this gives is dropped.
    pub(crate) fn begin(&self) -> RunningAnswer {
        let number = self.0.begun.fetch_add(1, Ordering::AcqRel);
        RunningAnswer { answering: self.clone(), number }
    }

    /// How many requests have arrived.
    pub(crate) fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Acquire)
    }

    /// How many are answered, if none is running.
    pub(crate) fn all_ended(&self) -> Option<u64> {
        let ended = self.0.ended.load(Ordering::Acquire);
        (ended == self.begun()).then_some(ended)
    }

    fn handed_over(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.0.handed_over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct RunningAnswer {
    answering: Answering,
    number: u64,
}

impl RunningAnswer {
    /// The body of the answer. `in_pieces`: it shares the connection with others.
    pub(crate) fn body(self, body: Body, in_pieces: bool) -> AnswerBody {
        AnswerBody { body, running: self, in_pieces, rest: Bytes::new() }
    }
}

impl Drop for RunningAnswer {
    fn drop(&mut self) {
        self.answering.handed_over().remove(&self.number);
        self.answering.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// The body of an answer. It notes when the server has read all of it.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    body: Body,
    running: RunningAnswer,
    in_pieces: bool,
    /// What is not handed over yet of what was made.
    rest: Bytes,
}

impl AnswerBody {
    fn piece(&mut self) -> Frame<Bytes> {
        let count = PIECE_BYTES.min(self.rest.len());
        let RunningAnswer { answering, number } = &self.running;
        answering.handed_over().insert(*number, Instant::now());
        Frame::data(self.rest.split_to(count))
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if !this.in_pieces {
            return Pin::new(&mut this.body).poll_frame(context);
        }
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.piece())));
        }
        // Whoever waits for more has read everything.
        this.running.answering.handed_over().remove(&this.running.number);
        let frame = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        Poll::Ready(match frame.into_data() {
            Ok(bytes) => {
                this.rest = bytes;
                Some(Ok(this.piece()))
            }
            Err(other) => Some(Ok(other)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// Why the server gives a client up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// It asks nothing.
    Rests,
    /// It reads nothing of an answer.
    ReadsNothing,
}

/// Looks from time to time whether the client of a connection still takes part.
pub(crate) struct Attention {
    answering: Answering,
    looks: Interval,
    rest_max: Duration,
    read_within: Duration,
    /// How many requests were answered at the end of the last one, and when that was seen.
    rests: Option<(u64, Instant)>,
}

impl Attention {
    /// What the limits say.
    pub(crate) fn new(answering: Answering, limits: &Limits) -> Self {
        let (rest_max, read_within) = (limits.head_within, limits.read_within);
        let mut looks = tokio::time::interval(rest_max.min(read_within) / LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { answering, looks, rest_max, read_within, rests: None }
    }

    /// Ends when the client takes part no longer. It may be dropped and called again at any time.
    pub(crate) async fn ends(&mut self) -> GivenUp {
        loop {
            let now = self.looks.tick().await;
            let of_answers = |at: &Instant| now.saturating_duration_since(*at) >= self.read_within;
            if self.answering.handed_over().values().any(of_answers) {
                return GivenUp::ReadsNothing;
            }
            let Some(count) = self.answering.all_ended().filter(|count| *count > 0) else {
                self.rests = None;
                continue;
            };
            match self.rests.filter(|(before, _)| *before == count) {
                None => self.rests = Some((count, now)),
                Some((_, since)) if now.saturating_duration_since(since) >= self.rest_max => {
                    self.rests = None;
                    return GivenUp::Rests;
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use hyper::body::Body as _;
    use std::task::Waker;

    fn limits() -> Limits {
        let (head_within, read_within) = (Duration::from_secs(120), Duration::from_secs(60));
        Limits { head_within, read_within, ..Limits::default() }
    }

    fn next(body: &mut AnswerBody) -> Option<usize> {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(body).poll_frame(&mut context) {
            Poll::Ready(frame) => frame.map(|frame| frame.unwrap().into_data().unwrap().len()),
            Poll::Pending => panic!("there is no more yet"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_the_connection() {
        let answering = Answering::default();
        let mut attention = Attention::new(answering.clone(), &limits());
        let mut body = answering.begin().body(Body::from(vec![0; 150_000]), true);
        let begun = Instant::now();
        assert_eq!(body.size_hint().exact(), Some(150_000));
        assert_eq!(next(&mut body), Some(PIECE_BYTES));
        assert_eq!(body.size_hint().exact(), Some(150_000 - PIECE_BYTES as u64));
        let slow = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            assert_eq!(next(&mut body), Some(PIECE_BYTES));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = attention.ends() => assert_eq!(ended, GivenUp::ReadsNothing),
            () = slow => {}
        }
        assert!(begun.elapsed() >= Duration::from_secs(110), "{:?}", begun.elapsed());
        assert_eq!(next(&mut body), Some(150_000 - 2 * PIECE_BYTES));
        assert_eq!(next(&mut body), None);
        // It waits for Postroom now, and not for its client.
        tokio::time::advance(Duration::from_secs(600)).await;
        assert!(attention.ends().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_rests_for_too_long_ends() {
        let answering = Answering::default();
        let mut attention = Attention::new(answering.clone(), &limits());
        let (begun, running) = (Instant::now(), answering.begin());
        let ended = tokio::time::timeout(Duration::from_secs(1000), attention.ends()).await;
        assert!(ended.is_err(), "a request is running");
        drop(running);
        assert_eq!(attention.ends().await, GivenUp::Rests);
        assert!(begun.elapsed() >= Duration::from_secs(1120), "{:?}", begun.elapsed());
        assert!(begun.elapsed() <= Duration::from_secs(1150), "{:?}", begun.elapsed());
    }
}
