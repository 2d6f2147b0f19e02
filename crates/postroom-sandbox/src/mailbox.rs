//! One mailbox in memory: messages by UID with their exact bytes.

use bytes::Bytes;
use std::collections::BTreeMap;

/// One message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Unique in the mailbox, ascending.
    pub uid: u32,
    /// System flags and keywords, in no order.
    pub flags: Vec<String>,
    /// INTERNALDATE: Unix time in milliseconds.
    pub internal_date_ms: i64,
    /// The message as it came.
    pub bytes: Bytes,
    /// The mailbox version that changed the flags last, and the connection that did it.
    pub(crate) flags_changed: (u64, u64),
}

impl StoredMessage {
    /// Whether the message has the flag, in any case.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own.eq_ignore_ascii_case(flag))
    }
}

/// One mailbox of one user.
#[derive(Debug, Clone)]
pub struct Mailbox {
    /// LIST attributes such as `\Sent` (RFC 6154) or `\Noselect`, without those about children.
    pub attributes: Vec<String>,
    /// Whether LSUB lists it.
    pub subscribed: bool,
    /// MAILBOXID (RFC 8474 §4.1), which stays when the mailbox is renamed. `None`: it is not told.
    pub mailbox_id: Option<String>,
    uid_validity: u32,
    uid_next: u32,
    version: u64,
    messages: BTreeMap<u32, StoredMessage>,
}

impl Mailbox {
    /// An empty mailbox without MAILBOXID.
    pub fn new(uid_validity: u32) -> Self {
        Self {
            attributes: Vec::new(),
            subscribed: true,
            mailbox_id: None,
            uid_validity,
            uid_next: 1,
            version: 0,
            messages: BTreeMap::new(),
        }
    }

    /// UIDVALIDITY (RFC 3501 §2.3.1.1). Zero only if a test says so.
    pub fn uid_validity(&self) -> u32 {
        self.uid_validity
    }

    /// UIDNEXT: the UID of the next message, unless a test says otherwise.
    pub fn uid_next(&self) -> u32 {
        self.uid_next
    }

    /// Grows with every change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The message with this UID.
    pub fn message(&self, uid: u32) -> Option<&StoredMessage> {
        self.messages.get(&uid)
    }

    /// All messages, by ascending UID.
    pub fn messages(&self) -> impl Iterator<Item = &StoredMessage> {
        self.messages.values()
    }

    /// Adds a message and returns its UID.
    pub fn append(&mut self, bytes: Bytes, flags: Vec<String>, internal_date_ms: i64) -> u32 {
        let above = self.messages.last_key_value().map_or(1, |(uid, _)| uid.saturating_add(1));
        let uid = self.uid_next.max(above);
        self.uid_next = uid.saturating_add(1);
        self.version += 1;
        let stored = StoredMessage { uid, flags, internal_date_ms, bytes, flags_changed: (0, 0) };
        self.messages.insert(uid, stored);
        uid
    }

    /// Replaces the flags of a message. False if it is gone.
    pub fn set_flags(&mut self, uid: u32, flags: Vec<String>) -> bool {
        self.set_flags_from(uid, flags, 0)
    }

    /// As `set_flags`, by a client on this connection, which is not informed of its own change.
    pub(crate) fn set_flags_from(&mut self, uid: u32, flags: Vec<String>, connection: u64) -> bool {
        let Some(message) = self.messages.get_mut(&uid) else {
            return false;
        };
        self.version += 1;
        message.flags = flags;
        message.flags_changed = (self.version, connection);
        true
    }

    /// Removes a message for good.
    pub fn expunge(&mut self, uid: u32) -> Option<StoredMessage> {
        let removed = self.messages.remove(&uid);
        self.version += u64::from(removed.is_some());
        removed
    }

    /// Changes UIDVALIDITY to any number, even zero. The UIDs stay.
    pub fn set_uid_validity(&mut self, uid_validity: u32) {
        self.uid_validity = uid_validity;
        self.version += 1;
    }

    /// Changes the UIDNEXT that is shown. The next message gets this UID if it is free.
    pub fn set_uid_next(&mut self, uid_next: u32) {
        self.uid_next = uid_next;
        self.version += 1;
    }

    /// Changes UIDVALIDITY and gives all messages new UIDs, in the same order, from `uid_first` on.
    pub fn renumber(&mut self, uid_validity: u32, uid_first: u32) {
        self.uid_validity = uid_validity;
        self.version += 1;
        let old = std::mem::take(&mut self.messages);
        self.uid_next = uid_first;
        for mut stored in old.into_values() {
            stored.uid = self.uid_next;
            self.uid_next = self.uid_next.saturating_add(1);
            self.messages.insert(stored.uid, stored);
        }
    }

    /// Gives two messages each other's UIDs, as after the index was rebuilt. UIDVALIDITY stays.
    /// False if one of them is gone.
    pub fn swap(&mut self, one: u32, other: u32) -> bool {
        let (Some(first), Some(second)) =
            (self.messages.get(&one).cloned(), self.messages.get(&other).cloned())
        else {
            return false;
        };
        self.version += 1;
        self.messages.insert(one, StoredMessage { uid: one, ..second });
        self.messages.insert(other, StoredMessage { uid: other, ..first });
        true
    }

    /// Gives a message another UID, also one below UIDNEXT. UIDVALIDITY and UIDNEXT stay. False if
    /// the message is gone, or the UID is in use.
    pub fn give_uid(&mut self, uid: u32, other: u32) -> bool {
        if self.messages.contains_key(&other) {
            return false;
        }
        let Some(message) = self.messages.remove(&uid) else {
            return false;
        };
        self.version += 1;
        self.messages.insert(other, StoredMessage { uid: other, ..message });
        true
    }

    /// Restores a clone of this mailbox from earlier, with its UIDVALIDITY and UIDNEXT.
    pub fn restore(&mut self, backup: &Self) {
        let version = self.version + 1;
        *self = Self { version, ..backup.clone() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_ascend_and_are_not_used_again() {
        let mut mailbox = Mailbox::new(7);
        let add = |mailbox: &mut Mailbox| mailbox.append(Bytes::from_static(b"x"), vec![], 0);
        assert_eq!([add(&mut mailbox), add(&mut mailbox)], [1, 2]);
        assert!(mailbox.expunge(2).is_some() && mailbox.expunge(2).is_none());
        assert_eq!(add(&mut mailbox), 3);
        mailbox.set_uid_next(2);
        assert_eq!(mailbox.uid_next(), 2);
        assert_eq!(add(&mut mailbox), 4);
        mailbox.renumber(3, 100);
        let uids: Vec<u32> = mailbox.messages().map(|message| message.uid).collect();
        assert_eq!(
            (uids, mailbox.uid_next(), mailbox.uid_validity()),
            (vec![100, 101, 102], 103, 3)
        );
    }

    #[test]
    fn uids_are_swapped_and_given_again_after_a_backup_under_the_same_uidvalidity() {
        let mut mailbox = Mailbox::new(7);
        for text in ["a", "b"] {
            mailbox.append(text.into(), vec![], 0);
        }
        let backup = mailbox.clone();
        let bytes = |mailbox: &Mailbox| -> Vec<(u32, Bytes)> {
            mailbox.messages().map(|message| (message.uid, message.bytes.clone())).collect()
        };
        assert!(mailbox.swap(1, 2) && !mailbox.swap(1, 3));
        assert_eq!(bytes(&mailbox), [(1, "b".into()), (2, "a".into())]);
        assert!(mailbox.give_uid(1, 9) && !mailbox.give_uid(1, 8) && !mailbox.give_uid(9, 2));
        assert_eq!(
            (bytes(&mailbox), mailbox.uid_next()),
            ([(2, "a".into()), (9, "b".into())].to_vec(), 3)
        );
        mailbox.append("c".into(), vec![], 0);
        let version = mailbox.version();
        mailbox.restore(&backup);
        assert!(mailbox.version() > version, "clients are told");
        assert_eq!(mailbox.append("d".into(), vec![], 0), 3);
        let all = [(1, "a".into()), (2, "b".into()), (3, "d".into())];
        assert_eq!((bytes(&mailbox), mailbox.uid_validity()), (all.to_vec(), 7));
    }
}
