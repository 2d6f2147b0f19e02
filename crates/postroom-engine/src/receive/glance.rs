//! Glance: what an opened mailbox shows before it is listed.

use crate::source::contract::OpenedMailbox;

/// The identity facts and counts that show whether mail came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glance {
    /// UIDVALIDITY; 0 where the server has none.
    pub uid_validity: u64,
    /// How many messages it has.
    pub exists: u64,
    /// UIDNEXT.
    pub uid_next: u64,
}

impl Glance {
    /// `None`: the server does not give all numbers.
    #[must_use]
    pub(crate) fn of(opened: &OpenedMailbox) -> Option<Self> {
        let (uid_validity, exists) = (opened.uid_validity, opened.count?);
        opened.uid_next.map(|uid_next| Self { uid_validity, exists, uid_next })
    }
}
