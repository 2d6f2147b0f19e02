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

/// The index by which the deliveries of an account are read in the order of sending.
pub(crate) const IN_ORDER: &str = "delivery in order";

/// The statement that discards the composed bytes of a message, if no attempt is running.
pub(crate) fn invalidate(message: MessageEntityId) -> Statement {
    DeliveryStep::Invalidate.taken("\"message\" = $1").bind(message)
}

/// The condition that a message is not in the queue, or that its composed bytes are discarded. So
/// no attempt is running.
pub(crate) fn none_of(message: MessageEntityId) -> Statement {
    let sql = format!(
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"delivery\" WHERE \"message\" = $1 AND NOT {})",
        DeliveryPhase::Void.is_of("")
    );
    let lock = Lock::row(builtin::MESSAGES, message);
    Statement::new(sql).bind(message).assert(Failed::Sending, lock)
}

/// The statement that takes a message out of the queue, unless it is being sent.
pub(crate) fn leave(message: MessageEntityId) -> Statement {
    DeliveryStep::Leave.taken("\"message\" = $1").bind(message)
}

/// The statement that forgets which recipients have a message.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::fixture::store;
    use DeliveryPhase::*;
    use postroom_testkit::on_both;
    use serde_json::json;

    fn object(json: &Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    #[on_both]
    async fn a_client_changes_a_message_only_while_no_attempt_runs_or_has_an_unknown_outcome() {
        let (_directory, store) = store().await;
        let class = store.builtin(builtin::MESSAGES).unwrap();
        let id = store.clock().new_id();
        let message = MessageEntityId::of(id);
        let changed = json!({"subject": "t"});
        let sent_again = json!({"messageState": "sending"});
        let withdrawn = json!({"messageState": null});
        let other_state = json!({"messageState": "draft"});
        for (phase, is_free) in
            [(Due, true), (Claimed, false), (DotSent, false), (InDoubt, false), (Void, true)]
        {
            for (changes, after) in [
                (&changed, Some(Void)),
                (&sent_again, Some(Void)),
                (&withdrawn, None),
                (&other_state, None),
            ] {
                store.write(phase.row(message).into()).await.unwrap();
                let batch = before_change(&class, id, &object(changes));
                let written = store.write(batch).await.map(drop);
                let is_refused = matches!(written, Err(Error::Condition(Failed::Sending)));
                assert_eq!(is_refused, !is_free, "{phase:?} {changes}: {written:?}");
                let after = if is_free { after } else { Some(phase) };
                assert_eq!(DeliveryPhase::of(&store, message).await, after, "{phase:?} {changes}");
            }
        }
    }

    #[on_both]
    async fn what_is_not_sent_can_be_changed_at_any_time() {
        let (_directory, store) = store().await;
        let id = store.clock().new_id();
        let (messages, folders) = (builtin::MESSAGES, builtin::FOLDERS);
        for (class, changes) in
            [(messages, json!({"messageType": "t"})), (folders, json!({"to": 1}))]
        {
            let class = store.builtin(class).unwrap();
            assert!(before_change(&class, id, &object(&changes)).is_empty(), "{changes}");
        }
    }
}
