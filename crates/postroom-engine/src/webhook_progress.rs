//! How far webhooks have come. It is noted in memory, and written for all of them at once.
//!
//! A process that is killed loses what it did not write yet: then the receivers are told some
//! events twice, and none is lost.

use postroom_model::Timestamp;
use postroom_model::WebhookId;
use postroom_model::builtin::names;
use postroom_store::Error;
use postroom_store::Store;
use postroom_store::WebhookProgress;
use postroom_store::WebhookRow;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// How many requests are listed.
const ATTEMPTS_MAX: usize = 100;

/// What is there to be written of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ToWrite {
    /// Nothing.
    Nothing,
    /// It has passed changes that it does not want.
    Passed,
    /// It has sent requests.
    Sent,
}

/// How far a webhook has come, in memory.
#[derive(Debug)]
pub(crate) struct NotedProgress {
    /// What is written but for the requests.
    pub progress: WebhookProgress,
    /// The last requests, the newest first.
    attempts: VecDeque<Json>,
    unwritten: ToWrite,
    /// Grows with each note, so that a later one is not taken for written.
    revision: u64,
}

/// One request, as it is listed.
#[derive(Debug)]
pub(crate) struct WebhookAttempt<'a> {
    /// When it began.
    pub at: Timestamp,
    /// The number of its first event.
    pub seq: i64,
    /// How many events it had.
    pub events: usize,
    /// The status of the answer. `None`: there was none.
    pub status: Option<u16>,
    /// How long it took.
    pub duration_ms: u64,
    /// Why there was no answer.
    pub error: Option<&'a str>,
}

impl NotedProgress {
    /// What is stored of a webhook that begins.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn begin(store: &Store, row: &WebhookRow) -> Result<Self, Error> {
        let cursor = match row.webhook.number(names::CURSOR) {
            Some(cursor) => cursor,
            None => store.webhook_begin(&row.domain, &row.webhook).await?,
        };
        Ok(Self::of(row, cursor))
    }

    /// What is stored of a webhook, with where it goes on.
    fn of(row: &WebhookRow, cursor: i64) -> Self {
        let WebhookRow { webhook, .. } = row;
        let moment = |name| Timestamp::parse(webhook.text(name)?).ok();
        let failures = webhook.number(names::FAILURES).and_then(|count| count.try_into().ok());
        let progress = WebhookProgress {
            known: webhook.seq,
            cursor,
            last_delivery_at: moment(names::LAST_DELIVERY_AT),
            lag_seconds: webhook.number(names::LAG).unwrap_or(0),
            failures: failures.unwrap_or(0),
            failing_since: moment(names::FAILING_SINCE),
            status_text: webhook.text(names::STATUS_TEXT).map(str::to_owned),
            attempts: Json::Null,
        };
        let attempts = webhook.get(names::LAST_ATTEMPTS).as_array().cloned().unwrap_or_default();
        let (attempts, unwritten) = (attempts.into(), ToWrite::Passed);
        Self { progress, attempts, unwritten, revision: 0 }
    }

    /// Lists a request.
    pub(crate) fn add(&mut self, attempt: &WebhookAttempt<'_>) {
        self.attempts.push_front(json!({
            "at": attempt.at.to_string(), "seq": attempt.seq, "events": attempt.events,
            "status": attempt.status, "durationMs": attempt.duration_ms, "error": attempt.error,
        }));
        self.attempts.truncate(ATTEMPTS_MAX);
    }

    /// What is written.
    pub(crate) fn whole(&self) -> WebhookProgress {
        let attempts = self.attempts.iter().cloned().collect();
        WebhookProgress { attempts, ..self.progress.clone() }
    }
}

/// How far all webhooks have come that run.
#[derive(Debug, Default)]
pub(crate) struct ProgressTable(Mutex<HashMap<WebhookId, NotedProgress>>);

impl ProgressTable {
    fn all(&self) -> MutexGuard<'_, HashMap<WebhookId, NotedProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is noted of a webhook. `None`: it does not run.
    pub(crate) fn read<T>(
        &self,
        webhook: WebhookId,
        read: impl FnOnce(&NotedProgress) -> T,
    ) -> Option<T> {
        self.all().get(&webhook).map(read)
    }

    /// Notes what is known of a webhook that begins.
    pub(crate) fn begin(&self, webhook: WebhookId, noted: NotedProgress) {
        self.all().insert(webhook, noted);
    }

    /// Changes what is noted of a webhook, if it runs.
    pub(crate) fn note(
        &self,
        webhook: WebhookId,
        unwritten: ToWrite,
        change: impl FnOnce(&mut NotedProgress),
    ) {
        if let Some(noted) = self.all().get_mut(&webhook) {
            change(noted);
            noted.revision += 1;
            noted.unwritten = noted.unwritten.max(unwritten);
        }
    }

    /// Writes what there is at least so much of.
    ///
    /// # Errors
    ///
    /// When the store fails. The next call writes it.
    pub(crate) async fn write(&self, store: &Store, least: ToWrite) -> Result<(), Error> {
        let is_due =
            |noted: &NotedProgress| noted.unwritten != ToWrite::Nothing && noted.unwritten >= least;
        let (mut rows, revisions): (Vec<_>, Vec<_>) = {
            let all = self.all();
            let due = all.iter().filter(|(_, noted)| is_due(noted));
            due.map(|(id, noted)| ((*id, noted.whole()), (*id, noted.revision))).unzip()
        };
        rows.sort_by_key(|(id, _)| *id);
        store.webhook_progress_write(&rows).await?;
        let mut all = self.all();
        for (id, revision) in revisions {
            if let Some(noted) = all.get_mut(&id).filter(|noted| noted.revision == revision) {
                noted.unwritten = ToWrite::Nothing;
            }
        }
        Ok(())
    }

    /// Forgets a webhook in whose place another begins.
    pub(crate) fn forget(&self, webhook: WebhookId) {
        self.all().remove(&webhook);
    }

    /// Forgets the webhooks that do not run any more.
    pub(crate) fn keep(&self, runs: impl Fn(WebhookId) -> bool) {
        self.all().retain(|id, _| runs(*id));
    }
}
