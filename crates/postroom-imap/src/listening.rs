//! What a connection gives its owner between commands.

use crate::connection::ImapConnection;
use crate::mailbox::MailboxName;
use crate::unsolicited::Unsolicited;

impl ImapConnection {
    /// Takes what the server has said so far without being asked.
    #[must_use]
    pub fn take_unsolicited(&self) -> Unsolicited {
        self.unsolicited.take()
    }

    /// Waits until the server says, without being asked, that the open mailbox has more messages,
    /// or something that a person must see. The connection need not be idle. Dropping the future
    /// loses nothing.
    pub async fn unsolicited(&self) {
        self.unsolicited.wait().await;
    }

    /// The mailbox that is open.
    #[must_use]
    pub fn selected(&self) -> Option<&MailboxName> {
        self.selected.as_ref()
    }
}
