//! The sender of one account: composes waiting messages and sends due ones, in the order of
//! `dateTime`.
//!
//! It owns the account's SMTP connection, and keeps it for a while between messages. A stop waits
//! for the answer to a final dot, within a limit. After a failure of the store, the sender recovers
//! the queue.

use crate::account::Account;
use crate::backoff;
use crate::error::Error;
use crate::report::Reporter;
use crate::report::chain;
use crate::report::needs_a_person;
use crate::send::flight::Landed;
use crate::send::orphaned;
use crate::send::outbound::Outbound;
use crate::send::pace::Pace;
use crate::send::pause;
use crate::send::pause::Pause;
use crate::send::prepare;
use crate::send::suspect::Suspect;
use crate::send::suspended;
use crate::shared::Shared;
use crate::store_away::GoesOn;
use postroom_store::Claimed;
use postroom_store::Topic;
use postroom_watch::Watcher;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many deliveries are claimed at once.
const CLAIM: u32 = 20;
/// The queue is checked at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The queue is checked by itself at most this often.
const LOOK_SOON: Duration = Duration::from_millis(100);
/// The delay before the store, or the account as it has become, is tried again.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// Sends for one account until `stop`.
pub(crate) async fn run(
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    mut setup: Watcher<Arc<Account>>,
    stop: CancellationToken,
) {
    let mut queue = shared.store.listen(Topic::Outgoing(setup.borrow().id));
    let mut sender = Sender::new(shared, reporter, setup.clone(), stop.clone());
    let mut former = Arc::clone(&setup.borrow());
    while !stop.is_cancelled() {
        queue.catch_up();
        let account = Arc::clone(&setup.borrow_and_update());
        // Whatever woke it: another ring at the same moment must not hide a change.
        if !Arc::ptr_eq(&former, &account) {
            sender.reconfigure(&former, &account).await;
            former = Arc::clone(&account);
        }
        let wait = match sender.work(&account).await {
            Ok(next) => GoesOn::At(next),
            Err(error) => sender.failed(&account, &error).await,
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            landed = sender.outbound.stuck.landed() => sender.landed(&account, landed).await,
            () = queue.rung(), if sender.outbound.is_recovered => {}
            changed = setup.changed() => if changed.is_err() {
                break;
            },
            () = wait.wait(&sender.shared) => {}
        }
    }
    sender.outbound.kept.close().await;
    while sender.outbound.stuck.is_any() {
        let account = Arc::clone(&setup.borrow());
        let landed = sender.outbound.stuck.landed().await;
        if let Err(error) = sender.outbound.landed(&account, landed).await {
            tracing::warn!(account = account.address, error = chain(&error), "at the end");
        }
    }
    sender.outbound.held.write_at_last(STORE_AGAIN).await;
}

struct Sender {
    shared: Arc<Shared>,
    stop: CancellationToken,
    outbound: Outbound,
}

impl Sender {
    fn new(
        shared: Arc<Shared>,
        reporter: Arc<Reporter>,
        setup: Watcher<Arc<Account>>,
        stop: CancellationToken,
    ) -> Self {
        let outbound = Outbound::new(&shared, reporter, setup, stop.clone());
        Self { shared, stop, outbound }
    }

    /// Settles an attempt whose server was silent.
    async fn landed(&mut self, account: &Account, landed: Option<Landed>) {
        if let Err(error) = self.outbound.landed(account, landed).await {
            self.failed(account, &error).await;
        }
    }

    /// Does everything that is due now. Gives when there is something to do again.
    async fn work(&mut self, account: &Account) -> Result<Instant, Error> {
        self.outbound.held.write().await?;
        if !self.outbound.is_recovered {
            // Recovered deliveries are sent again, so none of them may be under way.
            if self.outbound.stuck.is_any() {
                return Ok(Instant::now() + LOOK_AGAIN);
            }
            self.shared.store.delivery_recover(Some(account.id)).await?;
            self.outbound.is_recovered = true;
        }
        let mut has_more = prepare::prepare_page(&self.shared, account).await?;
        orphaned::settle_all_unknown(&self.shared, account.id, Some(account)).await?;
        if suspended::look(&self.shared, account).await? {
            return Ok(Instant::now() + LOOK_AGAIN);
        }
        if let Some(pause) =
            self.outbound.pause.as_ref().filter(|pause| Instant::now() < pause.until)
        {
            prepare::prepare_all(&self.shared, account).await?;
            pause.explain(&self.shared, account).await?;
            return Ok(pause.until);
        }
        if self.outbound.stuck.is_full() {
            prepare::prepare_all(&self.shared, account).await?;
            return Ok(Instant::now() + LOOK_AGAIN);
        }
        if !self.outbound.kept.is_probed() {
            // A problem with the server should be known before the first message.
            match self.outbound.kept.take(account).await {
                Ok(ready) => self.outbound.kept.keep(ready.connection).await,
                Err(error) => return Err(self.postpone_all(account, error).await?),
            }
            self.outbound.pause = None;
        }
        while !self.stop.is_cancelled() && !self.outbound.stuck.is_full() {
            if let Some(ready) = self.outbound.pace.ready_at(Instant::now()) {
                return Ok(ready);
            }
            let due = self.claim(account, self.shared.clock.now_ms()).await?;
            if due.is_empty() && !has_more {
                break;
            }
            self.send_all(account, due).await?;
            if has_more {
                has_more = prepare::prepare_page(&self.shared, account).await?;
            }
        }
        self.outbound.well().await;
        self.next(account).await
    }

    async fn claim(&self, account: &Account, now_ms: i64) -> Result<Vec<Claimed>, Error> {
        let due = backoff::due_at(&account.options, now_ms);
        let takes_many = self.outbound.suspect.is_at_limit() || !self.outbound.pace.is_slow();
        let count = if takes_many { CLAIM } else { 1 };
        let claimed = self.shared.store.delivery_claim(account.id, due, count).await?;
        self.outbound.suspect.probe(&self.shared.store, claimed).await
    }

    /// Sends the claimed deliveries. If one fails, those that were not begun are given back.
    async fn send_all(&mut self, account: &Account, claimed: Vec<Claimed>) -> Result<(), Error> {
        let mut claimed = claimed.into_iter();
        let mut result = Ok(());
        while result.is_ok() && !self.stop.is_cancelled() && !self.outbound.stuck.is_full() {
            let Some(delivery) = claimed.next() else {
                break;
            };
            result = self.outbound.send(account, delivery).await;
        }
        for left in claimed {
            self.shared.store.delivery_release(left.message).await?;
        }
        result
    }

    /// Reports what is wrong with the account's server, and says when to try again. While the
    /// database is away, nothing can be reported.
    async fn failed(&mut self, account: &Account, error: &Error) -> GoesOn {
        if matches!(error, Error::Superseded | Error::OtherClasses) {
            self.outbound.is_recovered &= matches!(error, Error::Superseded);
            return GoesOn::later(STORE_AGAIN);
        }
        if let Some(goes_on) = GoesOn::after(error, &self.shared).await {
            self.outbound.kept.lose();
            self.outbound.is_recovered = false;
            return goes_on;
        }
        if !matches!(error, Error::Limited { .. } | Error::RefusedAlike { .. }) {
            self.outbound.kept.lose();
            self.outbound.failures += 1;
        }
        let pause = Pause::after(
            error,
            self.outbound.failures,
            self.outbound.kept.was_let_in(),
            &self.shared,
        );
        let until = pause.until;
        self.outbound.reporter.sending(Some(pause.trouble())).await;
        if let Err(error) = pause.begin(&self.shared, account, &mut self.outbound.held).await {
            tracing::error!(
                account = account.address,
                error = chain(&error),
                "messages do not say why they wait, because that was not written"
            );
            self.outbound.is_recovered = false;
        }
        if matches!(error, Error::Store(_)) {
            self.outbound.is_recovered = false;
        } else {
            self.outbound.pause = Some(pause);
        }
        GoesOn::At(until)
    }

    /// Postpones all due deliveries without a connection, unless a person has to act first.
    async fn postpone_all(&mut self, account: &Account, error: Error) -> Result<Error, Error> {
        if needs_a_person(&error) || matches!(error, Error::Superseded) {
            return Ok(error);
        }
        prepare::prepare_all(&self.shared, account).await?;
        let now_ms = self.shared.clock.now_ms();
        loop {
            let due = self.claim(account, now_ms).await?;
            if due.is_empty() {
                return Ok(error);
            }
            for claimed in due {
                self.outbound.postpone(account, claimed, &error).await?;
            }
        }
    }

    /// Takes another server or login. A pause ends, and waiting messages are due.
    async fn reconfigure(&mut self, former: &Account, account: &Account) {
        if !account.is_tried_anew(former) {
            return;
        }
        self.outbound.kept.forget().await;
        self.outbound.failures = 0;
        self.outbound.pause = None;
        self.outbound.pace = Pace::default();
        self.outbound.suspect = Suspect::default();
        pause::hasten(&self.shared, account).await;
    }

    async fn next(&mut self, account: &Account) -> Result<Instant, Error> {
        let now_ms = self.shared.clock.now_ms();
        let latest_ms = backoff::latest_ms(&account.options, now_ms);
        let due_ms = self.shared.store.delivery_next_due(account.id, latest_ms).await?;
        let ms = |due: i64| Duration::from_millis(u64::try_from(due - now_ms).unwrap_or(0));
        // What is due, and could not be claimed, is of an account that may not send just now.
        let wait = due_ms.map_or(LOOK_AGAIN, ms).clamp(LOOK_SOON, LOOK_AGAIN);
        let idle = self.outbound.kept.close_idle().await;
        Ok(idle.into_iter().fold(Instant::now() + wait, Instant::min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use postroom_watch::Watched;
    use std::sync::atomic::Ordering;

    #[tokio::test]
    async fn a_change_that_has_not_come_here_yet_is_not_asked_for_again_and_again() {
        let (_directory, shared) = fixture::shared().await;
        let account = Arc::new(fixture::account(&["a"]));
        let reporter = Arc::new(Reporter::new(&shared.store, &account));
        let setup = Watched::new(Arc::clone(&account));
        let stop = CancellationToken::new();
        let mut sender = Sender::new(shared, reporter, setup.subscribe(), stop);
        for error in [Error::Superseded, Error::OtherClasses] {
            let now = Instant::now();
            let goes_on = sender.failed(&account, &error).await;
            let is_later = matches!(goes_on, GoesOn::At(at) if at >= now + STORE_AGAIN);
            assert!(is_later, "{error}: {goes_on:?}");
        }
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_no_failure_of_the_account() {
        let (_directory, shared, trouble) = fixture::shared_with_trouble().await;
        let account = Arc::new(fixture::account(&["a"]));
        let reporter = Arc::new(Reporter::new(&shared.store, &account));
        let setup = Watched::new(Arc::clone(&account));
        let stop = CancellationToken::new();
        let mut sender = Sender::new(Arc::clone(&shared), reporter, setup.subscribe(), stop);
        let reason = "x".to_owned();
        let error = Error::Store(postroom_store::Error::Unreachable { reason });
        trouble.is_away.store(true, Ordering::Relaxed);
        for _ in 0..5 {
            let goes_on = sender.failed(&account, &error).await;
            assert!(matches!(goes_on, GoesOn::WithStore), "{goes_on:?}");
        }
        assert_eq!(sender.outbound.failures, 0);
        let waiting = {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { GoesOn::WithStore.wait(&shared).await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        trouble.is_away.store(false, Ordering::Relaxed);
        // A delay that had doubled five times would be longer.
        tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
        let goes_on = sender.failed(&account, &error).await;
        assert!(matches!(goes_on, GoesOn::At(_)), "{goes_on:?}");
        assert_eq!(sender.outbound.failures, 1);
    }
}
