//! Identity: is a UID still the message that was recorded under it?
//!
//! A server that was restored from a backup, moved or repaired may give the same UIDs again under
//! the same UIDVALIDITY. Any sign of this ends the epoch of the mailbox. Then all messages are
//! fetched again and recognised by their bytes, and open deletions are cancelled.

use crate::error::Error;
use crate::receive::witness;
use crate::receive::witness::Likeness;
use crate::receive::witness::Proof;
use crate::receive::witness::Unsteady;
use crate::shared::Shared;
use postroom_imap::FetchItems;
use postroom_imap::ImapConnection;
use postroom_imap::Selected;
use postroom_store::Clock;
use postroom_store::Ledger;
use postroom_store::MailboxEpoch;
use postroom_store::Origin;
use postroom_store::SourceKey;
use std::collections::BTreeSet;
use std::fmt;

/// For how many messages the bytes are fetched if the facts differ.
const PROOFS_MAX: usize = 3;

/// Why an epoch of a mailbox is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// There was none, because the mailbox was never read.
    New,
    /// The account is at another server, or under another login.
    Moved,
    /// UIDVALIDITY has changed.
    UidValidity,
    /// MAILBOXID has changed: another mailbox has the name now.
    MailboxId,
    /// UIDNEXT is smaller than before, or not larger than a UID in use.
    UidNext {
        /// What it is now.
        now: u64,
        /// What it was at least.
        then: u64,
    },
    /// The server lists a message that was deleted there.
    Back {
        /// Its UID.
        uid: u64,
    },
    /// Another message has the UID of one that was recorded.
    Other {
        /// The UID.
        uid: u64,
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
            Self::Back { uid } => {
                write!(f, "the server lists UID {uid} again, which was deleted")
            }
            Self::Other { uid } => write!(f, "the server has another message under UID {uid}"),
        }
    }
}

/// Whether the result of SELECT ends the noted epoch.
#[must_use]
pub fn by_selected(origin: &Origin, selected: &Selected, login: &str) -> Option<Over> {
    if origin.epoch.is_none() {
        return Some(Over::New);
    }
    if origin.login.as_ref().is_some_and(|noted| noted != login) {
        return Some(Over::Moved);
    }
    if origin.uid_validity != Some(selected.uid_validity.unwrap_or(0)) {
        return Some(Over::UidValidity);
    }
    if differs(origin.mailbox_id.as_ref(), selected.mailbox_id.as_ref()) {
        return Some(Over::MailboxId);
    }
    match (selected.uid_next, origin.uid_next) {
        (Some(now), Some(then)) if now < then => Some(Over::UidNext { now, then }),
        _ => None,
    }
}

/// Whether two facts differ. A missing one says nothing.
#[must_use]
pub fn differs<T: PartialEq>(then: Option<&T>, now: Option<&T>) -> bool {
    then.is_some() && now.is_some() && then != now
}

/// Whether the listed UIDs end the epoch of the ledger.
#[must_use]
pub fn by_listing(ledger: &Ledger, uid_next: Option<u64>, listed: &[u64]) -> Option<Over> {
    // A server that lists UIDs beyond UIDNEXT contradicts itself, so its UIDNEXT shows nothing.
    let is_below = |now: u64| listed.last().is_none_or(|last| *last < now);
    if let (Some(now), Some(last)) = (uid_next.filter(|now| is_below(*now)), ledger.recorded.last())
        && now <= last.uid()
    {
        return Some(Over::UidNext { now, then: last.uid().saturating_add(1) });
    }
    let back = listed.iter().find(|uid| ledger.is_gone(SourceKey::of_uid(**uid)))?;
    Some(Over::Back { uid: *back })
}

/// The result of checking some messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Those that are certainly the ones that were recorded.
    pub same: Vec<u64>,
    /// Why the epoch of the mailbox is over, if it is.
    pub over: Option<Over>,
}

/// How thorough a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Size and date only, for many messages.
    Little,
    /// Message-ID too.
    Much,
    /// Until each message is certain, if necessary by its bytes. For steps that cannot be undone.
    All,
}

/// The selected mailbox, whose messages are compared with their records.
pub(crate) struct IdentityCheck<'a> {
    /// The engine.
    pub shared: &'a Shared,
    /// The connection that has selected it.
    pub connection: &'a mut ImapConnection,
    /// The epoch of the records.
    pub epoch: MailboxEpoch,
    /// Which facts of this server are no evidence.
    pub unsteady: &'a mut Unsteady,
}

impl IdentityCheck<'_> {
    /// Compares messages with their records.
    ///
    /// # Errors
    ///
    /// What ended the connection, the store, or the spool directory.
    pub(crate) async fn look(self, uids: &[u64], care: Care) -> Result<Look, Error> {
        let Self { shared, connection, epoch, unsteady } = self;
        let mut look = Look::default();
        if uids.is_empty() {
            return Ok(look);
        }
        let keys: Vec<_> = uids.iter().copied().map(SourceKey::of_uid).collect();
        let items = if care == Care::Little { FetchItems::Sizes } else { FetchItems::Witness };
        let remembered = shared.store.remembered(epoch, &keys).await?;
        let seen = witness::ask(connection, uids, items).await?;
        let mut proofs = 0;
        for then in &remembered {
            let Some(now) = seen.get(&then.key.uid()) else {
                continue;
            };
            let comparison = witness::compare(then, now, *unsteady);
            if comparison == Likeness::Same || care != Care::All && comparison == Likeness::Likely {
                look.same.push(then.key.uid());
                continue;
            }
            if proofs >= PROOFS_MAX && care != Care::All {
                break;
            }
            proofs += 1;
            match witness::prove(connection, then, &shared.settings.spool_directory).await? {
                Proof::Same => {
                    unsteady.learn(then, now);
                    look.same.push(then.key.uid());
                }
                Proof::Other => {
                    look.over = Some(Over::Other { uid: then.key.uid() });
                    return Ok(look);
                }
                Proof::None => {}
            }
        }
        Ok(look)
    }
}

/// A sample of many ascending UIDs: the newest ones, which a restored server gives again first, and
/// some of the others, different ones each time.
#[must_use]
pub fn sample(clock: &Clock, uids: &[u64], newest: usize, others: usize) -> Vec<u64> {
    let (older, last) = uids.split_at(uids.len().saturating_sub(newest));
    let mut chosen: BTreeSet<u64> = last.iter().copied().collect();
    for _ in 0..others.min(older.len()) {
        chosen.extend(older.get(clock.below(older.len())));
    }
    let mut chosen: Vec<u64> = chosen.into_iter().collect();
    chosen.sort_unstable();
    chosen
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
            last_proof_ms: None,
        }
    }

    fn selected(uid_validity: Option<u64>, uid_next: Option<u64>) -> Selected {
        Selected { uid_validity, uid_next, ..Selected::default() }
    }

    #[test]
    fn a_life_ends_with_another_server_another_uidvalidity_or_a_lower_uidnext() {
        let by = |noted: &Origin, validity, next| {
            by_selected(noted, &selected(validity, next), "a@x.test")
        };
        assert_eq!(by(&origin(), Some(7), Some(10)), None);
        assert_eq!(by(&origin(), Some(7), None), None);
        assert_eq!(by(&origin(), Some(8), Some(10)), Some(Over::UidValidity));
        assert_eq!(by(&origin(), None, Some(10)), Some(Over::UidValidity));
        assert_eq!(by(&origin(), Some(7), Some(9)), Some(Over::UidNext { now: 9, then: 10 }));
        assert_eq!(by(&Origin { epoch: None, ..origin() }, Some(7), None), Some(Over::New));
        assert_eq!(by(&Origin { login: None, ..origin() }, Some(7), None), None);
        for (id, want) in [("F1", None), ("F2", Some(Over::MailboxId)), ("", None)] {
            let mailbox_id = MailboxId::parse(id);
            let told = Selected { mailbox_id, ..selected(Some(7), None) };
            assert_eq!(by_selected(&origin(), &told, "a@x.test"), want, "{id}");
        }
        let moved = by_selected(&origin(), &selected(Some(7), Some(10)), "a@y.test");
        assert_eq!(moved, Some(Over::Moved));
    }

    #[test]
    fn a_life_ends_when_a_deleted_message_is_listed_or_uidnext_is_below_a_recorded_uid() {
        let ledger = Ledger {
            recorded: [1, 2, 5].map(SourceKey::of_uid).to_vec(),
            gone: vec![SourceKey::of_uid(2)],
            ..Ledger::default()
        };
        assert_eq!(by_listing(&ledger, Some(6), &[1, 5, 6]), None);
        assert_eq!(by_listing(&ledger, None, &[1]), None);
        assert_eq!(by_listing(&ledger, None, &[1, 2]), Some(Over::Back { uid: 2 }));
        assert_eq!(by_listing(&ledger, Some(5), &[1, 5]), None, "UIDNEXT is wrong");
        let fell = Some(Over::UidNext { now: 5, then: 6 });
        assert_eq!(by_listing(&ledger, Some(5), &[1]), fell);
    }

    #[test]
    fn a_sample_has_the_newest_and_no_more_than_asked() {
        let uids: Vec<u64> = (1..=1000).collect();
        let some = sample(&Clock::system(), &uids, 4, 4);
        assert!(some.is_sorted() && (5..=8).contains(&some.len()), "{some:?}");
        assert!((997..=1000).all(|uid| some.contains(&uid)), "{some:?}");
        assert_eq!(sample(&Clock::system(), &[3, 5], 4, 4), [3, 5]);
        assert!(sample(&Clock::system(), &[], 4, 4).is_empty());
    }
}
