//! The step that makes the table of consents.

/// The consents that were asked for: the last one of each slot of an account. `state` is a keyed
/// hash, and `verifier` is encrypted.
pub(super) const STEP: &[&str] = &["CREATE TABLE \"consent\" (
    \"account\" {id} NOT NULL, \"slot\" {text} NOT NULL, \"domain\" {text} NOT NULL,
    \"app\" {id} NOT NULL, \"state\" {bytes} NOT NULL UNIQUE, \"verifier\" {bytes} NOT NULL,
    \"until\" {moment} NOT NULL, PRIMARY KEY (\"account\", \"slot\")) {clustered}"];
