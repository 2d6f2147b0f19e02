//! Opens a mailbox for a poll: in which way, and which of the numbers that the server tells are
//! evidence.
//!
//! MAILBOXID is taken from SELECT and EXAMINE only. QUIRK(Cyrus 3.6.1): STATUS tells other bytes.
//!
//! Standards: RFC 3501 §6.3.1, RFC 8474 §4.1.

use crate::error::Error;
use crate::receive::actions;
use crate::receive::identity::Over;
use crate::receive::mailbox::MonitoredMailbox;
use crate::shared::Shared;
use postroom_imap::ImapConnection;
use postroom_imap::Mode;
use postroom_imap::Selected;
use postroom_store::Origin;

/// If MAILBOXID alone ends more epochs than this, the server is assumed to make it up.
const REPLACED_MAX: u32 = 2;

/// What is known of the way in which the mailbox of a folder is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Opening {
    /// Whether it is opened by SELECT because EXAMINE gives it another UIDVALIDITY.
    selects: bool,
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
    /// What the server tells of it, without a MAILBOXID that is no evidence.
    pub selected: Selected,
    /// How it was opened. After EXAMINE no command changes anything.
    pub mode: Mode,
}

impl Opening {
    /// The same for the next epoch of the mailbox.
    #[must_use]
    pub fn after(self, over: &Over) -> Self {
        let replaced = self.replaced.saturating_add(u32::from(*over == Over::MailboxId));
        Self { ids_vary: self.ids_vary || replaced > REPLACED_MAX, replaced, ..self }
    }

    /// Opens the mailbox.
    ///
    /// # Errors
    ///
    /// What ended the connection, the server's refusal of the mailbox, or the store.
    pub async fn open(
        &mut self,
        shared: &Shared,
        connection: &mut ImapConnection,
        asked: &OpeningMailbox<'_>,
    ) -> Result<OpenMailbox, Error> {
        let (folder, origin) = (asked.mailbox.folder, asked.origin);
        let changes = actions::demanded(folder).is_some();
        let mut mode = if changes || self.selects { Mode::Select } else { Mode::Examine };
        let mut selected = connection.select(&folder.mailbox, mode).await?;
        let uid_validity = Some(selected.uid_validity.unwrap_or(0));
        let differs = origin.uid_validity.is_some() && origin.uid_validity != uid_validity;
        if differs && mode == Mode::Examine {
            // QUIRK(Courier): a mailbox that nobody has opened by SELECT has another UIDVALIDITY at
            // each EXAMINE.
            self.selects = true;
            mode = Mode::Select;
            selected = connection.select(&folder.mailbox, mode).await?;
        }
        let selected =
            self.check(shared, connection, asked, OpenMailbox { selected, mode }).await?;
        Ok(OpenMailbox { selected, mode })
    }

    /// Takes MAILBOXID out of the result of SELECT if it differs from the noted one and is no
    /// evidence: the server tells the noted one of several mailboxes, or another one each time. If
    /// it is evidence, another mailbox has the name now.
    async fn check(
        &mut self,
        shared: &Shared,
        connection: &mut ImapConnection,
        asked: &OpeningMailbox<'_>,
        opened: OpenMailbox,
    ) -> Result<Selected, Error> {
        let OpenMailbox { mut selected, mode } = opened;
        let (Some(then), Some(now)) = (&asked.origin.mailbox_id, &selected.mailbox_id) else {
            return Ok(selected);
        };
        if then == now {
            return Ok(selected);
        }
        if !self.ids_vary {
            let folders = shared.store.mailbox_id_folders(asked.mailbox.account.id, then).await?;
            let again = connection.select(&asked.mailbox.folder.mailbox, mode).await?;
            self.ids_vary = folders.iter().any(|other| *other != asked.mailbox.folder.id)
                || again.mailbox_id != selected.mailbox_id;
            selected = again;
        }
        if self.ids_vary {
            selected.mailbox_id = None;
        }
        Ok(selected)
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
