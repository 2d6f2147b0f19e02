//! Begins an epoch of a mailbox: which of its messages are not loaded, and whether it is one that
//! was there before.

use crate::account::MonitoredMailbox;
use crate::error::Error;
use crate::receive::identity::Over;
use crate::receive::known::Known;
use crate::receive::known::KnownUnloaded;
use crate::receive::returned;
use crate::receive::returned::ShownMailbox;
use crate::receive::unloaded;
use crate::receive::unloaded::LeftOut;
use crate::shared::Shared;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::Source;
use crate::source::listing::MailboxListing;
use postroom_model::options;
use postroom_store::Beginning;
use postroom_store::MailboxEpoch;
use postroom_store::Origin;
use postroom_store::ReturnedEpoch;
use postroom_store::SourceKey;

/// What follows from another epoch, for the log.
const READ_ANEW: &str = "all messages are fetched again; stored ones are recognised and not \
    stored twice, and open deletions at the server are cancelled";
const KNOWN_AGAIN: &str = "its messages are those of an earlier time, which is gone on with";

/// The mailbox whose epoch begins. It is open.
pub(crate) struct EpochBeginning<'a, S> {
    /// The engine.
    pub shared: &'a Shared,
    /// The folder with its account.
    pub mailbox: MonitoredMailbox<'a>,
    /// The source that has opened it.
    pub source: &'a mut S,
    /// What is remembered of the folder.
    pub known: &'a mut Known,
}

impl<S: Source> EpochBeginning<'_, S> {
    /// Begins another epoch of the mailbox, or goes on with a former one that is back.
    ///
    /// # Errors
    ///
    /// What ended the connection, or the store.
    pub(crate) async fn begin(
        mut self,
        over: &Over,
        opened: &OpenedMailbox,
        listing: &MailboxListing,
    ) -> Result<MailboxEpoch, Error> {
        let noted = self.shared.store.origin(self.mailbox.folder.id).await?;
        let LeftOut { baseline, unloaded } = self.left_out(&noted, &listing.keys).await?;
        let uid_validity = opened.uid_validity;
        let login = self.mailbox.account.mailbox_origin();
        let mailbox_id = opened.mailbox_id.as_ref();
        let unloaded = unloaded.as_ref();
        let name = &self.mailbox.folder.mailbox;
        let shown = ShownMailbox { name, opened, keys: &listing.keys, must_be_whole: true };
        let Known { elsewhere, evidence, .. } = &mut *self.known;
        let evidence = elsewhere.of(name, uid_validity, evidence.unsteady);
        let (source, folder) = (&mut *self.source, self.mailbox.folder.id);
        let former = returned::find(self.shared, source, folder, shown, evidence).await?;
        let former = former.map(|epoch| ReturnedEpoch { epoch, listed: &listing.keys });
        let begun =
            Beginning { login: &login, uid_validity, mailbox_id, baseline, unloaded, former };
        // If no answer comes, the next turn reads whether it has begun.
        self.known.origin = None;
        let epoch = self.shared.store.epoch_begin(self.mailbox.folder.id, begun).await?;
        if *over != Over::New {
            let consequence = if former.is_some() { KNOWN_AGAIN } else { READ_ANEW };
            tracing::warn!(folder = self.mailbox.folder.title, "{over}: {consequence}");
        }
        let origin = Origin {
            login: Some(login),
            epoch: Some(epoch),
            uid_validity: Some(uid_validity),
            uid_next: opened.uid_next,
            mailbox_id: opened.mailbox_id.clone(),
            all_stored_ms: noted.all_stored_ms,
        };
        let known = &mut *self.known;
        let evidence = known.elsewhere.take(name, uid_validity).unwrap_or_default();
        if let Some(before) = noted.uid_validity.filter(|before| *before != uid_validity) {
            known.elsewhere.keep(name, before, std::mem::take(&mut known.evidence));
        }
        known.begin_anew(origin, over, listing.keys.is_empty());
        // What is known of the messages of a former epoch holds again. Otherwise only what is known
        // of the source does.
        known.evidence = if former.is_some() { evidence } else { evidence.of_other_keys() };
        if former.is_some() {
            self.known.came_back([noted.uid_validity.unwrap_or(0), uid_validity]);
        }
        self.known.unloaded = unloaded.map(|noted| KnownUnloaded::of(noted, &listing.keys));
        Ok(epoch)
    }

    /// Which messages are not loaded in an epoch that begins.
    ///
    /// Without `load_existing`, messages that were there when the folder was enabled are not
    /// loaded. In another epoch, all others are loaded, whatever their keys are now. So those that
    /// are pending are loaded too.
    async fn left_out(&mut self, origin: &Origin, listed: &[SourceKey]) -> Result<LeftOut, Error> {
        if self.mailbox.folder.options.flag(&options::LOAD_EXISTING) {
            return Ok(LeftOut::default());
        }
        let describing = self.known.describing;
        let result = if origin.epoch.is_none() {
            unloaded::all(self.source, describing, listed).await
        } else {
            let former = self.shared.store.unloaded(self.mailbox.folder.id).await?;
            let since_ms = origin.all_stored_ms;
            unloaded::again(self.source, describing, former, since_ms, listed).await
        };
        // A message that ends the connection when it is described must not end each poll.
        result.inspect_err(|error| self.known.describing = describing.after(error))
    }
}
