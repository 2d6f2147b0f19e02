//! Proves that a folder is complete: the ledger has a receipt for every listed message, and the
//! server lists as many messages as it counts.
//!
//! A pending message has a receipt, so it does not prevent the proof. The `statusText` of the
//! folder says what is missing, and why.

use crate::account::MonitoredMailbox;
use crate::counted::counted;
use crate::error::Error;
use crate::receive::known::Known;
use crate::receive::news::News;
use crate::shared::Shared;
use postroom_model::Timestamp;
use postroom_model::options;
use postroom_store::Clock;
use postroom_store::FolderReport;
use postroom_store::Pending;
use postroom_store::PollTimes;
use postroom_store::SourceKey;

/// Compares the server's list with the ledger, and writes the result into the folder. Pending
/// receipts of messages that are no longer listed are removed.
///
/// # Errors
///
/// When the store does not answer.
pub(crate) async fn prove(
    shared: &Shared,
    mailbox: MonitoredMailbox<'_>,
    news: &News,
    known: &mut Known,
) -> Result<(), Error> {
    let ledger = shared.store.ledger(news.epoch).await?;
    let listed = &news.listing.keys;
    let is_listed = |key: SourceKey| listed.binary_search(&key).is_ok();
    let (pending, gone): (Vec<_>, Vec<_>) =
        ledger.pending.iter().partition(|pending| is_listed(pending.key));
    if !gone.is_empty() && news.listing.is_whole() {
        let gone: Vec<_> = gone.iter().map(|pending| pending.key).collect();
        shared.store.pending_forget(news.epoch, &gone).await?;
    }
    let requested = || ledger.oversized.iter().filter(|one| one.is_requested());
    if news.listing.is_whole() {
        for oversized in requested().filter(|one| !is_listed(one.key)) {
            let domain = &mailbox.account.domain;
            shared.store.request_failed(domain, news.epoch, oversized, NOT_LISTED).await?;
        }
    }
    let pending: Vec<_> = pending.into_iter().filter(|p| ledger.is_loaded(p.key)).collect();
    let counted = listed.iter().copied();
    let counted = counted.filter(|key| ledger.is_loaded(*key));
    let has_receipt = counted.clone().filter(|key| ledger.has(*key)).count();
    let oversized = ledger
        .oversized
        .iter()
        .filter(|one| ledger.is_loaded(one.key) && is_listed(one.key))
        .count();
    let loaded = counted.count();
    let has_all = loaded == has_receipt;
    let unloaded = listed.len() - loaded;
    let complete = has_all && news.listing.is_whole();
    known.evidence.keep_listed(listed);
    known.told_apart = known.evidence.trouble();
    let text = status(&shared.clock, news, known, has_all, &pending);
    let texts = [text, unloaded_text(known, unloaded as u64)];
    let text = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
    let now = Timestamp::from_ms(shared.clock.now_ms());
    let report = FolderReport {
        uid_validity: Some(news.uid_validity),
        uid_next: news.uid_next,
        server_count: Some(news.listing.counted.unwrap_or(listed.len() as u64)),
        stored_count: Some(has_receipt.saturating_sub(pending.len() + oversized) as u64),
        pending_count: Some(pending.len() as u64),
        times: PollTimes { poll: Some(now), proof: complete.then_some(now) },
        status_text: Some(text),
    };
    shared.store.folder_report(&mailbox.account.domain, mailbox.folder.id, &report).await?;
    if complete && pending.is_empty() && ledger.was_pending {
        shared.store.pending_ended(mailbox.folder.id).await?;
    }
    let waits = pending.iter().filter(|pending| !known.plan.is_alone(pending.key));
    let waits = waits.map(|pending| pending.next_attempt_ms);
    // A message that a client asked for is fetched again at the next poll.
    let requested = requested().filter(|one| is_listed(one.key) && !known.plan.is_alone(one.key));
    known.retry_ms = waits.chain(requested.map(|_| 0)).min();
    known.proved(&shared.clock, news, &ledger, complete);
    known.proven_bytes_max = mailbox.folder.options.count(&options::MESSAGE_BYTES_MAX);
    Ok(())
}

/// Why a message that a client asked for could not be loaded.
const NOT_LISTED: &str = "the server no longer lists it in the mailbox";

/// The `statusText` of a folder while it is being loaded.
const STILL_TO_BE_LOADED: &str = "some messages are not loaded yet";

/// The `statusText` of a folder. It is empty when all is well. A message that is too large is not
/// mentioned, because it has its own `errorText`.
fn status(
    clock: &Clock,
    news: &News,
    known: &Known,
    has_all: bool,
    pending: &[&Pending],
) -> String {
    let mut texts = vec![];
    if !has_all {
        texts.push(STILL_TO_BE_LOADED.to_owned());
    } else if !pending.is_empty() {
        texts.push(pending_text(clock, pending));
    }
    // A single disagreement is ignored, because mail may come or go between two commands.
    if known.has_disagreed() || news.listing.unusable > 0 {
        texts.extend(news.listing.trouble());
    }
    if known.rarely(clock).is_some() {
        texts.push(
            "the server renumbers the mailbox before each poll, so all messages are fetched each \
             time; nothing is stored twice, but the mailbox is polled rarely: have its UIDVALIDITY \
             repaired at the server"
                .to_owned(),
        );
    }
    texts.extend(known.alternates().map(|[one, other]| {
        format!(
            "the server shows two stores of this mailbox by turns (UIDVALIDITY {one} and {other}); \
             nothing is lost or stored twice, but mail that only one of them has comes later: have \
             the hosts behind the name of the server show the same store"
        )
    }));
    texts.extend(known.opening.trouble());
    texts.extend(known.actions.troubles());
    texts.extend(known.evidence.trouble());
    if known.withheld > 0 {
        texts.push(format!(
            "not deleted at the server: {} that came without a header, shorter than announced, or \
             contradicted by the server",
            counted(known.withheld, "message")
        ));
    }
    texts.join("; ")
}

/// Says how many messages of a later epoch are not loaded. In the first one, nothing is to be said,
/// because these messages were not wanted.
fn unloaded_text(known: &Known, unloaded: u64) -> String {
    let is_later = known.unloaded.as_ref().is_some_and(|unloaded| unloaded.is_later);
    if !is_later || unloaded == 0 {
        return String::new();
    }
    format!(
        "the server has numbered the mailbox anew; {} of it are not loaded, because they were \
         there when the folder was enabled with `load_existing: false`",
        counted(unloaded, "message")
    )
}

/// Writes the progress of a load into the folder.
///
/// # Errors
///
/// When the store does not answer.
pub(crate) async fn tell_progress(
    shared: &Shared,
    mailbox: MonitoredMailbox<'_>,
    news: &News,
    known: &Known,
) -> Result<(), Error> {
    let report = FolderReport {
        uid_validity: Some(news.uid_validity),
        server_count: Some(news.listing.keys.len() as u64),
        stored_count: Some(news.recorded + known.recorded),
        // After a start, what has come since the load began goes before the rest.
        uid_next: news.begun_uid_next,
        times: PollTimes { poll: Some(Timestamp::from_ms(shared.clock.now_ms())), proof: None },
        status_text: Some(STILL_TO_BE_LOADED.to_owned()),
        ..FolderReport::default()
    };
    shared.store.folder_report(&mailbox.account.domain, mailbox.folder.id, &report).await?;
    Ok(())
}

fn pending_text(clock: &Clock, pending: &[&Pending]) -> String {
    let shown: Vec<_> =
        pending.iter().take(3).map(|p| format!("UID {}: {}", p.key.uid(), p.reason)).collect();
    let more = if pending.len() > 3 {
        format!(" (and {} more)", pending.len() - 3)
    } else {
        String::new()
    };
    let next_ms = pending.iter().map(|pending| pending.next_attempt_ms).min().unwrap_or_default();
    let next = Timestamp::from_ms(next_ms.max(clock.now_ms()));
    format!("could not be fetched yet (next try at {next}): {}{more}", shown.join("; "))
}
