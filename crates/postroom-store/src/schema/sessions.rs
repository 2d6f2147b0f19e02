//! The step that makes the table of sessions.

/// The sessions of those who have signed in. `hash` is a keyed hash of what the client shows. A
/// session is of a user, or stands for a token, whose hash is `token`. `until` is when the
/// session ends if nobody uses it, and `ends` when it does in any case.
pub(super) const STEP: &[&str] = &[
    "CREATE TABLE \"session\" (
       \"hash\" {bytes} PRIMARY KEY, \"domain\" {text} NOT NULL, \"user\" {id},
       \"token\" {bytes}, \"begun\" {moment} NOT NULL, \"used\" {moment} NOT NULL,
       \"until\" {moment} NOT NULL, \"ends\" {moment} NOT NULL)",
    "CREATE INDEX \"session of user\" ON \"session\" (\"user\", \"begun\", \"hash\")
       WHERE \"user\" IS NOT NULL",
    "CREATE INDEX \"session of token\" ON \"session\" (\"token\", \"begun\", \"hash\")
       WHERE \"token\" IS NOT NULL",
    "CREATE INDEX \"session of domain\" ON \"session\" (\"domain\")",
    "CREATE INDEX \"session until\" ON \"session\" (\"until\")",
];
