//! The task of one webhook: it follows the news of its domain, and sends what is wanted.
//!
//! One request at a time, so events arrive in their order. What the receiver does not take is sent
//! again, after delays that double. While it waits, it holds no events: it reads them again.

use crate::backoff;
use crate::news_board::NewsBoard;
use crate::news_board::NewsFollower;
use crate::news_event::ShownEvent;
use crate::report::chain;
use crate::shared::Shared;
use crate::webhook_part::TellablePart;
use crate::webhook_progress::NotedProgress;
use crate::webhook_progress::ProgressTable;
use crate::webhook_progress::ToWrite;
use crate::webhook_progress::WebhookAttempt;
use crate::webhook_request::KeptLink;
use crate::webhook_request::WebhookMessage;
use crate::webhook_request::WebhookReceiver;
use postroom_model::Invalid;
use postroom_model::Timestamp;
use postroom_model::WantedNews;
use postroom_model::WebhookId;
use postroom_model::builtin::names;
use postroom_model::is_administrative;
use postroom_model::wanted_by_webhook;
use postroom_net::Dialer;
use postroom_store::EntityNews;
use postroom_store::NewsPage;
use postroom_store::WebhookRow;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many changes are read at once.
const READ_AT_ONCE: u32 = 100;
/// How long to wait after the store failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// A receiver may ask for no longer pause.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long an idle connection is kept.
const KEPT_MAX: Duration = Duration::from_secs(10);
/// The status that says that nothing is wanted any more.
const GONE: u16 = 410;

/// What all tasks of webhooks share.
#[derive(Debug, Clone)]
pub(crate) struct WebhookWorld {
    pub shared: Arc<Shared>,
    pub board: NewsBoard,
    pub table: Arc<ProgressTable>,
}

/// The task of one webhook.
pub(crate) struct WebhookFollower {
    world: WebhookWorld,
    row: WebhookRow,
    id: WebhookId,
    wanted: Vec<WantedNews>,
    /// The version of the classes that this is wanted of.
    classes: i64,
    receiver: WebhookReceiver,
    kept: Option<KeptLink>,
    /// What it has missed, for people, until it ends or is changed.
    missed: Option<String>,
}

/// A request, and what it means for the progress.
struct Parcel {
    message: WebhookMessage,
    /// The number that is listed.
    seq: i64,
    /// Where the webhook goes on when it is taken.
    cursor: i64,
    /// How many events it has.
    events: usize,
    /// When its first and its last event happened. `None`: it has none.
    happened: Option<[Timestamp; 2]>,
}

/// What a webhook does next.
enum WhatNext {
    /// It goes on after so long.
    Pause(Duration),
    /// It ends, because it is disabled or was changed.
    End,
}

/// Why a request was not taken.
struct NotTaken {
    text: String,
    /// How long the receiver wants to hear nothing.
    pause: Duration,
    /// Whether it wants nothing any more.
    is_gone: bool,
}

/// How connections to receivers are made now.
pub(crate) fn dialer(shared: &Shared) -> Dialer {
    let redial = shared.redial();
    redial.outgoing.for_webhooks(redial.dialing.dialer.clone())
}

/// Runs a webhook until it is disabled. It can be dropped at any point.
pub(crate) async fn run(world: WebhookWorld, row: WebhookRow) {
    let id = WebhookId::of(row.webhook.id);
    while world.table.read(id, |_| ()).is_none() {
        match NotedProgress::begin(&world.shared.store, &row).await {
            Ok(noted) => world.table.begin(id, noted),
            Err(error) => {
                tracing::warn!(webhook = %id, error = chain(&error), "a webhook does not begin");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
    // What was wrong before is found again if it still is.
    world.table.note(id, ToWrite::Passed, |noted| noted.progress.status_text = None);
    match WebhookFollower::of(world.clone(), row.clone(), id) {
        Ok(mut follower) => follower.run().await,
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(Invalid::to_string).collect();
            let reason = format!("{}: mend it, and enable the webhook again", problems.join("; "));
            disable(&world, &row, id, reason).await;
        }
    }
}

/// Disables a webhook, and says why.
async fn disable(world: &WebhookWorld, row: &WebhookRow, id: WebhookId, reason: String) {
    tracing::warn!(webhook = %id, reason, "a webhook is disabled");
    world.table.note(id, ToWrite::Sent, |noted| {
        noted.progress.status_text = Some(reason);
        noted.progress.failing_since = None;
    });
    while let Some(progress) = world.table.read(id, NotedProgress::whole) {
        let (store, seq) = (&world.shared.store, row.webhook.seq);
        match store.webhook_disable(&row.domain, id, seq, &progress).await {
            // If it was not done, a client has changed the webhook, and another task begins.
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(webhook = %id, error = chain(&error), "a webhook stays enabled");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

impl WebhookFollower {
    fn of(world: WebhookWorld, row: WebhookRow, id: WebhookId) -> Result<Self, Vec<Invalid>> {
        let classes = world.shared.store.classes().of(&row.domain);
        let wanted = wanted_by_webhook(&classes, &row.webhook)?;
        let classes = classes.version();
        let receiver = WebhookReceiver::of(&row).map_err(|invalid| vec![invalid])?;
        Ok(Self { world, row, id, wanted, classes, receiver, kept: None, missed: None })
    }

    async fn run(&mut self) {
        while let WhatNext::Pause(pause) = Box::pin(self.follow()).await {
            tokio::time::sleep(pause).await;
        }
    }

    fn cursor(&self) -> Option<i64> {
        self.world.table.read(self.id, |noted| noted.progress.cursor)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.world.shared.clock.now_ms())
    }

    /// Follows the news from the cursor on, until something is wrong.
    async fn follow(&mut self) -> WhatNext {
        let Some(cursor) = self.cursor() else {
            return WhatNext::End;
        };
        let mut news = match self.world.board.follow(&self.row.domain, cursor).await {
            Ok(news) => news,
            Err(error) => return self.unreadable(&error),
        };
        loop {
            match news.read(READ_AT_ONCE).await {
                // What is wanted may not fit the classes any more: the next task finds out.
                Ok(NewsPage::News { .. })
                    if self.world.shared.store.classes().version() != self.classes =>
                {
                    return WhatNext::End;
                }
                Ok(NewsPage::News { news: page, next, is_full }) => {
                    let TellablePart { told, changed_at } =
                        TellablePart::of(&page, &self.row.webhook);
                    if let Err(not_taken) = self.send_all(told).await {
                        return self.failed(not_taken).await;
                    }
                    if let Some(seq) = changed_at {
                        // What happened after that is for the task that begins in its place.
                        self.passed(seq - 1, true);
                        return WhatNext::End;
                    }
                    self.passed(next, is_full);
                    if !is_full {
                        drop(page);
                        self.wait(&mut news).await;
                    }
                }
                Ok(NewsPage::Trimmed { oldest }) => {
                    return match self.tell_missed(news.after(), oldest).await {
                        Ok(()) => WhatNext::Pause(Duration::ZERO),
                        Err(not_taken) => self.failed(not_taken).await,
                    };
                }
                Ok(NewsPage::Unknown { newest }) => {
                    let reason = format!(
                        "no change has come to the cursor {cursor} yet, as after a restore: it is \
                         of other data. Read the entities anew, and enable the webhook: it goes on \
                         behind {newest}"
                    );
                    return self.go_on_elsewhere(newest, reason).await;
                }
                Err(error) => return self.unreadable(&error),
            }
        }
    }

    /// Waits for news. A connection is not kept for long meanwhile.
    async fn wait(&mut self, news: &mut NewsFollower) {
        if self.kept.is_some() && tokio::time::timeout(KEPT_MAX, news.changed()).await.is_ok() {
            return;
        }
        self.kept = None;
        news.changed().await;
    }

    fn unreadable(&self, error: &postroom_store::Error) -> WhatNext {
        tracing::warn!(webhook = %self.id, error = chain(error), "no news are read");
        WhatNext::Pause(AFTER_ERROR)
    }

    async fn go_on_elsewhere(&self, cursor: i64, reason: String) -> WhatNext {
        self.world.table.note(self.id, ToWrite::Sent, |noted| noted.progress.cursor = cursor);
        disable(&self.world, &self.row, self.id, reason).await;
        WhatNext::End
    }

    /// Notes that everything up to `cursor` is delivered or not wanted.
    fn passed(&self, cursor: i64, is_full: bool) {
        self.world.table.note(self.id, ToWrite::Passed, |noted| {
            noted.progress.cursor = noted.progress.cursor.max(cursor);
            if !is_full {
                noted.progress.lag_seconds = 0;
            }
        });
    }

    /// Sends the events of a page, until one is not taken.
    async fn send_all(&mut self, page: &[EntityNews]) -> Result<(), NotTaken> {
        let batch = self.row.webhook.number(names::BATCH);
        let batch = batch.and_then(|count| usize::try_from(count).ok()).unwrap_or(1).max(1);
        let classes = self.world.shared.store.classes().of(&self.row.domain);
        let event = |news: &EntityNews| {
            self.wanted.iter().find_map(|wanted| ShownEvent::of(wanted, &classes, news))
        };
        // Who may do what is not for a webhook, which needs no right to read it.
        let is_told = |news: &&EntityNews| !is_administrative(&news.row.class);
        let events: Vec<_> = page.iter().filter(is_told).filter_map(event).collect();
        for some in events.chunks(batch) {
            self.send(some, batch > 1).await?;
        }
        Ok(())
    }

    async fn send(&mut self, events: &[ShownEvent], is_list: bool) -> Result<(), NotTaken> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(());
        };
        let (first_seq, last_seq, oldest) = (first.seq, last.seq, first.at);
        let at = self.now();
        let body = if is_list {
            let all: Vec<_> = events.iter().map(|event| &event.json).collect();
            json!({"type": "batch", "timestamp": at.to_string(), "data": all})
        } else {
            let (name, when) = (first.name.to_string(), first.at.to_string());
            json!({"type": name, "timestamp": when, "data": first.json})
        };
        let id = match first_seq == last_seq {
            true => format!("{}_{first_seq}", self.id),
            false => format!("{}_{first_seq}_{last_seq}", self.id),
        };
        let message = WebhookMessage { id, at, body: body.to_string().into() };
        let happened = Some([oldest, last.at]);
        let (seq, cursor, events) = (first_seq, last_seq, events.len());
        self.hand_over(Parcel { message, seq, cursor, events, happened }).await
    }

    /// Tells the receiver that changes are no longer kept which it was not told of. Once it has
    /// taken that, the webhook goes on with what is kept.
    async fn tell_missed(&mut self, cursor: i64, oldest: i64) -> Result<(), NotTaken> {
        let text = format!(
            "events were missed: the changes behind {cursor} up to {oldest} are no longer kept. \
             Read the entities anew. What came later is sent as ever"
        );
        tracing::warn!(webhook = %self.id, text, "a webhook has missed events");
        let at = self.now();
        let body = json!({
            "type": "missed", "timestamp": at.to_string(),
            "data": {"webhook": self.id.to_string(), "after": cursor, "to": oldest, "text": text},
        });
        let id = format!("{}_missed_{cursor}", self.id);
        let message = WebhookMessage { id, at, body: body.to_string().into() };
        let parcel = Parcel { message, seq: cursor, cursor: oldest, events: 0, happened: None };
        self.missed = Some(text);
        self.hand_over(parcel).await
    }

    /// Sends a request, and notes what came back.
    async fn hand_over(&mut self, parcel: Parcel) -> Result<(), NotTaken> {
        let Parcel { message, seq, cursor, events, happened } = parcel;
        let at = message.at;
        let (begun, dialer) = (Instant::now(), dialer(&self.world.shared));
        let answered = self.receiver.send(&dialer, &mut self.kept, &message).await;
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        let (status, error) = match &answered {
            Ok(answer) => (Some(answer.status), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let is_taken = status.is_some_and(|status| (200..300).contains(&status));
        let error = error.as_deref();
        let attempt = WebhookAttempt { at, seq, events, status, duration_ms, error };
        self.world.table.note(self.id, ToWrite::Sent, |noted| {
            noted.add(&attempt);
            let progress = &mut noted.progress;
            if let Some([oldest, newest]) = happened {
                let since = if is_taken { newest } else { oldest };
                progress.lag_seconds = now.as_ms().saturating_sub(since.as_ms()).max(0) / 1000;
            }
            if is_taken {
                progress.cursor = cursor;
                progress.last_delivery_at = Some(now);
                (progress.failures, progress.failing_since) = (0, None);
                progress.status_text.clone_from(&self.missed);
            } else {
                progress.failures = progress.failures.saturating_add(1);
                progress.failing_since.get_or_insert(at);
            }
        });
        if is_taken {
            return Ok(());
        }
        let retry_after = answered.as_ref().ok().and_then(|answer| answer.retry_after);
        let pause = retry_after.map_or(Duration::ZERO, |after| after.pause(now)).min(PAUSE_MAX);
        let text = match (status, answered) {
            (Some(status), _) => format!("the receiver answered {status}"),
            (None, Err(error)) => error.to_string(),
            (None, Ok(_)) => String::new(),
        };
        Err(NotTaken { text, pause, is_gone: status == Some(GONE) })
    }

    /// Decides what is done after a request was not taken.
    async fn failed(&self, NotTaken { text, pause, is_gone }: NotTaken) -> WhatNext {
        let noted = self.world.table.read(self.id, |noted| {
            let progress = &noted.progress;
            (progress.failing_since, progress.failures)
        });
        let Some((failing_since, failures)) = noted else {
            return WhatNext::End;
        };
        let retry_for = self.row.webhook.number(names::RETRY_FOR).unwrap_or_default();
        let now = self.now();
        let failing_ms = failing_since.map_or(0, |since| now.as_ms() - since.as_ms());
        if is_gone || failing_ms >= retry_for.saturating_mul(1000) {
            let minutes = failing_ms / 60_000;
            let reason = format!(
                "{text}, and nothing was taken for {minutes} minutes: mend the receiver, and \
                 enable the webhook again; it goes on where it was"
            );
            let gone = format!(
                "{text}, so it wants no more events: enable the webhook again if it does; it goes \
                 on where it was"
            );
            disable(&self.world, &self.row, self.id, if is_gone { gone } else { reason }).await;
            return WhatNext::End;
        }
        let (settings, clock) = (&self.world.shared.settings, &self.world.shared.clock);
        let (first, longest) = (settings.webhook_retry_first, settings.webhook_retry_longest);
        let delay = backoff::delay(clock, failures, first, longest).max(pause);
        let next = Timestamp::from_ms(now.as_ms().saturating_add(backoff::ms(delay)));
        self.world.table.note(self.id, ToWrite::Sent, |noted| {
            noted.progress.status_text = Some(format!("{text}; it is tried again at {next}"));
        });
        WhatNext::Pause(delay)
    }
}
