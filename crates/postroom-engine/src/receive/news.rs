//! News: the result of a poll, which is remembered until all of it is fetched.

use crate::source::contract::MailboxAccess;
use crate::source::contract::OpenedMailbox;
use crate::source::listing::MailboxListing;
use postroom_model::FolderId;
use postroom_model::MailboxId;
use postroom_store::MailboxEpoch;
use postroom_store::Oversized;
use postroom_store::Pending;
use postroom_store::SourceKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The result of a poll of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    /// The epoch of the mailbox.
    pub epoch: MailboxEpoch,
    /// UIDVALIDITY of the mailbox. 0 when the server has none.
    pub uid_validity: u64,
    /// MAILBOXID, when the server gave it and it is evidence.
    pub mailbox_id: Option<MailboxId>,
    /// UIDNEXT, when the server gave it.
    pub uid_next: Option<u64>,
    /// UIDNEXT when the load began that goes on. Messages from this number on came later, and are
    /// fetched before the rest.
    pub begun_uid_next: Option<u64>,
    /// UIDNEXT when the mailbox was last proven complete in this epoch. `None`: this process has
    /// not proven it, or the server gave none.
    pub proven_uid_next: Option<u64>,
    /// How it was opened.
    pub access: MailboxAccess,
    /// What the server lists.
    pub listing: MailboxListing,
    /// How many of the listed messages were recorded before.
    pub recorded: u64,
    /// Whether there are receipts of former epochs. Then messages with known bytes are linked, not
    /// stored again.
    pub relink: bool,
    /// The pending messages, by key.
    pub pending: BTreeMap<SourceKey, Pending>,
    /// The messages of which only the header is stored, by key.
    pub oversized: BTreeMap<SourceKey, Oversized>,
}

impl News {
    /// The same, when the server has contradicted the list since.
    #[must_use]
    pub(crate) fn contradicted(&self) -> Self {
        let listing = MailboxListing { is_contradicted: true, ..self.listing.clone() };
        Self { listing, ..self.clone() }
    }

    /// Whether the server breaks its promise with a new key. It was not there when the mailbox was
    /// proven complete, so it must not be below the UIDNEXT of then (RFC 3501 §2.3.1.1).
    #[must_use]
    pub(crate) fn is_too_low(&self, key: SourceKey) -> bool {
        let was_listed = self.pending.contains_key(&key) || self.oversized.contains_key(&key);
        let is_below = self.proven_uid_next.is_some_and(|uid_next| key.uid() < uid_next);
        is_below && !was_listed && self.listing.is_whole()
    }

    /// Whether the mailbox may have changed since it was listed, by what the source says of it now.
    #[must_use]
    pub(crate) fn is_behind(&self, opened: &OpenedMailbox) -> bool {
        let listed = Some(self.listing.keys.len() as u64);
        opened.uid_next.is_none() || opened.uid_next != self.uid_next || opened.count != listed
    }
}

/// A message for which the server was silent, so that it is fetched on a connection of its own.
#[derive(Debug)]
pub(crate) struct LateMessage {
    /// Its folder.
    pub folder: FolderId,
    /// Its key.
    pub key: SourceKey,
    /// The result of the poll that found it.
    pub news: Arc<News>,
}
