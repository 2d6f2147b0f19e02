//! The mail that a poll has found: what of it is to be fetched, and in which order.
//!
//! A load of many messages takes long. Mail that comes meanwhile does not wait for the rest of it.
//! A turn of the folder ends when the folder would be polled, and the next one looks whether mail
//! has come. The folder notes UIDNEXT of the beginning of the load, so that a process that starts
//! in the midst of it goes on in the same order.

use crate::receive::known::Known;
use crate::receive::news::News;
use crate::receive::repeats::RecordedBytes;
use crate::source::contract::MailboxAccess;
use crate::source::contract::OpenedMailbox;
use crate::source::listing::MailboxListing;
use postroom_store::Ledger;
use postroom_store::MailboxEpoch;
use postroom_store::Pending;
use postroom_store::SourceKey;
use std::sync::Arc;

/// What a poll has found in the open mailbox.
pub(crate) struct ListedMail<'a> {
    /// The epoch of the mailbox.
    pub epoch: MailboxEpoch,
    /// What the source lists.
    pub listing: MailboxListing,
    /// The receipts of the epoch.
    pub ledger: &'a Ledger,
    /// The identity facts of the mailbox.
    pub opened: &'a OpenedMailbox,
    /// How it was opened.
    pub access: MailboxAccess,
}

/// What decides the plan of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadBeginning {
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// The option `message_bytes_max` of the folder.
    pub bytes_max: u64,
    /// UIDNEXT that the folder has noted. If messages below it are not loaded, an earlier load was
    /// broken off, and began with it.
    pub noted_uid_next: Option<u64>,
}

impl ListedMail<'_> {
    /// Plans to fetch all new messages, and those whose time has come again. Remembers the result.
    pub(crate) fn begin(self, known: &mut Known, load: LoadBeginning) -> Arc<News> {
        let ledger = self.ledger;
        let counted = self.listing.keys.iter().copied().filter(|key| ledger.is_loaded(*key));
        let fresh = counted.clone().filter(|key| !ledger.has(*key)).collect();
        let singly: Vec<_> = counted.clone().filter(|key| ledger.is_requested(*key)).collect();
        let is_due = |key: &SourceKey| ledger.is_due(*key, load.now_ms, load.bytes_max);
        let again: Vec<_> = counted.filter(is_due).collect();
        known.plan.fill(fresh, &again, &singly);
        let goes_on = |at: &u64| known.plan.goes_on_from(SourceKey::of_uid(*at));
        let begun = load.noted_uid_next.filter(goes_on).or(self.opened.uid_next);
        let news = self.remember(known, begun);
        known.bytes = RecordedBytes::of(&news);
        news
    }

    /// Goes on with the load that `before` began. What has come since is fetched before the rest.
    pub(crate) fn go_on(self, known: &mut Known, before: &News, now_ms: i64) -> Arc<News> {
        let ledger = self.ledger;
        let was_listed = |key: &SourceKey| before.listing.keys.binary_search(key).is_ok();
        let is_new = |key: &SourceKey| ledger.is_loaded(*key) && !ledger.has(*key);
        let came = self.listing.keys.iter().filter(|key| is_new(key) && !was_listed(key));
        known.plan.came_live(came.copied().collect());
        // The others are compared before they are fetched again.
        let pending = ledger.pending.iter().filter(|one| one.next_attempt_ms <= now_ms);
        known.plan.again_live(&pending.map(|one| one.key).collect::<Vec<_>>());
        self.remember(known, before.begun_uid_next)
    }

    /// Remembers the result of the poll. `begun_uid_next`: UIDNEXT when the load began.
    fn remember(self, known: &mut Known, begun_uid_next: Option<u64>) -> Arc<News> {
        let Self { epoch, listing, ledger, opened, access } = self;
        let counted = listing.keys.iter().filter(|key| ledger.is_loaded(**key));
        let recorded = counted.filter(|key| ledger.is_stored(**key)).count() as u64;
        known.recorded = 0;
        let plan = &known.plan;
        let waits = |one: &&Pending| plan.is_live(one.key) && !plan.is_alone(one.key);
        known.retry_ms = ledger.pending.iter().filter(waits).map(|one| one.next_attempt_ms).min();
        known.has_missed_live = false;
        let disagrees = !listing.is_whole();
        known.disagreements = if disagrees { known.disagreements.saturating_add(1) } else { 0 };
        known.remember(News {
            epoch,
            uid_validity: opened.uid_validity,
            mailbox_id: opened.mailbox_id.clone(),
            uid_next: opened.uid_next,
            begun_uid_next,
            proven_uid_next: known.proven_uid_next,
            access,
            relink: ledger.has_former,
            pending: ledger.pending.iter().map(|pending| (pending.key, pending.clone())).collect(),
            oversized: ledger.oversized.iter().map(|one| (one.key, *one)).collect(),
            recorded,
            listing,
        })
    }
}
