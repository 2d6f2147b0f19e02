//! What the receive path and the task of an account need from a source.

use crate::account::Account;
use crate::error::Error;
use crate::shared::Shared;
use crate::source::listing::MailboxListing;
use crate::source::message::FetchScope;
use crate::source::message::MessageEvent;
use postroom_imap::MailboxName;
use postroom_model::MailboxId;
use postroom_store::SourceKey;
use std::collections::BTreeSet;
use std::future::Future;

/// How long a source may be silent while it sends messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// A part of `silence_timeout` ([`Account::stall`]), because other messages of the account wait
    /// for this connection.
    Briefly,
    /// The whole `silence_timeout`.
    Long,
}

/// Makes the connections of an account.
pub(crate) trait Connector: Send + Sync + 'static {
    /// What it connects to.
    type Source: Source;

    /// Gets the credentials of the account, connects and logs in.
    fn connect(
        &self,
        shared: &Shared,
        account: &Account,
        waits: Waits,
    ) -> impl Future<Output = Result<Self::Source, Error>> + Send;
}

/// What a source said without being asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SaidUnasked {
    /// The mailboxes that have more messages than before.
    pub grown: Vec<MailboxName>,
    /// Texts that a person must see, each once.
    pub alerts: Vec<String>,
}

/// What an open mailbox is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailboxAccess {
    /// Reading only. No command can change the mailbox.
    Read,
    /// Messages may be marked and deleted.
    Change,
}

/// The identity facts of a mailbox, from which the engine decides whether its epoch is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OpenedMailbox {
    /// UIDVALIDITY of IMAP. As long as it stays the same, a key means the same message. 0: the
    /// source has none.
    pub uid_validity: u64,
    /// UIDNEXT of IMAP: a number above all keys so far. It never falls within an epoch.
    pub uid_next: Option<u64>,
    /// MAILBOXID of IMAP. It stays the same when the mailbox is renamed.
    pub mailbox_id: Option<MailboxId>,
    /// How many messages it has.
    pub count: Option<u64>,
}

impl OpenedMailbox {
    /// Whether messages that it had when it was opened are not listed, but others are that had no
    /// key then. So it was numbered anew meanwhile, or messages came and went.
    #[must_use]
    pub(crate) fn is_replaced(&self, listed: &[SourceKey]) -> bool {
        let (Some(uid_next), Some(count)) = (self.uid_next, self.count) else {
            return false;
        };
        let below = listed.partition_point(|key| key.uid() < uid_next);
        below < listed.len() && (below as u64) < count
    }
}

/// A mailbox, as a source lists it.
#[derive(Debug, Clone)]
pub(crate) struct ListedMailbox {
    /// Its name.
    pub name: MailboxName,
    /// Its name for people.
    pub display: String,
    /// The character between the levels of the name. `None`: names have no levels.
    pub delimiter: Option<char>,
    /// Its attributes.
    pub attributes: Vec<String>,
    /// Its special use, as RFC 6154 spells it.
    pub special_use: Option<String>,
    /// Whether it can be opened.
    pub is_selectable: bool,
}

/// The mailboxes of an account.
#[derive(Debug)]
pub(crate) struct ListedMailboxes {
    /// The mailboxes, each once, and not more than the limit of the account.
    pub listed: Vec<ListedMailbox>,
    /// How many more the source has.
    pub over_count: u64,
    /// Whether all mailboxes are listed. Otherwise a mailbox may exist that is not listed.
    pub is_whole: bool,
}

/// Which messages of the open mailbox are listed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ListRange<'a> {
    /// All messages, with the source's own count of them.
    All,
    /// The messages that came since this time, in milliseconds since 1970, and perhaps some older
    /// ones.
    Since(i64),
    /// Those of these messages that exist, although the source did not give them. The keys fit into
    /// one request.
    Among(&'a [SourceKey]),
}

/// The result of asking for a deletion.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// The source answered OK for these messages. A later listing shows whether they are gone.
    Agreed(Vec<SourceKey>),
    /// The messages stay at the source for this reason, in words for people.
    Kept(String),
    /// The source did something other than it was asked to. Nothing more must be deleted now. The
    /// reason is in words for people.
    Distrusted(String),
}

/// An open connection to where an account's mail is.
///
/// Every method waits for a bounded time, except [`Source::listen`]. After the error
/// [`crate::source_error::SourceFailure::Refused`], the connection can be used further.
pub(crate) trait Source: Send + Sync + Sized + 'static {
    /// Another way to ask for a message. See [`Source::other_forms`].
    type Form: Copy + Send + Sync;
    /// A running fetch. Dropping it ends the fetch early.
    type Messages<'a>: MessageStream
    where
        Self: 'a;

    /// Splits keys, ascending, into as few parts as possible that each fit into one request.
    fn requests(keys: &[SourceKey]) -> Vec<Vec<SourceKey>>;

    /// The mailboxes of the account.
    fn survey(&mut self) -> impl Future<Output = Result<ListedMailboxes, Error>> + Send;

    /// Opens a mailbox. The following calls are about this mailbox. A fact that the source does not
    /// know is left out, because a missing fact proves nothing, but a wrong one ends the epoch.
    fn open(
        &mut self,
        mailbox: &MailboxName,
        access: MailboxAccess,
    ) -> impl Future<Output = Result<OpenedMailbox, Error>> + Send;

    /// Lists messages of the open mailbox.
    fn list(
        &mut self,
        range: ListRange<'_>,
    ) -> impl Future<Output = Result<MailboxListing, Error>> + Send;

    /// Begins to fetch messages. The keys fit into one request. Messages that do not exist are
    /// skipped.
    fn fetch<'a>(
        &'a mut self,
        keys: &[SourceKey],
        scope: FetchScope<Self::Form>,
    ) -> impl Future<Output = Result<Self::Messages<'a>, Error>> + Send;

    /// Other ways to ask for a message that did not arrive whole by the usual way. `place` is the
    /// position of the message in the mailbox, counted from 1. `None`: it is not known. If the
    /// usual way was refused, the last ones tell nothing beside the bytes.
    fn other_forms(&self, place: Option<u32>, is_refused: bool) -> Vec<Self::Form>;

    /// Marks messages as read.
    fn mark_seen(&mut self, keys: &[SourceKey]) -> impl Future<Output = Result<(), Error>> + Send;

    /// Deletes these messages, and no others. The keys fit into one request. `earlier` has the
    /// messages for which the source answered OK before. Some of them may still exist.
    fn delete(
        &mut self,
        keys: &[SourceKey],
        earlier: &BTreeSet<SourceKey>,
    ) -> impl Future<Output = Result<Deletion, Error>> + Send;

    /// Waits until [`Source::heard`] has something new. This may take forever. Dropping the future
    /// loses nothing.
    fn listen(&mut self) -> impl Future<Output = ()> + Send;

    /// Takes what the source has said so far without being asked.
    fn heard(&mut self) -> SaidUnasked;

    /// Whether an idle connection still works. An error is about the whole account.
    fn is_alive(&mut self) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Logs out and closes the connection.
    fn log_out(self) -> impl Future<Output = ()> + Send;
}

/// A running fetch.
pub(crate) trait MessageStream: Send {
    /// The next event. `None` after the last one. Dropping the future loses nothing. Events that
    /// came before an error are valid.
    fn next(&mut self) -> impl Future<Output = Result<Option<MessageEvent>, Error>> + Send;
}
