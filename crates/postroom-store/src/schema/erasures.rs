//! The step that makes the tables of domains that are erased, or were.

/// `erasure` has a row for each, which stays as its receipt. `erased` counts what was erased, by
/// class, in several rows, because several batches count at once.
pub(super) const STEP: &[&str] = &[
    "CREATE TABLE \"erasure\" (
       \"id\" {id} PRIMARY KEY, \"domain\" {text} NOT NULL, \"title\" {text},
       \"by\" {text} NOT NULL, \"begun\" {moment} NOT NULL, \"ended\" {moment},
       \"rows\" {whole} NOT NULL)",
    "CREATE INDEX \"erasure of domain\" ON \"erasure\" (\"domain\")",
    "CREATE TABLE \"erased\" (
       \"erasure\" {id} NOT NULL, \"class\" {text} NOT NULL, \"part\" {whole} NOT NULL,
       \"entities\" {whole} NOT NULL, \"bytes\" {whole} NOT NULL,
       PRIMARY KEY (\"erasure\", \"class\", \"part\")) {clustered}",
];
