//! Finds the messages of a mailbox that the ledger does not have.
//!
//! The result is a set difference, never a count or a high-water mark: the listed UIDs without
//! those that have a receipt. So no message is skipped, whatever was interrupted. Before that,
//! [`crate::receive::identity`] checks whether the UIDs still mean the same messages. If not, a new
//! epoch of the mailbox begins, and every message is new. The result is remembered until it is
//! fetched, so that the next turn of the folder needs no list.

use crate::account::Account;
use crate::account::Folder;
use crate::error::Error;
use crate::receive::asks::Asks;
use crate::receive::baseline::baseline;
use crate::receive::identity;
use crate::receive::identity::Care;
use crate::receive::identity::Over;
use crate::receive::listing;
use crate::receive::listing::Glance;
use crate::receive::listing::Listing;
use crate::receive::wishes;
use crate::receive::wishes::Wishes;
use crate::receive::witness::Unsteady;
use crate::shared::Shared;
use postroom_imap::ImapConnection;
use postroom_imap::Mode;
use postroom_imap::Selected;
use postroom_model::Timestamp;
use postroom_store::Beginning;
use postroom_store::Clock;
use postroom_store::FolderReport;
use postroom_store::Ledger;
use postroom_store::Life;
use postroom_store::Origin;
use postroom_store::Oversized;
use postroom_store::Pending;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Up to this number of recorded messages, each poll checks all of them.
const FEW: usize = 16;
/// Otherwise it checks so many of the newest, and so many others.
const SAMPLE: (usize, usize) = (6, 6);
/// Up to this number, all are checked when a process reads the mailbox for the first time.
const FIRST_MAX: usize = 500;
/// From time to time all are checked, up to this number.
const ALL_MAX: usize = 50_000;
const ALL_EVERY: Duration = Duration::from_secs(3600);
/// How many messages are remembered for the check of the next poll: newest, others.
const SHOWN_MAX: (usize, usize) = (6, 60);
/// After so many epochs in a row that lasted for one poll, polls become rare.
const CHANGES_MAX: u32 = 5;
const RARELY_FIRST: Duration = Duration::from_secs(60);
const RARELY_LONGEST: Duration = Duration::from_secs(6 * 3600);

/// What is remembered of a folder between two polls.
#[derive(Debug, Default)]
pub struct Known {
    /// What the mailbox looked like when the folder was last proven complete.
    proven: Option<Glance>,
    /// Some of the messages that it had then.
    shown: Vec<u64>,
    /// When the next pending message is retried, in milliseconds since 1970.
    pub retry_ms: Option<i64>,
    /// The server-side actions.
    pub wishes: Wishes,
    /// The result of the last poll, until all of it is fetched.
    pub news: Option<Arc<News>>,
    /// The fetch plan for the rest of it.
    pub asks: Asks,
    /// The UIDs to fetch on a connection of their own, with their poll result. The caller takes
    /// them.
    pub alone: Vec<(u64, Arc<News>)>,
    /// How many messages of it are recorded.
    pub recorded: u64,
    /// Whether something was recorded. The caller takes it.
    pub has_progressed: bool,
    /// How many recorded messages are not deleted at the server because they may not be whole.
    pub withheld: u64,
    /// Which facts of this server are no evidence.
    pub unsteady: Unsteady,
    /// Why the epoch of the mailbox is over, if the check before a deletion showed it.
    pub over: Option<Over>,
    /// The origin from the store, once it was read.
    origin: Option<Origin>,
    /// Whether the mailbox is opened by SELECT because EXAMINE gives it another UIDVALIDITY.
    selects: bool,
    /// How many polls in a row found the mailbox in another epoch.
    changes: u32,
    /// How many listings in a row did not agree with the server's count.
    disagreements: u32,
    /// When all recorded messages were checked last.
    all_at: Option<Instant>,
}

impl Known {
    /// Makes the next poll a full one, because the folder's text must be written again.
    pub fn look_closely(&mut self) {
        self.proven = None;
    }

    /// Discards the poll result, because it is not known what was recorded.
    pub fn look_anew(&mut self) {
        self.news = None;
        self.proven = None;
    }

    /// Begins another epoch. Knowledge of the mailbox is discarded, except how its server behaves.
    /// An empty one has nothing to fetch again: Mailutils renumbers it each time.
    fn begin_anew(&mut self, origin: Origin, over: &Over, is_empty: bool) {
        let former = std::mem::take(self);
        let changes = match former.changes.saturating_add(1) {
            _ if *over == Over::New => 0,
            changes => changes.min(if is_empty { CHANGES_MAX } else { u32::MAX }),
        };
        *self = Self {
            origin: Some(origin),
            wishes: Wishes::open(),
            unsteady: former.unsteady,
            selects: former.selects,
            changes,
            ..Self::default()
        };
    }

    /// Whether two listings in a row disagreed with the server's count. One disagreement is
    /// ignored, because mail may come or go between two commands.
    #[must_use]
    pub fn has_disagreed(&self) -> bool {
        self.disagreements > 1
    }

    /// Notes that every found message is recorded or pending, and whether the folder is complete.
    pub fn proved(&mut self, clock: &Clock, news: &News, ledger: &Ledger, complete: bool) {
        let (uid_validity, listed) = (news.uid_validity, &news.listing.uids);
        let exists = listed.len() as u64;
        let glance = news.uid_next.map(|uid_next| Glance { uid_validity, exists, uid_next });
        self.proven = glance.filter(|_| complete);
        let is_recorded = |uid: &u64| ledger.has(*uid) && ledger.pending(*uid).is_none();
        let shown: Vec<u64> = listed.iter().copied().filter(is_recorded).collect();
        self.shown = identity::sample(clock, &shown, SHOWN_MAX.0, SHOWN_MAX.1);
        self.all_at.get_or_insert_with(Instant::now);
    }

    /// How long the folder is not polled, because each poll finds the mailbox in another epoch.
    /// `None`: it is polled as usual.
    #[must_use]
    pub fn rarely(&self, clock: &Clock) -> Option<Duration> {
        let times = self.changes.checked_sub(CHANGES_MAX)?;
        Some(crate::backoff::delay(clock, times.saturating_add(1), RARELY_FIRST, RARELY_LONGEST))
    }
}

/// The result of a poll of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The epoch of the mailbox.
    pub life: Life,
    /// UIDVALIDITY of the mailbox; 0 when the server has none.
    pub uid_validity: u64,
    /// UIDNEXT, when the server gave it.
    pub uid_next: Option<u64>,
    /// Whether it was opened by EXAMINE, so that no command changes anything.
    pub examined: bool,
    /// What the server lists.
    pub listing: Listing,
    /// How many of the listed messages were recorded before.
    pub recorded: u64,
    /// Whether there are receipts of former epochs. Then messages with known bytes are linked, not
    /// stored again.
    pub relink: bool,
    /// The pending ones of them, by UID.
    pub pending: BTreeMap<u64, Pending>,
    /// Those that are there by their headers alone, by UID.
    pub oversized: BTreeMap<u64, Oversized>,
}

/// A poll of a folder: the connection, and what is remembered.
struct Look<'a> {
    shared: &'a Shared,
    account: &'a Account,
    folder: &'a Folder,
    connection: &'a mut ImapConnection,
    known: &'a mut Known,
    examined: bool,
}

/// Selects the mailbox and finds new messages. `None`: the result of SELECT shows that there are
/// none. Messages that an earlier poll found and that were not fetched yet count as new.
///
/// # Errors
///
/// What ended the connection, the server's refusal of the mailbox, or the store.
pub async fn watch(
    shared: &Shared,
    (account, folder): (&Account, &Folder),
    connection: &mut ImapConnection,
    known: &mut Known,
) -> Result<Option<Arc<News>>, Error> {
    Look { shared, account, folder, connection, known, examined: true }.all().await
}

impl Look<'_> {
    async fn all(&mut self) -> Result<Option<Arc<News>>, Error> {
        let origin = match self.known.origin.take() {
            Some(origin) => origin,
            None => {
                self.known.wishes = Wishes::open();
                self.shared.store.origin(self.folder.id).await?
            }
        };
        let selected = self.select(&origin).await?;
        let login = self.account.mailbox_origin();
        let found_out = self.known.over.take();
        let mut over = found_out.or_else(|| identity::by_selected(&origin, &selected, &login));
        if over.is_none() && origin.login.is_none() {
            self.shared.store.origin_note(self.folder.id, &login).await?;
        }
        let origin = self.known.origin.insert(Origin {
            login: origin.login.or_else(|| Some(login.clone())),
            uid_next: origin.uid_next.max(selected.uid_next),
            ..origin
        });
        let origin = origin.clone();
        if let (None, Some(news)) = (&over, &self.known.news) {
            return Ok(Some(Arc::clone(news)));
        }
        if let (None, Some(life)) = (&over, origin.life)
            && self.is_quiet(&selected)
        {
            over = self.sample(life).await?;
            if over.is_none() {
                self.known.changes = 0;
                self.tell_visit().await?;
                return Ok(None);
            }
        }
        let listing = listing::list(self.connection, &selected).await?;
        if let (None, Some(life)) = (&over, origin.life) {
            let ledger = self.shared.store.ledger(life).await?;
            over = identity::by_listing(&ledger, selected.uid_next, &listing.uids);
            if over.is_none() {
                over = self.compare(life, &ledger, &listing.uids).await?;
            }
            if over.is_none() {
                self.known.changes = 0;
                return Ok(Some(self.found(life, listing, &ledger, &selected)));
            }
        }
        let over = over.unwrap_or(Over::New);
        let life = self.begin(&over, &selected, &listing).await?;
        let ledger = self.shared.store.ledger(life).await?;
        Ok(Some(self.found(life, listing, &ledger, &selected)))
    }

    /// Opens the mailbox. Courier gives a mailbox that nobody has opened by SELECT another
    /// UIDVALIDITY at each EXAMINE.
    async fn select(&mut self, origin: &Origin) -> Result<Selected, Error> {
        let changes = wishes::wished(self.folder).is_some();
        let mode = if changes || self.known.selects { Mode::Select } else { Mode::Examine };
        self.examined = mode == Mode::Examine;
        let selected = self.connection.select(&self.folder.mailbox, mode).await?;
        let uid_validity = Some(selected.uid_validity.unwrap_or(0));
        let differs = origin.uid_validity.is_some() && origin.uid_validity != uid_validity;
        if !differs || mode == Mode::Select {
            return Ok(selected);
        }
        self.known.selects = true;
        self.examined = false;
        Ok(self.connection.select(&self.folder.mailbox, Mode::Select).await?)
    }

    /// Whether the result of SELECT shows that no mail came, and nothing else is due.
    fn is_quiet(&self, selected: &Selected) -> bool {
        let glance = Glance::of(selected);
        let retry = self.known.retry_ms.is_some_and(|at_ms| at_ms <= self.shared.clock.now_ms());
        let is_due = retry || self.known.wishes.are_due() || self.is_all_due();
        glance.is_some() && glance == self.known.proven && !is_due
    }

    fn is_all_due(&self) -> bool {
        self.known.all_at.is_some_and(|at| at.elapsed() >= ALL_EVERY)
    }

    /// Checks some of the remembered messages, because the numbers of a mailbox may be the same
    /// although its messages differ.
    async fn sample(&mut self, life: Life) -> Result<Option<Over>, Error> {
        let some = match self.known.shown.len() {
            ..=FEW => self.known.shown.clone(),
            _ => identity::sample(&self.shared.clock, &self.known.shown, SAMPLE.0, SAMPLE.1),
        };
        let care = (Care::Much, &mut self.known.unsteady);
        Ok(identity::look(self.shared, self.connection, life, &some, care).await?.over)
    }

    /// Checks recorded messages that are listed: some of them, and from time to time all.
    async fn compare(
        &mut self,
        life: Life,
        ledger: &Ledger,
        listed: &[u64],
    ) -> Result<Option<Over>, Error> {
        let is_recorded = |uid: &u64| ledger.has(*uid) && ledger.pending(*uid).is_none();
        let both: Vec<u64> = listed.iter().copied().filter(is_recorded).collect();
        let is_first = self.known.all_at.is_none();
        let all_max = if is_first { FIRST_MAX } else { ALL_MAX };
        let takes_all = (is_first || self.is_all_due()) && both.len() <= all_max;
        if is_first || self.is_all_due() {
            self.known.all_at = Some(Instant::now());
        }
        if takes_all && both.len() > FEW {
            let care = (Care::Little, &mut self.known.unsteady);
            let look = identity::look(self.shared, self.connection, life, &both, care).await?;
            if look.over.is_some() {
                return Ok(look.over);
            }
        }
        self.known.shown = both;
        self.sample(life).await
    }

    /// Begins another epoch of the mailbox.
    async fn begin(
        &mut self,
        over: &Over,
        selected: &Selected,
        listing: &Listing,
    ) -> Result<Life, Error> {
        let noted = self.shared.store.origin(self.folder.id).await?;
        let baseline = baseline(self.folder, &noted, &listing.uids, self.connection).await?;
        let uid_validity = selected.uid_validity.unwrap_or(0);
        let login = self.account.mailbox_origin();
        let begun = Beginning { login: &login, uid_validity, baseline };
        let life = self.shared.store.life_begin(self.folder.id, begun).await?;
        if *over != Over::New {
            tracing::warn!(
                folder = self.folder.title,
                "{over}: all messages are fetched again; stored ones are recognised and not stored \
                 twice, and open deletions at the server are cancelled"
            );
        }
        let origin = Origin {
            login: Some(login),
            life: Some(life),
            uid_validity: Some(uid_validity),
            uid_next: selected.uid_next,
            last_proof_ms: noted.last_proof_ms,
        };
        self.known.begin_anew(origin, over, listing.uids.is_empty());
        Ok(life)
    }

    /// Makes and remembers the result of the poll.
    fn found(
        &mut self,
        life: Life,
        listing: Listing,
        ledger: &Ledger,
        selected: &Selected,
    ) -> Arc<News> {
        let now_ms = self.shared.clock.now_ms();
        let counted = listing.uids.iter().copied().filter(|uid| *uid > ledger.baseline);
        let bytes_max = self.folder.options.count("message_bytes_max");
        let fresh = counted.clone().filter(|uid| !ledger.has(*uid)).collect();
        let singly: Vec<u64> = counted.clone().filter(|uid| ledger.is_requested(*uid)).collect();
        let is_due = |uid: &u64| ledger.is_due(*uid, now_ms, bytes_max);
        let again: Vec<u64> = counted.clone().filter(is_due).collect();
        let is_recorded = |uid: &u64| ledger.has(*uid) && ledger.pending(*uid).is_none();
        let recorded = counted.filter(is_recorded).count() as u64;
        let known = &mut *self.known;
        known.asks.fill(fresh, &again, &singly);
        known.recorded = 0;
        let disagrees = !listing.is_whole();
        known.disagreements = if disagrees { known.disagreements.saturating_add(1) } else { 0 };
        let news = Arc::new(News {
            life,
            uid_validity: selected.uid_validity.unwrap_or(0),
            uid_next: selected.uid_next,
            examined: self.examined,
            relink: ledger.has_former,
            pending: ledger.pending.iter().map(|pending| (pending.uid, pending.clone())).collect(),
            oversized: ledger.oversized.iter().map(|one| (one.uid, *one)).collect(),
            recorded,
            listing,
        });
        known.news = Some(Arc::clone(&news));
        news
    }

    async fn tell_visit(&self) -> Result<(), Error> {
        let last_poll_at = Some(Timestamp::from_ms(self.shared.clock.now_ms()));
        let report = FolderReport { last_poll_at, ..FolderReport::default() };
        let domain = &self.account.domain;
        self.shared.store.folder_report(domain, self.folder.id, &report).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest delay after so many epochs in a row.
    fn longest_s(epochs: u32, is_empty: bool) -> u64 {
        let (clock, mut known) = (Clock::system(), Known::default());
        for _ in 0..epochs {
            let origin = Origin {
                login: None,
                life: None,
                uid_validity: Some(7),
                uid_next: None,
                last_proof_ms: None,
            };
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
    }
}
