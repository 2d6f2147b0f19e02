//! Opens a mailbox for a poll: in which way, and which of the numbers that the server tells are
//! evidence.
//!
//! The identity of a mailbox (MAILBOXID) is what the source tells when it opens it. QUIRK(Cyrus
//! 3.6.1): STATUS tells other bytes.
//!
//! Standards: RFC 3501 §6.3.1, RFC 8474 §4.1.

use crate::account::MonitoredMailbox;
use crate::error::Error;
use crate::receive::actions;
use crate::receive::identity::Over;
use crate::shared::Shared;
use crate::source::contract::MailboxAccess;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::Source;
use postroom_store::Origin;

/// If MAILBOXID alone ends more epochs than this, the server is assumed to make it up.
const REPLACED_MAX: u32 = 2;

/// What is known of the way in which the mailbox of a folder is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Opening {
    /// Whether it is opened for changes because it has another UIDVALIDITY otherwise.
    for_changes: bool,
    /// Whether the server's MAILBOXID is no evidence.
    ids_vary: bool,
    /// How many times MAILBOXID alone showed another mailbox.
    replaced: u32,
}

/// The mailbox that is opened.
pub(crate) struct OpeningMailbox<'a> {
    /// The mailbox.
    pub mailbox: MonitoredMailbox<'a>,
    /// What is noted of its mailbox.
    pub origin: &'a Origin,
}

/// A mailbox that was opened.
pub(crate) struct OpenMailbox {
    /// Its identity facts, without a MAILBOXID that is no evidence.
    pub opened: OpenedMailbox,
    /// How it was opened.
    pub access: MailboxAccess,
}

impl Opening {
    /// The same for the next epoch of the mailbox.
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
        let changes = actions::demanded(folder).is_some();
        let mut access =
            if changes || self.for_changes { MailboxAccess::Change } else { MailboxAccess::Read };
        let mut opened = source.open(&folder.mailbox, access).await?;
        let uid_validity = Some(opened.uid_validity);
        let differs = origin.uid_validity.is_some() && origin.uid_validity != uid_validity;
        if differs && access == MailboxAccess::Read {
            // QUIRK(Courier): a mailbox that nobody has opened by SELECT has another UIDVALIDITY at
            // each EXAMINE.
            self.for_changes = true;
            access = MailboxAccess::Change;
            opened = source.open(&folder.mailbox, access).await?;
        }
        let opened = self.check(shared, source, asked, OpenMailbox { opened, access }).await?;
        Ok(OpenMailbox { opened, access })
    }

    /// Takes MAILBOXID out of the identity facts if it differs from the noted one and is no
    /// evidence: the server tells the noted one of several mailboxes, or another one each time. If
    /// it is evidence, another mailbox has the name now.
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
