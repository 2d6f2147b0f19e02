//! Messages that are not loaded, because they were in the mailbox when its folder was enabled
//! (`load_existing: false`).
//!
//! They are recognised in another epoch by what was noted of the newest of them: size, date and a
//! hash of a few header fields. The time of arrival alone decides nothing, because servers tell
//! other dates, and mail that is moved or migrated keeps its date. In doubt a message is loaded: a
//! message too many is a nuisance, and one that is lost is a loss.

use crate::error::Error;
use crate::receive::witness;
use crate::receive::witness::Facts;
use crate::receive::witness::Seen;
use crate::source::contract::ListRange;
use crate::source::contract::Source;
use crate::source_error::SourceFailure;
use postroom_store::SourceKey;
use postroom_store::Unloaded;
use postroom_store::UnloadedMessage;
use postroom_store::Witness;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

/// How many messages are noted.
const NOTED_MAX: usize = 5_000;
/// For how many messages facts are asked at once.
const ASKED_MAX: usize = 500;
/// How much older than the last proof a message may be that came after it, by its date. Time zones
/// differ, and so do the clocks of servers.
const MARGIN_MS: i64 = 2 * 86_400_000;

/// Which messages of an epoch that begins are not loaded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Messages up to this UID are not loaded. 0: all are loaded.
    pub baseline: u64,
    /// What is noted of them. `None`: all messages are loaded.
    pub unloaded: Option<Unloaded>,
}

/// What the source may be asked about messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Describing {
    /// The facts about each message.
    #[default]
    All,
    /// Those about old messages alone, because the connection has ended when it was asked for all.
    Old,
    /// Nothing, because the connection has ended again.
    Nothing,
}

impl Describing {
    /// What it may be asked after this error.
    #[must_use]
    pub(crate) fn after(self, error: &Error) -> Self {
        match (error.source_failure(), self) {
            (Some(SourceFailure::Ended | SourceFailure::Silent), Self::All) => Self::Old,
            (Some(SourceFailure::Ended | SourceFailure::Silent), Self::Old | Self::Nothing) => {
                Self::Nothing
            }
            (Some(SourceFailure::Refused { .. }) | None, _) => self,
        }
    }
}

/// Leaves out all messages that are listed when the folder is read for the first time.
///
/// # Errors
///
/// What ended the connection.
pub(crate) async fn all<S: Source>(
    source: &mut S,
    describing: Describing,
    listed: &[SourceKey],
) -> Result<LeftOut, Error> {
    let baseline = listed.last().map_or(0, |last| last.uid());
    let noted_max = if describing == Describing::Nothing { 0 } else { NOTED_MAX };
    let from = listed.len().saturating_sub(noted_max);
    let mut newest = vec![];
    for keys in listed.get(from..).unwrap_or_default().chunks(ASKED_MAX) {
        let seen = witness::ask(source, keys, Facts::All).await?;
        newest.extend(seen.into_iter().map(|(key, seen)| noted(key, &seen)));
    }
    let count = listed.len() as u64;
    Ok(LeftOut { baseline, unloaded: Some(Unloaded { count, is_later: false, newest }) })
}

fn noted(key: SourceKey, seen: &Seen) -> UnloadedMessage {
    UnloadedMessage { key, witness: seen.witness }
}

/// Decides which messages are left out in another epoch: those that were left out before. `former`
/// is what was noted of them. `since_ms`: when all messages were stored, in milliseconds since
/// 1970.
///
/// # Errors
///
/// What ended the connection.
pub(crate) async fn again<S: Source>(
    source: &mut S,
    describing: Describing,
    former: Option<Unloaded>,
    since_ms: Option<i64>,
    listed: &[SourceKey],
) -> Result<LeftOut, Error> {
    let former = former.filter(|former| former.is_whole() || !former.newest.is_empty());
    let Some(former) = former.filter(|_| describing == Describing::All) else {
        return by_date(source, describing, since_ms, listed).await;
    };
    let mut search = Recognising::new(&former.newest);
    for keys in listed.rchunks(ASKED_MAX) {
        if search.has_all() {
            break;
        }
        let seen = witness::ask(source, keys, Facts::All).await?;
        search.take(&seen);
    }
    let has_ids = former.newest.iter().any(|one| one.witness.message_id.is_some());
    if has_ids && !search.has_seen_ids && !listed.is_empty() {
        // The source does not tell by what they could be recognised.
        return by_date(source, describing, since_ms, listed).await;
    }
    let found = search.found();
    let mut left: BTreeSet<SourceKey> = found.keys().copied().collect();
    if let (false, Some(lowest)) = (former.is_whole(), left.first().copied()) {
        // Nothing is noted of those that are older than all noted ones. Their dates decide.
        let older = listed.iter().copied().filter(|key| *key < lowest).collect::<Vec<_>>();
        let came = came_since(source, since_ms, &older).await?;
        left.extend(older.iter().filter(|key| !came.contains(key)));
    }
    let gone = former.newest.iter().enumerate().filter(|(at, _)| !search.is_found(*at));
    let gone = gone.map(|(_, one)| UnloadedMessage { key: SourceKey::FIRST, ..*one });
    let gone = gone.filter(|one| one.witness != Witness::default());
    let mut newest: Vec<_> = found.values().copied().chain(gone).take(NOTED_MAX).collect();
    let first_loaded = listed.iter().find(|key| !left.contains(key));
    let baseline = first_loaded.map_or_else(
        || listed.last().map_or(0, |last| last.uid()),
        |first| first.uid().saturating_sub(1),
    );
    // Those above the baseline are left out by their keys.
    let is_noted = |key: &SourceKey| found.contains_key(key);
    let above = left.iter().filter(|key| key.uid() > baseline && !is_noted(key));
    newest.extend(above.map(|key| UnloadedMessage { key: *key, witness: Witness::default() }));
    let count = former.count.max(newest.len() as u64);
    Ok(LeftOut { baseline, unloaded: Some(Unloaded { count, is_later: true, newest }) })
}

/// Leaves out the messages that came before all messages were stored, by their dates, because
/// nothing is noted of them.
async fn by_date<S: Source>(
    source: &mut S,
    describing: Describing,
    since_ms: Option<i64>,
    listed: &[SourceKey],
) -> Result<LeftOut, Error> {
    if since_ms.is_none() {
        // Nothing shows which messages were there when the folder was enabled.
        return Ok(LeftOut::default());
    }
    let came = came_since(source, since_ms, listed).await?;
    let first = listed.iter().position(|key| came.contains(key)).unwrap_or(listed.len());
    let LeftOut { baseline, unloaded } =
        all(source, describing, listed.get(..first).unwrap_or_default()).await?;
    Ok(LeftOut { baseline, unloaded: unloaded.map(|noted| Unloaded { is_later: true, ..noted }) })
}

/// Which of these messages came since then. A server that refuses to search by date, or finds
/// nothing, is asked for the dates.
async fn came_since<S: Source>(
    source: &mut S,
    since_ms: Option<i64>,
    listed: &[SourceKey],
) -> Result<BTreeSet<SourceKey>, Error> {
    let Some(since_ms) = since_ms.filter(|_| !listed.is_empty()) else {
        return Ok(BTreeSet::new());
    };
    // What is not listed may have come meanwhile. Otherwise these are no keys of the mailbox.
    let is_known = |key: &SourceKey| listed.last() < Some(key) || listed.binary_search(key).is_ok();
    match source.list(ListRange::Since(since_ms)).await {
        Ok(came) if !came.keys.is_empty() && came.keys.iter().all(is_known) => {
            return Ok(came.keys.into_iter().collect());
        }
        Err(error) if !error.is_refusal() => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let mut came = BTreeSet::new();
    for keys in listed.chunks(ASKED_MAX) {
        let seen = witness::ask(source, keys, Facts::Few).await?;
        let dates = seen.into_iter().map(|(key, seen)| (key, seen.witness.internal_date_ms));
        // A message without a date may have come at any time.
        let is_new = |date: Option<i64>| date.is_none_or(|date| date >= since_ms - MARGIN_MS);
        came.extend(dates.filter(|(_, date)| is_new(*date)).map(|(key, _)| key));
    }
    Ok(came)
}

/// Whether a message may be the one that was noted.
#[must_use]
pub(crate) fn resembles(then: &Witness, now: &Witness) -> bool {
    let agree = |then: Option<i64>, now: Option<i64>| Some(then? == now?);
    let size = |witness: &Witness| witness.size_bytes.and_then(|size| i64::try_from(size).ok());
    let same_size = agree(size(then), size(now));
    let same_date = agree(then.internal_date_ms, now.internal_date_ms);
    match agree(then.message_id, now.message_id) {
        Some(false) => false,
        // Some servers guess sizes, and others do not keep dates.
        Some(true) => same_size != Some(false) || same_date != Some(false),
        None => same_size != Some(false) && same_date != Some(false),
    }
}

/// The facts by which a message is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sought {
    MessageId(i64),
    SizeAndDate(Option<u64>, Option<i64>),
}

impl Sought {
    fn of(witness: &Witness) -> Self {
        let by_facts = Self::SizeAndDate(witness.size_bytes, witness.internal_date_ms);
        witness.message_id.map_or(by_facts, Self::MessageId)
    }
}

/// Looks for noted messages among those of another epoch.
struct Recognising<'a> {
    noted: &'a [UnloadedMessage],
    /// The places of the noted messages, by what they are looked for.
    places: HashMap<Sought, Vec<usize>>,
    /// The messages that may be those of a place, with the same facts.
    candidates: HashMap<Sought, Vec<UnloadedMessage>>,
    /// How many noted messages have a candidate.
    found_count: usize,
    /// Whether the source tells the fields that identify messages.
    has_seen_ids: bool,
}

impl<'a> Recognising<'a> {
    fn new(noted: &'a [UnloadedMessage]) -> Self {
        let mut places: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, one) in noted.iter().enumerate() {
            places.entry(Sought::of(&one.witness)).or_default().push(at);
        }
        Self { noted, places, candidates: HashMap::new(), found_count: 0, has_seen_ids: false }
    }

    fn has_all(&self) -> bool {
        self.found_count >= self.noted.len()
    }

    /// Takes messages, the newest last.
    fn take(&mut self, seen: &BTreeMap<SourceKey, Seen>) {
        self.has_seen_ids |= seen.values().any(|seen| seen.witness.message_id.is_some());
        for (key, seen) in seen.iter().rev() {
            let sought = Sought::of(&seen.witness);
            let places = self.places.get(&sought).map(Vec::as_slice).unwrap_or_default();
            let mut of_place = places.iter().filter_map(|at| self.noted.get(*at));
            if of_place.any(|one| resembles(&one.witness, &seen.witness)) {
                let candidates = self.candidates.entry(sought).or_default();
                candidates.push(noted(*key, seen));
                self.found_count += usize::from(candidates.len() <= places.len());
            }
        }
    }

    /// The messages that are certainly noted ones. If more messages look the same than were noted,
    /// one of them is new.
    fn found(&self) -> BTreeMap<SourceKey, UnloadedMessage> {
        let certain = self.candidates.iter().filter(|(sought, candidates)| {
            self.places.get(sought).is_some_and(|places| candidates.len() <= places.len())
        });
        certain.flat_map(|(_, candidates)| candidates.iter().map(|one| (one.key, *one))).collect()
    }

    /// Whether the noted message of this place is among the found ones.
    fn is_found(&self, at: usize) -> bool {
        let sought = self.noted.get(at).map(|one| Sought::of(&one.witness));
        let candidates = sought.and_then(|sought| self.candidates.get(&sought));
        let places = sought.and_then(|sought| self.places.get(&sought));
        match (candidates, places.and_then(|places| places.iter().position(|one| *one == at))) {
            (Some(candidates), Some(nth)) => nth < candidates.len(),
            (None, _) | (_, None) => false,
        }
    }
}
