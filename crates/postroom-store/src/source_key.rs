//! The key of a message at its source.

/// What identifies a message within one epoch of a mailbox. A receipt has the key (folder, epoch,
/// source key).
///
/// It is a number that ascends in the order in which the source got its messages, so that "up to
/// this one" has a meaning, a portion is a short range of the ledger, and a key takes a few bytes.
/// The key of IMAP is the UID. A source that calls its messages by texts numbers them in the order
/// in which they are found, and keeps these numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey(u64);

impl SourceKey {
    /// Before all others.
    pub const FIRST: Self = Self(0);
    /// Behind all others: the largest number that a database keeps.
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
