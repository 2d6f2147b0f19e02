//! The states of a message, and every step between them.
//!
//! ```text
//!   null ──submit──► sending ──accept──► sent
//!     ▲                │  ▲ └─postpone─┘
//!     └───withdraw─────┤  └──submit──┐
//!                      └──refuse──► error
//!   in:  decompose ► received      keep ► raw      miss ► error
//!        received ◄──decompose, keep──► raw, when what is stored is decomposed again
//! ```
//! Values that an extension adds belong to the business logic. The engine acts only on `sending`,
//! and never overwrites a state that it did not set.

use crate::builtin::names;
use crate::entity::Entity;
use serde::Serialize;
use serde::Serializer;
use std::fmt;

/// A state that the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// To be sent as soon as `dateTime` and the server allow.
    Sending,
    /// The server accepted the message for every recipient.
    Sent,
    /// Sending failed for good, or the message could not be loaded from the server.
    Error,
    /// Received and decomposed.
    Received,
    /// Received, but it cannot be decomposed. Only the original is there.
    Raw,
}

/// What can happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The client asks to send it.
    Submit,
    /// The client withdraws it.
    Withdraw,
    /// The server answered 250 after the end of data.
    Accept,
    /// 4yz, or no connection. It is tried later.
    Postpone,
    /// 5yz, given up, invalid, or an unknown outcome.
    Refuse,
    /// It arrived or was decomposed again, and has fields.
    Decompose,
    /// It arrived or was decomposed again, and only the original is there.
    Keep,
    /// The server listed it, but it could not be loaded.
    Miss,
}

impl Step {
    /// What becomes of a message by the step, for texts.
    fn past(self) -> &'static str {
        match self {
            Self::Submit => "sent",
            Self::Withdraw => "withdrawn",
            Self::Accept => "accepted by its server",
            Self::Postpone => "postponed",
            Self::Refuse => "refused",
            Self::Decompose => "decomposed",
            Self::Keep => "kept undecomposed",
            Self::Miss => "marked as not loaded",
        }
    }
}

/// The step is not possible from that state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a message in state `{}` cannot be {}",
    .state.map_or("null", MessageState::as_str),
    .step.past()
)]
pub struct IllegalStep {
    /// The state of the message. `None`: null.
    pub state: Option<MessageState>,
    /// The step that was refused.
    pub step: Step,
}

impl MessageState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Sending, Self::Sent, Self::Error, Self::Received, Self::Raw];

    /// The value in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Error => "error",
            Self::Received => "received",
            Self::Raw => "raw",
        }
    }

    /// The state of a value. `None`: an extension added the value.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The state of a message. `None`: it has none, or an extension added it.
    #[must_use]
    pub fn of(message: &Entity) -> Option<Self> {
        message.text(names::MESSAGE_STATE).and_then(Self::from_name)
    }

    /// Whether a message has this state.
    #[must_use]
    pub fn is_of(self, message: &Entity) -> bool {
        Self::of(message) == Some(self)
    }
}

impl Serialize for MessageState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Applies `step` to `state` (`None` is null). Every pair that is not listed is an [`IllegalStep`].
///
/// # Errors
///
/// [`IllegalStep`] names both.
pub fn next(state: Option<MessageState>, step: Step) -> Result<Option<MessageState>, IllegalStep> {
    use MessageState::*;
    match (state, step) {
        (None | Some(Error), Step::Submit) => Ok(Some(Sending)),
        (Some(Sending | Error), Step::Withdraw) => Ok(None),
        (Some(Sending), Step::Accept) => Ok(Some(Sent)),
        (Some(Sending), Step::Postpone) => Ok(Some(Sending)),
        (Some(Sending), Step::Refuse) => Ok(Some(Error)),
        (None | Some(Received | Raw), Step::Decompose) => Ok(Some(Received)),
        (None | Some(Received | Raw), Step::Keep) => Ok(Some(Raw)),
        (None, Step::Miss) => Ok(Some(Error)),
        (state, step) => Err(IllegalStep { state, step }),
    }
}

/// The state after a step that leaves the message in a state.
///
/// # Errors
///
/// [`IllegalStep`], also for a step to null.
pub fn after(state: Option<MessageState>, step: Step) -> Result<MessageState, IllegalStep> {
    next(state, step)?.ok_or(IllegalStep { state, step })
}

/// Why a client may not change `messageState` from `from` to `to`. `None`: it may.
///
/// `outgoing`: whether `messageDirection` is `out`. `given`: the state that the engine gave the
/// message. A client may submit and withdraw an outgoing message. On a message that is not being
/// sent, it may set values that extensions added, and set the given state again after them. Only
/// the engine sets `sent`, `received`, `raw` and `error`.
#[must_use]
pub(crate) fn client_problem(
    from: Option<&str>,
    to: Option<&str>,
    outgoing: bool,
    given: Option<MessageState>,
) -> Option<String> {
    if from == to {
        return None;
    }
    let own = |name: &str| MessageState::from_name(name).is_none();
    // After a value of an extension, the state that the engine gave counts.
    let from_state =
        if from.is_some_and(own) { given } else { from.and_then(MessageState::from_name) };
    let possible = |step| outgoing && next(from_state, step).is_ok();
    match to.map(|name| (name, MessageState::from_name(name))) {
        Some((_, Some(MessageState::Sending))) if !outgoing => {
            Some("`sending` needs messageDirection `out`".to_owned())
        }
        Some((_, Some(MessageState::Sending))) => {
            let reason = "only a message that was not sent, or is in `error`, can be set to \
                          `sending`; to send this one again, create a new message";
            (!possible(Step::Submit)).then(|| reason.to_owned())
        }
        Some((_, Some(state))) if from.is_some_and(own) && given == Some(state) => None,
        Some((name, Some(_))) => Some(format!("only Postroom sets `{name}`")),
        Some((_, None)) if from_state == Some(MessageState::Sending) => {
            Some("the message is being sent; withdraw it first by setting null".to_owned())
        }
        Some((_, None)) => None,
        None if from_state.is_none() => None,
        None => {
            let reason =
                "only an outgoing message in `sending` or `error` can be taken back to null";
            (!possible(Step::Withdraw)).then(|| reason.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_from_every_state() {
        use MessageState::*;
        use Step::*;
        const STEPS: [Step; 8] =
            [Submit, Withdraw, Accept, Postpone, Refuse, Decompose, Keep, Miss];
        const NO: Option<Option<MessageState>> = None;
        const NULL: Option<Option<MessageState>> = Some(None);
        let to = |state| Some(Some(state));
        #[rustfmt::skip]
        let table = [
            // from            submit       withdraw accept    postpone     refuse     decompose     keep     miss
            (None,           [to(Sending), NO,      NO,       NO,          NO,        to(Received), to(Raw), to(Error)]),
            (Some(Sending),  [NO,          NULL,    to(Sent), to(Sending), to(Error), NO,           NO,      NO]),
            (Some(Sent),     [NO; 8]),
            (Some(Error),    [to(Sending), NULL,    NO,       NO,          NO,        NO,           NO,      NO]),
            (Some(Received), [NO,          NO,      NO,       NO,          NO,        to(Received), to(Raw), NO]),
            (Some(Raw),      [NO,          NO,      NO,       NO,          NO,        to(Received), to(Raw), NO]),
        ];
        for (state, row) in table {
            for (step, want) in STEPS.into_iter().zip(row) {
                assert_eq!(next(state, step).ok(), want, "{step:?} from {state:?}");
            }
        }
    }

    #[test]
    fn what_a_client_may_say() {
        use MessageState::*;
        #[rustfmt::skip]
        let table = [
            // from, to, outgoing, given, allowed
            (None,             Some("sending"),  true,  None,           true),
            (None,             Some("sending"),  false, None,           false),
            (Some("error"),    Some("sending"),  true,  Some(Error),    true),
            (Some("error"),    Some("sending"),  false, Some(Error),    false),
            (Some("sent"),     Some("sending"),  true,  Some(Sent),     false),
            (Some("received"), Some("handled"),  false, Some(Received), true),
            (Some("handled"),  Some("sending"),  true,  None,           true),
            (Some("handled"),  Some("sending"),  true,  Some(Error),    true),
            (Some("handled"),  Some("sending"),  true,  Some(Sent),     false),
            (Some("handled"),  Some("sending"),  false, Some(Received), false),
            (Some("handled"),  Some("other"),    false, Some(Received), true),
            (Some("handled"),  Some("received"), false, Some(Received), true),
            (Some("handled"),  Some("raw"),      false, Some(Received), false),
            (Some("handled"),  Some("raw"),      false, Some(Raw),      true),
            (Some("handled"),  Some("sent"),     true,  Some(Sent),     true),
            (Some("handled"),  Some("error"),    true,  Some(Error),    true),
            (Some("handled"),  Some("error"),    true,  None,           false),
            (Some("handled"),  None,             true,  None,           true),
            (Some("handled"),  None,             true,  Some(Error),    true),
            (Some("handled"),  None,             true,  Some(Sent),     false),
            (Some("handled"),  None,             false, Some(Received), false),
            (Some("sending"),  None,             true,  Some(Sending),  true),
            (Some("error"),    None,             true,  Some(Error),    true),
            (Some("error"),    None,             false, Some(Error),    false),
            (Some("sending"),  Some("handled"),  true,  Some(Sending),  false),
            (Some("received"), None,             false, Some(Received), false),
            (None,             Some("sent"),     true,  None,           false),
            (None,             Some("received"), false, None,           false),
            (Some("sent"),     Some("sent"),     true,  Some(Sent),     true),
        ];
        for (from, to, outgoing, given, allowed) in table {
            let problem = client_problem(from, to, outgoing, given);
            assert_eq!(problem.is_none(), allowed, "{from:?} to {to:?}, {given:?}: {problem:?}");
        }
    }
}
