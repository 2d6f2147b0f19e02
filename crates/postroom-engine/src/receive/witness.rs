//! Witnesses: cheap facts about a message (size, date, a few fields), compared with the recorded
//! ones.
//!
//! They are fetched for a few messages at each poll, and for each message before it is deleted. If
//! they differ, the bytes are compared, because some servers guess sizes, give the present time as
//! the date, or write into messages. It is remembered which of the three facts a server does not
//! keep, so that the bytes are not fetched again and again.

use crate::error::Error;
use crate::original::Original;
use crate::original::SpoolPlace;
use crate::original::hash_of;
use crate::receive::halving::Halving;
use crate::receive::incomplete;
use crate::receive::single;
use crate::receive::single::Single;
use crate::source::contract::MessageStream;
use crate::source::contract::Source;
use crate::source::message::FetchScope;
use crate::source::message::MessageEvent;
use crate::source::message::SourceBody;
use postroom_store::Remembered;
use postroom_store::SourceKey;
use postroom_store::Witness;
use std::collections::BTreeMap;

/// The present facts about a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The facts.
    pub witness: Witness,
    /// The hash of its bytes, if the server sent them unasked.
    pub hash: Option<[u8; 16]>,
}

/// Which facts are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Facts {
    /// Size and date.
    Few,
    /// The fields that identify a message too, unless the source refuses to give them.
    All,
}

/// Which facts a server changes although the message stays the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unsteady {
    size: bool,
    internal_date: bool,
    message_id: bool,
}

/// What a comparison of witnesses shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// The message is the same.
    Same,
    /// Nothing shows a difference, but the evidence does not suffice to delete the message.
    Likely,
    /// It may be another message.
    Differs,
}

/// What the bytes of a message show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// They equal the recorded ones.
    Same,
    /// They equal the recorded ones, but the server does not say that the message has no more.
    Short,
    /// They differ from the recorded ones, so it is another message.
    Other,
    /// Nothing: they could not be fetched as a whole, or no hash is recorded.
    None,
}

/// Compares the recorded facts with the present ones.
#[must_use]
pub(crate) fn compare(then: &Remembered, now: &Seen, unsteady: Unsteady) -> Likeness {
    if let (Some(then), Some(now)) = (then.hash, now.hash) {
        return if then == now { Likeness::Same } else { Likeness::Differs };
    }
    let size = agree(then.witness.size_bytes, now.witness.size_bytes, unsteady.size);
    let date =
        agree(then.witness.internal_date_ms, now.witness.internal_date_ms, unsteady.internal_date);
    let id = agree(then.witness.message_id, now.witness.message_id, unsteady.message_id);
    let is_sized = size == Some(true) || unsteady.size;
    // A message without the fields that identify one may be any other of its size and date.
    let is_identified = id == Some(true) || date == Some(true) && then.witness.message_id.is_some();
    if [size, date, id].contains(&Some(false)) {
        Likeness::Differs
    } else if is_sized && is_identified {
        Likeness::Same
    } else {
        Likeness::Likely
    }
}

/// Whether two facts agree. `None`: one is missing, or the server does not keep this fact.
fn agree<T: PartialEq>(then: Option<T>, now: Option<T>, is_unsteady: bool) -> Option<bool> {
    Some(then? == now?).filter(|_| !is_unsteady)
}

impl Unsteady {
    /// The facts that one or the other says.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            size: self.size || other.size,
            internal_date: self.internal_date || other.internal_date,
            message_id: self.message_id || other.message_id,
        }
    }

    /// Notes the facts that differ although the bytes are the same.
    pub(crate) fn learn(&mut self, then: &Remembered, now: &Seen) {
        let differs = |is: Option<bool>| is == Some(false);
        let (then, now) = (&then.witness, &now.witness);
        self.size |= differs(agree(then.size_bytes, now.size_bytes, false));
        self.internal_date |= differs(agree(then.internal_date_ms, now.internal_date_ms, false));
        self.message_id |= differs(agree(then.message_id, now.message_id, false));
    }
}

/// The fields that identify messages. The last three are for messages without a Message-ID.
const FIELDS: [&[u8]; 4] = [b"message-id", b"date", b"from", b"subject"];

/// A hash of Message-ID, Date, From and Subject. `start` is a header, or the beginning of a
/// message. `None`: it has none of these fields.
#[must_use]
pub(crate) fn message_id(start: &[u8]) -> Option<i64> {
    let mut values: [Option<Vec<u8>>; 4] = [None, None, None, None];
    let mut current: Option<usize> = None;
    for line in start.split(|byte| *byte == b'\n') {
        if line.trim_ascii().is_empty() {
            break;
        }
        let is_continued = matches!(line.first(), Some(b' ' | b'\t'));
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at(if is_continued { 0 } else { colon });
        if !is_continued {
            let name = name.trim_ascii_end();
            current = FIELDS.iter().position(|field| name.eq_ignore_ascii_case(field));
            // If a field is repeated, the first one counts.
            current = current.filter(|at| values.get(*at).is_some_and(Option::is_none));
        }
        if let Some(kept) = current.and_then(|at| values.get_mut(at)) {
            kept.get_or_insert_default().extend(value.iter().filter(|b| !b.is_ascii_whitespace()));
        }
    }
    if values.iter().all(|value| value.as_ref().is_none_or(|value| value.len() <= 1)) {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    for value in values {
        hasher.update(&value.unwrap_or_default());
        hasher.update(b"\n");
    }
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    Some(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// Fetches the facts about these messages. Messages that the server skips, or refuses to describe,
/// are missing from the result.
///
/// # Errors
///
/// What ended the connection.
pub(crate) async fn ask<S: Source>(
    source: &mut S,
    keys: &[SourceKey],
    facts: Facts,
) -> Result<BTreeMap<SourceKey, Seen>, Error> {
    let mut seen = BTreeMap::new();
    ask_sets(source, &mut Halving::of(S::requests(keys)), facts, &mut seen).await?;
    Ok(seen)
}

/// Fetches the facts about sets of messages. A set that is refused is halved.
///
/// # Errors
///
/// What ended the connection. The sets know during which messages.
pub(crate) async fn ask_sets<S: Source>(
    source: &mut S,
    sets: &mut Halving,
    facts: Facts,
    seen: &mut BTreeMap<SourceKey, Seen>,
) -> Result<(), Error> {
    while let Some(set) = sets.next() {
        match describe(source, &set, facts, seen).await {
            Ok(()) => sets.accepted(&set),
            Err(error) if error.is_refusal() => {
                if sets.refused(set, error).is_err() {
                    // It refuses more than these messages. What it does not show proves nothing.
                    return Ok(());
                }
            }
            Err(error) => {
                let is_missing = |key: &SourceKey| !seen.contains_key(key);
                let missing: Vec<_> = set.iter().copied().filter(is_missing).collect();
                return sets.refused(if missing.is_empty() { set } else { missing }, error);
            }
        }
    }
    Ok(())
}

/// Fetches the facts about a set of messages.
async fn describe<S: Source>(
    source: &mut S,
    keys: &[SourceKey],
    facts: Facts,
    seen: &mut BTreeMap<SourceKey, Seen>,
) -> Result<(), Error> {
    if facts == Facts::All {
        match ask_some(source, keys, FetchScope::Witness, seen).await {
            // Some servers refuse header fields but give size and date.
            Err(error) if error.is_refusal() => {}
            result => return result,
        }
    }
    ask_some(source, keys, FetchScope::Sizes, seen).await
}

async fn ask_some<S: Source>(
    source: &mut S,
    keys: &[SourceKey],
    scope: FetchScope<S::Form>,
    seen: &mut BTreeMap<SourceKey, Seen>,
) -> Result<(), Error> {
    let mut messages = source.fetch(keys, scope).await?;
    while let Some(event) = messages.next().await? {
        let MessageEvent::Message(message) = event else {
            continue;
        };
        if keys.binary_search(&message.key).is_err() {
            continue;
        }
        let entry: &mut Seen = seen.entry(message.key).or_default();
        let body = if let SourceBody::Bytes(bytes) = &message.body { Some(bytes) } else { None };
        let whole = body.filter(|bytes| is_whole(message.size_bytes, bytes));
        let header = message.header.as_ref().or(whole);
        let witness = Witness {
            size_bytes: message.size_bytes.or(entry.witness.size_bytes),
            internal_date_ms: message.internal_date_ms.or(entry.witness.internal_date_ms),
            message_id: header.and_then(|header| message_id(header)).or(entry.witness.message_id),
        };
        *entry = Seen { witness, hash: whole.map(|bytes| hash_of(bytes)).or(entry.hash) };
    }
    Ok(())
}

/// Whether the fetched bytes may be the whole message, so that they can be compared.
fn is_whole(announced: Option<u64>, bytes: &bytes::Bytes) -> bool {
    let original = Original::Memory(bytes.clone());
    incomplete::too_few(announced, bytes.len() as u64).is_none()
        && incomplete::notice(&original).is_ok_and(|notice| notice.is_none())
}

/// Compares the bytes of a message with those that were recorded.
///
/// # Errors
///
/// What ended the connection, or the spool directory.
pub(crate) async fn prove<S: Source>(
    source: &mut S,
    then: &Remembered,
    seen: &Seen,
    spool: SpoolPlace<'_>,
) -> Result<Proof, Error> {
    let Some(hash) = then.hash else {
        return Ok(Proof::None);
    };
    let (message, original) = match single::ask(source, then.key, FetchScope::Whole, spool).await? {
        Single::Given(message, original) => (message, original),
        Single::Missed(_) => return Ok(Proof::None),
        Single::Unspooled(unspooled) => return Err(Error::Spool(unspooled.error)),
    };
    let is_incomplete = incomplete::too_few(message.size_bytes, original.size_bytes()).is_some()
        || incomplete::notice(&original).map_err(Error::Spool)?.is_some();
    let announced = message.size_bytes.or(seen.witness.size_bytes);
    let is_short = announced.is_none()
        || !incomplete::may_be_deleted(announced, &original).map_err(Error::Spool)?;
    let now = original.hash().map_err(Error::Spool)?;
    Ok(match now == hash {
        true if is_short => Proof::Short,
        true => Proof::Same,
        false if is_incomplete => Proof::None,
        false => Proof::Other,
    })
}

/// Compares a message of which only the header was stored with what was recorded of it. The bytes
/// of the header decide. If the header is the same and the size is not, it is another message,
/// unless the server gives another size each time.
///
/// # Errors
///
/// What ended the connection.
pub(crate) async fn prove_oversized<S: Source>(
    source: &mut S,
    then: &Remembered,
    seen: &Seen,
    unsteady: Unsteady,
) -> Result<Proof, Error> {
    let told = single::header(source, then.key).await?.unwrap_or_default();
    let header = told.header.as_ref().map(|header| hash_of(header));
    let same_header = agree(then.header_hash, header, false);
    let (then, now) = (&then.witness, &seen.witness);
    let same_id = agree(then.message_id, now.message_id, unsteady.message_id);
    let same_size = agree(then.size_bytes, now.size_bytes, unsteady.size);
    let is_steady = told.size_bytes == now.size_bytes;
    // An earlier version noted the size that the body was announced with, and no Message-ID.
    let is_earlier = then.message_id.is_none();
    Ok(match (same_header, same_size) {
        (Some(true), Some(false)) if is_earlier => Proof::Short,
        (Some(true), Some(false)) if is_steady => Proof::Other,
        (Some(true), _) => Proof::Same,
        // Some servers change other fields of the header.
        (Some(false), Some(true)) if same_id == Some(true) => Proof::Same,
        (Some(false), _) => Proof::Other,
        (None, _) if same_id == Some(false) || same_size == Some(false) => Proof::Other,
        (None, _) => Proof::None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(size: Option<u64>, date: Option<i64>, id: Option<i64>) -> Witness {
        Witness { size_bytes: size, internal_date_ms: date, message_id: id }
    }

    fn then(witness: Witness) -> Remembered {
        Remembered {
            key: postroom_store::SourceKey::of_uid(1),
            witness,
            hash: Some([7; 16]),
            is_oversized: false,
            header_hash: None,
        }
    }

    #[test]
    fn one_fact_that_differs_is_enough_and_one_that_agrees_is_not() {
        let all = witness(Some(5), Some(6), Some(7));
        #[rustfmt::skip]
        let table: &[(Witness, Likeness)] = &[
            (all,                                  Likeness::Same),
            (witness(Some(5), Some(6), None),      Likeness::Same),
            (witness(Some(5), None, Some(7)),      Likeness::Same),
            (witness(None, Some(6), Some(7)),      Likeness::Likely),
            (witness(Some(5), None, None),         Likeness::Likely),
            (witness(None, Some(6), None),         Likeness::Likely),
            (witness(None, None, None),            Likeness::Likely),
            (witness(Some(4), Some(6), Some(7)),   Likeness::Differs),
            (witness(Some(5), Some(1), Some(7)),   Likeness::Differs),
            (witness(Some(5), Some(6), Some(1)),   Likeness::Differs),
        ];
        for (now, want) in table {
            let now = Seen { witness: *now, hash: None };
            assert_eq!(compare(&then(all), &now, Unsteady::default()), *want, "{now:?}");
        }
        let unnamed = witness(Some(5), Some(6), None);
        let got =
            compare(&then(unnamed), &Seen { witness: unnamed, hash: None }, Unsteady::default());
        assert_eq!(got, Likeness::Likely, "nothing of it identifies the message");
        let other_bytes = Seen { witness: all, hash: Some([8; 16]) };
        let got = compare(&then(all), &other_bytes, Unsteady::default());
        assert_eq!(got, Likeness::Differs, "bytes decide");
    }

    #[test]
    fn a_fact_that_a_server_does_not_keep_is_ignored() {
        let (before, now) = (witness(Some(5), Some(6), None), witness(Some(9), Some(6), None));
        let (before, now) = (then(before), Seen { witness: now, hash: None });
        let mut unsteady = Unsteady::default();
        unsteady.learn(&before, &now);
        assert_eq!(compare(&before, &now, unsteady), Likeness::Likely);
    }

    #[test]
    fn messages_are_told_apart_by_their_fields_however_these_are_folded_and_ordered() {
        let one = message_id(b"Subject: a\r\nMessage-ID: <1@x.test>\r\nTo: c\r\n\r\nb").unwrap();
        assert_eq!(message_id(b"message-id:\r\n <1@x.test>\r\nSUBJECT : a\r\n"), Some(one));
        for other in [
            &b"Subject: a\r\nMessage-ID: <2@x.test>\r\n"[..],
            b"Subject: b\r\nMessage-ID: <1@x.test>\r\n",
            b"Subject: a\r\n",
        ] {
            assert!(message_id(other).is_some_and(|other| other != one));
        }
        for none in [&b"To: a\r\n\r\nMessage-ID: <1@x.test>\r\n"[..], b"Message-ID:\r\n", b""] {
            assert_eq!(message_id(none), None);
        }
    }
}
