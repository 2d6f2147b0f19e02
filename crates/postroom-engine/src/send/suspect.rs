//! Recognises an answer to one message that may be about all messages of the account.
//!
//! Such an answer counts for its message. Only if the next message gets the same answer is the
//! account in trouble. An answer that hints at a limit may be about the recipient's server, so the
//! next message must be for another one, or there must be several. While the account is at a
//! limit, it is tried with messages that were not refused so far.

use crate::error::Error as EngineError;
use crate::send::transmit::HandedOver;
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
    /// The server demands a login.
    Login,
    /// The server refuses the reverse path for now.
    Mail,
}

/// Whether an answer is about a limit of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AboutAccount {
    /// This reply is.
    Yes(Reply),
    /// It may be about its message alone.
    Perhaps,
    /// It is not.
    No,
}

/// Messages in a row whose answers hinted at a limit.
#[derive(Debug)]
struct HintRun {
    last: MessageEntityId,
    domains: BTreeSet<String>,
    count: u32,
}

/// The last messages, if their answers may be about all messages.
#[derive(Debug, Default)]
pub(crate) struct Suspect {
    last: Option<(MessageEntityId, SuspectAnswer)>,
    hints: Option<HintRun>,
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
    pub(crate) fn accepted(&mut self) {
        *self = Self::default();
    }

    /// Whether the end of an attempt is about a limit of the account. That a message was accepted
    /// shows that there was none.
    pub(crate) fn about_account(
        &mut self,
        claimed: &Claimed,
        ended: &Result<HandedOver, Error>,
    ) -> AboutAccount {
        if ended.as_ref().is_ok_and(|handed_over| handed_over.was_accepted) {
            self.accepted();
        }
        let (limit, hint) = match ended {
            Ok(handed_over) => (handed_over.limit.as_ref(), handed_over.hint.as_ref()),
            Err(error) => (error.limit(), error.hint()),
        };
        match (limit, hint) {
            (Some(reply), _) => AboutAccount::Yes(reply.clone()),
            (None, Some(reply)) if self.is_limit(claimed) => AboutAccount::Yes(reply.clone()),
            (None, Some(_)) => AboutAccount::Perhaps,
            (None, None) => AboutAccount::No,
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
        let domains = domains(of);
        let run = self.hints.get_or_insert_with(|| HintRun {
            last: of.message,
            domains: domains.clone(),
            count: 0,
        });
        let is_other = run.last != of.message;
        let is_for_others = is_other && !domains.is_subset(&run.domains);
        run.count += u32::from(run.count == 0 || is_other);
        run.last = of.message;
        run.domains.extend(domains);
        is_for_others || run.count >= HINTS_MIN
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

    /// Whether another message got the same answer just before. `None`: the answer is about this
    /// message only.
    pub(crate) fn is_confirmed(&mut self, message: MessageEntityId, error: &Error) -> Option<bool> {
        let answer = match error {
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
        let before = self.last.replace((message, answer));
        Some(before.is_some_and(|(other, same)| other != message && same == answer))
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
        let wants_login = || Error::Credentials { reply: reply(530) };
        let to_mail = |code| Error::Reply { command: "MAIL", reply: reply(code) };
        let (one, other) = (MessageEntityId::from_u128(1), MessageEntityId::from_u128(2));
        let table = [
            (one, wants_login(), Some(false)),
            (one, wants_login(), Some(false)),
            (other, wants_login(), Some(true)),
            (one, to_mail(451), Some(false)),
            (other, to_mail(550), None),
            (one, to_mail(451), Some(false)),
            (other, to_mail(451), Some(true)),
        ];
        let mut suspect = Suspect::default();
        for (message, error, want) in table {
            assert_eq!(suspect.is_confirmed(message, &error), want, "{error}");
        }
    }
}
