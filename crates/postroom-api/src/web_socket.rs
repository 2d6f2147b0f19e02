//! `GET /ws`: the news of a domain over a WebSocket, for any number of subscriptions.
//!
//! ```text
//!   client:  ["follow", {"id": "a", "after": 123}]
//!   server:  ["follow", {"qid": null, "id": "a", "after": 123}]
//!            ["event", {"id": "a", "event": {"seq": 124, …}}]
//! ```
//! Each subscription has a task, which waits until the client has read the events before. A client
//! that reads nothing for a minute loses its connection. It then connects again with its number.
//!
//! Standards: RFC 6455.

use crate::answer_budget::AnswerShare;
use crate::app::App;
use crate::caller::Caller;
use crate::caller::TokenWatch;
use crate::connections::Seat;
use crate::event_request::After;
use crate::event_request::EventRequest;
use crate::event_request::NewsReader;
use crate::events;
use crate::events::HEARTBEAT;
use crate::events::NEWS_BYTES;
use crate::events::STREAMED_AT_ONCE;
use crate::problem::Problem;
use crate::socket_message::SocketMessage;
use crate::socket_message::Subscription;
use crate::socket_message::Wish;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::CloseFrame;
use axum::extract::ws::Message;
use axum::extract::ws::WebSocket;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::close_code;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::Response;
use postroom_engine::NewsFollower;
use postroom_engine::ShownEvent;
use postroom_model::PLATFORM_EVENT;
use postroom_store::Bearer;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

/// How many bytes a message of a client may have.
const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// How many subscriptions one connection may have.
const SUBSCRIPTIONS_MAX: usize = 100;
/// A client that is silent for so long counts as gone, because a client answers each heartbeat.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// `GET`: begins the conversation.
///
/// # Errors
///
/// 400 and 426 for a request that does not ask for a WebSocket.
pub(crate) async fn open(
    State(app): State<App>,
    caller: Caller,
    seat: Option<Extension<Arc<Seat>>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let bearer = caller.reads_some(&app.store.classes())?;
    let upgrade = upgrade.map_err(|refused| {
        let detail = format!("this path is for WebSockets: {}", refused.body_text());
        Problem::new(refused.status(), "no-web-socket", detail)
    })?;
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let (tells, told) = mpsc::channel(1);
        let watch = TokenWatch::new(&app, headers, bearer.clone());
        let (turn, subscriptions) = (Arc::default(), HashMap::new());
        let conversation = Conversation { app, bearer, watch, tells, turn, subscriptions };
        conversation.run(socket, told).await;
        // The connection has its place until here.
        drop(seat);
    }))
}

/// A conversation with one client.
struct Conversation {
    app: App,
    bearer: Bearer,
    watch: TokenWatch,
    /// Takes the messages of the subscriptions, page by page.
    tells: mpsc::Sender<SocketPage>,
    /// Held by the subscription that makes a page: of a connection, one is made at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    subscriptions: HashMap<String, Subscribed>,
}

/// Messages to be sent.
#[derive(Default)]
struct SocketPage {
    messages: Vec<String>,
    /// Their share of the memory for news, until they are sent.
    _share: Option<AnswerShare>,
}

impl SocketPage {
    /// A message that is no news.
    fn of(message: &Json) -> Self {
        Self { messages: vec![message.to_string()], _share: None }
    }
}

/// A subscription that has begun.
struct Subscribed {
    /// The members of `subscribe`. Null: the client sent `follow`.
    asked: Json,
    expires: watch::Sender<Option<Instant>>,
    /// Ends its task.
    _ending: DropGuard,
}

/// Why a conversation ends.
type Farewell = Option<CloseFrame>;

impl Conversation {
    async fn run(mut self, mut socket: WebSocket, mut told: mpsc::Receiver<SocketPage>) {
        let farewell = self.converse(&mut socket, &mut told).await;
        // This fails if the client is gone already, which does no harm.
        if farewell.is_some() {
            let _ = socket.send(Message::Close(farewell)).await;
        }
    }

    /// Reads and writes messages until one side ends the conversation.
    async fn converse(
        &mut self,
        socket: &mut WebSocket,
        told: &mut mpsc::Receiver<SocketPage>,
    ) -> Farewell {
        let mut heard = Instant::now();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let page = tokio::select! {
                message = socket.recv() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => SocketPage::of(&self.hear(&text).await),
                        Some(Ok(Message::Binary(_))) => {
                            return farewell(close_code::UNSUPPORTED, "messages are texts");
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        // A message that is too large is an error too. The library has answered it.
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    }
                }
                // This conversation has a sender.
                page = told.recv() => page.unwrap_or_default(),
                _ = heartbeat.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        return farewell(close_code::POLICY, "no answer to any ping for a minute");
                    }
                    if socket.send(Message::Ping(axum::body::Bytes::new())).await.is_err() {
                        return None;
                    }
                    SocketPage::default()
                }
                () = self.watch.changed() => SocketPage::default(),
                () = self.app.ending.cancelled() => {
                    return farewell(close_code::AWAY, "Postroom ends; come back with your number");
                }
            };
            if let Err(problem) = self.watch.check().await {
                let problem = problem.to_json();
                let why = problem.get("detail").and_then(Json::as_str).unwrap_or_default();
                return farewell(close_code::POLICY, why);
            }
            let SocketPage { messages, _share } = page;
            for message in messages {
                if socket.send(Message::text(message)).await.is_err() {
                    return None;
                }
            }
        }
    }

    /// The answer to a message.
    async fn hear(&mut self, text: &str) -> Json {
        let reader =
            NewsReader::new(&self.bearer.rights, &self.app.store.classes().of(&self.bearer.domain));
        let message = SocketMessage::parse(&reader, text);
        let message = match message {
            Ok(message) => message,
            Err(refused) => return refusal(&refused.qid, &refused.id, &refused.problem),
        };
        let SocketMessage { qid, id, wish } = message;
        let done = match wish {
            Wish::Follow(request) => self.follow(&id, *request).await,
            Wish::Subscribe(subscription) => self.subscribe(&id, subscription).await,
            Wish::Unsubscribe => self.unsubscribe(&id),
        };
        let mut answer = match done {
            Ok(answer) => answer,
            Err(problem) => return refusal(&qid, &Json::from(id), &problem),
        };
        if let Some(members) = answer.get_mut(1).and_then(Json::as_object_mut) {
            members.extend([("qid".to_owned(), qid), ("id".to_owned(), Json::from(id))]);
        }
        answer
    }

    async fn follow(&mut self, id: &str, request: EventRequest) -> Result<Json, Problem> {
        let after = request.after.ok_or_else(events::no_beginning)?;
        let news = events::follow(&self.app, &self.bearer.domain, after).await?;
        let begun = news.after();
        let told =
            move |id: &str, event: ShownEvent| json!(["event", {"id": id, "event": event.json}]);
        self.begin(id, Telling { requests: vec![request], news, told }, None, Json::Null)?;
        Ok(json!(["follow", {"after": begun}]))
    }

    async fn subscribe(&mut self, id: &str, wanted: Subscription) -> Result<Json, Problem> {
        let Subscription { requests, expires, asked } = wanted;
        let until = Instant::now() + expires;
        let answer = json!(["subscribe", {"expires": expires.as_secs()}]);
        // If the subscription exists already, it is only extended, so that no event is lost.
        if let Some(subscribed) = self.subscriptions.get(id).filter(|one| one.asked == asked)
            && subscribed.expires.send(Some(until)).is_ok()
        {
            return Ok(answer);
        }
        let news = events::follow(&self.app, &self.bearer.domain, After::Now).await?;
        self.begin(id, Telling { requests, news, told: platform_event }, Some(until), asked)?;
        Ok(answer)
    }

    fn unsubscribe(&mut self, id: &str) -> Result<Json, Problem> {
        let gone = || Problem::not_found(format!("there is no subscription `{id}`"));
        self.subscriptions.remove(id).ok_or_else(gone)?;
        Ok(json!(["unsubscribe", {}]))
    }

    /// Begins a subscription. An earlier one of the same id ends.
    #[expect(clippy::disallowed_methods, reason = "connections of clients are not simulated")]
    fn begin<F>(
        &mut self,
        id: &str,
        telling: Telling<F>,
        until: Option<Instant>,
        asked: Json,
    ) -> Result<(), Problem>
    where
        F: Fn(&str, ShownEvent) -> Json + Send + 'static,
    {
        self.subscriptions.retain(|_, subscribed| !subscribed.expires.is_closed());
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX && !self.subscriptions.contains_key(id) {
            let detail = format!("a connection has {SUBSCRIPTIONS_MAX} subscriptions at most");
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-subscriptions",
                detail,
            ));
        }
        let (ending, (expires, expiry)) = (CancellationToken::new(), watch::channel(until));
        let subscribed = Subscribed { asked, expires, _ending: ending.clone().drop_guard() };
        self.subscriptions.insert(id.to_owned(), subscribed);
        let to = SocketTold {
            app: self.app.clone(),
            tells: self.tells.clone(),
            turn: self.turn.clone(),
        };
        let id = id.to_owned();
        tokio::spawn(async move {
            ending.run_until_cancelled(telling.run(&to, &id, expiry)).await;
        });
        Ok(())
    }
}

/// Where a subscription tells its events.
struct SocketTold {
    app: App,
    tells: mpsc::Sender<SocketPage>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl SocketTold {
    /// Sends a message that is no news. This fails if the client is gone already, which does no
    /// harm.
    async fn tell(&self, message: &Json) {
        let _ = self.tells.send(SocketPage::of(message)).await;
    }
}

/// A running subscription. `told` makes the message of an event.
struct Telling<F> {
    requests: Vec<EventRequest>,
    news: NewsFollower,
    told: F,
}

impl<F: Fn(&str, ShownEvent) -> Json> Telling<F> {
    /// Sends events until the subscription expires, the client is gone, or the news cannot be read.
    async fn run(
        mut self,
        to: &SocketTold,
        id: &str,
        mut expiry: watch::Receiver<Option<Instant>>,
    ) {
        loop {
            match self.tell_page(to, id).await {
                Ok(PageTold::Gone) => return,
                Ok(PageTold::More) => continue,
                Ok(PageTold::All) => {}
                Err(problem) => {
                    return to.tell(&refusal(&Json::Null, &Json::from(id), &problem)).await;
                }
            }
            let until = *expiry.borrow_and_update();
            tokio::select! {
                () = self.news.changed() => {}
                // It was renewed. If its owner is gone, this task is cancelled.
                _ = expiry.changed() => {}
                () = expired(until) => return to.tell(&json!(["expired", {"id": id}])).await,
            }
        }
    }

    /// Reads the next news and sends their events. Those of the connection that come after it wait,
    /// so that a client that reads slowly takes the memory of few pages.
    async fn tell_page(&mut self, to: &SocketTold, id: &str) -> Result<PageTold, Problem> {
        let _turn = to.turn.lock().await;
        let share = to.app.held_news.share(NEWS_BYTES).await?;
        let page = events::read(&mut self.news, STREAMED_AT_ONCE).await?;
        let classes = to.app.store.classes();
        let requests: Vec<_> = self.requests.iter().map(|one| one.events(&classes)).collect();
        let event = |news| requests.iter().find_map(|event| event(news));
        let events = page.news.iter().filter_map(event);
        let messages: Vec<_> = events.map(|event| (self.told)(id, event).to_string()).collect();
        let bytes = messages.iter().map(String::len).sum();
        let told = SocketPage { messages, _share: Some(share.of(bytes)) };
        if !told.messages.is_empty() && to.tells.send(told).await.is_err() {
            return Ok(PageTold::Gone);
        }
        Ok(if page.is_full { PageTold::More } else { PageTold::All })
    }
}

/// What became of a page of news.
enum PageTold {
    /// There may be more already.
    More,
    /// There are no more now.
    All,
    /// The client is gone.
    Gone,
}

/// Ends when a subscription does. `None`: never.
async fn expired(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// The message of a change for `subscribe`.
fn platform_event(id: &str, event: ShownEvent) -> Json {
    let ShownEvent { operation, json: mut event, .. } = event;
    let member = |of: &mut Json, name: &str| of.get_mut(name).map(Json::take).unwrap_or_default();
    let mut modifier = member(&mut event, "modifier");
    json!([PLATFORM_EVENT, {
        "id": id, "seq": member(&mut event, "seq"), "eclass": member(&mut event, "class"),
        "eid": member(&mut event, "id"), "operation": operation.number(),
        "entity": member(&mut event, "entity"), "entity0": member(&mut event, "entity0"),
        "modifier_type": member(&mut modifier, "type"),
        "modifier_id": member(&mut modifier, "id"),
    }])
}

fn refusal(qid: &Json, id: &Json, problem: &Problem) -> Json {
    json!(["error", {"qid": qid, "id": id, "problem": problem.to_json()}])
}

fn farewell(code: u16, reason: &str) -> Farewell {
    // A reason has 123 bytes at most (RFC 6455 §5.5).
    let reason = reason.get(..reason.floor_char_boundary(123)).unwrap_or_default();
    Some(CloseFrame { code, reason: reason.into() })
}
