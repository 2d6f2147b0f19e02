//! Identity: is a key still the message that was recorded under it?
//!
//! A server that was restored from a backup, moved or repaired may give the same UIDs again under
//! the same UIDVALIDITY. Any sign of this ends the epoch of the mailbox. Then all messages are
//! fetched again and recognised by their bytes, and open deletions are cancelled.

use crate::error::Error;
use crate::original::SpoolPlace;
use crate::receive::evidence::Evidence;
use crate::receive::unloaded;
use crate::receive::witness;
use crate::receive::witness::Facts;
use crate::receive::witness::Likeness;
use crate::receive::witness::Proof;
use crate::shared::Shared;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::Source;
use postroom_store::Ledger;
use postroom_store::MailboxEpoch;
use postroom_store::Origin;
use postroom_store::SourceKey;
use postroom_store::UnloadedMessage;
use std::fmt;

/// For how many messages the bytes are fetched if the facts differ.
const PROOFS_MAX: usize = 3;

/// Why an epoch of a mailbox is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Over {
    /// There was no epoch, because the mailbox was never read.
    New,
    /// The account is at another server, or under another login.
    Moved,
    /// UIDVALIDITY has changed.
    UidValidity,
    /// MAILBOXID has changed: another mailbox has the name now.
    MailboxId,
    /// UIDNEXT is smaller than before, or not larger than a UID in use.
    UidNext {
        /// The present UIDNEXT.
        now: u64,
        /// The lowest UIDNEXT that is possible.
        then: u64,
    },
    /// The server lists a message that was deleted there.
    Back {
        /// Its key.
        key: SourceKey,
    },
    /// A recorded message is listed under another UID, which no new message can have.
    Low {
        /// The key that it has now.
        key: SourceKey,
    },
    /// Another message has the UID of one that was recorded.
    Other {
        /// The key.
        key: SourceKey,
    },
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => write!(f, "the mailbox is read for the first time"),
            Self::Moved => write!(f, "the account is at another server now"),
            Self::UidValidity => write!(f, "the server changed UIDVALIDITY"),
            Self::MailboxId => write!(f, "another mailbox has this name now (MAILBOXID changed)"),
            Self::UidNext { now, then } => write!(f, "UIDNEXT fell from {then} to {now}"),
            Self::Back { key } => {
                write!(f, "the server lists UID {} again, which was deleted", key.uid())
            }
            Self::Low { key } => {
                write!(
                    f,
                    "the server lists a message under UID {}, which it cannot give",
                    key.uid()
                )
            }
            Self::Other { key } => {
                write!(f, "the server has another message under UID {}", key.uid())
            }
        }
    }
}

/// Whether the identity facts of the opened mailbox end the noted epoch.
#[must_use]
pub(crate) fn by_opened(origin: &Origin, opened: &OpenedMailbox, login: &str) -> Option<Over> {
    if origin.epoch.is_none() {
        return Some(Over::New);
    }
    if origin.login.as_ref().is_some_and(|noted| noted != login) {
        return Some(Over::Moved);
    }
    if origin.uid_validity != Some(opened.uid_validity) {
        return Some(Over::UidValidity);
    }
    if differs(origin.mailbox_id.as_ref(), opened.mailbox_id.as_ref()) {
        return Some(Over::MailboxId);
    }
    match (opened.uid_next, origin.uid_next) {
        (Some(now), Some(then)) if now < then => Some(Over::UidNext { now, then }),
        _ => None,
    }
}

/// Whether two facts differ. A missing one says nothing.
#[must_use]
pub(crate) fn differs<T: PartialEq>(then: Option<&T>, now: Option<&T>) -> bool {
    then.is_some() && now.is_some() && then != now
}

/// Whether the listed keys end the epoch of the ledger.
#[must_use]
pub(crate) fn by_listing(
    ledger: &Ledger,
    uid_next: Option<u64>,
    listed: &[SourceKey],
) -> Option<Over> {
    // A server that lists UIDs beyond UIDNEXT contradicts itself, so its UIDNEXT shows nothing.
    let is_below = |now: u64| listed.last().is_none_or(|last| last.uid() < now);
    if let (Some(now), Some(last)) = (uid_next.filter(|now| is_below(*now)), ledger.recorded.last())
        && now <= last.uid()
    {
        return Some(Over::UidNext { now, then: last.uid().saturating_add(1) });
    }
    let back = listed.iter().find(|key| ledger.is_gone(**key))?;
    Some(Over::Back { key: *back })
}

/// The result of checking some messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// The keys whose messages are certainly the recorded ones.
    pub same: Vec<SourceKey>,
    /// Why the epoch of the mailbox is over, if it is.
    pub over: Option<Over>,
    /// The messages that the source does not show: they have gone or are set apart, or it refused
    /// to answer.
    pub missing: Vec<SourceKey>,
}

/// How thorough a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Size and date only, for many messages.
    Little,
    /// And the hash of the fields that identify a message.
    Much,
    /// Until each message is certain, if necessary by its bytes. For steps that cannot be undone.
    All,
}

/// The open mailbox, whose messages are compared with their records.
pub(crate) struct IdentityCheck<'a, S> {
    /// The engine.
    pub shared: &'a Shared,
    /// The source that has opened it.
    pub source: &'a mut S,
    /// The epoch of the records.
    pub epoch: MailboxEpoch,
    /// What is known of the evidence that the source gives.
    pub evidence: &'a mut Evidence,
    /// Messages that are not loaded. Those of the keys that are asked for are compared too.
    pub unloaded: &'a [UnloadedMessage],
}

impl<S: Source> IdentityCheck<'_, S> {
    /// Compares messages with their records. The keys are ascending.
    ///
    /// # Errors
    ///
    /// What ended the connection, the store, or the spool directory.
    pub(crate) async fn look(self, keys: &[SourceKey], care: Care) -> Result<Look, Error> {
        let Self { shared, source, epoch, evidence, unloaded } = self;
        let mut look = Look::default();
        if keys.is_empty() {
            return Ok(look);
        }
        let facts = if care == Care::Little { Facts::Few } else { Facts::All };
        let remembered = shared.store.remembered(epoch, keys).await?;
        let seen = evidence.ask(&shared.clock, source, keys, facts).await?;
        look.missing = keys.iter().copied().filter(|key| !seen.contains_key(key)).collect();
        let is_other = |then: &&UnloadedMessage| {
            let now = seen.get(&then.key).filter(|_| keys.contains(&then.key));
            now.is_some_and(|now| !unloaded::resembles(&then.witness, &now.witness))
        };
        if let Some(other) = unloaded.iter().find(is_other) {
            look.over = Some(Over::Other { key: other.key });
            return Ok(look);
        }
        let mut proofs = 0;
        for then in &remembered {
            let Some(now) = seen.get(&then.key) else {
                continue;
            };
            let may_prove = care == Care::All || proofs < PROOFS_MAX;
            let suffices = match witness::compare(then, now, evidence.unsteady) {
                Likeness::Same => true,
                // Nothing but its header identifies such a message.
                Likeness::Likely if then.is_oversized && care != Care::Little => !may_prove,
                Likeness::Likely => care != Care::All,
                Likeness::Differs => false,
            };
            if suffices {
                look.same.push(then.key);
                continue;
            }
            if !may_prove {
                break;
            }
            proofs += 1;
            let proof = if then.is_oversized {
                witness::prove_oversized(source, then, now, evidence.unsteady).await
            } else {
                witness::prove(source, then, now, SpoolPlace::of(shared)).await
            };
            match proof.inspect_err(|error| evidence.failed(&shared.clock, then.key, error))? {
                Proof::Same => {
                    evidence.unsteady.learn(then, now);
                    look.same.push(then.key);
                }
                // It is the recorded message, but a part of it may be missing here.
                Proof::Short if care == Care::All => {}
                Proof::Short => look.same.push(then.key),
                Proof::Other => {
                    look.over = Some(Over::Other { key: then.key });
                    return Ok(look);
                }
                Proof::None => {}
            }
        }
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::MailboxId;

    fn origin() -> Origin {
        Origin {
            login: Some("a@x.test".to_owned()),
            epoch: Some(MailboxEpoch { folder: postroom_model::FolderId::nil(), number: 1 }),
            uid_validity: Some(7),
            uid_next: Some(10),
            mailbox_id: MailboxId::parse("F1"),
            all_stored_ms: None,
        }
    }

    fn opened(uid_validity: u64, uid_next: Option<u64>) -> OpenedMailbox {
        OpenedMailbox { uid_validity, uid_next, ..OpenedMailbox::default() }
    }

    fn keys(uids: &[u64]) -> Vec<SourceKey> {
        uids.iter().copied().map(SourceKey::of_uid).collect()
    }

    #[test]
    fn a_life_ends_with_another_server_another_uidvalidity_or_a_lower_uidnext() {
        let by =
            |noted: &Origin, validity, next| by_opened(noted, &opened(validity, next), "a@x.test");
        assert_eq!(by(&origin(), 7, Some(10)), None);
        assert_eq!(by(&origin(), 7, None), None);
        assert_eq!(by(&origin(), 8, Some(10)), Some(Over::UidValidity));
        assert_eq!(by(&origin(), 0, Some(10)), Some(Over::UidValidity));
        assert_eq!(by(&origin(), 7, Some(9)), Some(Over::UidNext { now: 9, then: 10 }));
        assert_eq!(by(&Origin { epoch: None, ..origin() }, 7, None), Some(Over::New));
        assert_eq!(by(&Origin { login: None, ..origin() }, 7, None), None);
        for (id, want) in [("F1", None), ("F2", Some(Over::MailboxId)), ("", None)] {
            let mailbox_id = MailboxId::parse(id);
            let told = OpenedMailbox { mailbox_id, ..opened(7, None) };
            assert_eq!(by_opened(&origin(), &told, "a@x.test"), want, "{id}");
        }
        let moved = by_opened(&origin(), &opened(7, Some(10)), "a@y.test");
        assert_eq!(moved, Some(Over::Moved));
    }

    #[test]
    fn a_life_ends_when_a_deleted_message_is_listed_or_uidnext_is_below_a_recorded_uid() {
        let ledger = Ledger {
            recorded: [1, 2, 5].map(SourceKey::of_uid).to_vec(),
            gone: vec![SourceKey::of_uid(2)],
            ..Ledger::default()
        };
        assert_eq!(by_listing(&ledger, Some(6), &keys(&[1, 5, 6])), None);
        assert_eq!(by_listing(&ledger, None, &keys(&[1])), None);
        assert_eq!(
            by_listing(&ledger, None, &keys(&[1, 2])),
            Some(Over::Back { key: SourceKey::of_uid(2) })
        );
        assert_eq!(by_listing(&ledger, Some(5), &keys(&[1, 5])), None, "UIDNEXT is wrong");
        let fell = Some(Over::UidNext { now: 5, then: 6 });
        assert_eq!(by_listing(&ledger, Some(5), &keys(&[1])), fell);
    }
}
