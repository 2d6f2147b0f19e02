//! Recognises a mailbox by its messages alone, under other UIDs and another UIDVALIDITY.
//!
//! It is for servers that renumber a mailbox when it is renamed, and tell no MAILBOXID, as Courier
//! does. Size, INTERNALDATE and Message-ID of recorded messages must be found again: of several of
//! them, each found once, and of the larger part of what the mailbox holds. A few moved messages
//! show nothing.

use crate::error::Error;
use crate::receive::identity;
use crate::receive::witness;
use crate::receive::witness::Seen;
use crate::shared::Shared;
use postroom_imap::FetchItems;
use postroom_imap::ImapConnection;
use postroom_store::MailboxEpoch;
use postroom_store::Remembered;
use postroom_store::Witness;
use std::collections::BTreeMap;

/// How many of the newest recorded messages are looked for.
const RECORDED_MAX: usize = 1000;
/// A mailbox with more messages is not listed for this.
const LISTED_MAX: u32 = 100_000;
/// So many messages must be found, and each of the sample must have the same Message-ID.
const FOUND_MIN: usize = 3;
/// How many of those that were found are compared by Message-ID: newest, others.
const SAMPLE: (usize, usize) = (8, 8);

/// Whether the selected mailbox, which has so many messages, is the one whose epoch this was.
///
/// # Errors
///
/// What ended the connection, or the store.
pub(crate) async fn is_alike(
    shared: &Shared,
    connection: &mut ImapConnection,
    epoch: MailboxEpoch,
    exists: u32,
) -> Result<bool, Error> {
    if exists > LISTED_MAX || (exists as usize) < FOUND_MIN {
        return Ok(false);
    }
    let recorded = shared.store.remembered_newest(epoch, RECORDED_MAX).await?;
    if recorded.len() < FOUND_MIN {
        return Ok(false);
    }
    let uids = connection.uid_search("ALL").await?;
    let listed = witness::ask(connection, &uids, FetchItems::Sizes).await?;
    let found = found_again(&recorded, &listed);
    if !is_most(found.len(), uids.len()) {
        return Ok(false);
    }
    let again: Vec<u64> = found.keys().copied().collect();
    let some = identity::sample(&shared.clock, &again, SAMPLE.0, SAMPLE.1);
    let seen = witness::ask(connection, &some, FetchItems::Witness).await?;
    Ok(has_same_ids(&found, &seen))
}

/// The recorded messages that are found again by size and INTERNALDATE, by their new UIDs. What is
/// there twice is left out, on either side.
fn found_again<'a>(
    recorded: &'a [Remembered],
    listed: &BTreeMap<u64, Seen>,
) -> BTreeMap<u64, &'a Remembered> {
    let key = |witness: &Witness| Some((witness.size_bytes?, witness.internal_date_ms?));
    let mut then = BTreeMap::new();
    for one in recorded {
        if let Some(key) = key(&one.witness) {
            then.entry(key).and_modify(|known| *known = None).or_insert(Some(one));
        }
    }
    let mut now = BTreeMap::new();
    for (uid, seen) in listed {
        if let Some(key) = key(&seen.witness) {
            now.entry(key).and_modify(|known| *known = None).or_insert(Some(*uid));
        }
    }
    let pair = |(key, uid): (_, Option<u64>)| Some((uid?, (*then.get(&key)?)?));
    now.into_iter().filter_map(pair).collect()
}

/// Whether so many messages are enough, and most of those that are looked for among the listed.
fn is_most(found: usize, listed: usize) -> bool {
    found >= FOUND_MIN && found.saturating_mul(2) >= listed.min(RECORDED_MAX)
}

/// Whether no message of a sample has another Message-ID than the recorded one, and enough have the
/// same.
fn has_same_ids(found: &BTreeMap<u64, &Remembered>, seen: &BTreeMap<u64, Seen>) -> bool {
    let pairs = found.iter().filter_map(|(uid, then)| {
        Some((then.witness.message_id?, seen.get(uid)?.witness.message_id?))
    });
    let (mut same, mut other) = (0, 0);
    for (then, now) in pairs {
        if then == now { same += 1 } else { other += 1 }
    }
    other == 0 && same >= FOUND_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Size, INTERNALDATE, and the hash of Message-ID.
    type Facts = (u64, i64, i64);

    fn witness(size: u64, date_ms: i64, message_id: i64) -> Witness {
        Witness {
            size_bytes: Some(size),
            internal_date_ms: Some(date_ms),
            message_id: Some(message_id),
        }
    }

    fn recorded(facts: &[Facts]) -> Vec<Remembered> {
        let one = |(uid, (size, date, id)): (u64, &Facts)| Remembered {
            key: postroom_store::SourceKey::of_uid(uid),
            witness: witness(*size, *date, *id),
            hash: None,
        };
        (1..).zip(facts).map(one).collect()
    }

    fn listed(facts: &[Facts]) -> BTreeMap<u64, Seen> {
        let one =
            |(size, date, id): &Facts| Seen { witness: witness(*size, *date, *id), hash: None };
        (101..).zip(facts.iter().map(one)).collect()
    }

    #[test]
    fn a_mailbox_is_recognised_by_most_of_its_messages_and_by_all_of_the_sample() {
        const ALL: [Facts; 4] = [(5, 1, 7), (6, 2, 8), (7, 3, 9), (8, 4, 10)];
        let other = |n: u64| (100 + n, 100, 100);
        let but = |at: usize, other: Facts| {
            let mut all = ALL.to_vec();
            all[at] = other;
            all
        };
        #[rustfmt::skip]
        let table: &[(Vec<Facts>, bool)] = &[
            (ALL.to_vec(),                                                       true),
            (ALL[1..].to_vec(),                                                  true),
            (ALL[2..].to_vec(),                                                  false),
            (ALL.into_iter().chain((0..4).map(other)).collect(),                 true),
            // They were moved to a mailbox that has others.
            (ALL.into_iter().chain((0..5).map(other)).collect(),                 false),
            // One has another Message-ID.
            (but(3, (8, 4, 11)),                                                 false),
            // Two cannot be told from another.
            (ALL.into_iter().chain([ALL[0], ALL[1]]).collect(),                  false),
            (vec![],                                                             false),
        ];
        let recorded = recorded(&ALL);
        for (facts, want) in table {
            let listed = listed(facts);
            let found = found_again(&recorded, &listed);
            let is_alike = is_most(found.len(), listed.len()) && has_same_ids(&found, &listed);
            assert_eq!(is_alike, *want, "{facts:?}");
        }
    }
}
