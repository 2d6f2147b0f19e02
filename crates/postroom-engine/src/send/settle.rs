//! Settle: from the server's answers to the next state, for each recipient and for the message.

use crate::backoff;
use postroom_model::options::Options;
use postroom_smtp::Outcome;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;

/// How many replies a reason names; `recipients` has all of them.
const REPLIES_COUNT_MAX: usize = 20;

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
        let (decisive, may_pass) = match (&outcome.data, answer.reply.is_success()) {
            (Some(data), true) => (data, false),
            (_, _) => (&answer.reply, answer.reply.is_too_many() || answer.reply.wants_login()),
        };
        let state = match (decisive.is_success(), decisive.is_permanent()) {
            (true, _) => "sent",
            (false, true) if !may_pass => "refused",
            (false, _) => "deferred",
        };
        put(recipient, state, &decisive.to_string());
    }
}

/// Says of those recipients whose server may have the message that nobody knows.
pub fn doubt(recipients: &mut [Json], addresses: &[String], reason: &str) {
    for recipient in recipients {
        let address = recipient.get("address").and_then(Json::as_str);
        if address.is_some_and(|address| addresses.iter().any(|doubtful| doubtful == address)) {
            put(recipient, "uncertain", reason);
        }
    }
}

fn put(recipient: &mut Json, state: &str, reply: &str) {
    if let Some(row) = recipient.as_object_mut() {
        row.insert("state".to_owned(), json!(state));
        row.insert("reply".to_owned(), json!(reply));
    }
}

/// What becomes of the delivery, now that each recipient's row says how it went.
#[must_use]
pub fn verdict(recipients: &[Json], tried: Tried, options: &Options) -> Verdict {
    if recipients.is_empty() {
        return Verdict::Error { code: "invalid", reason: "there is no recipient".to_owned() };
    }
    let count = |state: &str| recipients.iter().filter(|r| r["state"] == state).count();
    if count("sent") == recipients.len() {
        return Verdict::Sent;
    }
    if count("sent") + count("refused") == recipients.len() {
        return Verdict::Error { code: "refused", reason: replies(recipients, "refused") };
    }
    let reason = if count("deferred") > 0 {
        replies(recipients, "deferred")
    } else {
        "the connection ended before all recipients were named".to_owned()
    };
    later(reason, tried, options)
}

/// Tries again later, or gives up when it has been tried for too long, and more than once: a clock
/// that was set forward is no reason.
#[must_use]
pub fn later(reason: String, tried: Tried, options: &Options) -> Verdict {
    if tried.since >= options.duration("retry_for") && tried.attempts > 1 {
        let reason = format!("given up after {} attempts: {reason}", tried.attempts);
        return Verdict::Error { code: "gave_up", reason };
    }
    let first = options.duration("retry_first");
    let after = backoff::delay(tried.attempts, first, options.duration("retry_longest"));
    Verdict::Later { after, reason }
}

/// The replies to the first recipients in `state`, for a person.
fn replies(recipients: &[Json], state: &str) -> String {
    let these = recipients.iter().filter(|recipient| recipient["state"] == state);
    let count = these.clone().count();
    let reply = |recipient: &Json| {
        let address = recipient["address"].as_str().unwrap_or_default();
        format!("{address}: {}", recipient["reply"].as_str().unwrap_or("no answer"))
    };
    let mut shown: Vec<_> = these.take(REPLIES_COUNT_MAX).map(reply).collect();
    if count > REPLIES_COUNT_MAX {
        shown.push(format!("and {} more", count - REPLIES_COUNT_MAX));
    }
    shown.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_smtp::RecipientReply;
    use postroom_smtp::Reply;

    fn reply(code: u16) -> Reply {
        Reply { code, enhanced: None, lines: vec!["x".to_owned()] }
    }

    /// The states of the recipients and the verdict, after RCPT and data were answered so.
    fn after(rcpt: &[u16], data: Option<u16>, since: u64) -> (Vec<String>, Verdict) {
        let address = |at: usize| format!("r{at}@b.test");
        let mut recipients: Vec<Json> =
            (0..rcpt.len()).map(|at| json!({"address": address(at), "state": "waiting"})).collect();
        let replies = rcpt.iter().enumerate();
        let replies =
            replies.map(|(at, code)| RecipientReply { address: address(at), reply: reply(*code) });
        let outcome = Outcome { recipients: replies.collect(), data: data.map(reply) };
        record(&mut recipients, &outcome, str::to_owned);
        let states = recipients.iter().map(|r| r["state"].as_str().unwrap().to_owned()).collect();
        let tried = Tried { attempts: 2, since: Duration::from_secs(since) };
        let options = Options::cascade([&json!({"retry_for": 100})]);
        (states, verdict(&recipients, tried, &options))
    }

    /// Replies to RCPT and to the data, seconds of trying; the states that follow, and the verdict.
    type Case = (&'static [u16], Option<u16>, u64, &'static [&'static str], &'static str);

    #[test]
    fn each_answer_has_its_consequence() {
        const NOW: u64 = 0;
        const TOO_LONG: u64 = 100;
        #[rustfmt::skip]
        let table: &[Case] = &[
            (&[250],           Some(250), NOW,      &["sent"],                        "sent"),
            (&[250, 251],      Some(250), NOW,      &["sent", "sent"],                "sent"),
            (&[250],           Some(451), NOW,      &["deferred"],                    "later"),
            (&[250],           Some(554), NOW,      &["refused"],                     "refused"),
            (&[550],           None,      NOW,      &["refused"],                     "refused"),
            (&[450],           None,      NOW,      &["deferred"],                    "later"),
            (&[250, 450, 550], Some(250), NOW,      &["sent", "deferred", "refused"], "later"),
            (&[250, 550],      Some(250), NOW,      &["sent", "refused"],             "refused"),
            (&[250, 552],      Some(250), NOW,      &["sent", "deferred"],            "later"),
            (&[250],           Some(552), NOW,      &["refused"],                     "refused"),
            (&[250, 530],      Some(250), NOW,      &["sent", "deferred"],            "later"),
            (&[],              None,      NOW,      &[],                              "invalid"),
            (&[250, 450],      Some(250), TOO_LONG, &["sent", "deferred"],            "gave_up"),
        ];
        for (rcpt, data, since, states, want) in table {
            let (got, verdict) = after(rcpt, *data, *since);
            assert_eq!(got, *states, "{rcpt:?} {data:?}");
            let verdict = match verdict {
                Verdict::Sent => "sent",
                Verdict::Later { .. } => "later",
                Verdict::Error { code, .. } => code,
            };
            assert_eq!(verdict, *want, "{rcpt:?} {data:?}");
        }
    }

    #[test]
    fn a_reason_names_the_first_of_many() {
        let (_, verdict) = after(&[550; 2000], None, 0);
        let Verdict::Error { reason, .. } = verdict else {
            panic!("{verdict:?}");
        };
        assert!(reason.ends_with("r19@b.test: 550 x; and 1980 more"), "{reason}");
    }

    #[test]
    fn nothing_is_given_up_at_the_first_attempt() {
        let tried = Tried { attempts: 1, since: Duration::from_secs(100) };
        let options = Options::cascade([&json!({"retry_for": 100})]);
        let verdict = later("451".to_owned(), tried, &options);
        assert!(matches!(verdict, Verdict::Later { .. }));
    }

    #[test]
    fn only_those_wait_who_neither_have_it_nor_refused() {
        let recipients = [("a", "sent"), ("b", "deferred"), ("c", "refused"), ("d", "waiting")];
        let recipients = recipients.map(|(a, s)| json!({"address": a, "state": s}));
        assert_eq!(waiting(&recipients), ["b", "d"]);
    }
}
