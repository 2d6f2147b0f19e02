//! Finds the messages of a mailbox that the ledger does not have.
//!
//! The new messages are the listed keys without those that have a receipt. This is a set
//! difference, never a count or a high-water mark, so an interruption cannot skip a message. Before
//! that, [`crate::receive::identity`] checks whether the keys still mean the same messages. If they
//! do not, a new epoch of the mailbox begins, and every message is new. The result is remembered
//! until it is fetched, so that the next turn of the folder needs no list.

use crate::account::MonitoredMailbox;
use crate::error::Error;
use crate::receive::beginning::EpochBeginning;
use crate::receive::found::ListedMail;
use crate::receive::found::LoadBeginning;
use crate::receive::identity;
use crate::receive::identity::Care;
use crate::receive::identity::IdentityCheck;
use crate::receive::identity::Look;
use crate::receive::identity::Over;
use crate::receive::known::Known;
use crate::receive::known::KnownUnloaded;
use crate::receive::news::News;
use crate::receive::opening::OpenMailbox;
use crate::receive::opening::OpeningMailbox;
use crate::receive::returned::ShownMailbox;
use crate::receive::sampling::sample;
use crate::receive::swapped::NameOwner;
use crate::receive::swapped::OwnerSearch;
use crate::receive::unloaded;
use crate::shared::Shared;
use crate::source::contract::ListRange;
use crate::source::contract::MailboxAccess;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::Source;
use crate::source::listing::MailboxListing;
use postroom_model::Timestamp;
use postroom_model::options;
use postroom_store::FolderReport;
use postroom_store::Ledger;
use postroom_store::MailboxEpoch;
use postroom_store::Origin;
use postroom_store::PollTimes;
use postroom_store::SourceKey;
use postroom_store::Unloaded;
use std::sync::Arc;
use tokio::time::Instant;

/// Up to this number of recorded messages, each poll checks all of them.
const FEW: usize = 16;
/// If there are more, each poll checks so many of the newest, and so many others.
const SAMPLE: (usize, usize) = (6, 6);
/// Of the messages that are not loaded, each poll checks so many of the newest, and so many others.
const UNLOADED_SAMPLE: (usize, usize) = (4, 4);
/// Up to this number, all are checked when a process reads the mailbox for the first time.
const FIRST_MAX: usize = 500;
/// Up to this number, all are checked again when that is due.
const ALL_MAX: usize = 50_000;

/// Why a message that a client asked for could not be loaded.
const REPLACED: &str = "the server has another message under its UID now";

/// A poll of a folder.
struct Poll<'a, S> {
    shared: &'a Shared,
    mailbox: MonitoredMailbox<'a>,
    source: &'a mut S,
    known: &'a mut Known,
    access: MailboxAccess,
}

/// Opens the mailbox and finds new messages. `None`: its identity facts show that there are none.
/// Messages that an earlier poll found, and that were not fetched yet, count as new.
///
/// # Errors
///
/// What ended the connection, the server's refusal of the mailbox, or the store.
pub(crate) async fn watch<S: Source>(
    shared: &Shared,
    mailbox: MonitoredMailbox<'_>,
    source: &mut S,
    known: &mut Known,
) -> Result<Option<Arc<News>>, Error> {
    let mut poll = Poll { shared, mailbox, source, known, access: MailboxAccess::Read };
    let origin = match poll.known.origin.take() {
        Some(origin) => origin,
        None => {
            let origin = poll.shared.store.origin(poll.mailbox.folder.id).await?;
            poll.known.actions.open_again(origin.epoch);
            origin
        }
    };
    poll.known.asked_at = Some(Instant::now());
    let asked = OpeningMailbox { mailbox: poll.mailbox, origin: &origin };
    let trouble = poll.known.opening.trouble();
    let OpenMailbox { mut opened, access } =
        poll.known.opening.open(poll.shared, poll.source, &asked).await?;
    poll.access = access;
    if trouble != poll.known.opening.trouble() {
        poll.known.look_closely();
    }
    let login = poll.mailbox.account.mailbox_origin();
    // Kept until the next epoch has begun, which the end of an earlier one does not end.
    let found_out = poll.known.end_of(origin.epoch);
    let mut over = found_out.or_else(|| identity::by_opened(&origin, &opened, &login));
    if over.is_none() && origin.login.is_none() {
        poll.shared.store.origin_note(poll.mailbox.folder.id, &login).await?;
    }
    if let (None, None, Some(id)) = (&over, &origin.mailbox_id, &opened.mailbox_id) {
        poll.shared.store.mailbox_id_note(poll.mailbox.folder.id, id).await?;
    }
    let noted_uid_next = origin.uid_next;
    let origin = poll.known.origin.insert(Origin {
        login: origin.login.or_else(|| Some(login.clone())),
        uid_next: origin.uid_next.max(opened.uid_next),
        mailbox_id: origin.mailbox_id.or_else(|| opened.mailbox_id.clone()),
        ..origin
    });
    let origin = origin.clone();
    if let (None, Some(news)) = (&over, poll.known.news.clone()) {
        return poll.go_on(news, &origin, opened).await;
    }
    if let (None, Some(epoch)) = (&over, origin.epoch) {
        poll.known.actions.look(&shared.store, mailbox.folder, epoch).await?;
        if poll.known.is_quiet(&opened, &mailbox.folder.options, shared.clock.now_ms()) {
            let look = poll.sample(epoch).await?;
            over = look.over;
            // If a message has gone while the count stayed the same, another one has come.
            let is_whole = look.missing.is_empty();
            if over.is_none() && is_whole && !poll.known.ask_apart(shared, poll.source).await? {
                poll.known.changes = 0;
                poll.tell_visit().await?;
                return Ok(None);
            }
        }
    }
    let listing = poll.source.list(ListRange::All).await?;
    let listing = poll.consistent(&origin, &mut opened, listing).await?;
    over = over.or_else(|| identity::by_opened(&origin, &opened, &login));
    if let (None, Some(epoch)) = (&over, origin.epoch) {
        let ledger = poll.shared.store.ledger(epoch).await?;
        over = identity::by_listing(&ledger, opened.uid_next, &listing.keys);
        if over.is_none() {
            over = poll.compare(epoch, &ledger, &listing.keys).await?;
        }
        if over.is_none() {
            poll.known.changes = 0;
            let load = poll.load(noted_uid_next);
            let found = poll.found(epoch, listing, &ledger, &opened);
            return Ok(Some(found.begin(poll.known, load)));
        }
    }
    poll.other_epoch(&over.unwrap_or(Over::New), &opened, listing).await
}

impl<S: Source> Poll<'_, S> {
    /// Gives a listing that is about the opened mailbox. If it is not, the mailbox is opened and
    /// listed again, because a server may number it anew during a session without a word. Then
    /// `opened` has its identity facts of now.
    async fn consistent(
        &mut self,
        origin: &Origin,
        opened: &mut OpenedMailbox,
        listing: MailboxListing,
    ) -> Result<MailboxListing, Error> {
        if !opened.is_replaced(&listing.keys) {
            return Ok(listing);
        }
        let asked = OpeningMailbox { mailbox: self.mailbox, origin };
        let open = self.known.opening.open(self.shared, self.source, &asked).await?;
        OpenMailbox { opened: *opened, access: self.access } = open;
        self.source.list(ListRange::All).await
    }

    /// Begins another epoch, in which nothing is fetched yet. `None`: the mailbox may be that of
    /// another folder.
    async fn other_epoch(
        &mut self,
        over: &Over,
        opened: &OpenedMailbox,
        listing: MailboxListing,
    ) -> Result<Option<Arc<News>>, Error> {
        self.known.asked_at = None;
        let name = &self.mailbox.folder.mailbox;
        let shown = ShownMailbox { name, opened, keys: &listing.keys, must_be_whole: false };
        if *over != Over::New && self.is_of_other_folder(shown).await? {
            return Ok(None);
        }
        let Self { shared, mailbox, source, known, .. } = self;
        let beginning = EpochBeginning { shared, mailbox: *mailbox, source: *source, known };
        let epoch = beginning.begin(over, opened, &listing).await?;
        let ledger = self.shared.store.ledger(epoch).await?;
        let load = self.load(None);
        Ok(Some(self.found(epoch, listing, &ledger, opened).begin(self.known, load)))
    }

    /// Checks some of the remembered messages, because a mailbox may have the same numbers although
    /// its messages are others.
    async fn sample(&mut self, epoch: MailboxEpoch) -> Result<Look, Error> {
        // Where the source does not show a message, another one is the witness.
        let shown = self.known.evidence.free(&self.known.shown);
        let some = match shown.len() {
            ..=FEW => shown,
            _ => sample(&self.shared.clock, &shown, SAMPLE.0, SAMPLE.1),
        };
        let unloaded = self.known.unloaded.iter().flat_map(|unloaded| &unloaded.newest);
        let unloaded: Vec<_> = unloaded.map(|one| one.key).collect();
        let unloaded = self.known.evidence.free(&unloaded);
        let (newest, others) = UNLOADED_SAMPLE;
        let mut keys = sample(&self.shared.clock, &unloaded, newest, others);
        keys.extend(some);
        keys.sort_unstable();
        keys.dedup();
        self.look(epoch, &keys, Care::Much).await
    }

    async fn look(
        &mut self,
        epoch: MailboxEpoch,
        keys: &[SourceKey],
        care: Care,
    ) -> Result<Look, Error> {
        self.known.asked_at = None;
        let check = IdentityCheck {
            shared: self.shared,
            source: self.source,
            epoch,
            evidence: &mut self.known.evidence,
            unloaded: self.known.unloaded.as_ref().map_or(&[], |unloaded| &unloaded.newest),
        };
        check.look(keys, care).await
    }

    /// Checks some of the recorded messages that are listed, those that were not listed at the last
    /// poll, and from time to time all of them.
    async fn compare(
        &mut self,
        epoch: MailboxEpoch,
        ledger: &Ledger,
        listed: &[SourceKey],
    ) -> Result<Option<Over>, Error> {
        self.know_unloaded(epoch, ledger, listed).await?;
        if let Some(over) = self.compare_oversized(epoch, ledger, listed).await? {
            return Ok(Some(over));
        }
        let is_recorded = |key: &SourceKey| ledger.is_stored(*key);
        let both: Vec<SourceKey> = listed.iter().copied().filter(is_recorded).collect();
        let is_first = self.known.all_at.is_none();
        let all_max = if is_first { FIRST_MAX } else { ALL_MAX };
        let takes_all = (is_first || self.known.is_all_due()) && both.len() <= all_max;
        if is_first || self.known.is_all_due() {
            self.known.all_at = Some(Instant::now());
        }
        if takes_all
            && both.len() > FEW
            && let Some(over) = self.look(epoch, &both, Care::Little).await?.over
        {
            return Ok(Some(over));
        }
        let back = self.known.reappeared(&both);
        if back.len() <= ALL_MAX {
            let care = if back.len() <= FEW { Care::All } else { Care::Much };
            if let Some(over) = self.look(epoch, &back, care).await?.over {
                return Ok(Some(over));
            }
        }
        self.known.shown = both;
        Ok(self.sample(epoch).await?.over)
    }

    /// Reads what is noted of the messages that are not loaded. An earlier version noted nothing.
    async fn know_unloaded(
        &mut self,
        epoch: MailboxEpoch,
        ledger: &Ledger,
        listed: &[SourceKey],
    ) -> Result<(), Error> {
        let store = &self.shared.store;
        let noted = match store.unloaded(epoch.folder).await? {
            Some(noted) => noted,
            None if ledger.baseline == SourceKey::FIRST => Unloaded::default(),
            None => {
                let below = listed.partition_point(|key| *key <= ledger.baseline);
                let below = listed.get(..below).unwrap_or_default();
                let describing = self.known.describing;
                let all = unloaded::all(self.source, describing, below).await;
                let all = all.inspect_err(|error| self.known.describing = describing.after(error));
                let noted = all?.unloaded.unwrap_or_default();
                store.unloaded_note(epoch, &noted).await?;
                noted
            }
        };
        self.known.unloaded = Some(KnownUnloaded::of(&noted, listed));
        Ok(())
    }

    /// Checks the messages of which only the header is stored, and which are fetched now: their
    /// bytes must not become those of another message.
    async fn compare_oversized(
        &mut self,
        epoch: MailboxEpoch,
        ledger: &Ledger,
        listed: &[SourceKey],
    ) -> Result<Option<Over>, Error> {
        let bytes_max = self.mailbox.folder.options.count(&options::MESSAGE_BYTES_MAX);
        let due = ledger.oversized.iter().filter(|one| one.is_requested() || one.fits(bytes_max));
        let due = due.filter(|one| listed.binary_search(&one.key).is_ok());
        let keys: Vec<_> = due.map(|one| one.key).collect();
        let over = self.look(epoch, &keys, Care::All).await?.over;
        if let Some(Over::Other { key }) = over
            && let Some(oversized) = ledger.oversized(key).filter(|one| one.is_requested())
        {
            let domain = &self.mailbox.account.domain;
            self.shared.store.request_failed(domain, epoch, oversized, REPLACED).await?;
        }
        Ok(over)
    }

    /// Whether the mailbox may be that of another folder. Nothing of it is read then. If it is,
    /// what this receiver knows of the folders is superseded.
    async fn is_of_other_folder(&mut self, shown: ShownMailbox<'_>) -> Result<bool, Error> {
        let (shared, mailbox, access) = (self.shared, self.mailbox, self.access);
        let like = self.known.evidence.unsteady;
        let elsewhere = &mut self.known.elsewhere;
        let search = OwnerSearch { shared, source: self.source, elsewhere, like };
        match search.settle(mailbox, access, shown).await? {
            NameOwner::NoOther => Ok(false),
            NameOwner::Undecided => {
                self.known.look_anew();
                Ok(true)
            }
            NameOwner::Exchanged => {
                // What was found out is about the mailbox of the other folder.
                self.known.end = None;
                self.known.look_anew();
                Err(Error::Superseded)
            }
        }
    }

    /// Goes on with a load. What has come since the mailbox was listed is fetched before the rest.
    async fn go_on(
        &mut self,
        news: Arc<News>,
        origin: &Origin,
        mut opened: OpenedMailbox,
    ) -> Result<Option<Arc<News>>, Error> {
        self.known.asked_at = None;
        let now_ms = self.shared.clock.now_ms();
        if !self.known.is_listed_again(&opened, now_ms) {
            return Ok(Some(news));
        }
        self.known.was_unlisted = true;
        let listing = match self.source.list(ListRange::All).await {
            // The rest can be loaded all the same.
            Err(error) if error.is_refusal() || matches!(error, Error::Unlisted { .. }) => {
                return Ok(Some(news));
            }
            listing => listing?,
        };
        let listing = self.consistent(origin, &mut opened, listing).await?;
        self.known.was_unlisted = false;
        let ledger = self.shared.store.ledger(news.epoch).await?;
        let over = identity::by_opened(origin, &opened, &self.mailbox.account.mailbox_origin());
        let by_listing = || identity::by_listing(&ledger, opened.uid_next, &listing.keys);
        if let Some(over) = over.or_else(by_listing) {
            return self.other_epoch(&over, &opened, listing).await;
        }
        let found = self.found(news.epoch, listing, &ledger, &opened);
        Ok(Some(found.go_on(self.known, &news, now_ms)))
    }

    fn found<'b>(
        &self,
        epoch: MailboxEpoch,
        listing: MailboxListing,
        ledger: &'b Ledger,
        opened: &'b OpenedMailbox,
    ) -> ListedMail<'b> {
        ListedMail { epoch, listing, ledger, opened, access: self.access }
    }

    /// What the plan of a load needs to know. `noted_uid_next`: UIDNEXT that is recorded in the
    /// present epoch. While a load goes on, it is that of its beginning.
    fn load(&self, noted_uid_next: Option<u64>) -> LoadBeginning {
        LoadBeginning {
            now_ms: self.shared.clock.now_ms(),
            bytes_max: self.mailbox.folder.options.count(&options::MESSAGE_BYTES_MAX),
            noted_uid_next,
        }
    }

    async fn tell_visit(&self) -> Result<(), Error> {
        let now = Timestamp::from_ms(self.shared.clock.now_ms());
        let times = PollTimes { poll: Some(now), proof: None };
        let report = FolderReport { times, ..FolderReport::default() };
        let domain = &self.mailbox.account.domain;
        Ok(self.shared.store.folder_report(domain, self.mailbox.folder.id, &report).await?)
    }
}
