//! Wishes: what is to be changed at the server once a message is durable.
//!
//! A wish is recorded in the transaction that records the message, and taken off the list after
//! the server has done it: a crash in between repeats it, which does no harm.

use crate::account::Folder;
use crate::error::Error;
use crate::shared::Shared;
use postroom_imap::Connection;
use postroom_imap::FlagChange;
use postroom_imap::UidSet;
use postroom_store::Wish;

/// How many messages one command names.
const PORTION: u32 = 100;

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
            if uids.is_empty() {
                continue;
            }
            let set = UidSet::from_uids(&uids);
            match wish {
                Wish::Seen => connection.uid_store(&set, &FlagChange::add_silent("\\Seen")).await?,
                Wish::Delete => {
                    connection.uid_store(&set, &FlagChange::add_silent("\\Deleted")).await?;
                    if connection.capabilities().has("UIDPLUS") {
                        connection.uid_expunge(&set).await?;
                    }
                }
            }
            shared.store.wish_done(folder.id, uid_validity, &uids).await?;
        }
    }
}
