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

/// How long a source may be silent in the midst of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// A part of `silence_timeout` ([`Account::stall`]), because others wait behind it.
    Briefly,
    /// `silence_timeout`.
    Long,
}

/// Makes the connections of an account.
pub(crate) trait Connector: Send + Sync + 'static {
    /// What it connects to.
    type Source: Source;

    /// Asks for the login, connects and logs in.
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
    /// Nothing is changed in it, whatever is asked.
    Read,
    /// Messages may be marked and deleted.
    Change,
}

/// The identity facts of a mailbox, from which the engine decides whether its epoch is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OpenedMailbox {
    /// The number under which keys mean the same messages (UIDVALIDITY of IMAP); 0: none.
    pub uid_validity: u64,
    /// A number above all keys so far (UIDNEXT of IMAP). It never falls in an epoch.
    pub uid_next: Option<u64>,
    /// What identifies the mailbox whatever its name is.
    pub mailbox_id: Option<MailboxId>,
    /// How many messages it has.
    pub count: Option<u64>,
}

/// A mailbox, as a source lists it.
#[derive(Debug, Clone)]
pub(crate) struct ListedMailbox {
    /// Its name.
    pub name: MailboxName,
    /// Its name for people.
    pub display: String,
    /// What separates the levels of the name.
    pub delimiter: Option<char>,
    /// Its attributes.
    pub attributes: Vec<String>,
    /// What it is for, as RFC 6154 says it.
    pub special_use: Option<String>,
    /// Whether it can be opened.
    pub is_selectable: bool,
}

/// The mailboxes of an account.
#[derive(Debug)]
pub(crate) struct ListedMailboxes {
    /// Up to the limit, each once.
    pub listed: Vec<ListedMailbox>,
    /// How many more there are.
    pub over_count: u64,
    /// Whether this is the list of all mailboxes. If not, one may exist that is not listed.
    pub is_whole: bool,
}

/// Which messages of the open mailbox are listed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ListRange<'a> {
    /// All, and compared with the source's own count.
    All,
    /// Those that came since this time, in milliseconds since 1970, and maybe some before it.
    Since(i64),
    /// Those of these that are there. They fit into one request.
    Among(&'a [SourceKey]),
}

/// The result of asking for a deletion.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// The source agreed for these. A later listing shows whether they are gone.
    Agreed(Vec<SourceKey>),
    /// They stay for this reason.
    Kept(String),
    /// The source did something else. Nothing more is to be deleted now.
    Distrusted(String),
}

/// An open connection to where an account's mail is. Every method waits for a bounded time only.
/// A method whose error is [`crate::source_error::SourceFailure::Refused`] leaves it usable.
pub(crate) trait Source: Send + Sync + Sized + 'static {
    /// The other forms in which one message can be asked for.
    type Form: Copy + Send + Sync;
    /// A running fetch. Dropping it gives it up.
    type Messages<'a>: MessageStream
    where
        Self: 'a;

    /// Splits keys, ascending, into as few parts as possible that each fit into one request.
    fn requests(keys: &[SourceKey]) -> Vec<Vec<SourceKey>>;

    /// The mailboxes of the account.
    fn survey(&mut self) -> impl Future<Output = Result<ListedMailboxes, Error>> + Send;

    /// Opens a mailbox. All that follows is about it. A fact that the source does not know is left
    /// out, because a missing one says nothing and a wrong one ends the epoch.
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

    /// Begins to give messages that fit into one request. Those that do not exist are skipped.
    fn fetch<'a>(
        &'a mut self,
        keys: &[SourceKey],
        scope: FetchScope<Self::Form>,
    ) -> impl Future<Output = Result<Self::Messages<'a>, Error>> + Send;

    /// The other forms in which a message can be asked for that did not come as a whole. `place`:
    /// which one of the mailbox it is, counted from 1, where that is known.
    fn other_forms(&self, place: Option<u32>) -> Vec<Self::Form>;

    /// Marks messages as read.
    fn mark_seen(&mut self, keys: &[SourceKey]) -> impl Future<Output = Result<(), Error>> + Send;

    /// Deletes messages that fit into one request, and no others. `earlier`: those for which the
    /// source agreed before, which may be there still.
    fn delete(
        &mut self,
        keys: &[SourceKey],
        earlier: &BTreeSet<SourceKey>,
    ) -> impl Future<Output = Result<Deletion, Error>> + Send;

    /// Waits until the source has said something that [`Source::heard`] gives. It may wait for
    /// ever. Dropping the future loses nothing.
    fn listen(&mut self) -> impl Future<Output = ()> + Send;

    /// Takes what the source has said so far without being asked.
    fn heard(&mut self) -> SaidUnasked;

    /// Whether an idle connection still stands. An error is about the account.
    fn is_alive(&mut self) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Takes leave and closes the connection.
    fn log_out(self) -> impl Future<Output = ()> + Send;
}

/// A running fetch.
pub(crate) trait MessageStream: Send {
    /// The next event. `None` after the last. Dropping the future loses nothing. Events before an
    /// error are valid.
    fn next(&mut self) -> impl Future<Output = Result<Option<MessageEvent>, Error>> + Send;
}
