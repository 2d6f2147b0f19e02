//! An IMAP connection as a source.

use crate::error::Error;
use crate::source::contract::Deletion;
use crate::source::contract::ListRange;
use crate::source::contract::ListedMailbox;
use crate::source::contract::ListedMailboxes;
use crate::source::contract::MailboxAccess;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::SaidUnasked;
use crate::source::contract::Source;
use crate::source::imap::deletion;
use crate::source::imap::fetch::FetchForm;
use crate::source::imap::fetch::ImapMessages;
use crate::source::imap::search;
use crate::source::imap::search::ToldMailbox;
use crate::source::imap::uids::keys_of;
use crate::source::imap::uids::set_of;
use crate::source::imap::uids::sets_of;
use crate::source::listing::MailboxListing;
use crate::source::message::FetchScope;
use postroom_imap::FetchItems;
use postroom_imap::FlagChange;
use postroom_imap::ImapConnection;
use postroom_imap::ImapVerdict;
use postroom_imap::Listed;
use postroom_imap::MailboxName;
use postroom_imap::Mailboxes;
use postroom_imap::Mode;
use postroom_store::SourceKey;
use std::collections::BTreeSet;

/// Attributes of names that cannot be selected (RFC 9051 §7.3.1).
const NOT_SELECTABLE: [&str; 2] = ["\\noselect", "\\nonexistent"];

/// A connection that is logged in.
#[derive(Debug)]
pub(crate) struct ImapSource {
    connection: ImapConnection,
    /// How the mailbox was opened.
    is_open_for_changes: bool,
    /// What the server said of its messages then.
    told: ToldMailbox,
    /// The mailboxes of which SEARCH has listed a message that FETCH did not give.
    misled: BTreeSet<MailboxName>,
}

impl ImapSource {
    /// A source in which no mailbox is open yet.
    #[must_use]
    pub(crate) fn new(connection: ImapConnection) -> Self {
        let (told, misled) = (ToldMailbox::default(), BTreeSet::new());
        Self { connection, is_open_for_changes: false, told, misled }
    }
}

impl Source for ImapSource {
    type Form = FetchForm;
    type Messages<'a> = ImapMessages<'a>;

    fn requests(keys: &[SourceKey]) -> Vec<Vec<SourceKey>> {
        sets_of(keys).map(|set| keys_of(set.iter())).collect()
    }

    async fn survey(&mut self) -> Result<ListedMailboxes, Error> {
        let Mailboxes { listed, over_count, is_whole } = self.connection.list().await?;
        let listed = listed.into_iter().map(mailbox).collect();
        Ok(ListedMailboxes { listed, over_count, is_whole })
    }

    async fn open(
        &mut self,
        mailbox: &MailboxName,
        access: MailboxAccess,
    ) -> Result<OpenedMailbox, Error> {
        let mode = match access {
            MailboxAccess::Read => Mode::Examine,
            MailboxAccess::Change => Mode::Select,
        };
        let selected = self.connection.select(mailbox, mode).await?;
        self.is_open_for_changes = selected.is_open_for_changes;
        self.told = ToldMailbox { exists: selected.exists, uid_next: selected.uid_next };
        Ok(OpenedMailbox {
            uid_validity: selected.uid_validity.unwrap_or(0),
            uid_next: selected.uid_next,
            mailbox_id: selected.mailbox_id,
            count: selected.exists.map(u64::from),
        })
    }

    async fn list(&mut self, range: ListRange<'_>) -> Result<MailboxListing, Error> {
        let open = self.connection.selected().cloned();
        let mut is_misled = open.as_ref().is_some_and(|open| self.misled.contains(open));
        let connection = &mut self.connection;
        let listing = match range {
            ListRange::All => search::list(connection, self.told, &mut is_misled).await,
            ListRange::Since(ms) => search::matching(connection, &search::since(ms)).await,
            ListRange::Among(keys) => {
                // FETCH skipped them. Either they have gone since, or the list of all had them in
                // the place of others, and a server that lists them again proves nothing.
                is_misled = true;
                search::among(connection, keys).await
            }
        };
        match open {
            Some(open) if is_misled => drop(self.misled.insert(open)),
            Some(open) => drop(self.misled.remove(&open)),
            None => {}
        }
        listing
    }

    async fn fetch<'a>(
        &'a mut self,
        keys: &[SourceKey],
        scope: FetchScope<FetchForm>,
    ) -> Result<ImapMessages<'a>, Error> {
        let items = match scope {
            FetchScope::Whole => FetchItems::Message,
            FetchScope::UpTo(bytes_max) => FetchItems::MessageUpTo(bytes_max),
            FetchScope::Form(FetchForm::Partial) => FetchItems::MessagePartial,
            FetchScope::Form(FetchForm::Old) => FetchItems::MessageOld,
            FetchScope::Form(FetchForm::Alone) => FetchItems::MessageAlone,
            FetchScope::Form(FetchForm::AloneOld) => FetchItems::MessageAloneOld,
            FetchScope::Form(FetchForm::Sequence(number)) => {
                let uid = keys.first().copied().unwrap_or_default().uid();
                let fetch = self.connection.fetch(number, uid, FetchItems::Message).await?;
                return Ok(ImapMessages { fetch, is_partial: false });
            }
            FetchScope::Header => FetchItems::Header,
            FetchScope::Witness => FetchItems::Witness,
            FetchScope::Sizes => FetchItems::Sizes,
        };
        let is_partial = scope == FetchScope::Form(FetchForm::Partial);
        let fetch = self.connection.uid_fetch(&set_of(keys), items).await?;
        Ok(ImapMessages { fetch, is_partial })
    }

    fn other_forms(&self, place: Option<u32>, is_refused: bool) -> Vec<FetchForm> {
        // RFC822 and BODY[] set \Seen where they can.
        let old = |form| (!self.is_open_for_changes).then_some(form);
        let sequence = place.map(FetchForm::Sequence);
        let usual = [Some(FetchForm::Partial), sequence, old(FetchForm::Old)];
        // Without its size and date, a message cannot contradict what is known of it.
        let alone = [Some(FetchForm::Alone), old(FetchForm::AloneOld)];
        let alone = alone.into_iter().filter(|_| is_refused);
        usual.into_iter().chain(alone).flatten().collect()
    }

    async fn mark_seen(&mut self, keys: &[SourceKey]) -> Result<(), Error> {
        for set in sets_of(keys) {
            self.connection.uid_store(&set, &FlagChange::add_silent("\\Seen")).await?;
        }
        Ok(())
    }

    async fn delete(
        &mut self,
        keys: &[SourceKey],
        earlier: &BTreeSet<SourceKey>,
    ) -> Result<Deletion, Error> {
        deletion::delete(&mut self.connection, keys, earlier).await
    }

    async fn listen(&mut self) {
        self.connection.unsolicited().await;
    }

    fn heard(&mut self) -> SaidUnasked {
        let said = self.connection.take_unsolicited();
        let open = self.connection.selected().filter(|_| said.grown_to.is_some());
        SaidUnasked { grown: open.cloned().into_iter().collect(), alerts: said.alerts }
    }

    /// Sends NOOP. Some servers show new messages only after one.
    async fn is_alive(&mut self) -> Result<bool, Error> {
        match self.connection.noop().await {
            Ok(()) => Ok(true),
            Err(error) if error.leaves_connection_open() => Ok(true),
            Err(error) if error.verdict() == ImapVerdict::Retry => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends LOGOUT. An unanswered one does no harm.
    async fn log_out(self) {
        let _ = self.connection.logout().await;
    }
}

fn mailbox(listed: Listed) -> ListedMailbox {
    let is_selectable = !listed
        .attributes
        .iter()
        .any(|attribute| NOT_SELECTABLE.iter().any(|not| attribute.eq_ignore_ascii_case(not)));
    ListedMailbox {
        name: listed.name,
        display: listed.display,
        delimiter: listed.delimiter,
        attributes: listed.attributes,
        special_use: listed.special_use,
        is_selectable,
    }
}
