//! Follows renamed mailboxes: a monitored folder takes the new name of its mailbox.
//!
//! LIST does not report a rename: one name is gone, and another one is new. The mailbox is
//! recognised by its MAILBOXID if the server tells it, otherwise by its UIDVALIDITY and the facts
//! about its recorded messages. Without such evidence, no folder is changed.
//!
//! Standards: RFC 8474 §4.1.

use crate::account::Account;
use crate::account::Folder;
use crate::error::Error;
use crate::receive::identity;
use crate::receive::identity::Care;
use crate::receive::identity::IdentityCheck;
use crate::receive::witness::Unsteady;
use crate::shared::Shared;
use postroom_imap::Error as ImapError;
use postroom_imap::ImapConnection;
use postroom_imap::Listed;
use postroom_imap::MailboxName;
use postroom_imap::Mode;
use postroom_imap::Selected;
use postroom_store::FolderMailbox;
use postroom_store::Origin;
use std::collections::BTreeSet;

/// How many new mailboxes are checked in one survey.
const CANDIDATES_MAX: usize = 50;
/// How many of the newest recorded messages, and how many others, are compared.
const WITNESSES: (usize, usize) = (8, 8);

/// Codes of refusals that do not change with time (RFC 5530 §3): such a mailbox is none that we
/// read.
const LASTING: [&str; 3] = ["NOPERM", "NONEXISTENT", "CANNOT"];

/// Gives folders whose mailboxes are gone the names of the new mailboxes that are the same ones.
///
/// Gives the new mailboxes of which nobody knows yet whether they are one of those: the server
/// refused to show them for now, or there are too many for one survey. They must stay unknown until
/// a later survey has compared them: with a folder of its own, a mailbox is not new any more.
///
/// # Errors
///
/// What ended the connection, or the store.
pub(crate) async fn follow(
    shared: &Shared,
    account: &Account,
    connection: &mut ImapConnection,
    listed: &[Listed],
) -> Result<BTreeSet<MailboxName>, Error> {
    let names: BTreeSet<_> = listed.iter().map(|listed| &listed.name).collect();
    let gone: Vec<_> =
        account.monitored().filter(|folder| !names.contains(&folder.mailbox)).collect();
    if gone.is_empty() {
        return Ok(BTreeSet::new());
    }
    let known = known_mailboxes(shared, account).await?;
    let is_new = |listed: &&Listed| !known.contains(&listed.name);
    let mut new = listed.iter().filter(is_new);
    let some: Vec<_> = new.by_ref().take(CANDIDATES_MAX).collect();
    let open = new.map(|listed| listed.name.clone()).collect();
    let mut search = Search { shared, account, connection, candidates: vec![], open };
    search.examine(&some).await?;
    for folder in gone {
        search.follow(folder).await?;
    }
    Ok(search.open)
}

/// A new mailbox.
struct Candidate<'a> {
    listed: &'a Listed,
    /// What EXAMINE told of it.
    told: Selected,
}

/// The search for the mailboxes of folders whose mailboxes are gone.
struct Search<'a> {
    shared: &'a Shared,
    account: &'a Account,
    connection: &'a mut ImapConnection,
    candidates: Vec<Candidate<'a>>,
    /// The new mailboxes of which nobody knows yet.
    open: BTreeSet<MailboxName>,
}

impl<'a> Search<'a> {
    /// Asks what the new mailboxes are.
    async fn examine(&mut self, some: &[&'a Listed]) -> Result<(), Error> {
        for listed in some.iter().copied() {
            match self.connection.select(&listed.name, Mode::Examine).await {
                Ok(told) => self.candidates.push(Candidate { listed, told }),
                Err(error) if error.leaves_connection_open() => {
                    if !is_lasting(&error) {
                        self.open.insert(listed.name.clone());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives a folder whose mailbox is gone the new mailbox that is the same one, if there is one.
    async fn follow(&mut self, folder: &Folder) -> Result<(), Error> {
        let origin = self.shared.store.origin(folder.id).await?;
        if origin.login.as_ref().is_some_and(|login| *login != self.account.mailbox_origin()) {
            // The folder's mailbox was at another server, or under another login.
            return Ok(());
        }
        let at = match self.by_mailbox_id(folder, &origin).await? {
            Some(at) => Some(at),
            None => self.by_messages(&origin).await?,
        };
        match at {
            Some(at) => self.take(folder, at).await,
            None => Ok(()),
        }
    }

    /// The new mailbox that has the MAILBOXID of a folder whose mailbox is gone. `None` also where
    /// the server gives this MAILBOXID to several mailboxes.
    async fn by_mailbox_id(
        &mut self,
        folder: &Folder,
        origin: &Origin,
    ) -> Result<Option<usize>, Error> {
        let Some(id) = &origin.mailbox_id else {
            return Ok(None);
        };
        let has_it =
            |(_, candidate): &(_, &Candidate<'_>)| candidate.told.mailbox_id.as_ref() == Some(id);
        let mut found = self.candidates.iter().enumerate().filter(has_it).map(|(at, _)| at);
        let (Some(at), None) = (found.next(), found.next()) else {
            return Ok(None);
        };
        let noted = self.shared.store.mailbox_id_folders(self.account.id, id).await?;
        if noted.iter().any(|other| *other != folder.id) {
            return Ok(None);
        }
        // INBOX is never renamed, so it must have another one.
        let inbox = self.connection.select(&MailboxName::inbox(), Mode::Examine).await;
        match inbox {
            Ok(inbox) if inbox.mailbox_id.as_ref() == Some(id) => Ok(None),
            Err(error) if !error.leaves_connection_open() => Err(error.into()),
            Ok(_) | Err(_) => Ok(Some(at)),
        }
    }

    /// The new mailbox that has UIDVALIDITY and messages of a folder whose mailbox is gone.
    async fn by_messages(&mut self, origin: &Origin) -> Result<Option<usize>, Error> {
        let Search { shared, connection, candidates, open, .. } = self;
        for (at, candidate) in candidates.iter().enumerate() {
            match is_same(shared, connection, origin, candidate).await {
                Ok(true) => return Ok(Some(at)),
                Ok(false) => {}
                Err(Error::Imap(error)) if error.leaves_connection_open() => {
                    if !is_lasting(&error) {
                        open.insert(candidate.listed.name.clone());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn take(&mut self, folder: &Folder, at: usize) -> Result<(), Error> {
        let Listed { name, display: new_name, .. } = self.candidates.swap_remove(at).listed;
        tracing::info!(
            account = self.account.address,
            folder = folder.title,
            "the mailbox was renamed to {new_name}: the folder follows it"
        );
        self.open.remove(name);
        let mailbox = name.to_percent_encoded();
        let domain = &self.account.domain;
        self.shared.store.folder_follow(domain, folder.id, &mailbox, new_name).await?;
        Ok(())
    }
}

/// Whether a refusal is no matter of time.
fn is_lasting(error: &ImapError) -> bool {
    matches!(error, ImapError::Refused { code: Some(code), .. }
        if LASTING.iter().any(|lasting| code.eq_ignore_ascii_case(lasting)))
}

/// The mailboxes of all folders of an account, monitored or not.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn known_mailboxes(
    shared: &Shared,
    account: &Account,
) -> Result<BTreeSet<MailboxName>, Error> {
    let mailboxes = shared.store.folder_mailboxes(&account.domain, account.id).await?;
    let name = |mailbox| match mailbox {
        FolderMailbox::Surveyed(encoded) => MailboxName::from_percent_encoded(&encoded),
        FolderMailbox::Named(name) => MailboxName::from_display(&name),
    };
    Ok(mailboxes.into_iter().map(name).collect())
}

/// Whether a new mailbox has UIDVALIDITY and messages of one that is gone.
async fn is_same(
    shared: &Shared,
    connection: &mut ImapConnection,
    origin: &Origin,
    candidate: &Candidate<'_>,
) -> Result<bool, Error> {
    let (Some(life), Some(uid_validity)) = (origin.life, origin.uid_validity) else {
        return Ok(false);
    };
    let told = &candidate.told;
    let is_changed = |now: u64| origin.uid_next.is_some_and(|then| now < then);
    if uid_validity == 0
        || told.uid_validity != Some(uid_validity)
        || told.uid_next.is_some_and(is_changed)
    {
        return Ok(false);
    }
    let selected = connection.select(&candidate.listed.name, Mode::Examine).await?;
    if selected.uid_validity != Some(uid_validity) || selected.uid_next.is_some_and(is_changed) {
        return Ok(false);
    }
    let recorded = shared.store.ledger(life).await?.recorded;
    let some = identity::sample(&shared.clock, &recorded, WITNESSES.0, WITNESSES.1);
    let check = IdentityCheck { shared, connection, life, unsteady: &mut Unsteady::default() };
    let look = check.look(&some, Care::Much).await?;
    Ok(look.over.is_none() && !look.same.is_empty())
}
