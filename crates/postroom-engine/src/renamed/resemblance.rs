//! Recognises a mailbox by its messages alone, under other UIDs and another UIDVALIDITY.
//!
//! This is for servers such as Courier, which renumber a mailbox when it is renamed and tell no
//! MAILBOXID. A sample of the messages in the mailbox is compared with the recorded messages by
//! size, INTERNALDATE and Message-ID. At least half of the sample must be recorded, and each
//! recorded message counts once. So a few messages that were moved to a mailbox prove nothing.

use crate::error::Error;
use crate::receive::evidence::Evidence;
use crate::receive::sampling::sample;
use crate::receive::witness::Facts;
use crate::shared::Shared;
use crate::source::contract::ListRange;
use crate::source::contract::Source;
use postroom_store::MailboxEpoch;
use postroom_store::Witness;
use std::collections::HashMap;

/// How many of the newest recorded messages are compared.
const RECORDED_MAX: usize = 100_000;
/// How many messages of the mailbox are compared: newest, others.
const SAMPLE: (usize, usize) = (60, 60);
/// At least so many of them must be recorded.
const FOUND_MIN: usize = 3;

/// Whether the open mailbox is the one whose epoch this was.
///
/// # Errors
///
/// What ended the connection, a refusal, or the store.
pub(crate) async fn is_alike<S: Source>(
    shared: &Shared,
    source: &mut S,
    epoch: MailboxEpoch,
    evidence: &mut Evidence,
) -> Result<bool, Error> {
    let recorded = shared.store.remembered_newest(epoch, RECORDED_MAX).await?;
    if recorded.len() < FOUND_MIN {
        return Ok(false);
    }
    let listing = match source.list(ListRange::All).await {
        // The server counts messages but lists none.
        Err(Error::Unlisted { .. }) => return Ok(false),
        listing => listing?,
    };
    evidence.keep_listed(&listing.keys);
    evidence.ask_suspects(&shared.clock, source).await?;
    let some = sample(&shared.clock, &evidence.free(&listing.keys), SAMPLE.0, SAMPLE.1);
    if some.len() < FOUND_MIN {
        return Ok(false);
    }
    let seen = evidence.ask(&shared.clock, source, &some, Facts::All).await?;
    let then = recorded.iter().map(|recorded| recorded.witness);
    Ok(are_recorded(then, seen.values().map(|seen| seen.witness), some.len()))
}

/// Whether at least half of a sample of so many messages, and [`FOUND_MIN`], are recorded.
fn are_recorded(
    then: impl Iterator<Item = Witness>,
    now: impl Iterator<Item = Witness>,
    sample_count: usize,
) -> bool {
    let facts = |one: Witness| Some((one.size_bytes?, one.internal_date_ms?, one.message_id?));
    let mut recorded: HashMap<_, usize> = HashMap::new();
    for facts in then.filter_map(facts) {
        *recorded.entry(facts).or_default() += 1;
    }
    let mut is_recorded = |facts: &_| match recorded.get_mut(facts) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        Some(_) | None => false,
    };
    let found = now.filter_map(facts).filter(|facts| is_recorded(facts)).count();
    found >= FOUND_MIN && found.saturating_mul(2) >= sample_count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Size, INTERNALDATE, and the hash of Message-ID.
    type Facts = (u64, i64, i64);

    fn witness(facts: &Facts) -> Witness {
        let (size_bytes, internal_date_ms, message_id) = *facts;
        Witness {
            size_bytes: Some(size_bytes),
            internal_date_ms: Some(internal_date_ms),
            message_id: Some(message_id),
        }
    }

    #[test]
    fn a_mailbox_is_recognised_by_most_of_its_messages() {
        // Two have the same size and date.
        const ALL: [Facts; 4] = [(5, 1, 7), (5, 1, 8), (7, 3, 9), (8, 4, 10)];
        let other = |n: u64| (100 + n, 100, 100);
        #[rustfmt::skip]
        let table: &[(Vec<Facts>, bool)] = &[
            (ALL.to_vec(),                                                    true),
            (ALL[1..].to_vec(),                                               true),
            (ALL[2..].to_vec(),                                               false),
            (ALL.into_iter().chain((0..4).map(other)).collect(),              true),
            // They were moved to a mailbox that has others.
            (ALL.into_iter().chain((0..5).map(other)).collect(),              false),
            // One fact of each of two differs.
            (vec![(5, 1, 7), (5, 1, 9), (7, 4, 9), (8, 4, 10)],               false),
            // The same message again and again.
            (vec![ALL[0]; 4],                                                 false),
            (vec![],                                                          false),
        ];
        for (now, want) in table {
            let then = ALL.iter().map(witness);
            let got = are_recorded(then, now.iter().map(witness), now.len());
            assert_eq!(got, *want, "{now:?}");
        }
        let unknown = |_| Witness::default();
        assert!(!are_recorded(ALL.iter().map(unknown), ALL.iter().map(unknown), 4));
    }
}
