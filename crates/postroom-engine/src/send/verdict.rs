//! Decides about a delivery after an attempt: sent, tried later, or ended, and with which reason.

use crate::backoff;
use crate::report::chain;
use crate::send::handed_over::HandedOver;
use crate::send::handed_over::HeldBack;
use crate::send::settle;
use crate::shared::Shared;
use postroom_model::ErrorCode;
use postroom_model::Options;
use postroom_model::RecipientState;
use postroom_model::Uncertain;
use postroom_model::options;
use postroom_smtp::Reply;
use postroom_store::Claimed;
use postroom_store::Clock;
use postroom_store::Verdict;
use serde_json::Value as Json;
use std::time::Duration;

/// How long a message waits after our own store kept it from being sent.
const OWN_TROUBLE: Duration = Duration::from_secs(10);

/// How many replies a reason names. `recipients` has all of them.
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

/// How long a delivery has been tried.
#[must_use]
pub(crate) fn tried(claimed: &Claimed) -> Tried {
    let waited = Duration::from_millis(u64::try_from(claimed.waited_ms).unwrap_or(0));
    Tried { attempts: claimed.attempts, waited }
}

/// Decides about a delivery by the result of an attempt and the open results of earlier attempts.
///
/// With `uncertain: resend`, a message whose answer was lost is sent again. If that is refused, the
/// server may mean the second copy, or have a temporary problem. The refusal does not prove that
/// the first copy was not delivered, and a user who sets `resend` prefers another copy to an
/// unknown outcome. So the message is retried as long as any other waiting message, and only then
/// ends as `uncertain`.
pub(crate) async fn of_attempt(
    shared: &Shared,
    claimed: &mut Claimed,
    ended: &Result<HandedOver, postroom_smtp::Error>,
    options: &Options,
) -> Verdict {
    let verdict = by_result(claimed, ended, options);
    let Verdict::Error { code: ErrorCode::Refused, reason } = &verdict else {
        return verdict;
    };
    if options.uncertain() != Uncertain::Resend {
        return verdict;
    }
    // If the store fails now, it still considers this when it records the end.
    let Ok(delivered) = shared.store.delivery_delivered(claimed.message).await else {
        return verdict;
    };
    let may_have = |recipient: &Json| {
        let address = recipient["address"].as_str().unwrap_or_default();
        !RecipientState::Sent.is_of(recipient) && delivered.may_have(address)
    };
    if !again(&mut claimed.recipients, may_have) {
        return verdict;
    }
    let reason = format!(
        "the server may have the message from an earlier attempt, and refused it now: \
                 {reason}"
    );
    later(reason, tried(claimed), options)
}

/// Makes the recipients that may have the message wait for the next attempt. Gives whether there
/// are any.
fn again(recipients: &mut [Json], may_have: impl Fn(&Json) -> bool) -> bool {
    let mut any = false;
    for recipient in recipients.iter_mut().filter(|recipient| may_have(recipient)) {
        RecipientState::Deferred.put(recipient);
        any = true;
    }
    any
}

/// Decides by the result of an attempt alone.
fn by_result(
    claimed: &Claimed,
    ended: &Result<HandedOver, postroom_smtp::Error>,
    options: &Options,
) -> Verdict {
    let tried = tried(claimed);
    let error = match ended {
        Ok(handed_over) => {
            let verdict = by_recipients(&claimed.recipients, tried, options);
            return if handed_over.blames_sender { blamed(claimed, verdict) } else { verdict };
        }
        Err(error) => error,
    };
    match error.verdict() {
        postroom_smtp::SmtpVerdict::Refuse => {
            let whole = Verdict::Error { code: ErrorCode::Refused, reason: error.to_string() };
            if error.reply().is_some_and(Reply::refuses_sender_address) {
                // The recipients that have no answer are not refused.
                return blamed(claimed, whole);
            }
            let verdict = by_recipients(&claimed.recipients, tried, options);
            let is_refused = matches!(verdict, Verdict::Error { code: ErrorCode::Refused, .. });
            if is_refused { whole } else { verdict }
        }
        postroom_smtp::SmtpVerdict::Postpone | postroom_smtp::SmtpVerdict::Credentials => {
            later(error.to_string(), tried, options)
        }
        postroom_smtp::SmtpVerdict::OutcomeUnknown => {
            outcome_unknown(&claimed.recipients, error.to_string(), tried, options)
        }
    }
}

/// The verdict about a message whose sender the server refuses. The reason says so, because the
/// reply stands with the recipients.
fn blamed(claimed: &Claimed, verdict: Verdict) -> Verdict {
    let has_any = claimed.recipients.iter().any(|one| RecipientState::Sent.is_of(one));
    match verdict {
        Verdict::Error { code: ErrorCode::Refused, reason } if !has_any => {
            let sender = &claimed.reverse_path;
            let reason = format!(
                "the server refuses the sender {sender}, not the recipients (correct `from`, or \
                 let the operator of the server allow this sender): {reason}"
            );
            Verdict::Error { code: ErrorCode::Refused, reason }
        }
        verdict @ (Verdict::Sent | Verdict::Later { .. } | Verdict::Error { .. }) => verdict,
    }
}

/// Decides about the delivery by the entries of its recipients.
fn by_recipients(recipients: &[Json], tried: Tried, options: &Options) -> Verdict {
    if recipients.is_empty() {
        let reason = "there is no recipient".to_owned();
        return Verdict::Error { code: ErrorCode::Invalid, reason };
    }
    let count = |state: RecipientState| recipients.iter().filter(|one| state.is_of(one)).count();
    let sent = count(RecipientState::Sent);
    if sent == recipients.len() {
        return Verdict::Sent;
    }
    let unknown = count(RecipientState::Uncertain);
    let are_all_tried = settle::waiting(recipients, options.uncertain()).is_empty();
    if unknown > 0 && are_all_tried {
        let reason = replies(recipients, RecipientState::Uncertain);
        return Verdict::Error { code: ErrorCode::Uncertain, reason: uncertain(&reason) };
    }
    if sent + count(RecipientState::Refused) == recipients.len() {
        let reason = replies(recipients, RecipientState::Refused);
        return Verdict::Error { code: ErrorCode::Refused, reason };
    }
    let reason = if count(RecipientState::Deferred) > 0 {
        replies(recipients, RecipientState::Deferred)
    } else {
        let waiting = replies(recipients, RecipientState::Waiting);
        format!("the connection ended before these recipients were answered: {waiting}")
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

/// Decides about a delivery after the account has reached a limit and pauses for `pause`.
#[must_use]
pub(crate) fn limited(
    claimed: &Claimed,
    reason: String,
    pause: Duration,
    options: &Options,
) -> Verdict {
    if claimed.recipients.iter().all(|recipient| RecipientState::Sent.is_of(recipient)) {
        return Verdict::Sent;
    }
    let why = "the limit of the server did not end";
    for_account(AccountWait { why, reason, pause }, tried(claimed), options)
}

/// Decides about a delivery after a login of the account that failed for now. Nothing was said of
/// the message.
#[must_use]
pub(crate) fn no_login(claimed: &Claimed, reason: String, options: &Options) -> Verdict {
    let pause = options.duration(&options::RETRY_FIRST);
    let why = "the login did not succeed in time";
    for_account(AccountWait { why, reason, pause }, tried(claimed), options)
}

/// Why a message waits for its account.
struct AccountWait {
    /// What a message says that has waited for too long.
    why: &'static str,
    reason: String,
    pause: Duration,
}

/// Postpones until a pause of the account is over. This does not count as an attempt. A message
/// that got such an answer before waits longer than others, because the answer may be about this
/// message only.
fn for_account(wait: AccountWait, tried: Tried, options: &Options) -> Verdict {
    let AccountWait { why, reason, pause } = wait;
    let has_waited = !tried.waited.is_zero();
    if tried.waited >= options.duration(&options::RETRY_FOR) && has_waited {
        let reason = format!("given up, because {why}: {reason}");
        return Verdict::Error { code: ErrorCode::GaveUp, reason };
    }
    let behind = tried.waited.min(options.duration(&options::RETRY_LONGEST));
    Verdict::Later { after: pause + behind, reason, counts: false }
}

/// Decides about a delivery that the server refused for a reason of the account, such as a
/// connection that is not encrypted. It delivered nothing, and this does not count as an attempt.
#[must_use]
pub(crate) fn not_at_fault(reply: &Reply) -> Verdict {
    Verdict::Later { after: Duration::ZERO, reason: reply.to_string(), counts: false }
}

/// Decides about a delivery whose final dot Postroom did not send. This does not count as an
/// attempt.
#[must_use]
pub(crate) fn held_back(claimed: &Claimed, why: &HeldBack) -> Verdict {
    match why {
        HeldBack::Stopped => stopped(),
        HeldBack::Unrecorded(error) => unrecorded(claimed, chain(error)),
    }
}

/// Decides about a delivery that our own store kept from being sent.
fn unrecorded(claimed: &Claimed, reason: String) -> Verdict {
    if claimed.recipients.iter().all(|recipient| RecipientState::Sent.is_of(recipient)) {
        return Verdict::Sent;
    }
    Verdict::Later { after: OWN_TROUBLE, reason, counts: false }
}

/// Decides about a delivery whose account may not send any more. It is due again at once, and
/// waits for the account.
fn stopped() -> Verdict {
    let reason = "the account was disabled, or has no server for sending any more; the message \
                  was not sent, and waits"
        .to_owned();
    Verdict::Later { after: Duration::ZERO, reason, counts: false }
}

/// Decides about a delivery whose outcome is unknown for some of its recipients. Others certainly
/// do not have it, so they are tried first.
#[must_use]
pub(crate) fn outcome_unknown(
    recipients: &[Json],
    reason: String,
    tried: Tried,
    options: &Options,
) -> Verdict {
    let left = settle::waiting(recipients, options.uncertain()).len();
    if options.uncertain() == Uncertain::Hold && left > 0 {
        let unknown = recipients.iter().filter(|one| RecipientState::Uncertain.is_of(one)).count();
        let reason = format!(
            "the server may have the message for {unknown} of the recipients, because {reason}; \
             Postroom goes on with the other {left}"
        );
        return later(reason, tried, options);
    }
    if options.uncertain() == Uncertain::Resend {
        return later(reason, tried, options);
    }
    Verdict::Error { code: ErrorCode::Uncertain, reason: uncertain(&reason) }
}

/// What to do about a message that the server may have.
fn uncertain(reason: &str) -> String {
    format!(
        "the server may have the message, because {reason}; set `sending` to send it again, which \
         may deliver it twice"
    )
}

/// The verdict with a delay that differs a little each time, so that deliveries spread.
#[must_use]
pub(crate) fn jittered(clock: &Clock, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Later { after, reason, counts } => {
            Verdict::Later { after: backoff::jittered(clock, after), reason, counts }
        }
        Verdict::Sent | Verdict::Error { .. } => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_smtp::RecipientReply;
    use postroom_smtp::TransactionReplies;
    use serde_json::json;

    fn reply(code: u16) -> Reply {
        Reply { code, has_code: true, is_mixed: false, enhanced: None, lines: vec!["x".to_owned()] }
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
        settle::record(&mut recipients, &named, &outcome, false);
        let states = recipients.iter().map(|r| r["state"].as_str().unwrap().to_owned()).collect();
        let tried = Tried { attempts: 2, waited: Duration::from_secs(waited) };
        let options = Options::cascade([&json!({"retry_for": 100})]);
        (states, by_recipients(&recipients, tried, &options))
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
            (&[252, 251],      Some(252), NOW,      &["sent", "sent"],                "sent"),
            (&[250],           Some(299), NOW,      &["sent"],                        "sent"),
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
    fn a_limit_counts_no_attempt_and_one_message_does_not_hold_up_the_others() {
        let options = Options::cascade([&json!({"retry_for": 100, "retry_longest": 20})]);
        let after = |waited: u64| {
            let tried = Tried { attempts: 1, waited: Duration::from_secs(waited) };
            let (reason, pause) = ("421".to_owned(), Duration::from_secs(4));
            for_account(AccountWait { why: "it is so", reason, pause }, tried, &options)
        };
        let later = |seconds| Verdict::Later {
            after: Duration::from_secs(seconds),
            reason: "421".to_owned(),
            counts: false,
        };
        assert_eq!([after(0), after(8), after(60)], [later(4), later(12), later(24)]);
        assert!(matches!(after(100), Verdict::Error { code: ErrorCode::GaveUp, .. }));
    }

    #[test]
    fn only_recipients_with_an_unknown_outcome_wait_for_another_attempt() {
        let mut recipients = vec![
            json!({"address": "a@x.test", "state": "refused"}),
            json!({"address": "b@x.test", "state": "refused"}),
        ];
        assert!(again(&mut recipients, |recipient| recipient["address"] == "a@x.test"));
        assert_eq!(recipients[0]["state"], "deferred");
        assert_eq!(recipients[1]["state"], "refused");
        assert!(!again(&mut recipients, |_| false));
    }
}
