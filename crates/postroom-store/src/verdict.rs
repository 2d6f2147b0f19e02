//! Verdict: how an attempt to send ended, and what that changes in the message.

use crate::error::Error;
use crate::outcome;
use postroom_model::ErrorCode;
use postroom_model::MessageState;
use postroom_model::Timestamp;
use postroom_model::state;
use postroom_model::state::Step;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The server accepted the message for every recipient.
    Sent,
    /// It is tried again, for the remaining recipients.
    Later {
        /// The delay until then.
        after: Duration,
        /// Why, in words for people.
        reason: String,
        /// Whether the attempt counts. It does not if the account has reached a limit.
        counts: bool,
    },
    /// It ends as `error`.
    Error {
        /// The kind of error.
        code: ErrorCode,
        /// Why, in words for people.
        reason: String,
    },
}

impl Verdict {
    /// When the next attempt is due, for an attempt that ended `at` this time. `None`: there is
    /// none.
    #[must_use]
    pub fn next_attempt(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Later { after, .. } => {
                Some(Timestamp::from_ms(at.as_ms().saturating_add(whole_ms(*after))))
            }
            Self::Sent | Self::Error { .. } => None,
        }
    }
}

/// A duration in milliseconds.
pub(crate) fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The verdict with a reason that also says which recipients have the message.
pub(crate) fn told(verdict: Verdict, recipients: &[Json]) -> Verdict {
    match verdict {
        Verdict::Sent => Verdict::Sent,
        Verdict::Later { after, reason, counts } => {
            let reason = outcome::with_addresses(reason, recipients, true);
            Verdict::Later { after, reason, counts }
        }
        Verdict::Error { code, reason } => {
            let reason = outcome::with_addresses(reason, recipients, false);
            Verdict::Error { code, reason }
        }
    }
}

/// The state of a message in state `sending` after a step.
fn after(step: Step) -> Result<MessageState, Error> {
    Ok(state::after(Some(MessageState::Sending), step)?)
}

/// What the verdict about an attempt that ended `at` this time changes in its message.
///
/// # Errors
///
/// When a message in state `sending` cannot take that step.
pub(crate) fn changes(verdict: &Verdict, at: Timestamp) -> Result<Map<String, Json>, Error> {
    let next = verdict.next_attempt(at).map(|next| next.to_string());
    let changes = match verdict {
        Verdict::Sent => json!({
            "messageState": after(Step::Accept)?, "sentAt": at.to_string(), "nextAttemptAt": next,
            "errorText": null, "errorCode": null,
        }),
        Verdict::Later { reason, .. } => json!({
            "nextAttemptAt": next, "errorText": reason, "errorCode": ErrorCode::Postponed,
        }),
        Verdict::Error { code, reason } => json!({
            "messageState": after(Step::Refuse)?, "errorCode": code, "errorText": reason,
            "nextAttemptAt": next,
        }),
    };
    Ok(changes.as_object().cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_a_queued_message_cannot_take_is_an_error_and_no_null() {
        assert_eq!(after(Step::Accept).unwrap(), MessageState::Sent);
        assert_eq!(after(Step::Refuse).unwrap(), MessageState::Error);
        // Withdrawn, it would have no state at all.
        for step in [Step::Withdraw, Step::Decompose, Step::Keep, Step::Miss] {
            assert!(matches!(after(step), Err(Error::IllegalStep(_))), "{step:?}");
        }
    }
}
