//! What one answer tells of a message: a server may tell its facts and its bytes in several FETCH
//! responses, in any order and more than once, and what they tell must agree.
//!
//! Standards: RFC 3501 §7.4.2.

use crate::source::joining::JoinedMessage;
use crate::source::joining::NoContent;
use crate::source::message::CONTRADICTION;
use crate::source::message::SourceMessage;

/// What an answer has told of one message so far.
#[derive(Debug, Default)]
pub(crate) struct AnswerSoFar {
    facts: SourceMessage,
    /// Whether the bytes came.
    has_content: bool,
    /// Their hash. `None`: none came that can be compared.
    hash: Option<[u8; 16]>,
    /// Whether two responses do not agree.
    is_contradictory: bool,
}

/// What a further response about the message means.
#[derive(Debug)]
pub(crate) enum AnswerStep {
    /// It agrees with what was told, and has no bytes but those that came before.
    Facts,
    /// It has the bytes, or says why there are none. The facts of earlier responses are added.
    Content(JoinedMessage),
    /// The bytes came before, and it does not agree with them.
    Contradiction,
}

impl AnswerSoFar {
    /// Takes a further response about the message.
    pub(crate) fn take(&mut self, joined: JoinedMessage) -> AnswerStep {
        let JoinedMessage { mut message, content } = joined;
        let octets = content.as_ref().ok().map(|original| original.size_bytes());
        let has_content = !matches!(content, Err(NoContent::Missing));
        self.note(&message);
        let hash = content.as_ref().ok().and_then(|original| original.hash().ok());
        if self.has_content {
            let is_other = has_content && (hash.is_none() || hash != self.hash);
            return match is_other || self.is_contradictory {
                true => AnswerStep::Contradiction,
                false => AnswerStep::Facts,
            };
        }
        if !has_content {
            if self.facts.flags.is_empty() {
                self.facts.flags = message.flags;
            }
            return AnswerStep::Facts;
        }
        (self.has_content, self.hash) = (true, hash);
        message.size_bytes = self.facts.size_bytes;
        message.internal_date_ms = self.facts.internal_date_ms;
        if message.flags.is_empty() {
            message.flags = std::mem::take(&mut self.facts.flags);
        }
        // From now on, a size must be that of the bytes, if none was told before.
        self.facts.size_bytes = self.facts.size_bytes.or(octets);
        let content =
            if self.is_contradictory { Err(NoContent::Unusable(CONTRADICTION)) } else { content };
        AnswerStep::Content(JoinedMessage { message, content })
    }

    fn note(&mut self, message: &SourceMessage) {
        let differs =
            |then: Option<u64>, now: Option<u64>| then.zip(now).is_some_and(|(a, b)| a != b);
        self.is_contradictory |= differs(self.facts.size_bytes, message.size_bytes);
        self.facts.size_bytes = self.facts.size_bytes.or(message.size_bytes);
        self.facts.internal_date_ms = self.facts.internal_date_ms.or(message.internal_date_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::original::Original;

    fn response(size_bytes: Option<u64>, bytes: Option<&'static [u8]>) -> JoinedMessage {
        let message = SourceMessage { size_bytes, ..SourceMessage::default() };
        let content = bytes.map(|bytes| Original::Memory(bytes.into()));
        JoinedMessage { message, content: content.ok_or(NoContent::Missing) }
    }

    /// A response: the size that it tells, and the bytes that it has.
    type Responded = (Option<u64>, Option<&'static [u8]>);

    #[test]
    fn responses_about_one_message_are_joined_and_must_agree() {
        const FACTS: &str = "facts";
        #[rustfmt::skip]
        let table: &[(&[Responded], &[&str])] = &[
            (&[(Some(2), Some(b"ab"))],                    &["ab of 2"]),
            (&[(Some(2), None), (None, Some(b"ab"))],      &[FACTS, "ab of 2"]),
            (&[(None, None), (None, Some(b"ab"))],         &[FACTS, "ab of ?"]),
            (&[(None, Some(b"ab")), (Some(2), None)],      &["ab of ?", FACTS]),
            (&[(None, Some(b"ab")), (Some(9), None)],      &["ab of ?", "contradiction"]),
            (&[(Some(9), Some(b"ab")), (Some(9), None)],   &["ab of 9", FACTS]),
            (&[(Some(9), None), (Some(2), Some(b"ab"))],   &[FACTS, "unusable"]),
            (&[(None, Some(b"ab")), (None, Some(b"ac"))],  &["ab of ?", "contradiction"]),
            (&[(None, Some(b"ab")), (None, Some(b"ab"))],  &["ab of ?", FACTS]),
            (&[(Some(2), Some(b"ab")), (Some(2), Some(b"ab"))], &["ab of 2", FACTS]),
            (&[(Some(2), Some(b"ab")), (Some(3), Some(b"ab"))], &["ab of 2", "contradiction"]),
        ];
        for (responses, want) in table {
            let mut told = AnswerSoFar::default();
            let mut got = vec![];
            for (size, bytes) in *responses {
                got.push(match told.take(response(*size, *bytes)) {
                    AnswerStep::Facts => FACTS.to_owned(),
                    AnswerStep::Contradiction => "contradiction".to_owned(),
                    AnswerStep::Content(JoinedMessage { content: Err(_), .. }) => {
                        "unusable".to_owned()
                    }
                    AnswerStep::Content(JoinedMessage { message, content: Ok(original) }) => {
                        let size =
                            message.size_bytes.map_or("?".to_owned(), |size| size.to_string());
                        let bytes = original.start().unwrap();
                        format!("{} of {size}", String::from_utf8_lossy(&bytes))
                    }
                });
            }
            assert_eq!(got, *want, "{responses:?}");
        }
    }
}
