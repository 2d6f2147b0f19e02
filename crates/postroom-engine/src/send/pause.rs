//! Pause: why an account opens no connection for a while, and what its messages say meanwhile.

use crate::account::Account;
use crate::backoff;
use crate::error::Error;
use crate::journal;
use crate::report::Trouble;
use crate::report::chain;
use crate::report::hint;
use crate::report::is_wrong_login;
use crate::report::needs_a_person;
use crate::send::held::Held;
use crate::shared::Shared;
use postroom_model::ErrorCode;
use postroom_model::Timestamp;
use postroom_model::options;
use postroom_store::Verdict;
use postroom_store::Wait;
use std::time::Duration;
use tokio::time::Instant;

/// A pause of at least this length is written into each waiting message.
const SAID_FROM: Duration = Duration::from_secs(5);

/// A pause of an account.
#[derive(Debug)]
pub(crate) struct Pause {
    /// When it ends.
    pub until: Instant,
    /// The reason, in words.
    pub reason: String,
    /// Whether somebody has to act first.
    pub needs_a_person: bool,
    length: Duration,
    until_ms: i64,
    failures: u32,
}

impl Pause {
    /// The pause after an error, the `failures`th in a row. `was_let_in`: the server took this
    /// login before, so most refusals pass.
    #[must_use]
    pub(crate) fn after(error: &Error, failures: u32, was_let_in: bool, shared: &Shared) -> Self {
        let (settings, needs_a_person) = (&shared.settings, needs_a_person(error));
        let length = if let Error::Limited { pause, .. } | Error::RefusedAlike { pause, .. } = error
        {
            *pause
        } else if was_let_in && is_wrong_login(error) {
            settings.relogin_after(failures)
        } else {
            let (first, longest) = if needs_a_person {
                (settings.credentials_probe / 10, settings.credentials_probe)
            } else {
                (settings.reconnect_first, settings.reconnect_longest)
            };
            let delay = backoff::delay(&shared.clock, failures, first, longest);
            delay.max(hint(error).min(backoff::PAUSE_LONGEST))
        };
        let (until, reason) = (Instant::now() + length, chain(error));
        let until_ms = shared.clock.now_ms().saturating_add(backoff::ms(length));
        Self { until, reason, needs_a_person, length, until_ms, failures }
    }

    /// What the account says meanwhile.
    #[must_use]
    pub(crate) fn trouble(&self) -> Trouble {
        Trouble { text: self.reason.clone(), next_ms: Some(self.until_ms) }
    }

    /// The wait that the pause adds to each message, in milliseconds, if a person has to act.
    /// Otherwise each attempt adds its own wait.
    #[must_use]
    pub(crate) fn waits_ms(&self) -> i64 {
        if self.needs_a_person { backoff::ms(self.length) } else { 0 }
    }

    /// Begins the pause: due messages say why they wait. Those that have waited for a person for
    /// too long end.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn begin(
        &self,
        shared: &Shared,
        account: &Account,
        held: &mut Held,
    ) -> Result<(), Error> {
        let (store, now_ms, waits_ms) = (&shared.store, shared.clock.now_ms(), self.waits_ms());
        if waits_ms > 0 && self.failures > 1 {
            let waited_ms = backoff::ms(account.options.duration(&options::RETRY_FOR));
            for claimed in store.delivery_overdue(account.id, now_ms, waited_ms).await? {
                let reason = format!("given up: {}", self.reason);
                held.settle(claimed, Verdict::Error { code: ErrorCode::GaveUp, reason }).await?;
            }
        }
        if waits_ms > 0 {
            store.delivery_waited(account.id, now_ms, waits_ms).await?;
        }
        self.explain(shared, account).await
    }

    /// Writes into due messages why they wait, unless the pause ends soon.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn explain(&self, shared: &Shared, account: &Account) -> Result<(), Error> {
        if self.length < SAID_FROM {
            return Ok(());
        }
        let now_ms = shared.clock.now_ms();
        let left = self.until.saturating_duration_since(Instant::now());
        let until = Timestamp::from_ms(now_ms.saturating_add(backoff::ms(left)));
        let until = (!self.needs_a_person).then_some(until);
        let wait = Wait { now_ms, until, reason: &self.reason };
        let told = journal::waiting(account, &self.reason);
        Ok(shared.store.delivery_wait(account.id, wait, told).await?)
    }
}

/// Makes the waiting messages of an account due, because its server has changed.
pub(crate) async fn hasten(shared: &Shared, account: &Account) {
    let hastened = shared.store.delivery_hasten(account.id, shared.clock.now_ms()).await;
    if let Err(error) = hastened {
        tracing::error!(account = account.address, %error, "waiting messages are not made due");
    }
}
