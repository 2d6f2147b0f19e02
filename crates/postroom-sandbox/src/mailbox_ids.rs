//! How the IMAP server tells MAILBOXID, right or wrong.
//!
//! Standards: RFC 8474 §4.1.

/// How the server tells MAILBOXID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MailboxIds {
    /// As it is.
    #[default]
    Right,
    /// Right in SELECT and EXAMINE, other bytes in STATUS, as Cyrus 3.6.1 does.
    WrongInStatus,
    /// The same for all mailboxes.
    AllTheSame,
    /// Another one each time.
    NewEachTime,
}

impl MailboxIds {
    /// What SELECT and EXAMINE tell of a mailbox whose own is `right`, the `times`th time.
    pub(crate) fn selected(self, right: String, times: u64) -> String {
        match self {
            Self::Right | Self::WrongInStatus => right,
            Self::AllTheSame => "F1".to_owned(),
            Self::NewEachTime => format!("T{times}"),
        }
    }

    /// What STATUS tells.
    pub(crate) fn status(self, right: String, times: u64) -> Vec<u8> {
        match self {
            Self::WrongInStatus => b"\xF0\x8B\x10V".to_vec(),
            Self::Right | Self::AllTheSame | Self::NewEachTime => {
                self.selected(right, times).into_bytes()
            }
        }
    }
}
