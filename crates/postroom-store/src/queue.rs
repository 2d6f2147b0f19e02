//! What a client's change of a message means for its delivery.
//!
//! If a client changes a composed property of a queued message, the composed bytes are discarded.
//! The row stays, with the attempt count and the waited time. A withdrawn message leaves the queue.

use crate::database::Lock;
use crate::database::Statement;
use crate::failed::Failed;
use crate::phase::DeliveryPhase;
use crate::phase::DeliveryStep;
use postroom_model::Class;
use postroom_model::EntityId;
use postroom_model::MessageEntityId;
use postroom_model::MessageState;
use postroom_model::builtin;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;

/// Discards the composed bytes of a message, if no attempt is running.
pub(crate) fn invalidate(message: MessageEntityId) -> Statement {
    DeliveryStep::Invalidate.taken("\"message\" = $1").bind(message)
}

/// Makes a batch fail while a message is in the queue and its composed bytes are valid.
pub(crate) fn none_of(message: MessageEntityId) -> Statement {
    let sql = format!(
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"delivery\" WHERE \"message\" = $1 AND NOT {})",
        DeliveryPhase::Void.is_of("")
    );
    let lock = Lock::row(builtin::MESSAGES, message);
    Statement::new(sql).bind(message).assert(Failed::Sending, lock)
}

/// Takes a message out of the queue, unless it is being sent.
pub(crate) fn leave(message: MessageEntityId) -> Statement {
    DeliveryStep::Leave.taken("\"message\" = $1").bind(message)
}

/// Forgets which recipients have a message.
pub(crate) fn forget_delivered(message: MessageEntityId) -> Statement {
    Statement::new("DELETE FROM \"delivered\" WHERE \"message\" = $1").bind(message)
}

/// The first statements of a client's change. There are none if the change is not about sending.
/// They make the batch fail while the message is being sent.
pub(crate) fn before_change(
    class: &Class,
    id: EntityId,
    changes: &Map<String, Json>,
) -> Vec<Statement> {
    let composed = |name: &String| builtin::COMPOSED.contains(&name.as_str());
    if class.classname != builtin::MESSAGES || !changes.keys().any(composed) {
        return vec![];
    }
    let message = MessageEntityId::of(id);
    let mut batch = vec![invalidate(message), none_of(message)];
    if changes.get(names::MESSAGE_STATE).is_some_and(|state| !is_sending(state.as_str())) {
        batch.push(leave(message));
    }
    batch
}

fn is_sending(state: Option<&str>) -> bool {
    state == Some(MessageState::Sending.as_str())
}
