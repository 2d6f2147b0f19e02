//! Held answers: keeps the answers of servers until the store has them.
//!
//! An answer must not be lost. If the store fails, the answer is written before anything else is
//! done. The log line follows after it is written. If the row of the message is damaged, the answer
//! is kept and tried again while the others are written. The queue still says that the final dot
//! was sent, so the message is not sent again.

use crate::account::Account;
use crate::error::Error;
use crate::journal;
use crate::send::settle;
use crate::send::transmit::RECIPIENTS_MAX;
use crate::send::verdict;
use crate::send::verdict::tried;
use crate::shared::Shared;
use postroom_model::Options;
use postroom_model::RecipientState;
use postroom_model::Timestamp;
use postroom_store::Claimed;
use postroom_store::Error as StoreError;
use postroom_store::Verdict;
use postroom_watch::Watcher;
use std::sync::Arc;
use std::time::Duration;

/// How an attempt ended, and when.
struct Answered {
    claimed: Claimed,
    verdict: Verdict,
    at: Timestamp,
    /// Whether the log says that it cannot be written.
    is_named: bool,
}

/// The answers that are not stored yet, oldest first.
pub(crate) struct Held {
    shared: Arc<Shared>,
    setup: Watcher<Arc<Account>>,
    answers: Vec<Answered>,
}

impl Held {
    /// No held answer.
    #[must_use]
    pub(crate) fn new(shared: Arc<Shared>, setup: Watcher<Arc<Account>>) -> Self {
        Self { shared, setup, answers: vec![] }
    }

    /// Records how an attempt ended.
    ///
    /// # Errors
    ///
    /// When the store fails. Then the answer is held.
    pub(crate) async fn settle(&mut self, claimed: Claimed, verdict: Verdict) -> Result<(), Error> {
        let clock = &self.shared.clock;
        let at = Timestamp::from_ms(clock.now_ms());
        let verdict = verdict::jittered(clock, verdict);
        self.answers.push(Answered { claimed, verdict, at, is_named: false });
        self.write().await
    }

    /// Writes the held answers.
    ///
    /// # Errors
    ///
    /// When the store fails. What it did not take is still held.
    pub(crate) async fn write(&mut self) -> Result<(), Error> {
        let mut place = 0;
        while let Some(Answered { claimed, verdict, at, is_named }) = self.answers.get_mut(place) {
            match self.shared.store.delivery_settle(claimed, verdict, *at).await {
                Ok(recorded) => {
                    if let Some(recorded) = recorded {
                        if !matches!(recorded, Verdict::Later { .. }) {
                            self.shared.enders.forget(claimed.message);
                        }
                        let account = Arc::clone(&self.setup.borrow());
                        journal::settled(Some(&account), claimed, &recorded, *at);
                    }
                    self.answers.remove(place);
                }
                Err(error @ StoreError::Damaged { .. }) => {
                    if !std::mem::replace(is_named, true) {
                        let message = claimed.message;
                        tracing::error!(%message, %error, ?verdict, "an answer is not recorded");
                    }
                    place += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes the held answers before an end, however long the store fails. A process that no
    /// longer leads writes nothing more.
    pub(crate) async fn write_at_last(&mut self, pause: Duration) {
        while self.write().await.is_err() && !self.shared.store.is_deposed() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Settles a delivery that was after its final dot when its sender ended. `None`: its account is
/// gone.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn settle_unknown_outcome(
    shared: &Shared,
    mut claimed: Claimed,
    account: Option<&Account>,
) -> Result<(), Error> {
    let none = Options::cascade([]);
    let options = account.map_or(&none, |account| &account.options);
    let reason = "Postroom was stopped before the answer came".to_owned();
    let named = shared.store.delivery_named(claimed.message, claimed.attempts).await?;
    let named = named.unwrap_or_default();
    let mut unknown = settle::waiting(&claimed.recipients, options.uncertain());
    if unknown.iter().any(|place| named.contains(place)) {
        unknown.retain(|place| named.contains(place));
    } else {
        unknown.truncate(RECIPIENTS_MAX);
    }
    settle::put_all(&mut claimed.recipients, &unknown, RecipientState::Uncertain, &reason);
    // Without an account nothing more is sent.
    let left = if account.is_some() { claimed.recipients.as_slice() } else { &[] };
    let verdict = verdict::outcome_unknown(left, reason, tried(&claimed), options);
    let verdict = verdict::jittered(&shared.clock, verdict);
    let at = Timestamp::from_ms(shared.clock.now_ms());
    if let Some(recorded) = shared.store.delivery_settle(&claimed, &verdict, at).await? {
        journal::settled(account, &claimed, &recorded, at);
    }
    Ok(())
}
