//! `GET /rest/v1/events`: the news of a domain, as an answer or as a stream.
//!
//! ```text
//!   GET /rest/v1/events?after=123&wait=30      {"events": […], "next": 130}
//!   Accept: text/event-stream                  id: 124, event: message.received, data: {…}
//! ```
//! A client continues after the number that it handled last, and misses nothing. A stream ends if
//! its client reads nothing for too long. The client then connects again with its number.
//!
//! Standards: Server-Sent Events of the HTML standard (§9.2): `Last-Event-ID`.

use crate::answer_budget::AnswerShare;
use crate::app::App;
use crate::caller::Caller;
use crate::caller::TokenWatch;
use crate::event_request;
use crate::event_request::After;
use crate::event_request::EventRequest;
use crate::event_request::NewsReader;
use crate::format::media_ranges;
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::stream;
use postroom_engine::NewsFollower;
use postroom_engine::ShownEvent;
use postroom_model::Domain;
use postroom_model::Invalid;
use postroom_store::EntityNews;
use postroom_store::Error;
use postroom_store::NewsPage;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The path of the news.
pub(crate) const EVENTS: &str = "/rest/v1/events";
/// The media type of a stream.
const STREAM: &str = "text/event-stream";
/// The header field in which a client of a stream says how far it has come.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often a stream sends something, and checks its token, if there are no events.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long an answer reads changes that the client did not ask for, before it returns without an
/// event.
const LOOKING_MAX: Duration = Duration::from_secs(5);
/// How many changes a stream reads at once.
pub(crate) const STREAMED_AT_ONCE: u32 = 100;

/// `GET`: the news after a number.
///
/// # Errors
///
/// 422 for wrong parameters; 410 for a number that is no longer kept, or that was never given.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let bearer = caller.reads_some(&app.store.classes())?;
    let classes = app.store.classes().of(&bearer.domain);
    let mut request = EventRequest::parse(&NewsReader::new(&bearer.rights, &classes), &uri)?;
    let is_stream = is_stream(&headers);
    if let Some(seen) = headers.get(LAST_EVENT_ID).filter(|_| is_stream) {
        let seen = seen.to_str().map_err(|_| Invalid::new("after", "is no number"))?;
        request.after = Some(event_request::after(seen)?);
    }
    let watch = TokenWatch::new(&app, headers, bearer.clone());
    let follower = Follower::new(watch, app, &bearer.domain, request).await?;
    if is_stream { follower.stream().await } else { follower.answer().await }
}

fn is_stream(headers: &HeaderMap) -> bool {
    let types = media_ranges(headers).filter_map(|range| range.split(';').next());
    types.map(str::trim).any(|of_type| of_type.eq_ignore_ascii_case(STREAM))
}

/// A request for news that is being answered.
struct Follower {
    watch: TokenWatch,
    app: App,
    domain: Domain,
    request: EventRequest,
    news: NewsFollower,
}

/// Some of the events.
struct EventPage {
    events: Vec<ShownEvent>,
    /// The share of the memory for news that they have. `None`: there are none.
    share: Option<AnswerShare>,
    /// Whether there may be more already.
    is_full: bool,
}

impl Follower {
    async fn new(
        watch: TokenWatch,
        app: App,
        domain: &Domain,
        request: EventRequest,
    ) -> Result<Self, Problem> {
        let after = request.after.ok_or_else(no_beginning)?;
        let news = follow(&app, domain, after).await?;
        Ok(Self { watch, app, domain: domain.clone(), request, news })
    }

    /// An answer with the next events. It waits for the first of them.
    async fn answer(mut self) -> Result<Response, Problem> {
        let (begin, limit) = (Instant::now(), self.request.limit);
        let deadline = begin + self.request.wait;
        let mut events = vec![];
        loop {
            let left = limit - u32::try_from(events.len()).unwrap_or(limit);
            let page = self.read(left).await?;
            events.extend(page.events.into_iter().map(|event| event.json));
            let is_enough = events.len() as u64 == u64::from(limit);
            let is_over = !events.is_empty() || self.app.ending.is_cancelled();
            if is_enough || (page.is_full && begin.elapsed() > LOOKING_MAX.max(self.request.wait)) {
                break;
            }
            if page.is_full {
                continue;
            }
            if is_over || Instant::now() >= deadline {
                break;
            }
            self.wait_until(deadline).await;
        }
        Ok(Json(json!({"events": events, "next": self.news.after()})).into_response())
    }

    /// A stream of the events.
    async fn stream(mut self) -> Result<Response, Problem> {
        // The first page is read before the stream begins, so that a problem is a plain answer.
        let first = self.read(STREAMED_AT_ONCE).await?;
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            if let Err(problem) = self.send(first, &sender).await {
                let told = format!("event: problem\ndata: {}\n\n", problem.to_json());
                let told = Bytes::from(told);
                // A client that no longer listens comes back with its number.
                let _ = sender.send(told).await;
            }
        });
        let parts = stream::unfold(receiver, |mut receiver| async {
            let part = receiver.recv().await?;
            Some((Ok::<_, Error>(part), receiver))
        });
        let fields = [(header::CONTENT_TYPE, STREAM), (header::CACHE_CONTROL, "no-store")];
        Ok((fields, Body::from_stream(parts)).into_response())
    }

    /// Sends events until the client is gone, Postroom ends, or the token is no longer valid.
    async fn send(&mut self, mut page: EventPage, to: &mpsc::Sender<Bytes>) -> Result<(), Problem> {
        let mut told = Instant::now();
        loop {
            let mut text = String::new();
            for ShownEvent { seq, name, json, .. } in page.events.drain(..) {
                text.push_str(&format!("id: {seq}\nevent: {name}\ndata: {json}\n\n"));
            }
            if text.is_empty() && told.elapsed() >= HEARTBEAT {
                // A number alone is no event, but the client keeps it.
                text = format!("id: {}\n\n", self.news.after());
            }
            if !text.is_empty() {
                told = Instant::now();
                let text = match page.share.take() {
                    Some(share) => share.hold(text),
                    None => Bytes::from(text),
                };
                if to.send(text).await.is_err() {
                    return Ok(());
                }
            }
            if !page.is_full {
                tokio::select! {
                    () = self.wait_until(told + HEARTBEAT) => {}
                    () = to.closed() => return Ok(()),
                }
            }
            if self.app.ending.is_cancelled() {
                return Ok(());
            }
            page = self.read(STREAMED_AT_ONCE).await?;
        }
    }

    /// Waits until there may be news.
    async fn wait_until(&mut self, deadline: Instant) {
        tokio::select! {
            () = self.news.changed() => {}
            () = self.watch.changed() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = self.app.ending.cancelled() => {}
        }
    }

    /// Reads the next changes, at most so many.
    async fn read(&mut self, limit: u32) -> Result<EventPage, Problem> {
        self.watch.check().await?;
        let share = self.app.held_news.share(NEWS_BYTES).await?;
        let ReadNews { news, is_full } = read(&mut self.news, limit).await?;
        let classes = self.app.store.classes().of(&self.domain);
        let events: Vec<_> = news.iter().filter_map(self.request.events(&classes)).collect();
        let share = Some(share).filter(|_| !events.is_empty());
        Ok(EventPage { events, share, is_full })
    }
}

/// How many bytes of memory some news take, with the texts that are made of them.
pub(crate) const NEWS_BYTES: usize = 4 << 20;

/// Some of the news.
pub(crate) struct ReadNews {
    pub news: Arc<[EntityNews]>,
    /// Whether there may be more already.
    pub is_full: bool,
}

/// Follows the news of a domain from the place where a client wants to begin.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn follow(
    app: &App,
    domain: &Domain,
    after: After,
) -> Result<NewsFollower, Problem> {
    let after = match after {
        After::First => app.store.feed_bounds().await?.oldest,
        After::Now => app.store.feed_bounds().await?.newest,
        After::Seq(seq) => seq,
    };
    Ok(app.news.follow(domain, after).await?)
}

/// Reads the next news, at most so many.
///
/// # Errors
///
/// 410 for a number that is no longer kept, or that was never given.
pub(crate) async fn read(news: &mut NewsFollower, limit: u32) -> Result<ReadNews, Problem> {
    let after = news.after();
    match news.read(limit).await? {
        NewsPage::News { news, is_full, .. } => Ok(ReadNews { news, is_full }),
        NewsPage::Trimmed { oldest } => Err(gone(format!(
            "what follows {after} is no longer kept: go on with after={oldest}, which is the \
             oldest number, and read the entities anew"
        ))),
        NewsPage::Unknown { newest } => Err(gone(format!(
            "no change has come to the number {after} yet: it is of other data. Go on with \
             after={newest}, which is the newest number, and read the entities anew"
        ))),
    }
}

/// The problem of a client that does not say where to begin.
pub(crate) fn no_beginning() -> Problem {
    let reason = "says where to begin: the number behind which to go on, `first` or `now`";
    Invalid::new("after", reason).into()
}

fn gone(detail: String) -> Problem {
    Problem::new(StatusCode::GONE, "gone", detail)
}
