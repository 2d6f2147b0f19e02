//! What is remembered of a folder between two polls.

use crate::error::Error;
use crate::receive::action_state::ServerActions;
use crate::receive::evidence::Evidence;
use crate::receive::evidence::EvidenceElsewhere;
use crate::receive::identity::Over;
use crate::receive::listed_keys::ListedKeys;
use crate::receive::news::LateMessage;
use crate::receive::news::News;
use crate::receive::opening::Opening;
use crate::receive::plan::FetchPlan;
use crate::receive::repeats::RecordedBytes;
use crate::receive::sampling::sample;
use crate::receive::unloaded::Describing;
use crate::shared::Shared;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::Source;
use postroom_model::options;
use postroom_model::options::Options;
use postroom_store::Clock;
use postroom_store::Ledger;
use postroom_store::MailboxEpoch;
use postroom_store::Origin;
use postroom_store::SourceKey;
use postroom_store::Unloaded;
use postroom_store::UnloadedMessage;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many messages are remembered for the check of the next poll: newest, others.
const SHOWN_MAX: (usize, usize) = (6, 60);
/// After so many epochs in a row that lasted for one poll, polls become rare.
const CHANGES_MAX: u32 = 5;
const RARELY_FIRST: Duration = Duration::from_secs(60);
const RARELY_LONGEST: Duration = Duration::from_secs(6 * 3600);
/// How long the folder says that a former epoch has come back.
const ALTERNATES_FOR: Duration = Duration::from_secs(24 * 3600);
/// The time between two checks of all recorded messages.
const ALL_EVERY: Duration = Duration::from_secs(3600);
/// The longest delay while polls find new mail.
const RARELY_WITH_MAIL: Duration = Duration::from_secs(5 * 60);

/// The identity facts and counts that show whether mail came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glance {
    /// UIDVALIDITY. 0 where the server has none.
    pub uid_validity: u64,
    /// How many messages it has.
    pub exists: u64,
    /// UIDNEXT.
    pub uid_next: u64,
}

impl Glance {
    /// `None`: the server does not give all numbers.
    #[must_use]
    pub(crate) fn of(opened: &OpenedMailbox) -> Option<Self> {
        let (uid_validity, exists) = (opened.uid_validity, opened.count?);
        opened.uid_next.map(|uid_next| Self { uid_validity, exists, uid_next })
    }
}

/// That an epoch of the mailbox is over.
#[derive(Debug)]
pub(crate) struct EpochEnd {
    /// The epoch.
    pub epoch: MailboxEpoch,
    /// Why it is over.
    pub over: Over,
}

/// How many messages that are not loaded are compared in turn.
const UNLOADED_MAX: usize = 100;

/// What is known of the messages that are not loaded.
#[derive(Debug, Default)]
pub(crate) struct KnownUnloaded {
    /// Whether they were in an earlier epoch of the mailbox.
    pub is_later: bool,
    /// Some of the newest ones that are listed, with what was noted of them, ascending.
    pub newest: Vec<UnloadedMessage>,
}

impl KnownUnloaded {
    /// What the polls need of what is noted.
    #[must_use]
    pub(crate) fn of(noted: &Unloaded, listed: &[SourceKey]) -> Self {
        let is_listed = |one: &&UnloadedMessage| listed.binary_search(&one.key).is_ok();
        let mut newest: Vec<_> = noted.newest.iter().filter(is_listed).copied().collect();
        newest.sort_unstable_by_key(|one| one.key);
        let from = newest.len().saturating_sub(UNLOADED_MAX);
        Self { is_later: noted.is_later, newest: newest.split_off(from) }
    }
}

/// What is remembered of a folder between two polls.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What the mailbox looked like when the folder was last proven complete.
    pub proven: Option<Glance>,
    /// UIDNEXT at that time. It stays known while the folder is not proven complete.
    pub proven_uid_next: Option<u64>,
    /// The option `message_bytes_max` of the folder at that time.
    pub proven_bytes_max: u64,
    /// Some of the messages that the mailbox had at that time.
    pub shown: Vec<SourceKey>,
    /// What the last whole listing had. `None`: there was none in this epoch.
    pub listed: Option<ListedKeys>,
    /// When the next pending message is retried, in milliseconds since 1970.
    pub retry_ms: Option<i64>,
    /// The server-side actions.
    pub actions: ServerActions,
    /// When the source was asked for the mailbox, until it has shown what is in it.
    pub asked_at: Option<Instant>,
    /// The result of the last poll, until all of it is fetched.
    pub news: Option<Arc<News>>,
    /// Whether the mailbox could not be listed again while its messages are loaded.
    pub was_unlisted: bool,
    /// Whether mail that came while others are loaded could not be fetched. Its time comes again.
    pub has_missed_live: bool,
    /// The fetch plan for the rest of it.
    pub plan: FetchPlan,
    /// The bytes that are recorded, while the rest is fetched.
    pub bytes: RecordedBytes,
    /// The messages to fetch on a connection of their own. The caller takes them.
    pub alone: Vec<LateMessage>,
    /// How many messages of it are recorded.
    pub recorded: u64,
    /// Whether something was recorded. The caller takes it.
    pub has_progressed: bool,
    /// How many recorded messages are not deleted at the server because they may not be whole.
    pub withheld: u64,
    /// What is known of the evidence that the server gives of recorded messages.
    pub evidence: Evidence,
    /// The same of mailboxes that were compared with this one, or with former epochs.
    pub elsewhere: EvidenceElsewhere,
    /// What the folder says of the messages that are set apart.
    pub told_apart: Option<String>,
    /// The epoch that is over, if that was found out after the mailbox was listed. It is kept until
    /// another one has begun.
    pub end: Option<EpochEnd>,
    /// What the source may be asked about messages that are perhaps not loaded.
    pub describing: Describing,
    /// What is known of the messages that are not loaded. `None`: it was not read yet.
    pub unloaded: Option<KnownUnloaded>,
    /// The origin from the store, once it was read. `None` also while it is not known whether
    /// another epoch has begun.
    pub origin: Option<Origin>,
    /// How the mailbox is opened.
    pub opening: Opening,
    /// How many polls in a row found the mailbox in another epoch.
    pub changes: u32,
    /// Whether new mail was found in this epoch.
    pub has_new_mail: bool,
    /// Whether it was in the epoch before.
    pub had_new_mail: bool,
    /// When a former epoch came back last, and the UIDVALIDITY before and after that.
    pub returned: Option<(Instant, [u64; 2])>,
    /// How many listings in a row did not agree with the server's count.
    pub disagreements: u32,
    /// When all recorded messages were checked last.
    pub all_at: Option<Instant>,
}

impl Known {
    /// How long the source was asked for the mailbox in vain. `None`: it has shown what is in it.
    #[must_use]
    pub(crate) fn asked_in_vain(&self) -> Option<Duration> {
        self.asked_at.map(|at| at.elapsed())
    }

    /// Whether the identity facts show that no mail came, and nothing else is due.
    #[must_use]
    pub(crate) fn is_quiet(&self, opened: &OpenedMailbox, options: &Options, now_ms: i64) -> bool {
        let glance = Glance::of(opened);
        let retry = self.retry_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let actions = self.opening.trouble().is_none() && self.actions.are_due();
        // A message that was too large may fit now.
        let bytes_max = options.count(&options::MESSAGE_BYTES_MAX);
        let has_other_limit = self.proven_bytes_max != bytes_max;
        let is_due = retry || actions || self.is_all_due() || has_other_limit || !self.has_told();
        glance.is_some() && glance == self.proven && !is_due
    }

    /// Whether all recorded messages are to be checked.
    #[must_use]
    pub(crate) fn is_all_due(&self) -> bool {
        self.all_at.is_some_and(|at| at.elapsed() >= ALL_EVERY)
    }

    /// Makes the next poll a full one, because the folder's text must be written again.
    pub(crate) fn look_closely(&mut self) {
        self.proven = None;
    }

    /// Discards the poll result, because it is not known what was recorded, and in which epoch.
    pub(crate) fn look_anew(&mut self) {
        self.news = None;
        self.origin = None;
        self.proven = None;
        self.bytes = RecordedBytes::default();
    }

    /// Notes that the server has contradicted the list of a poll. Gives the result of that poll as
    /// it is now.
    #[must_use]
    pub(crate) fn contradicted(&mut self, news: &News) -> Arc<News> {
        self.remember(news.contradicted())
    }

    /// Remembers the result of a poll until all of it is fetched, in place of the one before.
    #[must_use]
    pub(crate) fn remember(&mut self, news: News) -> Arc<News> {
        let news = Arc::new(news);
        self.news = Some(Arc::clone(&news));
        news
    }

    /// Notes that another connection has received a message, and that the epoch is over, if it
    /// found this out.
    pub(crate) fn looked_elsewhere(&mut self, end: Option<EpochEnd>) {
        self.look_closely();
        self.bytes.forget();
        if let Some(EpochEnd { epoch, over }) = end {
            self.end(epoch, over);
        }
    }

    /// Whether the mailbox is to be listed again while its messages are loaded. If that failed, the
    /// next turn loads, so that the load goes on all the same.
    pub(crate) fn is_listed_again(&mut self, opened: &OpenedMailbox, now_ms: i64) -> bool {
        let was_unlisted = std::mem::take(&mut self.was_unlisted);
        let is_behind = self.news.as_ref().is_some_and(|news| news.is_behind(opened));
        let is_retry_due = self.retry_ms.is_some_and(|at_ms| at_ms <= now_ms);
        !was_unlisted && (is_behind || is_retry_due || self.has_missed_live)
    }

    /// Asks again about messages that are set apart, once nothing else is to be done. Gives whether
    /// there is something new to be said of them, or to be done with them.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub(crate) async fn ask_apart<S: Source>(
        &mut self,
        shared: &Shared,
        source: &mut S,
    ) -> Result<bool, Error> {
        let asked = self.evidence.ask_again(&shared.clock, source).await;
        // Actions that waited for these messages can be carried out. Some may have been described
        // before the session ended.
        self.actions.are_open |= !matches!(asked, Ok(false));
        let are_described = asked?;
        Ok(are_described || !self.has_told())
    }

    /// Whether the folder says which messages are set apart.
    #[must_use]
    pub(crate) fn has_told(&self) -> bool {
        self.told_apart == self.evidence.trouble()
    }

    /// Notes that an epoch of the mailbox is over. The next turn begins another one.
    pub(crate) fn end(&mut self, epoch: MailboxEpoch, over: Over) {
        self.end = Some(EpochEnd { epoch, over });
        self.look_anew();
    }

    /// Begins another epoch. Knowledge of the mailbox is discarded, except how its server behaves.
    /// An empty one has nothing to fetch again: Mailutils renumbers it each time.
    pub(crate) fn begin_anew(&mut self, origin: Origin, over: &Over, is_empty: bool) {
        let former = std::mem::take(self);
        let changes = match former.changes.saturating_add(1) {
            _ if *over == Over::New => 0,
            changes => changes.min(if is_empty { CHANGES_MAX } else { u32::MAX }),
        };
        *self = Self {
            actions: ServerActions::open(origin.epoch),
            origin: Some(origin),
            evidence: former.evidence.of_other_keys(),
            elsewhere: former.elsewhere,
            opening: former.opening.after(over),
            changes,
            had_new_mail: former.has_new_mail,
            returned: former.returned,
            ..Self::default()
        };
    }

    /// Notes that the epoch that has begun is a former one, which is gone on with. Nothing of it is
    /// fetched again, so it is polled as usual.
    pub(crate) fn came_back(&mut self, uid_validities: [u64; 2]) {
        self.changes = 0;
        let [before, after] = uid_validities;
        if before != after {
            self.returned = Some((Instant::now(), uid_validities));
        }
    }

    /// The UIDVALIDITY of the two stores that the server shows by turns. `None`: it shows one.
    #[must_use]
    pub(crate) fn alternates(&self) -> Option<[u64; 2]> {
        let (at, uid_validities) = self.returned?;
        (at.elapsed() < ALTERNATES_FOR).then_some(uid_validities)
    }

    /// Whether two listings in a row disagreed with the server's count. One disagreement is
    /// ignored, because mail may come or go between two commands.
    #[must_use]
    pub(crate) fn has_disagreed(&self) -> bool {
        self.disagreements > 1
    }

    /// Notes that every found message is recorded or pending, and whether the folder is complete.
    pub(crate) fn proved(&mut self, clock: &Clock, news: &News, ledger: &Ledger, complete: bool) {
        let (uid_validity, listed) = (news.uid_validity, &news.listing.keys);
        let exists = listed.len() as u64;
        let glance = news.uid_next.map(|uid_next| Glance { uid_validity, exists, uid_next });
        self.proven = glance.filter(|_| complete);
        self.proven_uid_next = self.proven.map(|proven| proven.uid_next).or(self.proven_uid_next);
        let is_recorded = |key: &SourceKey| ledger.is_stored(*key);
        let shown: Vec<SourceKey> = listed.iter().copied().filter(is_recorded).collect();
        self.shown = sample(clock, &shown, SHOWN_MAX.0, SHOWN_MAX.1);
        if news.listing.is_whole() {
            self.listed = Some(ListedKeys::of(listed));
        }
        self.all_at.get_or_insert_with(Instant::now);
    }

    /// Notes how many messages of a portion were recorded, and how many of them are new here.
    pub(crate) fn took(&mut self, count: u64, stored: u64) {
        self.recorded += count;
        self.has_new_mail |= stored > 0;
        self.has_progressed |= count > 0;
    }

    /// Why this epoch is over, if that was found out.
    #[must_use]
    pub(crate) fn end_of(&self, epoch: Option<MailboxEpoch>) -> Option<Over> {
        let end = self.end.as_ref().filter(|end| Some(end.epoch) == epoch);
        end.map(|end| end.over.clone())
    }

    /// Those of some recorded and listed messages that the last whole listing lacked. Either the
    /// server shows them again, or it has given their keys to others.
    #[must_use]
    pub(crate) fn reappeared(&self, keys: &[SourceKey]) -> Vec<SourceKey> {
        let Some(listed) = &self.listed else {
            return vec![];
        };
        let keys: Vec<_> = keys.iter().copied().filter(|key| !listed.has(*key)).collect();
        self.evidence.free(&keys)
    }

    /// How long the folder is not polled, because each poll finds the mailbox in another epoch.
    /// `None`: it is polled as usual.
    #[must_use]
    pub(crate) fn rarely(&self, clock: &Clock) -> Option<Duration> {
        let times = self.changes.checked_sub(CHANGES_MAX)?;
        let has_mail = self.has_new_mail || self.had_new_mail;
        let longest = if has_mail { RARELY_WITH_MAIL } else { RARELY_LONGEST };
        Some(crate::backoff::delay(clock, times.saturating_add(1), RARELY_FIRST, longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest delay after so many epochs in a row.
    fn longest_s(epochs: u32, is_empty: bool) -> u64 {
        longest_with_mail_s(epochs, is_empty, false)
    }

    fn longest_with_mail_s(epochs: u32, is_empty: bool, has_new_mail: bool) -> u64 {
        let (clock, mut known) = (Clock::system(), Known::default());
        for _ in 0..epochs {
            let origin = Origin {
                login: None,
                epoch: None,
                uid_validity: Some(7),
                uid_next: None,
                mailbox_id: None,
                all_stored_ms: None,
            };
            known.has_new_mail = has_new_mail;
            known.begin_anew(origin, &Over::UidValidity, is_empty);
        }
        (0..50).filter_map(|_| known.rarely(&clock)).map(|delay| delay.as_secs()).max().unwrap_or(0)
    }

    #[test]
    fn a_mailbox_that_is_renumbered_each_time_is_polled_rarely_and_an_empty_one_every_minute() {
        assert_eq!((longest_s(4, false), longest_s(4, true)), (0, 0));
        assert!((54..=66).contains(&longest_s(5, true)), "{}", longest_s(5, true));
        assert!((54..=66).contains(&longest_s(500, true)), "{}", longest_s(500, true));
        assert!(longest_s(500, false) > 3600, "{}", longest_s(500, false));
        let with_mail_s = longest_with_mail_s(500, false, true);
        assert!((200..=330).contains(&with_mail_s), "{with_mail_s}");
    }
}
