//! Settle: from the server's answers to the next state, for each recipient and for the message.

use crate::backoff;
use postroom_model::ErrorCode;
use postroom_model::Options;
use postroom_model::RecipientState;
use postroom_model::options;
use postroom_smtp::Reply;
use postroom_smtp::TransactionReplies;
use postroom_store::Verdict;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;

/// How many replies a reason names; `recipients` has all of them.
const REPLIES_COUNT_MAX: usize = 20;

/// How long a delivery has been tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    /// Attempts so far, the present one included.
    pub attempts: u32,
    /// How long it has waited between them. The planned waits count, so that a clock jump adds
    /// nothing.
    pub waited: Duration,
}

/// The positions of the recipients that still wait for the message.
#[must_use]
pub(crate) fn waiting(recipients: &[Json]) -> Vec<usize> {
    let waits = |recipient: &Json| {
        let state = RecipientState::of(recipient);
        !matches!(state, Some(RecipientState::Sent | RecipientState::Refused))
    };
    let places = recipients.iter().enumerate().filter(|(_, recipient)| waits(recipient));
    places.map(|(place, _)| place).collect()
}

/// Writes the answers into the entries of the named recipients, in their order: `sent`, `deferred`
/// or `refused`, with the reply.
///
/// A recipient that was accepted shares the fate of the data (RFC 5321 §4.2.5).
pub(crate) fn record(recipients: &mut [Json], named: &[usize], outcome: &TransactionReplies) {
    for (place, answer) in named.iter().zip(&outcome.recipients) {
        let Some(recipient) = recipients.get_mut(*place) else {
            continue;
        };
        let (decisive, may_pass) = match (&outcome.data, answer.reply.is_success()) {
            (Some(data), true) => (data, data.wants_login()),
            (_, _) => (&answer.reply, answer.reply.is_too_many() || answer.reply.wants_login()),
        };
        let state = match (decisive.is_success(), decisive.is_permanent()) {
            (true, _) => RecipientState::Sent,
            (false, true) if !may_pass => RecipientState::Refused,
            (false, _) => RecipientState::Deferred,
        };
        put(recipient, state, &decisive.to_string());
    }
}

/// The reply of a transaction that is about a limit of the account. For a reply to one recipient,
/// the code alone suffices only if no recipient was accepted.
#[must_use]
pub(crate) fn limit(outcome: &TransactionReplies) -> Option<&Reply> {
    let mut replies = outcome.recipients.iter().map(|recipient| &recipient.reply);
    let any = outcome.recipients.iter().any(|recipient| recipient.reply.is_success());
    let of_data = outcome
        .data
        .iter()
        .find(|data| !data.is_success() && (data.is_over_limit() || data.hints_at_limit()));
    let hints = |reply: &Reply| reply.is_over_limit() || (!any && reply.hints_at_limit());
    of_data.or_else(|| replies.find(|reply| !reply.is_success() && hints(reply)))
}

/// Writes the same state and reply into the entries of some recipients.
pub(crate) fn put_all(
    recipients: &mut [Json],
    places: &[usize],
    state: RecipientState,
    reply: &str,
) {
    for place in places {
        if let Some(recipient) = recipients.get_mut(*place) {
            put(recipient, state, reply);
        }
    }
}

fn put(recipient: &mut Json, state: RecipientState, reply: &str) {
    state.put(recipient);
    if let Some(row) = recipient.as_object_mut() {
        row.insert("reply".to_owned(), json!(reply));
    }
}

/// Decides about the delivery by the entries of its recipients.
#[must_use]
pub(crate) fn verdict(recipients: &[Json], tried: Tried, options: &Options) -> Verdict {
    if recipients.is_empty() {
        let reason = "there is no recipient".to_owned();
        return Verdict::Error { code: ErrorCode::Invalid, reason };
    }
    let count = |state: RecipientState| recipients.iter().filter(|one| state.is_of(one)).count();
    let sent = count(RecipientState::Sent);
    if sent == recipients.len() {
        return Verdict::Sent;
    }
    if sent + count(RecipientState::Refused) == recipients.len() {
        let reason = replies(recipients, RecipientState::Refused);
        return Verdict::Error { code: ErrorCode::Refused, reason };
    }
    let reason = if count(RecipientState::Deferred) > 0 {
        replies(recipients, RecipientState::Deferred)
    } else {
        "the connection ended before all recipients were named".to_owned()
    };
    later(reason, tried, options)
}

/// Postpones, or gives up if it has waited for too long and was tried more than once.
#[must_use]
pub(crate) fn later(reason: String, tried: Tried, options: &Options) -> Verdict {
    if tried.waited >= options.duration(&options::RETRY_FOR) && tried.attempts > 1 {
        let reason = format!("given up after {} attempts: {reason}", tried.attempts);
        return Verdict::Error { code: ErrorCode::GaveUp, reason };
    }
    let first = options.duration(&options::RETRY_FIRST);
    let after = backoff::doubled(tried.attempts, first, options.duration(&options::RETRY_LONGEST));
    Verdict::Later { after, reason, counts: true }
}

/// Postpones until a pause of the account is over. This does not count as an attempt. A message
/// that got such an answer before waits longer than others, because the answer may be about this
/// message only.
#[must_use]
pub(crate) fn limited(reason: String, pause: Duration, tried: Tried, options: &Options) -> Verdict {
    let has_waited = !tried.waited.is_zero();
    if tried.waited >= options.duration(&options::RETRY_FOR) && has_waited {
        let reason = format!("given up, because the limit of the server did not end: {reason}");
        return Verdict::Error { code: ErrorCode::GaveUp, reason };
    }
    let behind = tried.waited.min(options.duration(&options::RETRY_LONGEST));
    Verdict::Later { after: pause + behind, reason, counts: false }
}

/// The replies to the first recipients in `state`, for a person.
fn replies(recipients: &[Json], state: RecipientState) -> String {
    let these = recipients.iter().filter(|recipient| state.is_of(recipient));
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

    fn reply(code: u16) -> Reply {
        Reply { code, has_code: true, enhanced: None, lines: vec!["x".to_owned()] }
    }

    /// The states of the recipients and the verdict, after RCPT and data were answered so.
    fn after(rcpt: &[u16], data: Option<u16>, waited: u64) -> (Vec<String>, Verdict) {
        let address = |at: usize| format!("r{at}@b.test");
        let mut recipients: Vec<Json> =
            (0..rcpt.len()).map(|at| json!({"address": address(at), "state": "waiting"})).collect();
        let replies = rcpt.iter().enumerate();
        let replies =
            replies.map(|(at, code)| RecipientReply { address: address(at), reply: reply(*code) });
        let outcome = TransactionReplies { recipients: replies.collect(), data: data.map(reply) };
        let named: Vec<_> = (0..rcpt.len()).collect();
        record(&mut recipients, &named, &outcome);
        let states = recipients.iter().map(|r| r["state"].as_str().unwrap().to_owned()).collect();
        let tried = Tried { attempts: 2, waited: Duration::from_secs(waited) };
        let options = Options::cascade([&json!({"retry_for": 100})]);
        (states, verdict(&recipients, tried, &options))
    }

    /// Replies to RCPT and to the data, seconds of waiting; the states that follow, and the verdict.
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
            (&[250],           Some(530), NOW,      &["deferred"],                    "later"),
            (&[],              None,      NOW,      &[],                              "invalid"),
            (&[250, 450],      Some(250), TOO_LONG, &["sent", "deferred"],            "gave_up"),
        ];
        for (rcpt, data, waited, states, want) in table {
            let (got, verdict) = after(rcpt, *data, *waited);
            assert_eq!(got, *states, "{rcpt:?} {data:?}");
            let verdict = match verdict {
                Verdict::Sent => "sent",
                Verdict::Later { .. } => "later",
                Verdict::Error { code, .. } => code.as_str(),
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
        let tried = Tried { attempts: 1, waited: Duration::from_secs(100) };
        let options = Options::cascade([&json!({"retry_for": 100})]);
        let verdict = later("451".to_owned(), tried, &options);
        assert!(matches!(verdict, Verdict::Later { .. }));
    }

    #[test]
    fn each_attempt_waits_twice_as_long_as_the_one_before() {
        let options = Options::cascade([&json!({"retry_first": 5, "retry_longest": 60})]);
        let delay_s = |attempts| {
            let tried = Tried { attempts, waited: Duration::ZERO };
            let verdict = later("451".to_owned(), tried, &options);
            let Verdict::Later { after, counts: true, .. } = verdict else {
                panic!("{verdict:?}");
            };
            after.as_secs()
        };
        assert_eq!([1, 2, 3, 4, 5, 99].map(delay_s), [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn only_those_wait_who_neither_have_it_nor_refused() {
        let recipients = [("a", "sent"), ("b", "deferred"), ("c", "refused"), ("d", "waiting")];
        let recipients = recipients.map(|(a, s)| json!({"address": a, "state": s}));
        assert_eq!(waiting(&recipients), [1, 3]);
    }

    #[test]
    fn answers_are_matched_by_their_place() {
        let mut recipients = ["a@b.test", "a@B.test", "c@b.test"]
            .map(|address| json!({"address": address, "state": "waiting"}));
        let answer = |code| RecipientReply { address: "a@b.test".to_owned(), reply: reply(code) };
        let outcome = TransactionReplies {
            recipients: vec![answer(550), answer(250)],
            data: Some(reply(250)),
        };
        record(&mut recipients, &[2, 0], &outcome);
        let states = recipients.map(|recipient| recipient["state"].as_str().unwrap().to_owned());
        assert_eq!(states, ["sent", "waiting", "refused"]);
    }

    #[test]
    fn a_limit_of_the_account_is_told_from_an_answer_to_one_recipient() {
        let said = |code, enhanced, text: &str| Reply {
            code,
            has_code: true,
            enhanced,
            lines: vec![text.to_owned()],
        };
        let slow = said(451, Some((4, 7, 1)), "slow down");
        let daily = said(550, Some((5, 4, 5)), "daily limit");
        let ok = || said(250, None, "ok");
        let outcome = |replies: Vec<Reply>, data: Option<Reply>| {
            let recipient = |reply| RecipientReply { address: String::new(), reply };
            TransactionReplies { recipients: replies.into_iter().map(recipient).collect(), data }
        };
        let table = [
            (outcome(vec![ok()], Some(ok())), false),
            (outcome(vec![ok()], Some(slow.clone())), true),
            (outcome(vec![slow.clone()], None), true),
            (outcome(vec![ok(), slow], Some(ok())), false),
            (outcome(vec![ok(), daily.clone()], Some(ok())), true),
            (outcome(vec![ok()], Some(daily)), true),
        ];
        for (outcome, want) in table {
            assert_eq!(limit(&outcome).is_some(), want, "{outcome:?}");
        }
    }

    #[test]
    fn a_limit_counts_no_attempt_and_one_message_does_not_hold_up_the_others() {
        let options = Options::cascade([&json!({"retry_for": 100, "retry_longest": 20})]);
        let after = |waited: u64| {
            let tried = Tried { attempts: 1, waited: Duration::from_secs(waited) };
            limited("421".to_owned(), Duration::from_secs(4), tried, &options)
        };
        let later = |seconds| Verdict::Later {
            after: Duration::from_secs(seconds),
            reason: "421".to_owned(),
            counts: false,
        };
        assert_eq!([after(0), after(8), after(60)], [later(4), later(12), later(24)]);
        assert!(matches!(after(100), Verdict::Error { code: ErrorCode::GaveUp, .. }));
    }
}
