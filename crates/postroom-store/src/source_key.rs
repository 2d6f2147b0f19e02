//! The key of a message at its source.

/// The number that identifies a message within one epoch of a mailbox. A receipt has the key
/// (folder, epoch, source key).
///
/// The numbers ascend in the order in which the source got its messages. So "up to this key" has a
/// meaning, a portion of a mailbox is a short range of the ledger, and a key takes a few bytes. The
/// key of IMAP is the UID. A source that identifies its messages by texts numbers them in the order
/// in which it finds them, and keeps these numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey(u64);

impl SourceKey {
    /// The key before all others.
    pub const FIRST: Self = Self(0);
    /// The key after all others: the largest number that a database can keep.
    pub const LAST: Self = Self(i64::MAX as u64);

    /// The key of a message in an IMAP mailbox.
    #[must_use]
    pub fn of_uid(uid: u64) -> Self {
        Self(uid)
    }

    /// The UID of a message in an IMAP mailbox.
    #[must_use]
    pub fn uid(self) -> u64 {
        self.0
    }

    /// The number, as the ledger keeps it.
    #[must_use]
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The key of a receipt. `None`: no key is negative.
    pub(crate) fn of_stored(number: i64) -> Option<Self> {
        u64::try_from(number).ok().map(Self)
    }
}
