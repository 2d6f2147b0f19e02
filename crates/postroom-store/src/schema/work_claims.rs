//! The step that makes the table of work claims.

/// A claim of an entity of any class. The row stays when it has expired, because it counts. Claims
/// of one request have one token. Few were acknowledged since yesterday.
pub(super) const STEP: &[&str] = &[
    "CREATE TABLE \"work claim\" (
       \"class\" {text} NOT NULL, \"entity\" {id} NOT NULL, \"domain\" {text} NOT NULL,
       \"token\" {id}, \"by\" {text}, \"until\" {moment} NOT NULL, \"claims\" {whole} NOT NULL,
       \"acknowledged\" {moment}, PRIMARY KEY (\"class\", \"entity\")) {clustered}",
    "CREATE INDEX \"work claim by token\" ON \"work claim\" (\"token\")
       WHERE \"token\" IS NOT NULL",
    "CREATE INDEX \"work claim acknowledged\" ON \"work claim\" (\"acknowledged\")
       WHERE \"acknowledged\" IS NOT NULL",
];
