//! Recognises an answer to one message that may be about all messages of the account.
//!
//! Such an answer counts for its message. Only if the next message gets the same answer is the
//! account in trouble.

use postroom_model::MessageEntityId;
use postroom_smtp::Error;

/// The kind of such an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SuspectAnswer {
    /// The server demands a login.
    Login,
    /// The server refuses the reverse path for now.
    Mail,
}

/// The last message, if its answer may be about all messages.
#[derive(Debug, Default)]
pub(crate) struct Suspect {
    last: Option<(MessageEntityId, SuspectAnswer)>,
}

impl Suspect {
    /// Notes that the last answer was about its message only.
    pub(crate) fn clear(&mut self) {
        self.last = None;
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
        let before = self.last.replace((message, answer));
        Some(before.is_some_and(|(other, same)| other != message && same == answer))
    }
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
