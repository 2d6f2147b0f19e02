//! Wishes: what is to be changed at the server once a message is durable.
//!
//! A wish is recorded in the transaction that records the message, and taken off the list after
//! the server has done it: a crash in between repeats it, which does no harm. What the folder no
//! longer wishes when its turn comes is taken off the list and never done.

use crate::account::Folder;
use crate::error::Error;
use crate::receive::asks::SET_OCTETS_MAX;
use crate::shared::Shared;
use postroom_imap::Connection;
use postroom_imap::FlagChange;
use postroom_imap::UidSet;
use postroom_store::Wish;

/// How many messages are taken from the list at once.
const PORTION: u32 = 100;

/// What a folder wishes for the messages that are recorded from now on.
#[must_use]
pub fn wished(folder: &Folder) -> Option<Wish> {
    if folder.delete_on_server {
        Some(Wish::Delete)
    } else if folder.options.flag("keep_unseen") {
        None
    } else {
        Some(Wish::Seen)
    }
}

/// Fulfils the recorded wishes of one folder, whose mailbox is selected.
///
/// Messages are deleted with `\Deleted` and UID EXPUNGE of exactly these UIDs (RFC 4315 §2.1),
/// never with an EXPUNGE that could take what others marked; a server without UIDPLUS keeps them
/// marked.
///
/// # Errors
///
/// What ended the connection, or the server's refusal.
pub async fn fulfil(
    shared: &Shared,
    folder: &Folder,
    connection: &mut Connection,
    uid_validity: u32,
) -> Result<(), Error> {
    loop {
        let wishes = shared.store.wish_list(folder.id, uid_validity, PORTION).await?;
        if wishes.is_empty() {
            return Ok(());
        }
        for wish in [Wish::Seen, Wish::Delete] {
            let uids: Vec<u32> = wishes.iter().filter(|w| w.1 == wish).map(|w| w.0).collect();
            if is_still_wished(folder, wish) {
                for set in UidSet::from_uids(&uids).split(SET_OCTETS_MAX) {
                    change(connection, wish, &set).await?;
                }
            }
            if !uids.is_empty() {
                shared.store.wish_done(folder.id, uid_validity, &uids).await?;
            }
        }
    }
}

/// Whether the folder has the wish now, as it had when the message was recorded.
fn is_still_wished(folder: &Folder, wish: Wish) -> bool {
    match wish {
        Wish::Seen => !folder.options.flag("keep_unseen"),
        Wish::Delete => folder.delete_on_server,
    }
}

async fn change(connection: &mut Connection, wish: Wish, set: &UidSet) -> Result<(), Error> {
    match wish {
        Wish::Seen => connection.uid_store(set, &FlagChange::add_silent("\\Seen")).await?,
        Wish::Delete => {
            connection.uid_store(set, &FlagChange::add_silent("\\Deleted")).await?;
            let capabilities = connection.capabilities();
            if capabilities.has("UIDPLUS") || capabilities.has("IMAP4REV2") {
                connection.uid_expunge(set).await?;
            }
        }
    }
    Ok(())
}
