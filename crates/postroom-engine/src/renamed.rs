//! Follows renamed mailboxes: a monitored folder takes the new name of its mailbox.
//!
//! LIST does not report a rename: one name is gone, and another one is new. The mailbox is
//! recognised by its UIDVALIDITY and by the facts about its recorded messages. Without such
//! evidence, no folder is changed.

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
    let mut candidates: Vec<_> = new.by_ref().take(CANDIDATES_MAX).collect();
    let mut open: BTreeSet<_> = new.map(|listed| listed.name.clone()).collect();
    for folder in gone {
        let origin = shared.store.origin(folder.id).await?;
        for (at, candidate) in candidates.iter().enumerate() {
            match is_same(shared, connection, &origin, candidate).await {
                Ok(true) => {
                    take(shared, account, folder, candidate).await?;
                    open.remove(&candidate.name);
                    candidates.swap_remove(at);
                    break;
                }
                Ok(false) => {}
                Err(Error::Imap(error)) if error.leaves_connection_open() => {
                    if !is_lasting(&error) {
                        open.insert(candidate.name.clone());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(open)
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

async fn is_same(
    shared: &Shared,
    connection: &mut ImapConnection,
    origin: &Origin,
    candidate: &Listed,
) -> Result<bool, Error> {
    let (Some(life), Some(uid_validity)) = (origin.life, origin.uid_validity) else {
        return Ok(false);
    };
    let status = connection.status(&candidate.name).await?;
    if uid_validity == 0 || status.uid_validity != Some(uid_validity) {
        return Ok(false);
    }
    let selected = connection.select(&candidate.name, Mode::Examine).await?;
    let is_changed = |now: u64| origin.uid_next.is_some_and(|then| now < then);
    if selected.uid_validity != Some(uid_validity) || selected.uid_next.is_some_and(is_changed) {
        return Ok(false);
    }
    let recorded = shared.store.ledger(life).await?.recorded;
    let some = identity::sample(&shared.clock, &recorded, WITNESSES.0, WITNESSES.1);
    let check = IdentityCheck { shared, connection, life, unsteady: &mut Unsteady::default() };
    let look = check.look(&some, Care::Much).await?;
    Ok(look.over.is_none() && !look.same.is_empty())
}

async fn take(
    shared: &Shared,
    account: &Account,
    folder: &Folder,
    candidate: &Listed,
) -> Result<(), Error> {
    tracing::info!(
        account = account.address,
        folder = folder.title,
        "the mailbox was renamed to {}: the folder follows it",
        candidate.display
    );
    let mailbox = candidate.name.to_percent_encoded();
    shared.store.folder_follow(&account.domain, folder.id, &mailbox, &candidate.display).await?;
    Ok(())
}
