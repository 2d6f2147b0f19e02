//! Webhooks: one task for each that is enabled, as the data model says.
//!
//! ```text
//!   news board ──► follower of each webhook ──► request (signed) ──► receiver
//!                        └──► progress, written for all at once
//! ```
//! A task waits for its own receiver alone. A webhook that is changed, disabled or deleted ends at
//! once; a changed one begins again where it was.

use crate::news_board::NewsBoard;
use crate::report::chain;
use crate::shared::Shared;
use crate::webhook_follower;
use crate::webhook_follower::WebhookWorld;
use crate::webhook_progress::ToWrite;
use crate::webhook_request::WebhookMessage;
use crate::webhook_request::WebhookReceiver;
use postroom_model::Domain;
use postroom_model::Timestamp;
use postroom_model::WebhookId;
use postroom_store::Error;
use postroom_store::Topic;
use postroom_store::WebhookRow;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Changes that come within this time are taken together.
const SETTLE: Duration = Duration::from_millis(20);
/// How often the progress of those is written that have sent something.
const WRITE: Duration = Duration::from_secs(5);
/// After how many such times it is written of all.
const WRITE_ALL: u32 = 12;

/// The task of a webhook.
struct Calling {
    /// What it was started with: another change of the webhook, or of the classes, starts another.
    began: Began,
    task: AbortOnDropHandle<()>,
}

/// What the task of a webhook was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Began {
    /// The number of the last change of the webhook.
    seq: i64,
    /// The version of the classes.
    classes: i64,
}

/// Runs all webhooks until a stop.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut changes = shared.store.listen(Topic::Configuration);
    let mut classes = shared.store.listen(Topic::Classes);
    let board = NewsBoard::new(shared.store.clone());
    let world = WebhookWorld { shared, board, table: Arc::default() };
    let mut running = HashMap::new();
    let mut writes = 0;
    'all: loop {
        changes.catch_up();
        match world.shared.store.webhook_list_enabled().await {
            Ok(rows) => align(&world, &mut running, rows).await,
            Err(error) => tracing::error!(error = chain(&error), "webhooks are not read"),
        }
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break 'all,
                () = changes.rung() => break,
                () = classes.rung() => {
                    // What webhooks want may not fit their classes any more.
                    if let Err(error) = world.shared.store.classes_refresh().await {
                        tracing::warn!(error = chain(&error), "the classes are not read again");
                    }
                    break;
                }
                () = tokio::time::sleep(WRITE), if !running.is_empty() => {
                    writes += 1;
                    let is_of_all = writes % WRITE_ALL == 0;
                    let least = if is_of_all { ToWrite::Passed } else { ToWrite::Sent };
                    write(&world, least).await;
                    // A task that has ended, because its webhook was changed, begins again.
                    if running.values().any(|calling: &Calling| calling.task.is_finished()) {
                        break;
                    }
                }
            }
        }
        tokio::time::sleep(SETTLE).await;
    }
    drop(running);
    write(&world, ToWrite::Passed).await;
}

async fn write(world: &WebhookWorld, least: ToWrite) {
    if let Err(error) = world.table.write(&world.shared.store, least).await {
        tracing::warn!(error = chain(&error), "the progress of webhooks is not written");
    }
}

/// Starts, restarts and ends webhooks.
async fn align(
    world: &WebhookWorld,
    running: &mut HashMap<WebhookId, Calling>,
    rows: Vec<WebhookRow>,
) {
    let mut former = std::mem::take(running);
    let classes = world.shared.store.classes().version();
    for row in rows {
        let id = WebhookId::of(row.webhook.id);
        let began = Began { seq: row.webhook.seq, classes };
        if let Some(old) = former.remove(&id) {
            if old.began == began && !old.task.is_finished() {
                running.insert(id, old);
                continue;
            }
            if old.began != began {
                match world.shared.store.webhook_is_another(&row.domain, id, old.began.seq).await {
                    Ok(is_another) => change(world, id, old.task, is_another).await,
                    Err(error) => {
                        // It is looked at again. Meanwhile it goes on, or has ended.
                        tracing::error!(error = chain(&error), "a changed webhook is not read");
                        running.insert(id, old);
                        continue;
                    }
                }
            }
        }
        let task = tokio::spawn(webhook_follower::run(world.clone(), row));
        running.insert(id, Calling { began, task: AbortOnDropHandle::new(task) });
    }
    if !former.is_empty() {
        drop(former);
        write(world, ToWrite::Passed).await;
        world.table.keep(|id| running.contains_key(&id));
    }
}

/// Ends the task of a webhook that was changed. `is_another`: it was deleted, and another one was
/// made under its id, which has nothing to do with it.
async fn change(
    world: &WebhookWorld,
    id: WebhookId,
    task: AbortOnDropHandle<()>,
    is_another: bool,
) {
    task.abort();
    // Whether it ended by itself or was aborted does not matter.
    task.await.ok();
    if is_another {
        world.table.forget(id);
        return;
    }
    // Somebody has changed it, so it has all its time again.
    world.table.note(id, ToWrite::Passed, |noted| {
        (noted.progress.failures, noted.progress.failing_since) = (0, None);
    });
}

/// Sends pings to the receivers of webhooks.
#[derive(Debug, Clone)]
pub struct WebhookTester {
    shared: Arc<Shared>,
}

/// What came back of a ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookPing {
    /// The status of the answer. `None`: there was none.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Why there was no answer.
    pub error: Option<String>,
    /// The media type of the answer.
    pub content_type: Option<String>,
    /// How its body begins.
    pub body: Option<String>,
}

impl WebhookTester {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends a ping to the receiver of a webhook, whether it is enabled or not. `None`: there is no
    /// such webhook.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn ping(&self, domain: &Domain, id: WebhookId) -> Result<Option<WebhookPing>, Error> {
        let Some(row) = self.shared.store.webhook_find(domain, id).await? else {
            return Ok(None);
        };
        let clock = &self.shared.clock;
        let at = Timestamp::from_ms(clock.now_ms());
        let body = json!({
            "type": "ping", "timestamp": at.to_string(), "data": {"webhook": id.to_string()},
        });
        let message = WebhookMessage {
            id: format!("{id}_ping_{}", clock.new_id()),
            at,
            body: body.to_string().into(),
        };
        let begun = Instant::now();
        let answered = match WebhookReceiver::of(&row) {
            Ok(receiver) => {
                let dialer = webhook_follower::dialer(&self.shared);
                receiver.send(&dialer, &mut None, &message).await.map_err(|error| error.to_string())
            }
            Err(invalid) => Err(invalid.to_string()),
        };
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Some(match answered {
            Ok(answer) => WebhookPing {
                status: Some(answer.status),
                duration_ms,
                error: None,
                content_type: answer.content_type,
                body: Some(String::from_utf8_lossy(&answer.body).into_owned()),
            },
            Err(error) => WebhookPing {
                status: None,
                duration_ms,
                error: Some(error),
                content_type: None,
                body: None,
            },
        }))
    }
}

impl WebhookPing {
    /// Its form in answers.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({
            "status": self.status, "durationMs": self.duration_ms, "error": self.error,
            "contentType": self.content_type, "body": self.body,
        })
    }
}
