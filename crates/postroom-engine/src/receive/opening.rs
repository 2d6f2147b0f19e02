//! Opens a mailbox for a poll. Decides in which way it is opened, and whether its MAILBOXID is
//! evidence.
//!
//! The MAILBOXID is the one that the server tells when it opens the mailbox. QUIRK(Cyrus 3.6.1):
//! STATUS tells other bytes.
//!
//! Standards: RFC 3501 §6.3.1, RFC 8474 §4.1.

use crate::account::MonitoredMailbox;
use crate::error::Error;
use crate::receive::action_state;
use crate::receive::identity::Over;
use crate::shared::Shared;
use crate::source::contract::MailboxAccess;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::Source;
use crate::source_error::SourceFailure;
use postroom_imap::MailboxName;
use postroom_store::Origin;
use postroom_store::Suspended;

/// If MAILBOXID alone ends more epochs than this, the server is assumed to make it up.
const REPLACED_MAX: u32 = 2;

/// What suspended sending means for the mail at the server. The text follows the reason.
const REST: &str = ", and the original may use the same mailbox, so received messages are not \
    marked or deleted at the server; that waits for POST /rest/v1/sending:resume";

/// What is known about opening the mailbox of a folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    /// Whether it is always opened for changes, because its UIDVALIDITY differed when it was opened
    /// for reading.
    for_changes: bool,
    /// Whether the MAILBOXID of this server proves nothing.
    ids_vary: bool,
    /// How many epochs ended because of MAILBOXID alone.
    replaced: u32,
    /// Why the server does not let it be opened for changes, although it can be read.
    reads_only: Option<String>,
    /// Why the folder changes nothing at the server, although it demands it.
    suspended: Option<Suspended>,
}

/// The mailbox to open.
pub(crate) struct OpeningMailbox<'a> {
    /// The folder with its account.
    pub mailbox: MonitoredMailbox<'a>,
    /// What is recorded about its mailbox.
    pub origin: &'a Origin,
}

/// A mailbox that was opened.
pub(crate) struct OpenMailbox {
    /// Its identity facts. A MAILBOXID that proves nothing is left out.
    pub opened: OpenedMailbox,
    /// How it was opened.
    pub access: MailboxAccess,
}

impl Opening {
    /// What is still known when an epoch of the mailbox is over.
    #[must_use]
    pub(crate) fn after(self, over: &Over) -> Self {
        let replaced = self.replaced.saturating_add(u32::from(*over == Over::MailboxId));
        Self { ids_vary: self.ids_vary || replaced > REPLACED_MAX, replaced, ..self }
    }

    /// Opens the mailbox.
    ///
    /// # Errors
    ///
    /// What ended the connection, the server's refusal of the mailbox, or the store.
    pub(crate) async fn open<S: Source>(
        &mut self,
        shared: &Shared,
        source: &mut S,
        asked: &OpeningMailbox<'_>,
    ) -> Result<OpenMailbox, Error> {
        let (folder, origin) = (asked.mailbox.folder, asked.origin);
        let is_demanded = action_state::demanded(folder).is_some();
        self.suspended = match is_demanded {
            true => shared.store.sending_suspended().await?,
            false => None,
        };
        let changes = is_demanded && self.suspended.is_none();
        let access =
            if changes || self.for_changes { MailboxAccess::Change } else { MailboxAccess::Read };
        let OpenMailbox { mut opened, mut access } =
            self.open_as(source, &folder.mailbox, access).await?;
        let uid_validity = Some(opened.uid_validity);
        let differs = origin.uid_validity.is_some() && origin.uid_validity != uid_validity;
        if differs && access == MailboxAccess::Read {
            // QUIRK(Courier): a mailbox that nobody has opened by SELECT has another UIDVALIDITY at
            // each EXAMINE.
            self.for_changes = true;
            let again = self.open_as(source, &folder.mailbox, MailboxAccess::Change).await?;
            OpenMailbox { opened, access } = again;
        }
        if !changes {
            self.reads_only = None;
        }
        let opened = self.check(shared, source, asked, OpenMailbox { opened, access }).await?;
        Ok(OpenMailbox { opened, access })
    }

    /// Opens a mailbox. If the server refuses to open it for changes, it is opened for reading, so
    /// that its mail is received all the same.
    async fn open_as<S: Source>(
        &mut self,
        source: &mut S,
        mailbox: &MailboxName,
        access: MailboxAccess,
    ) -> Result<OpenMailbox, Error> {
        let refusal = match source.open(mailbox, access).await {
            Ok(opened) => {
                self.reads_only = None;
                return Ok(OpenMailbox { opened, access });
            }
            Err(error) => error,
        };
        let failure = refusal.source_failure();
        let is_of_mailbox =
            matches!(failure, Some(SourceFailure::Refused { is_about_account: false, .. }));
        if access == MailboxAccess::Read || !is_of_mailbox {
            return Err(refusal);
        }
        match source.open(mailbox, MailboxAccess::Read).await {
            Ok(opened) => {
                self.reads_only = Some(refusal.to_string());
                Ok(OpenMailbox { opened, access: MailboxAccess::Read })
            }
            // The mailbox cannot be opened at all.
            Err(error) if error.is_refusal() => Err(refusal),
            Err(error) => Err(error),
        }
    }

    /// What the folder says of a mailbox that is only read. `None`: it can be changed, or need not
    /// be.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<String> {
        if let Some(why) = self.suspended {
            return Some(format!("{}{REST}", why.as_str()));
        }
        let why = self.reads_only.as_ref()?;
        Some(format!(
            "the server lets Postroom only read the mailbox, so received messages are not marked \
             or deleted there: {why}; give the login the rights for it, or switch deleteOnServer \
             off and keep_unseen on"
        ))
    }

    /// Removes the MAILBOXID from the identity facts if it differs from the recorded one and proves
    /// nothing. It proves nothing if several mailboxes have the recorded one, or if the server
    /// tells another one each time. Otherwise, another mailbox has this name now.
    async fn check<S: Source>(
        &mut self,
        shared: &Shared,
        source: &mut S,
        asked: &OpeningMailbox<'_>,
        open: OpenMailbox,
    ) -> Result<OpenedMailbox, Error> {
        let OpenMailbox { mut opened, access } = open;
        let (Some(then), Some(now)) = (&asked.origin.mailbox_id, &opened.mailbox_id) else {
            return Ok(opened);
        };
        if then == now {
            return Ok(opened);
        }
        if !self.ids_vary {
            let folders = shared.store.mailbox_id_folders(asked.mailbox.account.id, then).await?;
            let again = source.open(&asked.mailbox.folder.mailbox, access).await?;
            self.ids_vary = folders.iter().any(|other| *other != asked.mailbox.folder.id)
                || again.mailbox_id != opened.mailbox_id;
            opened = again;
        }
        if self.ids_vary {
            opened.mailbox_id = None;
        }
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_whose_identity_of_a_mailbox_changes_again_and_again_makes_it_up() {
        let mut opening = Opening::default();
        for _ in 0..REPLACED_MAX {
            opening = opening.after(&Over::MailboxId).after(&Over::UidValidity);
        }
        assert!(!opening.ids_vary);
        assert!(opening.after(&Over::MailboxId).ids_vary);
    }
}
