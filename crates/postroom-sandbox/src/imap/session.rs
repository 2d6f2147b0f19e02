//! The state of one dialogue.

use crate::imap::view::View;
use crate::mailbox::Mailbox;
use crate::peer::Peer;
use bytes::Bytes;
use std::io;
use tokio::sync::broadcast;

/// One dialogue.
pub(crate) struct ImapDialogue {
    /// The client.
    pub peer: Peer,
    /// The selected mailbox.
    pub view: Option<View>,
    /// The item that the rules leave out of the responses to this command.
    pub without: Option<String>,
    /// How many of the sayings of [`crate::SandboxState::say`] the client has heard.
    pub heard_count: usize,
    interruptions: broadcast::Receiver<(String, Bytes)>,
}

impl ImapDialogue {
    /// With a client that has just connected.
    pub(crate) fn new(peer: Peer) -> Self {
        let interruptions = peer.house.interruptions.subscribe();
        Self { peer, view: None, without: None, heard_count: 0, interruptions }
    }

    /// Waits for the client to say something, and interrupts it meanwhile.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(crate) async fn listen(&mut self) -> io::Result<()> {
        while self.peer.wire.input().is_empty() {
            tokio::select! {
                biased;
                filled = self.peer.wire.fill() => filled?,
                Ok((user, bytes)) = self.interruptions.recv() => {
                    if self.user().eq_ignore_ascii_case(&user) {
                        self.peer.wire.push(&bytes);
                        self.peer.wire.flush().await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Who is logged in; empty before that.
    pub(crate) fn user(&self) -> &str {
        self.peer.user.as_deref().unwrap_or_default()
    }

    /// What CAPABILITY says now.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let house = &self.peer.house;
        let plain = !self.peer.wire.is_tls();
        let mut usual = vec!["IMAP4rev1", "LITERAL+", "ID", "NAMESPACE", "CHILDREN"];
        if self.peer.user.is_none() {
            usual.push("SASL-IR");
            if plain && house.tls {
                usual.push("STARTTLS");
            }
            let refused = plain && house.login_needs_tls;
            usual.push(if refused { "LOGINDISABLED" } else { "AUTH=PLAIN" });
        }
        usual.extend(["UIDPLUS", "SPECIAL-USE", "ESEARCH", "IDLE", "MOVE", "UNSELECT"]);
        usual.push("OBJECTID");
        let usual = usual.into_iter().map(str::to_owned).collect();
        house.shared.look(|state| state.imap_capabilities.applied(usual))
    }

    /// Whether CAPABILITY says this.
    pub(crate) fn offers(&self, capability: &str) -> bool {
        self.capabilities().iter().any(|own| own.eq_ignore_ascii_case(capability))
    }

    /// Reads a mailbox of the user, by wire name.
    pub(crate) fn mailbox<T>(&self, name: &str, read: impl FnOnce(&Mailbox) -> T) -> Option<T> {
        let user = self.user();
        self.peer.house.shared.look(|state| state.wire_mailbox(user, name).map(read))
    }

    /// Changes a mailbox of the user, by wire name.
    pub(crate) fn mailbox_edit<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Mailbox) -> T,
    ) -> Option<T> {
        let user = self.user();
        self.peer.house.shared.edit(|state| {
            state.wire_mailboxes_mut(user).and_then(|mailboxes| mailboxes.get_mut(name)).map(change)
        })
    }

    /// Queues the changes that the client does not know yet.
    pub(crate) fn tell_news(&mut self) {
        let said = self
            .peer
            .house
            .shared
            .look(|state| state.said_since(self.user(), self.heard_count).to_vec());
        self.heard_count += said.len();
        for bytes in said {
            self.peer.wire.push(&bytes);
        }
        let Some(mut view) = self.view.take() else {
            return;
        };
        let id = self.peer.id();
        let name = view.mailbox.clone();
        let news = self.mailbox(&name, |mailbox| view.news(mailbox, id));
        self.peer.wire.push(&news.unwrap_or_default());
        self.view = Some(view);
    }

    /// The selected messages that a command means, as positions in the view.
    pub(crate) fn uids(&self) -> &[u32] {
        self.view.as_ref().map_or(&[], |view| &view.uids)
    }
}
