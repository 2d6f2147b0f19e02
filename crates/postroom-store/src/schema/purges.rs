//! The step that makes the table of deleted accounts whose messages are to be deleted.

/// The index finds a message that waits for a server-side action.
pub(super) const STEP: &[&str] = &[
    "CREATE TABLE \"purge\" (\"account\" {id} PRIMARY KEY, \"domain\" {text} NOT NULL)",
    "CREATE INDEX \"receipt wish of message\" ON \"receipt\" (\"message\")
       WHERE \"wish\" IS NOT NULL",
];
