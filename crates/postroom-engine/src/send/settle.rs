//! Settle: from the server's answers to the next state, for each recipient and for the message.

use crate::backoff;
use postroom_model::options::Options;
use postroom_smtp::Outcome;
use postroom_smtp::Reply;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;

/// What is to become of a delivery after one attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Every recipient's server has it.
    Sent,
    /// Tried again after the delay, for those that are left.
    Later {
        /// From now on.
        after: Duration,
        /// Why, in words.
        reason: String,
    },
    /// It ends.
    Error {
        /// A stable word.
        code: &'static str,
        /// Why, in words.
        reason: String,
    },
}

/// How long a delivery has been tried.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// Attempts so far, the present one included.
    pub attempts: u32,
    /// The time since the first was due.
    pub since: Duration,
}

/// The addresses that still wait for the message.
#[must_use]
pub fn waiting(recipients: &[Json]) -> Vec<String> {
    let waits = |recipient: &&Json| {
        !matches!(recipient.get("state").and_then(Json::as_str), Some("sent" | "refused"))
    };
    let address = |recipient: &Json| recipient.get("address")?.as_str().map(str::to_owned);
    recipients.iter().filter(waits).filter_map(address).collect()
}

/// Writes each recipient's answer into its row: `sent`, `deferred` or `refused`, with the reply.
///
/// A recipient that was accepted shares the fate of the data (RFC 5321 §4.2.5). `wire` gives the
/// form of an address in the envelope.
pub fn record(recipients: &mut [Json], outcome: &Outcome, wire: impl Fn(&str) -> String) {
    for recipient in recipients {
        let Some(address) = recipient.get("address").and_then(Json::as_str).map(&wire) else {
            continue;
        };
        let answer = outcome.recipients.iter().find(|answer| answer.address == address);
        let Some(answer) = answer else {
            continue;
        };
        let decisive = match (&outcome.data, answer.reply.is_success()) {
            (Some(data), true) => data,
            (_, _) => &answer.reply,
        };
        let state = match decisive.code {
            200..=299 => "sent",
            500..=599 => "refused",
            _ => "deferred",
        };
        if let Some(row) = recipient.as_object_mut() {
            row.insert("state".to_owned(), json!(state));
            row.insert("reply".to_owned(), json!(shown(decisive)));
        }
    }
}

/// What becomes of the delivery, now that each recipient's row says how it went.
#[must_use]
pub fn verdict(recipients: &[Json], tried: Tried, options: &Options) -> Verdict {
    let count = |state: &str| recipients.iter().filter(|r| r["state"] == state).count();
    if count("sent") == recipients.len() {
        return Verdict::Sent;
    }
    if count("sent") + count("refused") == recipients.len() {
        return Verdict::Error { code: "refused", reason: replies(recipients, "refused") };
    }
    later(replies(recipients, "deferred"), tried, options)
}

/// Tries again later, or gives up when it has been tried for too long.
#[must_use]
pub fn later(reason: String, tried: Tried, options: &Options) -> Verdict {
    if tried.since >= options.duration("retry_for") {
        let reason = format!("given up after {} attempts: {reason}", tried.attempts);
        return Verdict::Error { code: "gave_up", reason };
    }
    let first = options.duration("retry_first");
    let after = backoff::delay(tried.attempts, first, options.duration("retry_longest"));
    Verdict::Later { after, reason }
}

/// The replies to the recipients in `state`, for a person.
fn replies(recipients: &[Json], state: &str) -> String {
    let these = recipients.iter().filter(|recipient| recipient["state"] == state);
    let reply = |recipient: &Json| {
        let address = recipient["address"].as_str().unwrap_or_default();
        format!("{address}: {}", recipient["reply"].as_str().unwrap_or("no answer"))
    };
    these.map(reply).collect::<Vec<_>>().join("; ")
}

fn shown(reply: &Reply) -> String {
    reply.to_string()
}
