//! The sender of one account: prepares what waits, sends what is due, in the order of `dateTime`.
//!
//! It owns the account's SMTP connection, and keeps it for a while between messages. It is not
//! dropped between a final dot and its answer: stopping waits for it, within a bound. What a server
//! answered is held until the store has it, before anything else is done; after trouble with the
//! store the queue is taken up anew.

use crate::account::Account;
use crate::backoff;
use crate::error::Error;
use crate::report::Reporter;
use crate::report::chain;
use crate::report::needs_a_person;
use crate::send::connect;
use crate::send::held::Held;
use crate::send::prepare;
use crate::send::settle;
use crate::send::settle::Verdict;
use crate::send::transmit;
use crate::shared::Shared;
use postroom_model::Timestamp;
use postroom_smtp::Connection;
use postroom_store::Claimed;
use postroom_store::clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long an unused connection is kept.
const KEEP_IDLE: Duration = Duration::from_secs(15);
/// How many deliveries are claimed at once.
const CLAIM: u32 = 20;
/// The queue is looked at again at least so often.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The delay before the store is tried again when all else has ended.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// Sends for one account until `stop`.
pub async fn run(
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    mut setup: watch::Receiver<Arc<Account>>,
    stop: CancellationToken,
) {
    let mut queue = shared.store.watch_outgoing();
    let mut sender = Sender::new(shared, reporter, setup.clone(), stop.clone());
    while !stop.is_cancelled() {
        queue.borrow_and_update();
        let account = Arc::clone(&setup.borrow_and_update());
        let wait = match sender.work(&account).await {
            Ok(next) => next,
            Err(error) => sender.failed(&account, &error).await,
        };
        tokio::select! {
            () = stop.cancelled() => break,
            _ = queue.changed(), if sender.is_recovered => {}
            changed = setup.changed() => {
                let now = Arc::clone(&setup.borrow());
                sender.reconfigure(&account, &now).await;
                if changed.is_err() {
                    break;
                }
            }
            () = tokio::time::sleep_until(wait) => {}
        }
    }
    sender.close().await;
    while sender.write_held().await.is_err() {
        tokio::time::sleep(STORE_AGAIN).await;
    }
}

struct Sender {
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    setup: watch::Receiver<Arc<Account>>,
    stop: CancellationToken,
    connection: Option<(Connection, Instant)>,
    /// What servers answered and the store did not take.
    held: Held,
    /// Whether nothing is claimed or in doubt but by this sender.
    is_recovered: bool,
    failures: u32,
    /// Why no connection is tried for a while.
    pause: Option<Pause>,
    /// Whether a connection was made since the account was last changed, or in trouble.
    is_probed: bool,
}

struct Pause {
    until: Instant,
    reason: String,
    /// Whether somebody has to act first.
    needs_a_person: bool,
}

impl Sender {
    fn new(
        shared: Arc<Shared>,
        reporter: Arc<Reporter>,
        setup: watch::Receiver<Arc<Account>>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            shared,
            reporter,
            setup,
            stop,
            connection: None,
            held: Held::default(),
            is_recovered: false,
            failures: 0,
            pause: None,
            is_probed: false,
        }
    }

    /// Does what is to be done now; says when there is something to do again.
    async fn work(&mut self, account: &Account) -> Result<Instant, Error> {
        self.write_held().await?;
        if !self.is_recovered {
            self.shared.store.delivery_recover(Some(account.id)).await?;
            self.is_recovered = true;
        }
        let mut has_more = prepare::prepare_page(&self.shared, account).await?;
        for claimed in self.shared.store.delivery_in_doubt(account.id).await? {
            transmit::settle_doubt(&self.shared, claimed, Some(account)).await?;
        }
        if let Some(pause) = self.pause.as_ref().filter(|pause| Instant::now() < pause.until) {
            let until = pause.until;
            prepare::prepare_all(&self.shared, account).await?;
            self.explain(account).await?;
            return Ok(until);
        }
        if !self.is_probed {
            // What is wrong with the server is to be known before the first message.
            match self.connection(account).await {
                Ok((connection, _)) => self.connection = Some((connection, Instant::now())),
                Err(error) => return Err(self.postpone_all(account, error).await?),
            }
        }
        loop {
            let due = self.claim(account, clock::now_ms()).await?;
            if due.is_empty() && !has_more {
                break;
            }
            self.send_all(account, due).await?;
            if has_more {
                has_more = prepare::prepare_page(&self.shared, account).await?;
            }
            if self.stop.is_cancelled() {
                break;
            }
        }
        self.well().await;
        self.next(account).await
    }

    async fn claim(&self, account: &Account, now_ms: i64) -> Result<Vec<Claimed>, Error> {
        let due = (now_ms, backoff::latest_ms(&account.options, now_ms));
        Ok(self.shared.store.delivery_claim(account.id, due, CLAIM).await?)
    }

    /// Sends what was claimed; what is not begun when something fails is given back.
    async fn send_all(&mut self, account: &Account, claimed: Vec<Claimed>) -> Result<(), Error> {
        let mut claimed = claimed.into_iter();
        let mut result = Ok(());
        while result.is_ok() && !self.stop.is_cancelled() {
            let Some(delivery) = claimed.next() else {
                break;
            };
            result = self.send(account, delivery).await;
        }
        for left in claimed {
            self.release(left.message).await?;
        }
        result
    }

    async fn release(&self, message: Uuid) -> Result<(), Error> {
        Ok(self.shared.store.delivery_release(message).await?)
    }

    /// Sends one delivery, and settles it.
    async fn send(&mut self, account: &Account, mut claimed: Claimed) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let _under_way = shared.under_way.enter(&account.address, claimed.message);
        let (mut connection, is_new) = match self.connection(account).await {
            Ok(connection) => connection,
            Err(error) => return self.no_connection(account, claimed, error).await,
        };
        let mut ended = transmit::hand_over(&self.shared, &mut connection, &mut claimed).await;
        if !is_new && ended.as_ref().is_err_and(postroom_smtp::Error::was_stale) {
            connection = match self.open(account).await {
                Ok(connection) => connection,
                Err(error) => return self.no_connection(account, claimed, error).await,
            };
            ended = transmit::hand_over(&self.shared, &mut connection, &mut claimed).await;
        }
        if connection.is_reusable() {
            self.connection = Some((connection, Instant::now()));
        }
        if let Err(error @ postroom_smtp::Error::Credentials { .. }) = ended {
            self.release(claimed.message).await?;
            return Err(error.into());
        }
        let verdict = transmit::verdict(&claimed, &ended, &account.options);
        self.settle(claimed, verdict).await?;
        match ended {
            Err(error) if error.concerns_all() => Err(error.into()),
            Ok(()) | Err(_) => {
                self.well().await;
                Ok(())
            }
        }
    }

    /// No session: the delivery waits; the attempt counts unless a person has to act first.
    async fn no_connection(
        &mut self,
        account: &Account,
        claimed: Claimed,
        error: Error,
    ) -> Result<(), Error> {
        if needs_a_person(&error) || matches!(error, Error::Superseded) {
            self.release(claimed.message).await?;
        } else {
            let tried = transmit::tried(&claimed);
            let verdict = settle::later(chain(&error), tried, &account.options);
            self.settle(claimed, verdict).await?;
        }
        // The others wait for the server too.
        Err(error)
    }

    /// Records how an attempt ended. What the store does not take is held: a server's answer must
    /// not be forgotten.
    async fn settle(&mut self, claimed: Claimed, verdict: Verdict) -> Result<(), Error> {
        let settlement = transmit::settlement(verdict);
        self.held.keep(claimed, settlement);
        self.write_held().await
    }

    async fn write_held(&mut self) -> Result<(), Error> {
        let account = Arc::clone(&self.setup.borrow());
        self.held.write(&self.shared, &account).await
    }

    /// The connection at hand when it is still good, else a new one, and whether it is new.
    async fn connection(&mut self, account: &Account) -> Result<(Connection, bool), Error> {
        if let Some((mut connection, since)) = self.connection.take() {
            let fresh = since.elapsed() < Duration::from_secs(1);
            if fresh || (since.elapsed() < KEEP_IDLE && connection.is_alive().await) {
                return Ok((connection, false));
            }
        }
        Ok((self.open(account).await?, true))
    }

    /// A new connection, unless the account is changed meanwhile.
    async fn open(&mut self, account: &Account) -> Result<Connection, Error> {
        let superseded = async {
            tokio::select! {
                () = connect::server_changed(self.setup.clone(), account) => {}
                () = self.stop.cancelled() => {}
            }
        };
        let opening = connect::open(&self.shared, &self.reporter, account);
        let connection = tokio::select! {
            opened = opening => opened?,
            () = superseded => return Err(Error::Superseded),
        };
        self.is_probed = true;
        self.pause = None;
        Ok(connection)
    }

    /// Nothing is wrong any more.
    async fn well(&mut self) {
        self.failures = 0;
        self.reporter.sending(None).await;
    }

    /// Reports what is wrong with the account's server, and says when to try again.
    async fn failed(&mut self, account: &Account, error: &Error) -> Instant {
        if matches!(error, Error::Superseded) {
            return Instant::now();
        }
        self.connection = None;
        self.is_probed = false;
        self.failures += 1;
        let needs_a_person = needs_a_person(error);
        let settings = &self.shared.settings;
        let (first, longest) = if needs_a_person {
            (settings.credentials_probe / 10, settings.credentials_probe)
        } else {
            (settings.reconnect_first, settings.reconnect_longest)
        };
        let until = Instant::now() + backoff::delay(self.failures, first, longest);
        let is_login = matches!(error, Error::Smtp(postroom_smtp::Error::Credentials { .. }));
        let advice = if is_login { "; check login and password" } else { "" };
        let reason = format!("{}{advice}", chain(error));
        self.reporter.sending(Some(reason.clone())).await;
        if matches!(error, Error::Store(_)) {
            self.is_recovered = false;
            return until;
        }
        self.pause = Some(Pause { until, reason, needs_a_person });
        if let Err(error) = self.explain(account).await {
            tracing::error!(
                account = account.address,
                error = chain(&error),
                "reasons not written"
            );
            self.is_recovered = false;
        }
        until
    }

    /// Says in the messages that are due why they wait. What waits for a person for too long ends.
    async fn explain(&mut self, account: &Account) -> Result<(), Error> {
        let Some(pause) = &self.pause else {
            return Ok(());
        };
        let now_ms = clock::now_ms();
        let reason = pause.reason.clone();
        let left = pause.until.saturating_duration_since(Instant::now());
        let until = Timestamp::from_ms(now_ms.saturating_add(backoff::ms(left)));
        let until = (!pause.needs_a_person).then_some(until);
        if pause.needs_a_person && self.failures > 1 {
            let first_ms =
                now_ms.saturating_sub(backoff::ms(account.options.duration("retry_for")));
            for claimed in self.shared.store.delivery_overdue(account.id, first_ms).await? {
                let reason = format!("given up: {reason}");
                self.settle(claimed, Verdict::Error { code: "gave_up", reason }).await?;
            }
        }
        Ok(self.shared.store.delivery_wait(account.id, (now_ms, until), &reason).await?)
    }

    /// There is no connection: what is due goes later, unless a person has to act first.
    async fn postpone_all(&mut self, account: &Account, error: Error) -> Result<Error, Error> {
        if needs_a_person(&error) || matches!(error, Error::Superseded) {
            return Ok(error);
        }
        prepare::prepare_all(&self.shared, account).await?;
        let now_ms = clock::now_ms();
        loop {
            let due = self.claim(account, now_ms).await?;
            if due.is_empty() {
                return Ok(error);
            }
            for claimed in due {
                let tried = transmit::tried(&claimed);
                let verdict = settle::later(chain(&error), tried, &account.options);
                self.settle(claimed, verdict).await?;
            }
        }
    }

    /// Takes on another server or login: the connection goes, a pause ends, and what waits is due.
    async fn reconfigure(&mut self, former: &Account, account: &Account) {
        if former.connects_like(account) {
            return;
        }
        self.close().await;
        self.failures = 0;
        self.is_probed = false;
        self.pause = None;
        let hastened = self.shared.store.delivery_hasten(account.id, clock::now_ms()).await;
        if let Err(error) = hastened {
            tracing::error!(account = account.address, %error, "what waits was not made due");
        }
    }

    async fn next(&mut self, account: &Account) -> Result<Instant, Error> {
        let now_ms = clock::now_ms();
        let latest_ms = backoff::latest_ms(&account.options, now_ms);
        let due_ms = self.shared.store.delivery_next_due(account.id, latest_ms).await?;
        let until = |due_ms| Duration::from_millis(u64::try_from(due_ms - now_ms).unwrap_or(0));
        let wait = due_ms.map_or(LOOK_AGAIN, |due_ms: i64| until(due_ms).min(LOOK_AGAIN));
        if self.connection.as_ref().is_some_and(|(_, since)| since.elapsed() >= KEEP_IDLE) {
            self.close().await;
        }
        let idle = self.connection.as_ref().map(|(_, since)| *since + KEEP_IDLE);
        let next = Instant::now() + wait;
        Ok(idle.map_or(next, |idle| next.min(idle)))
    }

    async fn close(&mut self) {
        if let Some((connection, _)) = self.connection.take() {
            connection.quit().await;
        }
    }
}
