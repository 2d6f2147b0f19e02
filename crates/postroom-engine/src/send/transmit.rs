//! Transmit: one attempt to send one delivery.

use crate::enders::ToName;
use crate::send::entries::wire;
use crate::send::handed_over::HandedOver;
use crate::send::handed_over::HeldBack;
use crate::send::settle;
use crate::shared::Shared;
use bytes::Bytes;
use postroom_model::RecipientState;
use postroom_model::Uncertain;
use postroom_smtp::BrokenOff;
use postroom_smtp::Envelope;
use postroom_smtp::MessageSource;
use postroom_smtp::RecipientReply;
use postroom_smtp::Reply;
use postroom_smtp::SmtpConnection;
use postroom_smtp::SmtpVerdict;
use postroom_smtp::TransactionReplies;
use postroom_smtp::no_such_addresses;
use postroom_store::BeforeDot;
use postroom_store::BlobReader;
use postroom_store::Claimed;
use serde_json::Value as Json;
use std::io;

/// How many recipients one transaction names. Every server accepts this many (RFC 5321 §4.5.3.1.8).
pub(crate) const RECIPIENTS_MAX: usize = 100;

/// The bytes of a composed message on their way out of the store.
struct Stored {
    reader: BlobReader,
}

impl MessageSource for Stored {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.reader.next().await.map_err(io::Error::other)
    }
}

/// Sends one claimed delivery over a connection, in as many transactions as its recipients need.
/// The entries of the recipients get the results. Those that may have the message are named only
/// where the account wants another copy. The results are durable before the next
/// transaction begins.
///
/// # Errors
///
/// What ended the attempt. The recipients of earlier transactions have their results.
pub(crate) async fn hand_over(
    shared: &Shared,
    connection: &mut SmtpConnection,
    claimed: &mut Claimed,
    uncertain: Uncertain,
) -> Result<HandedOver, postroom_smtp::Error> {
    let waiting = settle::waiting(&claimed.recipients, uncertain);
    let mut left = shared.enders.order(claimed.message, waiting);
    if !connection.takes_utf8() && !claimed.smtp_utf8 {
        left.retain(|place| !refuse_beyond_ascii(&mut claimed.recipients, *place));
    }
    let mut handed_over = HandedOver::default();
    let announced = connection.extensions().rcpt_max.and_then(|max| usize::try_from(max).ok());
    let mut group_max = announced.unwrap_or(RECIPIENTS_MAX).min(RECIPIENTS_MAX);
    loop {
        let group = left.next(group_max);
        if group.is_empty() {
            break;
        }
        let (mut held_back, has_earlier) = (None, connection.has_accepted());
        let outcome = match one(shared, connection, claimed, &group, &mut held_back).await {
            Ok(outcome) => outcome,
            Err(_) if held_back.is_some() => {
                handed_over.held_back = held_back;
                break;
            }
            Err(broken_off) => {
                let named = NamedRecipients { group: &group, left: &left, has_earlier };
                return broke_off(shared, claimed, named, broken_off, handed_over);
            }
        };
        settle::record(&mut claimed.recipients, &group, &outcome, has_earlier);
        if let Some(reply) = outcome.data.as_ref().filter(|data| data.wants_login()) {
            return Err(postroom_smtp::Error::Credentials {
                command: "the message",
                reply: reply.clone(),
            });
        }
        let is_accepted = outcome.data.as_ref().is_some_and(Reply::is_success);
        handed_over.take_words(&outcome, has_earlier);
        handed_over.was_accepted |= is_accepted;
        if handed_over.limit.is_none() {
            let named = name_again(&mut left, &group, &outcome, has_earlier);
            group_max = named.unwrap_or(group_max);
        }
        let is_full = settle::is_session_full(&outcome, has_earlier);
        if handed_over.limit.is_some() || (left.places().is_empty() && !is_full) {
            break;
        }
        let kept = shared.store.delivery_part(claimed.message, &claimed.recipients).await;
        if let Err(error) = &kept {
            let message = claimed.message;
            tracing::error!(%message, %error, "the results of the recipients were not written");
        }
        if kept.is_err() {
            break;
        }
        if is_full {
            handed_over.goes_on = true;
            break;
        }
        if !connection.is_reusable() {
            handed_over.goes_on = is_accepted;
            if !is_accepted {
                shared.enders.note(claimed.message, group.last().copied());
            }
            break;
        }
    }
    Ok(handed_over)
}

/// The recipients of a transaction that broke off, and those that were to follow.
#[derive(Clone, Copy)]
struct NamedRecipients<'a> {
    group: &'a [usize],
    left: &'a ToName,
    /// Whether a message was accepted before in the session.
    has_earlier: bool,
}

/// Records what is known after a transaction that broke off.
///
/// Some servers end the session with the refusal of a recipient, or in place of one. Such a
/// recipient must not keep the message from the others. A refusal before the end holds, and the
/// others are tried again at once, also if it was one for now. Otherwise the recipient is named
/// last the next time, and alone. What ends the session then is about this recipient and not about
/// the account.
fn broke_off(
    shared: &Shared,
    claimed: &mut Claimed,
    NamedRecipients { group, left, has_earlier }: NamedRecipients<'_>,
    BrokenOff { error, recipients }: BrokenOff,
    mut handed_over: HandedOver,
) -> Result<HandedOver, postroom_smtp::Error> {
    let (answered, message) = (recipients.len(), claimed.message);
    let outcome = TransactionReplies { recipients, data: None };
    let mut open = group.to_vec();
    let is_in_data = error.verdict() == SmtpVerdict::OutcomeUnknown || error.ended_in_message();
    if is_in_data || error.was_stale() {
        // What was answered before holds.
        settle::record(&mut claimed.recipients, group, &outcome, has_earlier);
    }
    if is_in_data {
        // Only who was accepted may have it.
        open = those(group, &outcome, Reply::is_success);
    }
    if error.was_stale() {
        let is_refused = |place| claimed.recipients.get(place).is_some_and(refused);
        open.retain(|place| !is_refused(*place));
        let ender = deferred_at_end(left, group, &outcome);
        if open.len() < group.len() || ender.is_some() {
            shared.enders.note(message, ender);
            handed_over.take_words(&outcome, has_earlier);
            let waiting = open.len() + left.places().len();
            handed_over.goes_on = waiting > usize::from(ender.is_some());
            return Ok(handed_over);
        }
    }
    if !error.ended_at_recipients() {
        // Some servers end a session after a message.
        if handed_over.was_accepted && error.may_be_of_session() && error.limit().is_none() {
            handed_over.goes_on = true;
            return Ok(handed_over);
        }
        failed(&mut claimed.recipients, &open, left.places(), &error);
        return Err(error);
    }
    let last = outcome.recipients.last().filter(|last| !last.reply.is_success());
    let last = last.and(answered.checked_sub(1)).and_then(|at| group.get(at));
    let next = group.get(answered);
    let unanswered = group.get(answered..).unwrap_or_default();
    // If there were too many, each of the others may be the one at whom the session ends next.
    let too_many = error.reply().is_some_and(Reply::says_too_many);
    let count = if too_many { unanswered.len() } else { 1 };
    let enders = last.into_iter().chain(unanswered.iter().take(count));
    shared.enders.note(message, enders.copied());
    failed(&mut claimed.recipients, next.map_or(group, std::slice::from_ref), &[], &error);
    if !matches!(group, [one] if left.is_ender(*one)) {
        return Err(error);
    }
    handed_over.ended_at_ender = true;
    Ok(handed_over)
}

/// The recipient that was deferred last before the session ended, so probably with it. `None`:
/// there is none, or it was known before.
fn deferred_at_end(left: &ToName, group: &[usize], outcome: &TransactionReplies) -> Option<usize> {
    let (place, last) = group.iter().zip(&outcome.recipients).next_back()?;
    let is_deferred = !last.reply.is_success() && !last.reply.is_permanent();
    (is_deferred && !left.is_ender(*place)).then_some(*place)
}

fn refused(recipient: &Json) -> bool {
    RecipientState::Refused.is_of(recipient)
}

/// Puts back those of a group whom the next transaction may name at once, and gives how many it may
/// name. `None`: as many as before. `has_earlier` as for [`settle::record`].
fn name_again(
    left: &mut ToName,
    group: &[usize],
    outcome: &TransactionReplies,
    has_earlier: bool,
) -> Option<usize> {
    let accepted = settle::accepted_count(outcome);
    match &outcome.data {
        // They would have got the message, but the answer to another one was not clear.
        None => left.put_first(those(group, outcome, Reply::is_success)),
        // There were too many recipients (RFC 5321 §4.5.3.1.10). If the first of them gets the same
        // answer as the first one of a transaction, it is about itself.
        Some(data) if data.is_success() => {
            let too_many = settle::too_many(outcome, has_earlier);
            let again = group.iter().zip(too_many).filter(|(_, is_left)| *is_left);
            let again: Vec<_> = again.map(|(place, _)| *place).collect();
            let fewer = group.len().saturating_sub(again.len()).clamp(1, RECIPIENTS_MAX);
            let has_any = !again.is_empty();
            left.put_first(again);
            return has_any.then_some(fewer);
        }
        // QUIRK: some servers count the recipients only at the end of the message.
        Some(data) if accepted > 1 && data.refuses_number() => {
            left.put_first(those(group, outcome, Reply::is_success));
            return Some(accepted / 2);
        }
        Some(_) => {}
    }
    None
}

/// The recipients of a group whose answers are so.
fn those(
    group: &[usize],
    outcome: &TransactionReplies,
    are_so: impl Fn(&Reply) -> bool,
) -> Vec<usize> {
    let answers = group.iter().zip(&outcome.recipients);
    answers.filter(|(_, answer)| are_so(&answer.reply)).map(|(place, _)| *place).collect()
}

/// Writes an error into the entries of the recipients that were named, and of those that were to
/// follow. A recipient is `deferred` only by a reply of the server. A lost connection, and trouble
/// of our own, leave the entries as they are, and the message has the reason in `errorText`.
fn failed(recipients: &mut [Json], group: &[usize], left: &[usize], error: &postroom_smtp::Error) {
    let words = error.reply().map_or_else(|| error.to_string(), ToString::to_string);
    let state = match error.verdict() {
        SmtpVerdict::OutcomeUnknown => {
            return settle::put_all(recipients, group, RecipientState::Uncertain, &words);
        }
        // It is not about them, and they were not named.
        SmtpVerdict::Refuse if error.reply().is_some_and(Reply::refuses_sender_address) => return,
        SmtpVerdict::Refuse => RecipientState::Refused,
        SmtpVerdict::Postpone | SmtpVerdict::Credentials => {
            if error.reply().is_none() {
                return;
            }
            RecipientState::Deferred
        }
    };
    settle::put_all(recipients, group, state, &words);
    settle::put_all(recipients, left, state, &words);
}

/// Whether a message is handed over again on a new connection. Then the recipients wait again that
/// a refusal of the idle one has refused.
pub(crate) fn is_repeated(claimed: &mut Claimed, error: &postroom_smtp::Error) -> bool {
    if !error.may_be_of_session() {
        return false;
    }
    if let Some(reply) = error.reply() {
        wait_again(claimed, reply);
    }
    true
}

/// Lets the recipients wait again that were refused in the words of this reply.
pub(crate) fn wait_again(claimed: &mut Claimed, reply: &Reply) {
    settle::wait_again(&mut claimed.recipients, &reply.wording());
}

/// Refuses a recipient whose address the server cannot accept. Gives whether it did.
fn refuse_beyond_ascii(recipients: &mut [Json], place: usize) -> bool {
    let path = wire_of(recipients, place);
    let is_refused = !path.is_ascii();
    if is_refused {
        settle::put_all(recipients, &[place], RecipientState::Refused, &no_such_addresses(&path));
    }
    is_refused
}

/// The address of a recipient as the envelope names it.
fn wire_of(recipients: &[Json], place: usize) -> String {
    let address = recipients.get(place).and_then(|recipient| recipient.get("address"));
    wire(address.and_then(Json::as_str).unwrap_or_default())
}

async fn one(
    shared: &Shared,
    connection: &mut SmtpConnection,
    claimed: &Claimed,
    places: &[usize],
    held_back: &mut Option<HeldBack>,
) -> Result<TransactionReplies, BrokenOff> {
    let forward_paths: Vec<_> =
        places.iter().map(|place| wire_of(&claimed.recipients, *place)).collect();
    let smtp_utf8 = claimed.smtp_utf8 || forward_paths.iter().any(|path| !path.is_ascii());
    let envelope = Envelope {
        reverse_path: claimed.reverse_path.clone(),
        forward_paths,
        smtp_utf8,
        // Composed messages are ASCII, except for such addresses.
        eight_bit: claimed.smtp_utf8,
        size_bytes: claimed.size_bytes,
    };
    let reader = shared.store.blob_read(claimed.blob, 0..claimed.size_bytes);
    let mut source = Stored { reader };
    let (store, message) = (shared.store.clone(), claimed.message);
    let attempt = claimed.attempts;
    let accepted = |replies: &[RecipientReply]| -> Vec<_> {
        let answers = places.iter().zip(replies);
        answers.filter(|(_, answer)| answer.reply.is_success()).map(|(place, _)| *place).collect()
    };
    let before_dot = async |replies: &[RecipientReply]| match store
        .delivery_dot_sent(message, attempt, &accepted(replies))
        .await
    {
        Ok(BeforeDot::Send) => Ok(()),
        Ok(BeforeDot::Withdrawn) => Err("the message was withdrawn".to_owned()),
        Ok(BeforeDot::Stopped) => {
            *held_back = Some(HeldBack::Stopped);
            Err("the account may not send any more".to_owned())
        }
        Err(error) => {
            let reason = error.to_string();
            *held_back = Some(HeldBack::Unrecorded(error));
            Err(reason)
        }
    };
    connection.send(&envelope, &mut source, before_dot).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_words_of_the_server_are_a_reply() {
        let smtp = postroom_smtp::Error::Abandoned { reason: "the disk is full".to_owned() };
        let lost = postroom_smtp::Error::Lost { command: "RCPT", source: io::Error::other("x") };
        let busy = Reply {
            code: 451,
            has_code: true,
            is_mixed: false,
            enhanced: None,
            lines: vec!["busy".to_owned()],
        };
        let busy = postroom_smtp::Error::Reply { command: "MAIL", reply: busy };
        let before = [
            json!({"state": "waiting", "reply": null}),
            json!({"state": "deferred", "reply": "450 grey"}),
        ];
        for (error, want) in [
            (smtp, before.clone()),
            (lost, before.clone()),
            (busy, [0, 1].map(|_| json!({"state": "deferred", "reply": "451 busy"}))),
        ] {
            let mut recipients = before.clone();
            failed(&mut recipients, &[0], &[1], &error);
            assert_eq!(recipients, want, "{error}");
        }
    }
}
