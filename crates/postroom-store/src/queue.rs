//! What other changes of a message mean for its place in the queue.
//!
//! A change of what a message is composed of makes void what was composed; the row stays, and with
//! it how long and how often the message was tried. A message that is withdrawn leaves the queue.

use crate::database::Lock;
use crate::database::Statement;
use crate::failed::Failed;
use postroom_model::Class;
use postroom_model::MessageState;
use postroom_model::builtin;
use serde_json::Map;
use serde_json::Value as Json;
use uuid::Uuid;

/// Makes void what was composed of a message, while it is only due.
pub fn invalidate(message: Uuid) -> Statement {
    let sql = "UPDATE \"delivery\" SET \"phase\" = 'void'
        WHERE \"message\" = $1 AND \"phase\" = 'due'";
    Statement::new(sql).bind(message)
}

/// Makes a batch fail while a message is in the queue, and what was composed of it not void.
pub fn none_of(message: Uuid) -> Statement {
    let sql = "SELECT 1 WHERE NOT EXISTS
        (SELECT 1 FROM \"delivery\" WHERE \"message\" = $1 AND \"phase\" <> 'void')";
    let lock = Lock::Row { table: builtin::MESSAGES, id: message };
    Statement::new(sql).bind(message).assert(Failed::Sending, lock)
}

/// Takes a message out of the queue, unless it is being sent.
pub fn leave(message: Uuid) -> Statement {
    let sql = "DELETE FROM \"delivery\" WHERE \"message\" = $1 AND \"phase\" IN ('due', 'void')";
    Statement::new(sql).bind(message)
}

/// Forgets which recipients have a message.
pub fn forget_delivered(message: Uuid) -> Statement {
    Statement::new("DELETE FROM \"delivered\" WHERE \"message\" = $1").bind(message)
}

/// The statements with which a client's change begins: none when it is not about sending. They do
/// not hold while the message is being sent.
pub fn before_change(class: &Class, id: Uuid, changes: &Map<String, Json>) -> Vec<Statement> {
    let composed = |name: &String| builtin::COMPOSED.contains(&name.as_str());
    if class.classname != builtin::MESSAGES || !changes.keys().any(composed) {
        return vec![];
    }
    let mut batch = vec![invalidate(id), none_of(id)];
    if changes.get("messageState").is_some_and(|state| !is_sending(state.as_str())) {
        batch.push(leave(id));
    }
    batch
}

fn is_sending(state: Option<&str>) -> bool {
    state == Some(MessageState::Sending.as_str())
}
