//! Former epochs that come back: the mailbox is again the one that an earlier epoch was about.
//!
//! Some names stand for two stores, which a load balancer shows by turns, each with a UIDVALIDITY
//! and UIDs of its own. The receipts of a former epoch with this UIDVALIDITY hold again if its
//! messages prove it: most recorded messages that are listed must be described, and each that is
//! described must have the recorded facts. If another one is described later, the polls find it, as
//! in any epoch. In doubt the epoch is a new one. Then all messages are fetched again, which loses
//! nothing. Whose mailbox a name shows is decided by the messages that are shown, however few,
//! because all others would be stored twice then.

use crate::error::Error;
use crate::receive::evidence::Evidence;
use crate::receive::identity;
use crate::receive::identity::Care;
use crate::receive::identity::IdentityCheck;
use crate::receive::sampling::sample;
use crate::shared::Shared;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::Source;
use postroom_imap::MailboxName;
use postroom_model::FolderId;
use postroom_store::MailboxEpoch;
use postroom_store::SourceKey;

/// The facts of more messages are not compared. A mailbox that has more is read anew.
const COMPARED_MAX: usize = 50_000;
/// Of so many messages, the newest and others, the fields that identify them are compared too.
const WITNESSES: (usize, usize) = (8, 16);

/// The open mailbox, as the source shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownMailbox<'a> {
    /// Its name at the source.
    pub name: &'a MailboxName,
    /// Its identity facts.
    pub opened: &'a OpenedMailbox,
    /// Its keys, ascending.
    pub keys: &'a [SourceKey],
    /// Whether most of the messages that are compared must be shown. Otherwise any number of them
    /// may be missing. One that the source does not describe proves nothing.
    pub must_be_whole: bool,
}

/// The former epoch of a folder that is back in the open mailbox. `None`: there is none.
///
/// # Errors
///
/// What ended the connection, or the store.
pub(crate) async fn find<S: Source>(
    shared: &Shared,
    source: &mut S,
    folder: FolderId,
    shown: ShownMailbox<'_>,
    evidence: &mut Evidence,
) -> Result<Option<MailboxEpoch>, Error> {
    let uid_validity = shown.opened.uid_validity;
    if uid_validity == 0 {
        return Ok(None);
    }
    for epoch in shared.store.former_epochs(folder, uid_validity).await? {
        if is_of(shared, source, epoch, shown, evidence).await? {
            return Ok(Some(epoch));
        }
    }
    Ok(None)
}

/// Whether the open mailbox has the messages that are recorded in an epoch, under their keys.
///
/// # Errors
///
/// What ended the connection, or the store.
pub(crate) async fn is_of<S: Source>(
    shared: &Shared,
    source: &mut S,
    epoch: MailboxEpoch,
    shown: ShownMailbox<'_>,
    evidence: &mut Evidence,
) -> Result<bool, Error> {
    let ledger = shared.store.ledger(epoch).await?;
    if identity::by_listing(&ledger, shown.opened.uid_next, shown.keys).is_some() {
        return Ok(false);
    }
    let is_stored = |key: &SourceKey| ledger.is_stored(*key);
    let both: Vec<SourceKey> = shown.keys.iter().copied().filter(is_stored).collect();
    if both.is_empty() || both.len() > COMPARED_MAX {
        return Ok(false);
    }
    evidence.keep_listed(shown.keys);
    evidence.ask_suspects(&shared.clock, source).await?;
    let some = sample(&shared.clock, &evidence.free(&both), WITNESSES.0, WITNESSES.1);
    for (keys, care) in [(&some, Care::Much), (&both, Care::Little)] {
        let check = IdentityCheck { shared, source, epoch, evidence, unloaded: &[] };
        let look = check.look(keys, care).await?;
        let lacks = shown.must_be_whole && look.missing.len() > look.same.len();
        if look.over.is_some() || look.same.is_empty() || lacks {
            return Ok(false);
        }
    }
    Ok(true)
}
