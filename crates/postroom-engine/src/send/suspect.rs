//! Recognises an answer to one message that may be about all messages of the account.
//!
//! Such an answer counts for its message. Only if the next message gets the same answer is the
//! account in trouble. An answer that hints at a limit may be about the recipient's server, so the
//! next message must be for another one, or there must be several. So must they if the server
//! demands a login only for a recipient or a text. While the account is at a limit, it is tried
//! with messages that were not refused so far.

use crate::error::Error as EngineError;
use crate::send::handed_over::HandedOver;
use crate::send::same_refusals::SameRefusals;
use crate::send::same_refusals::Wording;
use postroom_model::MessageEntityId;
use postroom_smtp::Error;
use postroom_smtp::Reply;
use postroom_store::Claimed;
use postroom_store::Store;
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// So many messages in a row, all for the same servers, show a limit of the account.
const HINTS_MIN: u32 = 5;
/// How many refused messages and domains are remembered.
const REFUSED_MAX: usize = 1000;

/// The kind of such an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SuspectAnswer {
    /// The server demands a login before the message, so before all messages.
    Login,
    /// The server demands a login in answer to a recipient or a text.
    LoginForIt,
    /// The server refuses the reverse path for now.
    Mail,
}

/// Whether an answer is about a limit of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AboutAccount {
    /// This reply is.
    Yes(Reply),
    /// This reply most probably is, because other messages were refused in the same words.
    Probably(Reply),
    /// It may be about its message alone.
    Perhaps,
    /// It is not.
    No,
}

/// A message that got an answer.
#[derive(Debug)]
pub(crate) struct AnsweredMessage {
    id: MessageEntityId,
    domains: BTreeSet<String>,
}

impl AnsweredMessage {
    /// That of a delivery.
    pub(crate) fn of(claimed: &Claimed) -> Self {
        Self { id: claimed.message, domains: domains(claimed) }
    }
}

/// Messages in a row whose answers were of one kind.
#[derive(Debug)]
struct AnswerRun {
    last: MessageEntityId,
    domains: BTreeSet<String>,
    count: u32,
    /// Whether the last message is another one than the one before.
    is_other: bool,
    /// Whether it is for other servers too.
    is_for_others: bool,
}

impl AnswerRun {
    /// The run with one message more.
    fn with(run: Option<Self>, message: AnsweredMessage) -> Self {
        let AnsweredMessage { id: last, mut domains } = message;
        let Some(run) = run else {
            return Self { last, domains, count: 1, is_other: false, is_for_others: false };
        };
        let is_other = run.last != last;
        let is_for_others = is_other && !domains.is_subset(&run.domains);
        let count = run.count + u32::from(is_other);
        domains.extend(run.domains);
        Self { last, domains, count, is_other, is_for_others }
    }

    /// Whether the answers are about the account although each may be about its recipient.
    fn is_of_account(&self) -> bool {
        self.is_for_others || self.count >= HINTS_MIN
    }
}

/// The last messages, if their answers may be about all messages.
#[derive(Debug, Default)]
pub(crate) struct Suspect {
    last: Option<(SuspectAnswer, AnswerRun)>,
    hints: Option<AnswerRun>,
    same: SameRefusals,
    /// What was refused because of a limit since a message was last accepted.
    refused: BTreeSet<MessageEntityId>,
    refused_domains: BTreeSet<String>,
    sender: Option<RefusedSender>,
}

/// The server refused the account's own address as the sender of the last message.
#[derive(Debug)]
struct RefusedSender {
    last: MessageEntityId,
    /// Whether it did so for two messages in a row.
    is_confirmed: bool,
}

impl Suspect {
    /// Notes that the last answer was about its message only.
    pub(crate) fn clear(&mut self) {
        (self.last, self.hints) = (None, None);
    }

    /// Notes that a message was accepted.
    fn accepted(&mut self, message: MessageEntityId) {
        let mut same = std::mem::take(&mut self.same);
        same.accepted(message);
        *self = Self { same, ..Self::default() };
    }

    /// Whether the end of an attempt is about a limit of the account, whose address is `own`. That
    /// a message was accepted shows that there was none.
    pub(crate) fn about_account(
        &mut self,
        claimed: &Claimed,
        ended: &Result<HandedOver, Error>,
        own: &str,
    ) -> AboutAccount {
        let was_accepted = ended.as_ref().is_ok_and(|handed_over| handed_over.was_accepted);
        if was_accepted {
            self.accepted(claimed.message);
        }
        let (limit, hint) = match ended {
            Ok(handed_over) => (handed_over.limit.as_ref(), handed_over.hint.as_ref()),
            Err(error) => (error.limit(), error.hint()),
        };
        match (limit, hint) {
            (Some(reply), _) => AboutAccount::Yes(reply.clone()),
            (None, Some(reply)) if self.is_limit(claimed) => AboutAccount::Yes(reply.clone()),
            (None, Some(_)) => AboutAccount::Perhaps,
            (None, None) if was_accepted => AboutAccount::No,
            (None, None) => self.refused_alike(claimed, ended, own),
        }
    }

    /// Whether a refusal for good is about the account, because others had the same words. What
    /// refuses another sender than the account's own address is about that.
    fn refused_alike(
        &mut self,
        claimed: &Claimed,
        ended: &Result<HandedOver, Error>,
        own: &str,
    ) -> AboutAccount {
        let refusal = match ended {
            Ok(handed_over) => handed_over.refusal.as_ref(),
            Err(error) => error.refusal_of_mail(),
        };
        let is_own = claimed.reverse_path.eq_ignore_ascii_case(own);
        let is_known = |reply: &Reply| match is_own {
            true => reply.refuses_sender(),
            false => reply.refuses_sender_address(),
        };
        let Some(reply) = refusal.filter(|reply| !is_known(reply)) else {
            return AboutAccount::No;
        };
        match self.same.refused(claimed.message, &reply.wording()) {
            Wording::OfMessage => AboutAccount::No,
            Wording::Guessed => AboutAccount::Probably(reply.clone()),
            Wording::Known => AboutAccount::Yes(reply.clone()),
        }
    }

    /// The reply that refuses the account's own address as the sender, if the message before got
    /// such a reply too. Then no other message would be accepted either.
    pub(crate) fn refused_sender(
        &mut self,
        claimed: &Claimed,
        ended: &Result<HandedOver, Error>,
        own: &str,
    ) -> Option<Reply> {
        let reply = match ended {
            Ok(handed_over) => handed_over.sender_refusal.as_ref(),
            Err(error) => error.sender_refusal(),
        };
        let reply = reply.filter(|_| claimed.reverse_path.eq_ignore_ascii_case(own));
        let (Some(reply), last) = (reply, claimed.message) else {
            self.sender = None;
            return None;
        };
        let before = self.sender.take();
        let is_confirmed = before.is_some_and(|it| it.is_confirmed || it.last != last);
        self.sender = Some(RefusedSender { last, is_confirmed });
        is_confirmed.then(|| reply.clone())
    }

    /// Notes an answer that hints at a limit. Gives whether it is one of the account.
    fn is_limit(&mut self, of: &Claimed) -> bool {
        self.last = None;
        let run = AnswerRun::with(self.hints.take(), AnsweredMessage::of(of));
        self.hints.insert(run).is_of_account()
    }

    /// Notes that a message was refused because of a limit.
    pub(crate) fn limited(&mut self, claimed: &Claimed) {
        if self.refused.len() < REFUSED_MAX {
            self.refused.insert(claimed.message);
            self.refused_domains.extend(domains(claimed));
        }
    }

    /// Whether messages were refused because of a limit, and none was accepted since.
    #[must_use]
    pub(crate) fn is_at_limit(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Of claimed deliveries, the one that says most about a limit: one that was not refused, for
    /// servers of which none was. The others are given back. Without a limit, all are kept.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn probe(
        &self,
        store: &Store,
        mut claimed: Vec<Claimed>,
    ) -> Result<Vec<Claimed>, EngineError> {
        if !self.is_at_limit() {
            return Ok(claimed);
        }
        let rank = |one: &Claimed| match self.refused.contains(&one.message) {
            true => 2,
            false => u8::from(domains(one).is_subset(&self.refused_domains)),
        };
        let best = (0..claimed.len()).min_by_key(|at| claimed.get(*at).map(rank));
        let probe = best.map(|at| claimed.remove(at));
        for left in claimed {
            store.delivery_release(left.message).await?;
        }
        Ok(probe.into_iter().collect())
    }

    /// Whether another message got the same answer just before, so that it is about the account.
    /// `None`: it is about this message only.
    pub(crate) fn is_confirmed(&mut self, of: AnsweredMessage, error: &Error) -> Option<bool> {
        let answer = match error {
            Error::Credentials { .. } if error.is_login_for_the_message() => {
                SuspectAnswer::LoginForIt
            }
            Error::Credentials { .. } => SuspectAnswer::Login,
            Error::Reply { command: "MAIL", reply } if !reply.is_permanent() => SuspectAnswer::Mail,
            Error::Reply { .. }
            | Error::Connect(_)
            | Error::Login(_)
            | Error::Unsupported { .. }
            | Error::Protocol { .. }
            | Error::Lost { .. }
            | Error::Timeout { .. }
            | Error::Abandoned { .. }
            | Error::OutcomeUnknown { .. } => {
                self.clear();
                return None;
            }
        };
        self.hints = None;
        let before = self.last.take().filter(|(same, _)| *same == answer);
        let run = AnswerRun::with(before.map(|(_, run)| run), of);
        let is_confirmed = match answer {
            SuspectAnswer::LoginForIt => run.is_of_account(),
            SuspectAnswer::Login | SuspectAnswer::Mail => run.is_other,
        };
        self.last = Some((answer, run));
        Some(is_confirmed)
    }
}

/// The domains of the recipients.
fn domains(claimed: &Claimed) -> BTreeSet<String> {
    let address = |one: &Json| one.get("address")?.as_str().map(str::to_ascii_lowercase);
    let addresses = claimed.recipients.iter().filter_map(address);
    addresses.map(|it| it.rsplit('@').next().unwrap_or_default().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_smtp::Reply;

    fn reply(code: u16) -> Reply {
        Reply { code, has_code: true, is_mixed: false, enhanced: None, lines: vec![] }
    }

    #[test]
    fn it_takes_two_messages_with_the_same_answer() {
        let wants_login = |command| Error::Credentials { command, reply: reply(530) };
        let to_mail = |code| Error::Reply { command: "MAIL", reply: reply(code) };
        let table = [
            (1, "a.test", wants_login("MAIL"), Some(false)),
            (1, "a.test", wants_login("MAIL"), Some(false)),
            (2, "a.test", wants_login("MAIL"), Some(true)),
            (1, "a.test", to_mail(451), Some(false)),
            (2, "a.test", to_mail(550), None),
            (1, "a.test", to_mail(451), Some(false)),
            (2, "a.test", to_mail(451), Some(true)),
            // For a recipient, it takes another domain, or five.
            (1, "a.test", wants_login("RCPT"), Some(false)),
            (2, "a.test", wants_login("RCPT"), Some(false)),
            (2, "b.test", wants_login("the message"), Some(false)),
            (3, "b.test", wants_login("RCPT"), Some(false)),
            (4, "c.test", wants_login("RCPT"), Some(true)),
            (1, "a.test", to_mail(550), None),
            (1, "a.test", wants_login("RCPT"), Some(false)),
            (2, "a.test", wants_login("RCPT"), Some(false)),
            (3, "a.test", wants_login("RCPT"), Some(false)),
            (4, "a.test", wants_login("RCPT"), Some(false)),
            (5, "a.test", wants_login("RCPT"), Some(true)),
        ];
        let mut suspect = Suspect::default();
        for (number, domain, error, want) in table {
            let domains = BTreeSet::from([domain.to_owned()]);
            let of = AnsweredMessage { id: MessageEntityId::from_u128(number), domains };
            assert_eq!(suspect.is_confirmed(of, &error), want, "{number} {domain} {error}");
        }
    }
}
