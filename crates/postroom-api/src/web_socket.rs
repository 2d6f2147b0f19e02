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

use crate::app::App;
use crate::caller::Caller;
use crate::caller::TokenWatch;
use crate::connections::Seat;
use crate::event_request::After;
use crate::event_request::EventRequest;
use crate::event_request::NewsReader;
use crate::events;
use crate::events::HEARTBEAT;
use crate::problem::Problem;
use crate::socket_message::SocketMessage;
use crate::socket_message::Subscription;
use crate::socket_message::Wish;
use crate::socket_telling::SocketPage;
use crate::socket_telling::SocketTold;
use crate::socket_telling::Telling;
use crate::socket_telling::platform_event;
use crate::socket_telling::refusal;
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
use postroom_engine::ShownEvent;
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
/// How long a client has to read why a conversation ends that gives way.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);
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
        let seat = seat.map(|Extension(seat)| seat);
        let conversation = Conversation { app, bearer, watch, seat, tells, turn, subscriptions };
        conversation.run(socket, told).await;
    }))
}

/// A conversation with one client.
struct Conversation {
    app: App,
    bearer: Bearer,
    watch: TokenWatch,
    /// The place of the connection.
    seat: Option<Arc<Seat>>,
    /// Takes the messages of the subscriptions, page by page.
    tells: mpsc::Sender<SocketPage>,
    /// Held by the subscription that makes a page: of a connection, one is made at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    subscriptions: HashMap<String, Subscribed>,
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
        // The connection has its place until here.
        let seat = self.seat.clone();
        let whole = async {
            let farewell = self.converse(&mut socket, &mut told).await;
            // This fails if the client is gone already, which does no harm.
            if farewell.is_some() {
                let _ = socket.send(Message::Close(farewell)).await;
            }
        };
        // A client that does not read keeps its place no longer than others.
        let late = async {
            Seat::gives_way(seat.as_deref()).await;
            tokio::time::sleep(FAREWELL_WITHIN).await;
        };
        tokio::select! {
            () = whole => {}
            () = late => {}
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
                () = self.app.ending.cancelled() => return ends(),
                () = Seat::gives_way(self.seat.as_deref()) => {
                    // When Postroom ends, all give way.
                    if self.app.ending.is_cancelled() {
                        return ends();
                    }
                    let why = "the place is needed for other clients; come back with your number";
                    return farewell(close_code::AGAIN, why);
                }
            };
            if let Err(problem) = self.watch.check().await {
                let problem = problem.to_json();
                let why = problem.get("detail").and_then(Json::as_str).unwrap_or_default();
                return farewell(close_code::POLICY, why);
            }
            let SocketPage { messages, share: _share } = page;
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
            domain: self.bearer.domain.clone(),
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

fn ends() -> Farewell {
    farewell(close_code::AWAY, "Postroom ends; come back with your number")
}

fn farewell(code: u16, reason: &str) -> Farewell {
    // A reason has 123 bytes at most (RFC 6455 §5.5).
    let reason = reason.get(..reason.floor_char_boundary(123)).unwrap_or_default();
    Some(CloseFrame { code, reason: reason.into() })
}
