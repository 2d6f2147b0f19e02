//! The subscriptions of a WebSocket: each reads the news and makes messages of them.

use crate::answer_budget::AnswerShare;
use crate::app::App;
use crate::event_request::EventRequest;
use crate::events;
use crate::events::NEWS_BYTES;
use crate::events::STREAMED_AT_ONCE;
use crate::problem::Problem;
use postroom_engine::NewsFollower;
use postroom_engine::ShownEvent;
use postroom_model::Domain;
use postroom_model::PLATFORM_EVENT;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Messages to be sent.
#[derive(Default)]
pub(crate) struct SocketPage {
    /// The messages, as JSON.
    pub messages: Vec<String>,
    /// Their share of the memory for news, until they are sent.
    pub share: Option<AnswerShare>,
}

impl SocketPage {
    /// A message that is no news.
    pub(crate) fn of(message: &Json) -> Self {
        Self { messages: vec![message.to_string()], share: None }
    }
}

/// Where a subscription tells its events.
pub(crate) struct SocketTold {
    pub app: App,
    /// The domain whose news they are.
    pub domain: Domain,
    /// Takes the messages, page by page.
    pub tells: mpsc::Sender<SocketPage>,
    /// Held by the subscription that makes a page: of a connection, one is made at a time.
    pub turn: Arc<tokio::sync::Mutex<()>>,
}

impl SocketTold {
    /// Sends a message that is no news. This fails if the client is gone already, which does no
    /// harm.
    async fn tell(&self, message: &Json) {
        let _ = self.tells.send(SocketPage::of(message)).await;
    }
}

/// A running subscription.
pub(crate) struct Telling<F> {
    /// What it tells.
    pub requests: Vec<EventRequest>,
    /// The news that it has not told yet.
    pub news: NewsFollower,
    /// Makes the message of an event, with the id of the subscription.
    pub told: F,
}

impl<F: Fn(&str, ShownEvent) -> Json> Telling<F> {
    /// Sends events until the subscription expires, the client is gone, or the news cannot be read.
    pub(crate) async fn run(
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
        let classes = to.app.store.classes().of(&to.domain);
        let requests: Vec<_> = self.requests.iter().map(|one| one.events(&classes)).collect();
        let event = |news| requests.iter().find_map(|event| event(news));
        let events = page.news.iter().filter_map(event);
        let messages: Vec<_> = events.map(|event| (self.told)(id, event).to_string()).collect();
        let bytes = messages.iter().map(String::len).sum();
        let told = SocketPage { messages, share: Some(share.of(bytes)) };
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
pub(crate) fn platform_event(id: &str, event: ShownEvent) -> Json {
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

/// The message that refuses one of the client, or tells why a subscription ended.
pub(crate) fn refusal(qid: &Json, id: &Json, problem: &Problem) -> Json {
    json!(["error", {"qid": qid, "id": id, "problem": problem.to_json()}])
}
