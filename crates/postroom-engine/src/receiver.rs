//! The receiver of one account: connects, surveys, polls, and starts again when a connection ends.
//!
//! It owns the account's connections to its source, of whatever kind that is. Changes of the
//! configuration arrive by a watch channel and take effect within the current step. Interrupted
//! work is repeated, because the ledger knows what is recorded.

use crate::account::Account;
use crate::account::MonitoredMailbox;
use crate::alerts::Alerts;
use crate::alone;
use crate::alone::Alone;
use crate::attempts::Attempts;
use crate::error::Error;
use crate::polls::FailedPoll;
use crate::polls::Polls;
use crate::polls::Visit;
use crate::polls::said_something;
use crate::pool::ConnectionPool;
use crate::pool::Purpose;
use crate::receive;
use crate::receive::Left;
use crate::receive::known::Known;
use crate::receive::turn::Turn;
use crate::report::Reporter;
use crate::report::State;
use crate::report::Trouble;
use crate::shared::Shared;
use crate::source::contract::Connector;
use crate::source::contract::Source;
use crate::store_away::GoesOn;
use crate::surveys::Surveys;
use crate::worn::Rest;
use crate::worn::Round;
use crate::worn::Wear;
use crate::worn::WearLimits;
use postroom_model::FolderId;
use postroom_watch::Watcher;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait for a change of the configuration that is on its way.
const CHANGED_AGAIN: Duration = Duration::from_secs(2);
/// Why the work on a connection ended without an error.
enum Ended {
    /// The servers or credentials of the account have changed.
    Reconfigured,
    /// Nothing is monitored; the connection was closed until the next survey.
    Idle(Instant),
    /// All is well, but a new connection is needed, because the old one has reached its maximum
    /// age, or the server ended it while it was idle.
    Worn,
}

/// Receives for one account until the sender of `setup` is gone.
pub(crate) async fn run<C: Connector>(
    connector: C,
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    mut setup: Watcher<Arc<Account>>,
) {
    let mut receiver = Receiver {
        pool: ConnectionPool::new(connector, &shared),
        reporter,
        shared,
        known: BTreeMap::new(),
        alone: Alone::default(),
        alerts: Alerts::default(),
        polls: Polls::default(),
        surveys: Surveys::default(),
        saved: setup.borrow().saved,
        has_polled: false,
        has_progressed: false,
        was_refused: false,
        rest: Rest::default(),
        renewed: None,
        attempts: Attempts::new(setup.borrow().was_let_in, setup.borrow().was_let_in),
    };
    loop {
        let mut account = Arc::clone(&setup.borrow_and_update());
        let (goes_on, is_idle) = match receiver.attend(&mut account, &mut setup).await {
            Ok(Ended::Worn) => continue,
            Ok(Ended::Reconfigured) => {
                receiver.begin_anew(setup.borrow().logs_in_like(&account));
                continue;
            }
            Ok(Ended::Idle(until)) => (GoesOn::At(until), true),
            Err(Error::Superseded | Error::OtherClasses) => {
                // A folder may have been left without its mailbox. A survey gives it back.
                receiver.surveys.look_anew();
                (GoesOn::later(CHANGED_AGAIN), false)
            }
            Err(error) => (receiver.failed(&error.told_by(&account)).await, false),
        };
        loop {
            tokio::select! {
                biased;
                changed = setup.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // Another server or password may solve the problem, and the person who saves
                    // them, or asks for a try, waits for the result. Any other change does not, and
                    // must not cause another attempt with a refused password.
                    let now = Arc::clone(&setup.borrow_and_update());
                    if !now.connects_like(&account) {
                        receiver.begin_anew(now.logs_in_like(&account));
                        break;
                    }
                    if is_idle || now.is_tried_anew(&account) {
                        receiver.attempts.forgive();
                        break;
                    }
                }
                () = goes_on.wait(&receiver.shared) => break,
            }
        }
    }
}

struct Receiver<C> {
    shared: Arc<Shared>,
    pool: Arc<ConnectionPool<C>>,
    reporter: Arc<Reporter>,
    known: BTreeMap<FolderId, Known>,
    /// The messages that are fetched on a connection of their own.
    alone: Alone,
    alerts: Alerts,
    polls: Polls,
    surveys: Surveys,
    /// [`Account::saved`] when the folders were made due last.
    saved: [u8; 16],
    /// Whether a poll went well on the present connection.
    has_polled: bool,
    /// Whether something was recorded since the last failure.
    has_progressed: bool,
    /// Whether the server refused to show a folder in this round.
    was_refused: bool,
    rest: Rest,
    /// When a connection was last made again because of that.
    renewed: Option<Instant>,
    attempts: Attempts,
}

impl<C: Connector> Receiver<C> {
    /// Forgets what was learnt at another server, under another login, or (`same_login`) in another
    /// way to connect to the same ones.
    fn begin_anew(&mut self, same_login: bool) {
        let former = &self.attempts;
        self.attempts = Attempts::new(same_login && former.was_let_in(), former.was_connected());
        self.known.clear();
        (self.alone, self.polls) = (Alone::default(), Polls::default());
        self.surveys = Surveys::default();
    }

    /// Makes survey and folders due after somebody asked to try at once or saved a password.
    fn heed(&mut self, account: &Account) {
        if std::mem::replace(&mut self.saved, account.saved) != account.saved {
            self.polls = Polls::default();
            self.surveys.look_anew();
            self.known.values_mut().for_each(Known::look_anew);
        }
    }

    /// Takes what the source said without being asked: a folder that has grown is due early.
    fn hear(&mut self, account: &Account, source: &mut C::Source) {
        let heard = source.heard();
        for folder in account.monitored() {
            if heard.grown.contains(&folder.mailbox) {
                self.polls.grown(folder);
            }
        }
        self.alerts.hear(account, heard.alerts);
        self.alerts.hear(account, self.pool.take_alerts());
    }

    /// Reports an error and says when to try again. While the database is away, nothing can be
    /// reported.
    async fn failed(&mut self, error: &Error) -> GoesOn {
        if let Some(goes_on) = GoesOn::after(error, &self.shared).await {
            return goes_on;
        }
        if std::mem::take(&mut self.has_progressed) {
            self.attempts.has_progressed();
        }
        let failed = self.attempts.failed(&self.shared, error, self.surveys.has_listed());
        self.reporter.receiving(failed.state, failed.trouble).await;
        GoesOn::later(failed.delay)
    }

    /// Surveys and polls over one connection, until it ends or the account changes. `account` is
    /// the newest that it has taken over.
    async fn attend(
        &mut self,
        account: &mut Arc<Account>,
        setup: &mut Watcher<Arc<Account>>,
    ) -> Result<Ended, Error> {
        if self.attempts.went_well() && !self.surveys.has_listed() {
            self.reporter.receiving(State::Connecting, Trouble::default()).await;
        }
        let mut connection =
            self.pool.open(account, Purpose::Work(self.alone.lateness.waits())).await?;
        self.alerts.begin();
        let mut wear = Wear::new(Instant::now());
        let limits = WearLimits::of(&self.shared.settings);
        (self.has_polled, self.rest) = (false, Rest::default());
        loop {
            self.heed(account);
            self.hear(account, &mut connection);
            self.alone.start(&self.pool, account, setup);
            let round = match self.visit_due(account, &mut connection, setup).await {
                Err(_) if self.rest.is_stale() => {
                    connection.log_out().await;
                    return Ok(Ended::Worn);
                }
                Err(error) if self.attempts.doubts(&error) => {
                    self.polls = Polls::default();
                    self.surveys.look_anew();
                    connection.log_out().await;
                    return Ok(Ended::Worn);
                }
                round => round?,
            };
            let (polled, next_survey) = (round.polled, self.surveys.next(account));
            self.alone.start(&self.pool, account, setup);
            wear.add(round);
            let is_changed = setup.has_changed().unwrap_or(true);
            if !is_changed && self.is_well(account, polled) {
                self.attempts.forgive();
                self.attempts.let_in();
            }
            self.report(account).await;
            if account.monitored().next().is_none() && !is_changed {
                connection.log_out().await;
                return Ok(Ended::Idle(next_survey));
            }
            let next_poll = self.polls.next(account, None);
            let wait = next_poll.map_or(next_survey, |next| next.min(next_survey));
            tokio::select! {
               biased;
                changed = setup.changed() => {
                    if changed.is_err() {
                        connection.log_out().await;
                        return Ok(Ended::Idle(next_survey));
                    }
                }
                () = tokio::time::sleep_until(wait) => {}
                () = said_something(&mut *connection) => {}
                ended = self.alone.ended() => self.alone_ended(ended),
            }
            let newest = Arc::clone(&setup.borrow_and_update());
            if !newest.connects_like(account) {
                connection.log_out().await;
                return Ok(Ended::Reconfigured);
            }
            *account = newest;
            if wear.is_over(limits, &mut self.renewed, Instant::now()) {
                connection.log_out().await;
                return Ok(Ended::Worn);
            }
            if !connection.is_alive().await? {
                return Ok(Ended::Worn);
            }
            self.rest.begin();
        }
    }

    /// Surveys and polls what is due.
    async fn visit_due(
        &mut self,
        account: &Account,
        source: &mut C::Source,
        setup: &Watcher<Arc<Account>>,
    ) -> Result<Round, Error> {
        // After a survey that failed, the folders come first, because it may end each connection.
        if self.surveys.last().is_none_or(Visit::went_well) {
            self.survey_if_due(account, source).await?;
        }
        let before = std::mem::take(&mut self.has_progressed);
        let polled = self.poll_due(account, source, setup).await?;
        self.has_polled |= polled > 0;
        let surveyed = self.survey_if_due(account, source).await;
        if surveyed.is_err() && self.has_polled {
            // Nothing but the survey fails, so the folders do not wait for long.
            self.attempts.has_progressed();
        }
        surveyed?;
        let was_refused = std::mem::take(&mut self.was_refused);
        let round = Round { polled, has_progressed: self.has_progressed, was_refused };
        self.has_progressed |= before;
        Ok(round)
    }

    /// Whether a whole round of `polled` folders went well. A login alone proves nothing.
    fn is_well(&self, account: &Account, polled: usize) -> bool {
        let has_listed = self.surveys.last().is_some_and(Visit::went_well);
        has_listed && (polled > 0 || self.polls.told(account).is_none())
    }

    /// Reports the state of the account while its connection is open.
    async fn report(&self, account: &Account) {
        let trouble = self.polls.trouble(account, self.surveys.last(), &self.shared.clock);
        let state = if trouble.is_some() { State::Degraded } else { State::Ready };
        let trouble = trouble.unwrap_or_else(|| Trouble::new(self.alerts.shown()));
        self.reporter.receiving(state, trouble).await;
    }

    /// Surveys if that is due. If the server refuses the list, the known folders are still polled.
    async fn survey_if_due(
        &mut self,
        account: &Account,
        source: &mut C::Source,
    ) -> Result<(), Error> {
        let found = self.surveys.if_due(&self.shared, account, source, &mut self.rest).await?;
        found.iter().for_each(|names| self.polls.surveyed(account, names));
        Ok(())
    }

    /// Polls the due folders, each for one turn. The folder that has waited longest comes first.
    /// Gives how many polls went well.
    async fn poll_due(
        &mut self,
        account: &Account,
        source: &mut C::Source,
        setup: &Watcher<Arc<Account>>,
    ) -> Result<usize, Error> {
        let mut count = 0;
        self.polls.retain_monitored(account);
        self.known.retain(|id, _| account.monitored().any(|folder| folder.id == *id));
        self.alone.retain_monitored(account);
        for folder in self.polls.due(account) {
            if setup.has_changed().unwrap_or(true) {
                break;
            }
            let (survey, poll) =
                (self.surveys.next(account), self.polls.next(account, Some(folder.id)));
            let others_due = poll.map_or(survey, |poll| poll.min(survey));
            let turn = Turn::of(setup, folder, others_due);
            let mailbox = MonitoredMailbox { account, folder };
            count += usize::from(self.poll(mailbox, source, &turn).await?);
            self.hear(account, source);
        }
        Ok(count)
    }

    /// Notes the result of a message that was fetched on a connection of its own.
    fn alone_ended(&mut self, mut ended: alone::LateResult) {
        if self.known.get_mut(&ended.folder).is_some_and(|known| ended.note(known)) {
            self.polls.visited(ended.folder, Visit::good(true));
        }
    }

    /// Gives one folder its turn and notes the result. Gives whether it went well.
    ///
    /// # Errors
    ///
    /// Errors that end the connection, or are about the whole account.
    async fn poll(
        &mut self,
        mailbox: MonitoredMailbox<'_>,
        source: &mut C::Source,
        turn: &Turn<'_>,
    ) -> Result<bool, Error> {
        let folder = mailbox.folder;
        let known = self.known.entry(folder.id).or_default();
        let result = receive::receive(&self.shared, mailbox, source, known, turn).await;
        let has_progressed = std::mem::take(&mut known.has_progressed);
        self.has_progressed |= has_progressed;
        let is_blamed = !known.alone.is_empty();
        // Then the server is silent about single messages, and not slow.
        if known.evidence.take_answered().is_some_and(|took| took < mailbox.account.stall()) {
            self.alone.lateness.note(false);
        }
        if has_progressed {
            self.polls.found(folder.id);
        }
        self.alone.take_over(known);
        let error = match result {
            Err(error) if !matches!(error, Error::FolderGone) => error,
            done => {
                self.polls.visited(folder.id, Visit::after(done.unwrap_or(Left::Nothing)));
                self.rest.served();
                return Ok(true);
            }
        };
        if !has_progressed && self.rest.blames(self.polls.visit(folder.id), &error) {
            return Err(error);
        }
        known.look_closely();
        if error.is_of_database() || matches!(error, Error::OtherClasses | Error::Superseded) {
            return Err(error);
        }
        self.alone.lateness.ended(&error, is_blamed);
        let failed = FailedPoll { error: &error, has_progressed, in_vain: known.asked_in_vain() };
        let leaves_others = self.polls.failed(&self.shared, mailbox, failed).await?;
        self.was_refused |= leaves_others;
        if leaves_others { Ok(false) } else { Err(error) }
    }
}
