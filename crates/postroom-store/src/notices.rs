//! What strangers and programs can do again and again, told in a bounded number of rows.
//!
//! ```text
//!   a refusal    ─► one row for each source, actor and hour, which counts
//!   use of token ─► one row for each token, source and day
//! ```
//! The first of its kind is written at once. Further ones are counted in memory, and are written
//! once a minute. The id of a row follows from what it tells, so all processes count in the same
//! row. Beyond [`OF_SOURCE_MAX`] rows of refusals of one source in an hour, a row has no actor, and
//! beyond twice as many no domain. Beyond [`REFUSALS_MAX`] of a process it has no source. A token
//! has at most [`OF_TOKEN_MAX`] rows in a day with a source. So nobody fills the disk. A process
//! that is killed loses the counts of a minute.

use crate::audit_actor::AuditActor;
use crate::audit_event::AuditEvent;
use postroom_model::Domain;
use postroom_model::EntityId;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How many rows the refusals of a source have in an hour.
const OF_SOURCE_MAX: usize = 10;
/// From how many addresses a token is told to be used in a day. Networks of IPv6 count as one.
const OF_TOKEN_MAX: usize = 20;
/// How many rows of refusals a process begins in an hour.
const REFUSALS_MAX: usize = 1_000;
/// How many rows of uses of tokens a process begins in a day.
const USES_MAX: usize = 10_000;
/// What one row tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct NoticeKey {
    pub event: AuditEvent,
    pub domain: Domain,
    pub affected: Option<Domain>,
    pub actor: AuditActor,
    pub source: Option<String>,
    pub begins_ms: i64,
}

impl NoticeKey {
    /// Whether it is the use of a token.
    pub(crate) fn is_use(&self) -> bool {
        self.event == AuditEvent::TokenUse
    }

    /// How long one row counts.
    pub(crate) fn period_ms(event: AuditEvent) -> i64 {
        if event == AuditEvent::TokenUse { DAY_MS } else { HOUR_MS }
    }

    /// The id of the row: a UUID of the beginning of its time, and a hash of what it tells.
    pub(crate) fn id(&self) -> EntityId {
        let Self { event, domain, affected, actor, source, begins_ms } = self;
        let told = format!(
            "{}\n{}\n{:?}\n{}\n{:?}\n{:?}\n{source:?}",
            event.as_str(),
            domain.as_str(),
            affected.as_ref().map(Domain::as_str),
            actor.kind,
            actor.name,
            actor.id
        );
        let mut bits = [0; 16];
        let hash = blake3::hash(told.as_bytes());
        for (bit, byte) in bits.iter_mut().zip(hash.as_bytes()) {
            *bit = *byte;
        }
        let (low, begins) = (u128::from_be_bytes(bits), u128::from(begins_ms.unsigned_abs()));
        let chance = (low & 0x0FFF_3FFF_FFFF_FFFF_FFFF) | (0x7000_8000_0000_0000_0000);
        EntityId::from_u128(((begins & 0xFFFF_FFFF_FFFF) << 80) | chance)
    }
}

/// The notices of this time, and how often each happened since it was written.
#[derive(Debug, Default)]
pub(crate) struct Notices(Mutex<HashMap<NoticeKey, NoticeCount>>);

#[derive(Debug, Clone)]
pub(crate) struct NoticeCount {
    /// How often it happened since it was written.
    pub unwritten: i64,
    /// The id of the first request.
    pub request: Option<String>,
}

impl Notices {
    /// Counts one. Gives its key if it is the first of its kind.
    pub(crate) fn count(&self, key: NoticeKey, request: Option<&str>) -> Option<NoticeKey> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = if all.contains_key(&key) { key } else { within(key, &all) };
        if let Some(count) = all.get_mut(&key) {
            count.unwritten += i64::from(!key.is_use());
            return None;
        }
        all.insert(key.clone(), NoticeCount { unwritten: 1, request: request.map(str::to_owned) });
        Some(key)
    }

    /// Takes the counts that are not written, and forgets the notices of earlier times.
    pub(crate) fn take(&self, now_ms: i64) -> Vec<(NoticeKey, NoticeCount)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = vec![];
        all.retain(|key, count| {
            if count.unwritten > 0 {
                taken.push((key.clone(), count.clone()));
                count.unwritten = 0;
            }
            now_ms < key.begins_ms.saturating_add(NoticeKey::period_ms(key.event))
        });
        // The order of rows that are locked is the same in each process.
        taken.sort_by_key(|(key, _)| key.id());
        taken
    }

    /// Takes the count of one.
    pub(crate) fn take_one(&self, key: &NoticeKey) -> Option<NoticeCount> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.get_mut(key).filter(|count| count.unwritten > 0)?;
        let taken = count.clone();
        count.unwritten = 0;
        Some(taken)
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back(&self, counts: &[(NoticeKey, NoticeCount)]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, count) in counts {
            let of = NoticeCount { unwritten: 0, ..count.clone() };
            all.entry(key.clone()).or_insert(of).unwritten += count.unwritten;
        }
    }
}

/// A new key, or the one that many share where there are too many.
fn within(key: NoticeKey, all: &HashMap<NoticeKey, NoticeCount>) -> NoticeKey {
    let same_time =
        |other: &&NoticeKey| other.begins_ms == key.begins_ms && other.is_use() == key.is_use();
    let at = all.keys().filter(same_time);
    let (mut count, mut of_source, mut of_actor) = (0, 0, 0);
    for other in at {
        count += 1;
        of_source += usize::from(other.source == key.source);
        of_actor += usize::from(other.actor == key.actor && other.domain == key.domain);
    }
    let (is_use, shared) = (key.is_use(), AuditActor::nobody(None));
    if count >= if is_use { USES_MAX } else { REFUSALS_MAX } {
        let domain = Domain::master();
        return NoticeKey { domain, affected: None, source: None, actor: shared, ..key };
    }
    if is_use && of_actor >= OF_TOKEN_MAX {
        return NoticeKey { source: None, ..key };
    }
    // Who is refused names any number of domains, too.
    if !is_use && of_source >= 2 * OF_SOURCE_MAX {
        let domain = Domain::master();
        return NoticeKey { domain, affected: None, actor: shared, ..key };
    }
    if !is_use && of_source >= OF_SOURCE_MAX {
        return NoticeKey { actor: shared, ..key };
    }
    key
}
