//! Polls: when each folder of an account is polled next, and what is wrong with it.
//!
//! After a successful poll, the next one follows after the folder's interval. After a failed poll,
//! the delay grows. So a folder that ends every connection costs the other folders only a
//! connection now and then.

use crate::account::Account;
use crate::account::Folder;
use crate::account::MonitoredMailbox;
use crate::backoff;
use crate::error::Error;
use crate::receive::Left;
use crate::report::Trouble;
use crate::report::chain;
use crate::report::hint;
use crate::report::leaves_others;
use crate::shared::Shared;
use crate::source::contract::Source;
use postroom_imap::MailboxName;
use postroom_model::FolderId;
use postroom_model::options;
use postroom_store::Clock;
use postroom_store::FolderReport;
use postroom_store::UNFOUND;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// A folder whose mailbox the source does not show for long, while others go well, waits for so
/// many times as long. So it takes a small part of the time of the connection.
const LATE_TIMES: u32 = 9;
/// But not longer than this.
const LATE_LONGEST: Duration = Duration::from_secs(3600);
/// A poll that fails sooner keeps nobody waiting.
const LATE_MIN: Duration = Duration::from_secs(5);
/// What the folder says of it.
const POLLED_RARELY: &str = "it is polled rarely, because the other folders of the account wait \
    for the answer each time";

/// How soon after its last poll a folder is polled whose mailbox has grown.
const EARLY_AFTER: Duration = Duration::from_secs(1);

/// Waits until the source says something that the account should act on, at most once a second.
pub(crate) async fn said_something(source: &mut impl Source) {
    tokio::time::sleep(EARLY_AFTER).await;
    source.listen().await;
}

/// The last poll of a folder, or the last survey.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    at: Instant,
    /// When it is due again. `None`: after its interval.
    wait: Option<Duration>,
    /// How often in a row it went wrong.
    failures: u32,
    /// What is wrong.
    trouble: Option<String>,
}

impl Visit {
    /// A successful visit. `at_once`: there is more to do.
    #[must_use]
    pub(crate) fn good(at_once: bool) -> Self {
        let wait = at_once.then_some(Duration::ZERO);
        Self { at: Instant::now(), wait, failures: 0, trouble: None }
    }

    /// A successful visit after which `left` is left to do.
    #[must_use]
    pub(crate) fn after(left: Left) -> Self {
        match left {
            Left::More => Self::good(true),
            Left::Nothing => Self::good(false),
            Left::Rarely(wait) => Self { wait: Some(wait), ..Self::good(false) },
        }
    }

    /// This visit with a problem, for people.
    #[must_use]
    pub(crate) fn with_trouble(self, trouble: Option<String>) -> Self {
        Self { trouble, ..self }
    }

    /// Whether the visit was successful, with or without a problem to report.
    #[must_use]
    pub(crate) fn went_well(&self) -> bool {
        self.failures == 0
    }

    /// A failed visit, perhaps one of several in a row. The next visit is due after a delay of at
    /// least `least`. The delay starts again from the shortest if something was achieved.
    #[must_use]
    pub(crate) fn bad(before: Option<&Self>, shared: &Shared, bad: BadVisit) -> Self {
        let BadVisit { text, least, has_progressed } = bad;
        let before = before.filter(|_| !has_progressed);
        let failures = before.map_or(0, |visit| visit.failures).saturating_add(1);
        let (first, longest) = (shared.settings.reconnect_first, shared.settings.reconnect_longest);
        let delay = backoff::delay(&shared.clock, failures, first, longest);
        let wait = Some(delay.max(least));
        Self { at: Instant::now(), wait, failures, trouble: Some(text) }
    }

    /// A failed survey, perhaps one of several in a row.
    #[must_use]
    pub(crate) fn bad_survey(before: Option<&Self>, shared: &Shared, error: &Error) -> Self {
        let least = (shared.settings.reconnect_first * 4).max(hint(error));
        Self::bad(before, shared, BadVisit { text: chain(error), least, has_progressed: false })
    }

    /// Whether it went wrong several times in a row.
    #[must_use]
    pub(crate) fn is_repeated(&self) -> bool {
        self.failures > 1
    }

    /// What is wrong, and when it is tried again.
    #[must_use]
    pub(crate) fn told(&self, interval: Duration) -> Option<VisitTrouble<'_>> {
        let next = (!self.went_well()).then(|| self.next(interval));
        self.trouble.as_deref().map(|text| VisitTrouble { text, next })
    }

    /// When it is due again.
    #[must_use]
    pub(crate) fn next(&self, interval: Duration) -> Instant {
        self.at + self.wait.unwrap_or(interval)
    }
}

/// What is wrong, for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VisitTrouble<'a> {
    text: &'a str,
    /// When it is tried again. `None`: a try would change nothing.
    next: Option<Instant>,
}

impl VisitTrouble<'_> {
    /// The problem with the next try as a time of day.
    #[must_use]
    pub(crate) fn by(&self, clock: &Clock) -> Trouble {
        let wait = self.next.map(|next| next.saturating_duration_since(Instant::now()));
        let next_ms = wait.map(|wait| clock.now_ms().saturating_add(backoff::ms(wait)));
        Trouble { text: self.text.to_owned(), next_ms }
    }
}

/// What went wrong with a visit.
#[derive(Debug)]
pub(crate) struct BadVisit {
    /// The problem in words.
    pub text: String,
    /// How long to wait at least.
    pub least: Duration,
    /// Whether something was recorded all the same.
    pub has_progressed: bool,
}

/// A poll that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailedPoll<'a> {
    /// Why.
    pub error: &'a Error,
    /// Whether something was recorded all the same.
    pub has_progressed: bool,
    /// How long the folder waited in vain for the source to show the mailbox. `None`: it did.
    pub in_vain: Option<Duration>,
}

/// The visits to the folders of an account.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    visits: BTreeMap<FolderId, Visit>,
    /// The folders whose mailboxes the last survey did not find.
    missing: BTreeSet<FolderId>,
    /// How often in a row a folder was polled early, and nothing was found.
    early: BTreeMap<FolderId, u32>,
    /// When a poll of any folder went well last.
    went_well_at: Option<Instant>,
}

impl Polls {
    /// Removes folders that are no longer monitored. If they are monitored again, they are due at
    /// once.
    pub(crate) fn retain_monitored(&mut self, account: &Account) {
        let is_monitored = |id: &FolderId| account.monitored().any(|folder| folder.id == *id);
        self.visits.retain(|id, _| is_monitored(id));
        self.early.retain(|id, _| is_monitored(id));
    }

    /// Notes which mailboxes a survey found. A folder whose mailbox is back is due at once.
    pub(crate) fn surveyed(&mut self, account: &Account, found: &BTreeSet<MailboxName>) {
        let is_found = |folder: &&Folder| found.contains(&folder.mailbox);
        let (found, missing): (Vec<_>, Vec<_>) = account.monitored().partition(is_found);
        for folder in found.into_iter().filter(|folder| self.missing.contains(&folder.id)) {
            self.visits.remove(&folder.id);
        }
        self.missing = missing.into_iter().map(|folder| folder.id).collect();
    }

    /// The folders that are due, the one that has waited longest first. Those whose last poll
    /// failed come after the others, because they may end the connection, or take long.
    #[must_use]
    pub(crate) fn due<'a>(&self, account: &'a Account) -> Vec<&'a Folder> {
        let now = Instant::now();
        let mut due: Vec<_> = account
            .monitored()
            .map(|folder| (self.next_of(folder), folder))
            .filter(|(next, _)| next.is_none_or(|next| next <= now))
            .collect();
        let has_failed = |folder: &Folder| self.visit(folder.id).is_some_and(|it| !it.went_well());
        due.sort_by_key(|(next, folder)| (has_failed(folder), *next));
        due.into_iter().map(|(_, folder)| folder).collect()
    }

    /// When the next folder is due, except the folder `but`. `None`: no other folder is monitored.
    #[must_use]
    pub(crate) fn next(&self, account: &Account, but: Option<FolderId>) -> Option<Instant> {
        let others = account.monitored().filter(|folder| Some(folder.id) != but);
        others.map(|folder| self.next_of(folder).unwrap_or_else(Instant::now)).min()
    }

    /// The last visit to a folder.
    #[must_use]
    pub(crate) fn visit(&self, folder: FolderId) -> Option<&Visit> {
        self.visits.get(&folder)
    }

    /// Notes a visit.
    pub(crate) fn visited(&mut self, folder: FolderId, visit: Visit) {
        if visit.went_well() {
            self.went_well_at = Some(visit.at);
        }
        self.visits.insert(folder, visit);
    }

    /// Notes a failed poll of a folder, and lets the folder say what is wrong. Gives whether the
    /// connection serves the other folders.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn failed(
        &mut self,
        shared: &Shared,
        mailbox: MonitoredMailbox<'_>,
        failed: FailedPoll<'_>,
    ) -> Result<bool, Error> {
        let MonitoredMailbox { account, folder } = mailbox;
        let FailedPoll { error, has_progressed, .. } = failed;
        let (mut text, leaves_others) = (chain(error), leaves_others(error));
        let interval = folder.options.duration(&options::AFTER_READ_TIMEOUT).max(hint(error));
        let late = self.late(folder.id, failed);
        let least =
            late.unwrap_or_default().max(if leaves_others { interval } else { Duration::ZERO });
        if late.is_some() {
            text = format!("{text}; {POLLED_RARELY}");
        }
        let bad = BadVisit { text: format!("{}: {text}", folder.title), least, has_progressed };
        let visit = Visit::bad(self.visit(folder.id), shared, bad);
        let next = visit.told(interval).map(|told| told.by(&shared.clock)).unwrap_or_default();
        let is_repeated = visit.is_repeated();
        self.visited(folder.id, visit);
        // A connection that is lost once says nothing about the folder.
        if leaves_others || is_repeated {
            // What to do about a mailbox that is not there comes first.
            let is_unfound = folder.is_unfound && leaves_others;
            let text = if is_unfound { format!("{UNFOUND}. {text}") } else { text };
            let text = Some(Trouble { text, ..next }.shown());
            let report = FolderReport { status_text: text, ..FolderReport::default() };
            shared.store.folder_report(&account.domain, folder.id, &report).await?;
        }
        Ok(leaves_others)
    }

    /// How long a folder waits at least after it waited in vain for its mailbox. `None`: it was not
    /// for long, it is the first failure, or no other folder was polled well since, so that the
    /// mailbox is not to blame.
    fn late(&self, folder: FolderId, failed: FailedPoll<'_>) -> Option<Duration> {
        let took = failed.in_vain.filter(|took| *took >= LATE_MIN)?;
        let before = self.visit(folder).filter(|before| !before.went_well())?;
        let others_go_well = self.went_well_at.is_some_and(|at| at > before.at);
        others_go_well.then(|| took.saturating_mul(LATE_TIMES).min(LATE_LONGEST))
    }

    /// The server says that the mailbox of a folder has grown, so the folder is due early: at first
    /// a second after its last poll, and later each time if nothing was found there.
    pub(crate) fn grown(&mut self, folder: &Folder) {
        let interval = folder.options.duration(&options::AFTER_READ_TIMEOUT);
        let Some(visit) = self.visits.get_mut(&folder.id) else {
            return;
        };
        // A folder in trouble keeps its delays. One that is due at once needs nothing.
        if visit.went_well() && visit.wait.is_none() {
            let count = self.early.entry(folder.id).or_default();
            *count = count.saturating_add(1);
            visit.wait = Some(backoff::doubled(*count, EARLY_AFTER, interval));
        }
    }

    /// Something was found in a folder.
    pub(crate) fn found(&mut self, folder: FolderId) {
        self.early.remove(&folder);
    }

    /// What is wrong with the last survey, otherwise with any of the folders.
    #[must_use]
    pub(crate) fn trouble(
        &self,
        account: &Account,
        survey: Option<&Visit>,
        clock: &Clock,
    ) -> Option<Trouble> {
        let interval = account.options.duration(&options::SURVEY_INTERVAL);
        let surveyed = survey.and_then(|survey| survey.told(interval));
        surveyed.or_else(|| self.told(account)).map(|told| told.by(clock))
    }

    /// What is wrong with any of the folders.
    #[must_use]
    pub(crate) fn told(&self, account: &Account) -> Option<VisitTrouble<'_>> {
        let told = |folder: &Folder| {
            let interval = folder.options.duration(&options::AFTER_READ_TIMEOUT);
            self.visits.get(&folder.id)?.told(interval)
        };
        account.monitored().find_map(told)
    }

    /// `None`: never visited.
    fn next_of(&self, folder: &Folder) -> Option<Instant> {
        let interval = folder.options.duration(&options::AFTER_READ_TIMEOUT);
        self.visits.get(&folder.id).map(|visit| visit.next(interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// The usual time between two polls.
    const INTERVAL: Duration = Duration::from_secs(30);

    fn due(polls: &Polls, account: &Account) -> usize {
        polls.due(account).len()
    }

    #[test]
    fn a_folder_whose_mailbox_is_back_is_due_at_once_however_long_it_was_to_wait() {
        let (account, mut polls) = (fixture::account(&["Work"]), Polls::default());
        let wait = Some(Duration::from_secs(3600));
        let failed = Visit { wait, failures: 5, ..Visit::good(false) };
        let folder = FolderId::from_u128(1);
        let with = BTreeSet::from([MailboxName::from_display("Work")]);
        let without = BTreeSet::from([MailboxName::from_display("Projects")]);
        polls.surveyed(&account, &with);
        assert_eq!(due(&polls, &account), 1, "never visited");
        polls.visited(folder, failed.clone());
        polls.surveyed(&account, &with);
        assert_eq!(due(&polls, &account), 0, "it was there all the time");
        polls.surveyed(&account, &without);
        assert_eq!(due(&polls, &account), 0, "its mailbox is not there");
        polls.surveyed(&account, &with);
        assert_eq!(due(&polls, &account), 1, "its mailbox is back");
        polls.visited(folder, failed);
        polls.surveyed(&account, &with);
        assert_eq!(due(&polls, &account), 0, "once only");
    }

    #[tokio::test(start_paused = true)]
    async fn the_folder_that_has_waited_longest_is_polled_first() {
        let (account, mut polls) = (fixture::account(&["a", "b", "c"]), Polls::default());
        let [a, b, c] = [1, 2, 3].map(FolderId::from_u128);
        let ids = |polls: &Polls| -> Vec<_> {
            polls.due(&account).into_iter().map(|folder| folder.id).collect()
        };
        for id in [b, a, c] {
            polls.visited(id, Visit::good(false));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!((ids(&polls), polls.next(&account, None).is_some()), (vec![], true));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(ids(&polls), [b, a, c]);
        assert_eq!(polls.next(&account, None), Some(polls.visit(b).unwrap().at + INTERVAL));
        assert_eq!(polls.next(&account, Some(b)), Some(polls.visit(a).unwrap().at + INTERVAL));
        // There is more in one of them, and it waits behind the others.
        tokio::time::advance(Duration::from_secs(1)).await;
        polls.visited(b, Visit::good(true));
        assert_eq!(ids(&polls), [a, c, b]);
        polls.visited(c, Visit::after(Left::Rarely(Duration::from_secs(600))));
        assert_eq!(ids(&polls), [a, b]);
        // It is not monitored for a while.
        polls.retain_monitored(&fixture::account(&["a", "b"]));
        assert_eq!(ids(&polls), [c, a, b], "never visited");
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_whose_last_poll_failed_comes_last_however_long_it_has_waited() {
        let (account, mut polls) = (fixture::account(&["a", "b"]), Polls::default());
        let [a, b] = [1, 2].map(FolderId::from_u128);
        let ids = |polls: &Polls| -> Vec<_> {
            polls.due(&account).into_iter().map(|folder| folder.id).collect()
        };
        let second = Duration::from_secs(1);
        polls.visited(a, Visit::good(true));
        let before = polls.visit(a).unwrap().clone();
        tokio::time::advance(second).await;
        polls.visited(b, Visit::good(true));
        assert_eq!(ids(&polls), [a, b]);
        polls.visited(a, Visit { failures: 1, ..before });
        assert_eq!(ids(&polls), [b, a]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_waits_in_vain_is_late_only_while_others_go_well() {
        let (mut polls, error) = (Polls::default(), Error::FolderGone);
        let [hidden, other] = [1, 2].map(FolderId::from_u128);
        let late_s = |polls: &Polls, took_s: Option<u64>| {
            let in_vain = took_s.map(Duration::from_secs);
            let failed = FailedPoll { error: &error, has_progressed: false, in_vain };
            polls.late(hidden, failed).map(|late| late.as_secs())
        };
        let bad = || Visit { failures: 1, ..Visit::good(false) };
        let second = Duration::from_secs(1);
        polls.visited(hidden, Visit::good(false));
        tokio::time::advance(second).await;
        polls.visited(other, Visit::good(false));
        assert_eq!(late_s(&polls, Some(60)), None, "the first failure");
        tokio::time::advance(second).await;
        polls.visited(hidden, bad());
        assert_eq!(late_s(&polls, Some(60)), None, "no other one went well since");
        tokio::time::advance(second).await;
        polls.visited(other, bad());
        assert_eq!(late_s(&polls, Some(60)), None, "the other one fails too");
        polls.visited(other, Visit::good(false));
        let late_for = [None, Some(4), Some(5), Some(60), Some(1000)].map(|it| late_s(&polls, it));
        assert_eq!(late_for, [None, None, Some(45), Some(540), Some(3600)]);
        tokio::time::advance(second).await;
        polls.visited(hidden, bad());
        assert_eq!(late_s(&polls, Some(60)), None, "the other one was not polled again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_is_said_to_grow_is_polled_early_and_later_each_time_in_vain() {
        let (account, mut polls) = (fixture::account(&["a"]), Polls::default());
        let (folder, id) = (&account.folders[0], FolderId::from_u128(1));
        let mut wait_s = |visit: Visit| {
            polls.visited(id, visit);
            polls.grown(folder);
            let visit = polls.visit(id).unwrap();
            visit.next(INTERVAL).duration_since(visit.at).as_secs()
        };
        let good = || Visit::good(false);
        assert_eq!([0; 7].map(|_| wait_s(good())), [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(wait_s(Visit::good(true)), 0, "it is due already");
        let trouble = Visit { wait: Some(Duration::from_secs(77)), failures: 1, ..good() };
        assert_eq!(wait_s(trouble), 77, "its delay stays");
        polls.found(id);
        polls.visited(id, good());
        polls.grown(folder);
        let visit = polls.visit(id).unwrap();
        assert_eq!(visit.next(INTERVAL), visit.at + EARLY_AFTER, "it was right");
    }

    #[tokio::test]
    async fn a_folder_in_trouble_is_polled_rarely_unless_it_gives_something() {
        let (_directory, shared) = fixture::shared().await;
        let bad = |has_progressed| BadVisit {
            text: "it is on fire".to_owned(),
            least: Duration::from_secs(3),
            has_progressed,
        };
        let wait_s = |visit: &Visit| visit.next(INTERVAL).duration_since(visit.at).as_secs_f64();
        let first = Visit::bad(None, &shared, bad(false));
        assert!((3.0..=3.1).contains(&wait_s(&first)), "at least what is asked for");
        assert!(!first.went_well() && !first.is_repeated());
        let mut visit = first.clone();
        for _ in 0..20 {
            visit = Visit::bad(Some(&visit), &shared, bad(false));
        }
        assert!(visit.is_repeated() && (270.0..=330.0).contains(&wait_s(&visit)));
        let after = Visit::bad(Some(&visit), &shared, bad(true));
        assert!(!after.is_repeated() && wait_s(&after) < 4.0);
        // The account names it, and when it is tried again. A survey in trouble comes first.
        let (account, mut polls) = (fixture::account(&["a"]), Polls::default());
        assert_eq!(polls.trouble(&account, None, &shared.clock), None);
        polls.visited(FolderId::from_u128(1), first);
        let told = polls.trouble(&account, None, &shared.clock).unwrap();
        assert!(told.text == "it is on fire" && told.next_ms.is_some());
        let survey = Visit::good(false).with_trouble(Some("too many".to_owned()));
        let told = polls.trouble(&account, Some(&survey), &shared.clock).unwrap();
        assert_eq!((told.text.as_str(), told.next_ms), ("too many", None));
    }
}
