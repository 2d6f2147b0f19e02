//! The SQL conditions about the state and the direction of messages, and whether they may leave.
//!
//! The words of [`MessageState`] and [`MessageDirection`] are part of the SQL and not bound,
//! because a database uses a partial index only if the query contains the condition of the index.

use postroom_model::MessageDirection;
use postroom_model::MessageState;
use postroom_model::builtin::names;

/// The index of messages that are to be sent.
pub(crate) const INDEX: &str = "email/Messages sending";

/// Whether a message is in a state. `of`: the name of its table in the query with a dot, or empty.
pub(crate) fn in_state(of: &str, state: MessageState) -> String {
    format!("{of}\"{}\" = '{}'", names::MESSAGE_STATE, state.as_str())
}

/// Whether a message has a direction.
pub(crate) fn in_direction(of: &str, direction: MessageDirection) -> String {
    format!("{of}\"{}\" = '{}'", names::MESSAGE_DIRECTION, direction.as_str())
}

/// Whether a message is to be sent.
pub(crate) fn is_sending(of: &str) -> String {
    in_state(of, MessageState::Sending)
}

/// Whether a message is to be sent, in the words of the condition of [`INDEX`].
pub(crate) fn is_in_index(of: &str) -> String {
    format!("{} AND {}", is_sending(of), in_direction(of, MessageDirection::Out))
}

/// Whether sending is suspended, because the database is a copy. Until somebody resumes, a copy
/// sends nothing, and changes nothing at mail servers, because the original may use both.
pub(crate) const IS_SUSPENDED: &str =
    "EXISTS (SELECT 1 FROM \"meta\" WHERE \"name\" = 'sending suspended')";

/// Whether the account of a delivery may send now: it is there and enabled, its profile has a
/// server, and sending is not suspended. `of`: the name of the table `delivery` in the query.
///
/// The statements that let a message leave ask this themselves. So once a client's request that
/// takes the permission away is answered, no message leaves that had not left before.
pub(crate) fn may_leave(of: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM \"email/Accounts\" AS a
           JOIN \"email/Profiles\" AS p ON p.\"id\" = a.\"profile_id\"
           WHERE a.\"id\" = {of}.\"account\" AND a.\"enabled\"
             AND TRIM(COALESCE(p.\"smtpHost\", '')) <> '')
         AND NOT {IS_SUSPENDED}"
    )
}
