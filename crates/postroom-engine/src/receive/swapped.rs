//! Mailboxes that exchange their names while nobody looks.
//!
//! LIST shows no difference then, but a name stands for the mailbox of another folder. If it were
//! read as it is, each of the two folders would receive the messages of the other one. So before a
//! new epoch begins, the folders of the account are asked whose mailbox this is. The folder whose
//! mailbox it is takes the name, and the other one takes the name that becomes free. Its mailbox is
//! there, or the next poll of that name finds whose it is.
//!
//! ```text
//!   the name shows the mailbox of another folder, and that folder's own name no longer does
//!     both folders exchange their names
//!   both names show it
//!     it is a copy: no name changes
//! ```
//! INBOX keeps its name, because every account has it.

use crate::account::Account;
use crate::account::Folder;
use crate::account::MonitoredMailbox;
use crate::error::Error;
use crate::receive::evidence::EvidenceElsewhere;
use crate::receive::identity;
use crate::receive::identity::differs;
use crate::receive::returned;
use crate::receive::returned::ShownMailbox;
use crate::receive::witness::Unsteady;
use crate::shared::Shared;
use crate::source::contract::ListRange;
use crate::source::contract::MailboxAccess;
use crate::source::contract::Source;
use crate::source_error::SourceFailure;
use postroom_imap::MailboxName;
use postroom_store::MailboxEpoch;
use postroom_store::NamedMailbox;
use postroom_store::Origin;

/// The result of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameOwner {
    /// The mailbox is that of no other folder.
    NoOther,
    /// It was that of another folder, and the folders have exchanged their names. Nothing of it
    /// belongs to this folder.
    Exchanged,
    /// It may be that of another folder, which could not be decided now.
    Undecided,
}

/// A search for the folder whose mailbox is open.
pub(crate) struct OwnerSearch<'a, S> {
    /// The engine.
    pub shared: &'a Shared,
    /// The source that has opened the mailbox.
    pub source: &'a mut S,
    /// What is known of the evidence that it gives of each mailbox.
    pub elsewhere: &'a mut EvidenceElsewhere,
    /// Which facts of the source are no evidence.
    pub like: Unsteady,
}

impl<S: Source> OwnerSearch<'_, S> {
    /// Looks for another folder whose mailbox the open one is. If there is one, the folders
    /// exchange the names of their mailboxes. The mailbox of the folder is open afterwards, unless
    /// they did.
    ///
    /// # Errors
    ///
    /// What ended the connection, or the store.
    pub(crate) async fn settle(
        mut self,
        mailbox: MonitoredMailbox<'_>,
        access: MailboxAccess,
        shown: ShownMailbox<'_>,
    ) -> Result<NameOwner, Error> {
        let MonitoredMailbox { account, folder } = mailbox;
        let inbox = MailboxName::inbox();
        if folder.mailbox == inbox {
            return Ok(NameOwner::NoOther);
        }
        let own = self.shared.store.origin(folder.id).await?.mailbox_id;
        if own.is_some() && own == shown.opened.mailbox_id {
            return Ok(NameOwner::NoOther);
        }
        let others = account.monitored().filter(|other| other.id != folder.id);
        for other in others.filter(|other| other.mailbox != inbox) {
            if !self.is_mailbox_of(account, other, shown).await? {
                continue;
            }
            let has_left = self.has_left(account, other, shown).await;
            let again = self.source.open(&folder.mailbox, access).await;
            if !has_left? {
                if again?.uid_validity != shown.opened.uid_validity {
                    return Ok(NameOwner::Undecided);
                }
                continue;
            }
            let named = |one: &Folder| {
                let mailbox = one.mailbox.to_percent_encoded();
                NamedMailbox { folder: one.id, mailbox }
            };
            let names = [named(folder), named(other)];
            if self.shared.store.folders_exchange(&account.domain, names).await? {
                tracing::info!(
                    account = account.address,
                    folder = folder.title,
                    other = other.title,
                    "the mailboxes of the folders have exchanged their names: the folders follow \
                     them"
                );
            }
            return Ok(NameOwner::Exchanged);
        }
        Ok(NameOwner::NoOther)
    }

    /// Whether the open mailbox is the one of another folder, by its MAILBOXID or by the messages
    /// that are recorded of it.
    async fn is_mailbox_of(
        &mut self,
        account: &Account,
        other: &Folder,
        shown: ShownMailbox<'_>,
    ) -> Result<bool, Error> {
        let (shared, source) = (self.shared, &mut *self.source);
        let evidence = self.elsewhere.of(shown.name, shown.opened.uid_validity, self.like);
        let origin = shared.store.origin(other.id).await?;
        if origin.login.as_ref() != Some(&account.mailbox_origin()) {
            return Ok(false);
        }
        let (then, now) = (origin.mailbox_id.as_ref(), shown.opened.mailbox_id.as_ref());
        if then.is_some() && then == now {
            return Ok(true);
        }
        if let Some(epoch) = present(&origin, shown).filter(|_| !differs(then, now))
            && returned::is_of(shared, source, epoch, shown, evidence).await?
        {
            return Ok(true);
        }
        // The other folder was polled before, and has begun to read what its name shows now.
        Ok(returned::find(shared, source, other.id, shown, evidence).await?.is_some())
    }

    /// Whether the mailbox of a folder is no longer under its name.
    async fn has_left(
        &mut self,
        account: &Account,
        folder: &Folder,
        shown: ShownMailbox<'_>,
    ) -> Result<bool, Error> {
        let (shared, source) = (self.shared, &mut *self.source);
        let opened = match source.open(&folder.mailbox, MailboxAccess::Read).await {
            Ok(opened) => opened,
            Err(error) if is_lasting(&error) => return Ok(true),
            Err(error) if error.is_refusal() => {
                // Not every server says why. A name that is not listed has no mailbox.
                let listed = source.survey().await?;
                let is_listed = listed.listed.iter().any(|listed| listed.name == folder.mailbox);
                let is_gone = !is_listed && listed.is_whole && listed.over_count == 0;
                return if is_gone { Ok(true) } else { Err(error) };
            }
            Err(error) => return Err(error),
        };
        let origin = shared.store.origin(folder.id).await?;
        if origin.mailbox_id.is_some() && origin.mailbox_id == opened.mailbox_id {
            return Ok(false);
        }
        let listing = source.list(ListRange::All).await?;
        let (name, keys) = (&folder.mailbox, &listing.keys);
        let shown = ShownMailbox { name, opened: &opened, keys, ..shown };
        let evidence = self.elsewhere.of(name, opened.uid_validity, self.like);
        if identity::by_opened(&origin, &opened, &account.mailbox_origin()).is_some() {
            // The name may stand for two stores, and shows the other one of the same mailbox now.
            return Ok(returned::find(shared, source, folder.id, shown, evidence).await?.is_none());
        }
        let Some(epoch) = origin.epoch else {
            return Ok(false);
        };
        Ok(!returned::is_of(shared, source, epoch, shown, evidence).await?)
    }
}

/// The present epoch of an origin, if the mailbox has its UIDVALIDITY.
fn present(origin: &Origin, shown: ShownMailbox<'_>) -> Option<MailboxEpoch> {
    let uid_validity = origin.uid_validity.filter(|uid_validity| *uid_validity != 0);
    origin.epoch.filter(|_| uid_validity == Some(shown.opened.uid_validity))
}

fn is_lasting(error: &Error) -> bool {
    matches!(error.source_failure(), Some(SourceFailure::Refused { is_lasting: true, .. }))
}
