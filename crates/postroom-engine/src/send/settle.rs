//! Settle: writes the server's answers into the entries of the recipients.

use postroom_model::RecipientState;
use postroom_model::Uncertain;
use postroom_smtp::RecipientReply;
use postroom_smtp::Reply;
use postroom_smtp::TransactionReplies;
use postroom_smtp::wording_of;
use serde_json::Value as Json;
use serde_json::json;

/// The positions of the recipients that still wait for the message. Those that may have it wait
/// only where the account wants another copy.
#[must_use]
pub(crate) fn waiting(recipients: &[Json], uncertain: Uncertain) -> Vec<usize> {
    let waits = |recipient: &Json| match RecipientState::of(recipient) {
        Some(RecipientState::Sent | RecipientState::Refused) => false,
        Some(RecipientState::Uncertain) => uncertain == Uncertain::Resend,
        Some(RecipientState::Waiting | RecipientState::Deferred | RecipientState::Failed)
        | None => true,
    };
    let places = recipients.iter().enumerate().filter(|(_, recipient)| waits(recipient));
    places.map(|(place, _)| place).collect()
}

/// Writes the answers into the entries of the named recipients, in their order: `sent`, `deferred`
/// or `refused`, with the reply. Recipients without an answer stay as they are.
///
/// A recipient that was accepted shares the fate of the data (RFC 5321 §4.2.5). Without an answer
/// to the data, it stays as it is. If there were too many recipients for a transaction, or for the
/// session (`has_earlier`: a message was accepted in it before), nobody is refused for good.
pub(crate) fn record(
    recipients: &mut [Json],
    named: &[usize],
    outcome: &TransactionReplies,
    has_earlier: bool,
) {
    let accepted = accepted_count(outcome);
    let too_many = too_many(outcome, has_earlier);
    for ((place, answer), is_number) in named.iter().zip(&outcome.recipients).zip(too_many) {
        let Some(recipient) = recipients.get_mut(*place) else {
            continue;
        };
        let (decisive, may_pass) = match (&outcome.data, answer.reply.is_success()) {
            (Some(data), true) => {
                let may_be_fewer = accepted > 1 || has_earlier;
                (data, data.wants_login() || (may_be_fewer && data.refuses_number()))
            }
            (None, true) => continue,
            (_, false) => (&answer.reply, is_number || answer.reply.wants_login()),
        };
        let state = match (decisive.is_success(), decisive.is_permanent()) {
            (true, _) => RecipientState::Sent,
            (false, true) if !may_pass => RecipientState::Refused,
            (false, _) => RecipientState::Deferred,
        };
        put(recipient, state, &decisive.to_string());
    }
}

/// For each recipient whether there were too many, by its answer. Servers answer the same to a full
/// mailbox (552, 452). So it counts after a recipient of the transaction that was accepted, and if
/// nobody is accepted, only in words. Who is named first is answered for itself. `has_earlier` as
/// for [`record`].
pub(crate) fn too_many(outcome: &TransactionReplies, has_earlier: bool) -> Vec<bool> {
    let has_any = has_any(outcome);
    let mut is_behind_accepted = false;
    let is_number = |answer: &RecipientReply| {
        let reply = &answer.reply;
        is_behind_accepted |= reply.is_success();
        let is_number = (is_behind_accepted && reply.may_be_too_many())
            || (has_earlier && reply.says_too_many())
            || (!has_any && reply.is_too_many());
        is_number && !reply.is_success()
    };
    outcome.recipients.iter().map(is_number).collect()
}

/// The reply of a transaction that is about a limit of the account. That there are too many
/// recipients is about the transaction. If it has none, it is about the session if that had an
/// accepted message before, and otherwise about the account. `has_earlier` as for [`record`].
#[must_use]
pub(crate) fn limit(outcome: &TransactionReplies, has_earlier: bool) -> Option<&Reply> {
    let is_of_account = !has_any(outcome) && !has_earlier;
    let is_limit = |reply: &&Reply| {
        !reply.is_success() && (reply.is_over_limit() || (is_of_account && reply.is_too_many()))
    };
    let replies = outcome.recipients.iter().map(|recipient| &recipient.reply);
    outcome.data.iter().chain(replies).find(is_limit)
}

/// Whether the session has had its number of recipients, so that another one takes the others:
/// there are too many already with the first one. `has_earlier` as for [`record`].
#[must_use]
pub(crate) fn is_session_full(outcome: &TransactionReplies, has_earlier: bool) -> bool {
    let says = |answer: &RecipientReply| answer.reply.says_too_many();
    let is_too_many = match accepted_count(outcome) {
        0 => outcome.recipients.iter().any(says),
        1 => outcome.data.as_ref().is_some_and(Reply::refuses_number),
        _ => false,
    };
    has_earlier && is_too_many
}

/// The reply of a transaction that may be about the account, and may be about this message alone:
/// to its data, or to a recipient if none was accepted.
#[must_use]
pub(crate) fn hint(outcome: &TransactionReplies) -> Option<&Reply> {
    let has_any = has_any(outcome);
    let replies = outcome.recipients.iter().map(|recipient| &recipient.reply);
    let replies = replies.filter(|_| !has_any);
    outcome.data.iter().chain(replies).find(|reply| !reply.is_success() && reply.hints_at_limit())
}

/// The reply of a transaction that refuses the sender for good: to its data, or to a recipient if
/// none was accepted.
#[must_use]
pub(crate) fn sender_refusal(outcome: &TransactionReplies) -> Option<&Reply> {
    let has_any = has_any(outcome);
    let replies = outcome.recipients.iter().map(|recipient| &recipient.reply);
    let replies = replies.filter(|_| !has_any);
    outcome.data.iter().chain(replies).find(|reply| reply.refuses_sender())
}

/// The reply of a transaction that refuses the message for good and for all, in words that may be
/// about the account: to its data, or the same words to all recipients. Those do not count whose
/// words are about themselves.
#[must_use]
pub(crate) fn refusal(outcome: &TransactionReplies) -> Option<&Reply> {
    let is_open = |reply: &&Reply| reply.is_permanent() && !reply.wants_login();
    if let Some(data) = &outcome.data {
        return Some(data).filter(is_open).filter(|data| !data.is_of_text());
    }
    let replies = outcome.recipients.iter().map(|recipient| &recipient.reply);
    let is_of_itself = |reply: &Reply| reply.is_permanent() && reply.is_of_recipient();
    let others: Vec<_> = replies.filter(|reply| !is_of_itself(reply)).collect();
    let (first, more) = others.split_first()?;
    let is_same = |reply: &&Reply| reply.wording() == first.wording();
    Some(*first).filter(is_open).filter(|_| more.iter().all(is_same))
}

/// Whether a transaction refuses the address of the sender for good, whoever the recipient is: in
/// the answer to its data, or in that to each recipient.
#[must_use]
pub(crate) fn blames_sender(outcome: &TransactionReplies) -> bool {
    let mut replies = outcome.recipients.iter().map(|recipient| &recipient.reply);
    match &outcome.data {
        Some(data) => data.refuses_sender_address(),
        None => !outcome.recipients.is_empty() && replies.all(Reply::refuses_sender_address),
    }
}

/// Lets the recipients wait again that were refused in these words.
pub(crate) fn wait_again(recipients: &mut [Json], wording: &str) {
    let is_refused = |one: &Json| {
        let said = one.get("reply").and_then(Json::as_str).and_then(wording_of);
        RecipientState::Refused.is_of(one) && said.as_deref() == Some(wording)
    };
    recipients.iter_mut().filter(|one| is_refused(one)).for_each(|one| {
        RecipientState::Deferred.put(one);
    });
}

/// How many recipients were accepted.
pub(crate) fn accepted_count(outcome: &TransactionReplies) -> usize {
    outcome.recipients.iter().filter(|recipient| recipient.reply.is_success()).count()
}

/// Whether a recipient was accepted.
fn has_any(outcome: &TransactionReplies) -> bool {
    accepted_count(outcome) > 0
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

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16) -> Reply {
        Reply { code, has_code: true, is_mixed: false, enhanced: None, lines: vec!["x".to_owned()] }
    }

    #[test]
    fn only_those_wait_who_neither_have_it_nor_refused() {
        let states = ["sent", "deferred", "refused", "waiting", "uncertain"];
        let recipients = states.map(|state| json!({"address": "a", "state": state}));
        assert_eq!(waiting(&recipients, Uncertain::Hold), [1, 3]);
        assert_eq!(waiting(&recipients, Uncertain::Resend), [1, 3, 4]);
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
        record(&mut recipients, &[2, 0], &outcome, false);
        let states = recipients.map(|recipient| recipient["state"].as_str().unwrap().to_owned());
        assert_eq!(states, ["sent", "waiting", "refused"]);
    }

    #[test]
    fn too_many_recipients_refuse_nobody_if_some_were_accepted_before_them() {
        let said = |code, detail, text: &str| Reply {
            code,
            has_code: true,
            is_mixed: false,
            enhanced: Some((5, 7, detail)),
            lines: vec![text.to_owned()],
        };
        let many = || said(550, 1, "Too many recipients");
        #[rustfmt::skip]
        let table = [
            // To RCPT,                             to the data,     earlier, the states
            (vec![said(250, 0, "ok"), many()],      said(250, 0, ""), false, ["sent", "deferred"]),
            (vec![said(250, 0, "ok"), many()],      said(451, 0, ""), false, ["deferred", "deferred"]),
            (vec![said(550, 1, "no"), many()],      said(250, 0, ""), false, ["refused", "refused"]),
            (vec![said(550, 1, "no"), many()],      said(250, 0, ""), true,  ["refused", "deferred"]),
            (vec![said(250, 0, ""), said(250, 0, "")], many(),        false, ["deferred", "deferred"]),
            (vec![said(250, 0, ""), said(550, 1, "no")], many(),      false, ["refused", "refused"]),
        ];
        for (replies, data, has_earlier, want) in table {
            let mut recipients =
                ["a", "b"].map(|address| json!({"address": address, "state": "waiting"}));
            let recipient = |reply| RecipientReply { address: String::new(), reply };
            let replies = replies.into_iter().map(recipient).collect();
            let outcome = TransactionReplies { recipients: replies, data: Some(data) };
            record(&mut recipients, &[0, 1], &outcome, has_earlier);
            let states = recipients.map(|it| it["state"].as_str().unwrap().to_owned());
            assert_eq!(states, want, "{outcome:?}");
        }
    }

    #[test]
    fn a_limit_of_the_account_is_told_from_an_answer_to_one_recipient() {
        let said = |code, enhanced, text: &str| Reply {
            code,
            has_code: true,
            is_mixed: false,
            enhanced,
            lines: vec![text.to_owned()],
        };
        let slow = said(451, Some((4, 7, 1)), "slow down");
        let later = said(451, Some((4, 7, 1)), "later");
        let many = said(452, Some((4, 5, 3)), "too many recipients");
        let daily = said(550, Some((5, 4, 5)), "daily limit");
        let ok = || said(250, None, "ok");
        let outcome = |replies: Vec<Reply>, data: Option<Reply>| {
            let recipient = |reply| RecipientReply { address: String::new(), reply };
            TransactionReplies { recipients: replies.into_iter().map(recipient).collect(), data }
        };
        #[rustfmt::skip]
        let table = [
            // outcome,                                        limit, hint
            (outcome(vec![ok()], Some(ok())),                  false, false),
            (outcome(vec![ok()], Some(slow.clone())),          true,  true),
            (outcome(vec![slow], None),                        true,  true),
            (outcome(vec![ok()], Some(later.clone())),         false, true),
            (outcome(vec![later.clone()], None),               false, true),
            (outcome(vec![ok(), later], Some(ok())),           false, false),
            (outcome(vec![ok(), many.clone()], Some(ok())),    false, false),
            (outcome(vec![many], None),                        true,  false),
            (outcome(vec![said(452, None, "no more")], None),  false, false),
            (outcome(vec![said(552, None, "quota exceeded")], None), false, false),
            (outcome(vec![said(452, None, "quota exceeded")], None), false, false),
            (outcome(vec![ok(), daily.clone()], Some(ok())),   true,  false),
            (outcome(vec![ok()], Some(daily)),                 true,  false),
        ];
        for (outcome, is_limit, is_hint) in table {
            let got = (limit(&outcome, false).is_some(), hint(&outcome).is_some());
            assert_eq!(got, (is_limit, is_hint), "{outcome:?}");
        }
    }

    #[test]
    fn too_many_recipients_are_about_the_session_if_that_had_an_accepted_message() {
        let said = |line: &str| {
            let (code, text) = line.split_once(' ').unwrap();
            Reply { lines: vec![text.to_owned()], ..reply(code.parse().unwrap()) }
        };
        let (ok, many, full) = ("250 ok", "452 too many recipients", "552 mailbox full");
        #[rustfmt::skip]
        let table: [(&[&str], Option<&str>, bool, &str); 10] = [
            (&[many],         None,       false, "account"),
            (&[many],         None,       true,  "session"),
            (&[full, many],   None,       true,  "session"),
            (&[full],         None,       true,  "none"),
            (&[ok, many],     Some(ok),   true,  "none"),
            (&[ok],           Some(many), false, "none"),
            (&[ok],           Some(many), true,  "session"),
            (&[ok, ok],       Some(many), true,  "none"),
            (&["421 slow"],   None,       true,  "account"),
            (&[ok],           Some(ok),   true,  "none"),
        ];
        for (rcpt, data, has_earlier, want) in table {
            let answer = |line: &&str| RecipientReply { address: String::new(), reply: said(line) };
            let recipients = rcpt.iter().map(answer).collect();
            let outcome = TransactionReplies { recipients, data: data.map(said) };
            let is_full = is_session_full(&outcome, has_earlier);
            let got = match (limit(&outcome, has_earlier).is_some(), is_full) {
                (true, false) => "account",
                (false, true) => "session",
                (false, false) => "none",
                (true, true) => "both",
            };
            assert_eq!(got, want, "{outcome:?} {has_earlier}");
        }
    }

    #[test]
    fn a_refusal_for_all_in_words_that_nobody_knows_is_told_from_all_else() {
        let said = |line: &str| {
            let (code, text) = line.split_once(' ').unwrap();
            Reply { lines: vec![text.to_owned()], ..reply(code.parse().unwrap()) }
        };
        let (ok, nein, none) = ("250 ok", "550 <x@b.test> nein", "550 no such user");
        #[rustfmt::skip]
        let table: [(&[&str], Option<&str>, bool); 14] = [
            (&[nein],                              None,                  true),
            (&[nein, "550 <y@b.test> nein"],       None,                  true),
            (&[nein, none],                        None,                  true),
            (&[nein, "550 nie"],                   None,                  false),
            (&[nein, "450 nein"],                  None,                  false),
            (&[none],                              None,                  false),
            (&[ok, nein],                          Some(ok),              false),
            (&[ok, nein],                          None,                  false),
            (&[ok],                                Some(nein),            true),
            (&[ok, none],                          Some(nein),            true),
            (&[ok],                                Some("450 nein"),      false),
            (&[ok],                                Some("550 spam"),      false),
            (&[ok],                                Some("550 too fast"),  false),
            (&[ok],                                Some("530 nein"),      false),
        ];
        for (rcpt, data, want) in table {
            let answer = |line: &&str| RecipientReply { address: String::new(), reply: said(line) };
            let recipients = rcpt.iter().map(answer).collect();
            let outcome = TransactionReplies { recipients, data: data.map(said) };
            assert_eq!(refusal(&outcome).is_some(), want, "{outcome:?}");
        }
    }

    #[test]
    fn those_wait_again_that_were_refused_in_the_same_words() {
        let row = |state: &str, reply: &str| json!({"state": state, "reply": reply});
        let mut recipients = [
            row("refused", "550 5.7.1 <x@b.test> nein 17"),
            row("refused", "550 5.7.1 <y@b.test> nein 18"),
            row("refused", "550 5.1.1 <z@b.test> nein"),
            row("sent", "550 5.7.1 nein"),
            json!({"state": "refused", "reply": null}),
        ];
        wait_again(&mut recipients, &wording_of("550 5.7.1 nein").unwrap());
        let states = recipients.map(|it| it["state"].as_str().unwrap().to_owned());
        assert_eq!(states, ["deferred", "deferred", "refused", "sent", "refused"]);
    }

    /// The answers to RCPT, whether an earlier transaction was accepted, and the states.
    type NumberCase = (&'static [(u16, &'static str)], bool, &'static [&'static str]);

    #[test]
    fn too_many_recipients_are_told_from_a_full_mailbox_by_those_before() {
        #[rustfmt::skip]
        let table: [NumberCase; 14] = [
            (&[(552, "full")],                                 false, &["refused"]),
            (&[(552, "no more")],                              false, &["refused"]),
            (&[(552, "no more")],                              true,  &["refused"]),
            (&[(452, "no more")],                              false, &["deferred"]),
            (&[(250, "ok"), (552, "mailbox full")],            false, &["sent", "refused"]),
            (&[(250, "ok"), (552, "exceeded storage allocation")], true, &["sent", "refused"]),
            (&[(250, "ok"), (552, "no more")],                 false, &["sent", "again"]),
            (&[(250, "ok"), (452, "no more")],                 false, &["sent", "again"]),
            (&[(250, "ok"), (452, "mailbox full")],            false, &["sent", "deferred"]),
            (&[(552, "no more"), (250, "ok")],                 false, &["refused", "sent"]),
            (&[(250, "ok"), (552, "too many recipients"), (550, "no")], false, &["sent", "again", "refused"]),
            (&[(550, "too many recipients"), (250, "ok")],     false, &["refused", "sent"]),
            (&[(550, "too many recipients"), (250, "ok")],     true,  &["again", "sent"]),
            (&[(452, "too many recipients")],                  false, &["again"]),
        ];
        for (replies, has_earlier, want) in table {
            let said = |(code, text): &(u16, &str)| Reply {
                lines: vec![(*text).to_owned()],
                ..reply(*code)
            };
            let has_any = replies.iter().any(|(code, _)| *code == 250);
            let answers = replies
                .iter()
                .map(|one| RecipientReply { address: String::new(), reply: said(one) });
            let outcome = TransactionReplies {
                recipients: answers.collect(),
                data: has_any.then(|| reply(250)),
            };
            let mut recipients = vec![json!({"state": "waiting"}); replies.len()];
            let named: Vec<_> = (0..replies.len()).collect();
            record(&mut recipients, &named, &outcome, has_earlier);
            let again = too_many(&outcome, has_earlier);
            let of = |(recipient, again): (&Json, &bool)| {
                let state = recipient["state"].as_str().unwrap();
                if *again { "again".to_owned() } else { state.to_owned() }
            };
            let got: Vec<_> = recipients.iter().zip(&again).map(of).collect();
            assert_eq!(got, want, "{replies:?} {has_earlier}");
            let is_refused = |(one, again): (&Json, &bool)| *again && one["state"] == "refused";
            assert!(!recipients.iter().zip(&again).any(is_refused), "{replies:?}");
        }
    }
}
