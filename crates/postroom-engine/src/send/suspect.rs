//! Suspect: an answer to one message that may be one to all messages.
//!
//! It is settled for its message. Only when another message gets the same one next, the account is
//! in trouble.

use postroom_smtp::Error;
use uuid::Uuid;

/// What such an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// A login is wanted.
    Login,
    /// The reverse path is not taken just now.
    Mail,
}

/// The last message, when its answer may be one to all.
#[derive(Debug, Default)]
pub struct Suspect {
    last: Option<(Uuid, Answer)>,
}

impl Suspect {
    /// The last message got an answer that is its own.
    pub fn clear(&mut self) {
        self.last = None;
    }

    /// Whether the answer to `message` is that which another message got just before; `None` when
    /// it is about this message alone.
    pub fn is_confirmed(&mut self, message: Uuid, error: &Error) -> Option<bool> {
        let answer = match error {
            Error::Credentials { .. } => Answer::Login,
            Error::Reply { command: "MAIL", reply } if !reply.is_permanent() => Answer::Mail,
            Error::Reply { .. }
            | Error::Connect(_)
            | Error::Unsupported { .. }
            | Error::Protocol { .. }
            | Error::Lost { .. }
            | Error::Timeout { .. }
            | Error::Abandoned { .. }
            | Error::InDoubt { .. } => {
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
        Reply { code, has_code: true, enhanced: None, lines: vec![] }
    }

    #[test]
    fn it_takes_two_messages_with_the_same_answer() {
        let wants_login = || Error::Credentials { reply: reply(530) };
        let to_mail = |code| Error::Reply { command: "MAIL", reply: reply(code) };
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
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
