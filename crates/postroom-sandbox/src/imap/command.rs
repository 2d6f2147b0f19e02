//! Commands as values (RFC 3501 §6).

use crate::imap::items::Item;
use crate::imap::search::SearchKey;
use crate::imap::set::Set;
use bytes::Bytes;

/// A command with its arguments. Mailbox names are as on the wire, with INBOX in upper case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ParsedCommand {
    /// One without arguments that matter.
    Plain(Plain),
    /// LOGIN.
    Login { user: String, password: String },
    /// AUTHENTICATE, perhaps with an initial response (RFC 4959).
    Authenticate { mechanism: String, initial: Option<String> },
    /// One about mailboxes as such.
    Mailbox(OnMailbox),
    /// One about messages in the selected mailbox.
    Messages(OnMessages),
    /// Any other word.
    Unknown,
}

/// Commands without arguments; ID has some that do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    Capability,
    Noop,
    Logout,
    Id,
    Namespace,
    StartTls,
    Idle,
    Unselect,
    Close,
    Check,
}

/// Commands about mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnMailbox {
    /// LIST, or LSUB.
    List { subscribed: bool, special_use: bool, reference: String, patterns: Vec<String> },
    /// SUBSCRIBE, or UNSUBSCRIBE.
    Subscribe { mailbox: String, subscribe: bool },
    /// CREATE.
    Create { mailbox: String, special_use: Vec<String> },
    /// DELETE.
    Delete { mailbox: String },
    /// RENAME.
    Rename { from: String, to: String },
    /// SELECT, or EXAMINE.
    Select { mailbox: String, read_only: bool },
    /// STATUS.
    Status { mailbox: String, items: Vec<String> },
    /// APPEND.
    Append { mailbox: String, flags: Vec<String>, date_ms: Option<i64>, bytes: Bytes },
}

/// Commands about messages; `uid` says that their numbers are UIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnMessages {
    /// SEARCH; `returns` is what RETURN asks for (RFC 4731).
    Search { uid: bool, returns: Option<Vec<String>>, charset: Option<String>, key: SearchKey },
    /// FETCH.
    Fetch { uid: bool, set: Set, items: Vec<Item> },
    /// STORE.
    Store { uid: bool, set: Set, change: Change, silent: bool, flags: Vec<String> },
    /// EXPUNGE; with a set it is UID EXPUNGE (RFC 4315).
    Expunge { set: Option<Set> },
    /// COPY, or MOVE.
    Copy { uid: bool, set: Set, mailbox: String, remove: bool },
}

/// What STORE does with the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}
