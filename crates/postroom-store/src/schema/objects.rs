//! The step that makes the tables of contents that are objects.

/// A blob that is being written may be an object, and a finished one may be. Objects that nothing
/// names any more wait in `object gone` to be removed.
pub(super) const STEP: &[&str] = &[
    "ALTER TABLE \"unfinished\" ADD COLUMN \"object\" {text}",
    "CREATE TABLE \"object\" (
       \"blob\" {whole} PRIMARY KEY, \"name\" {text} NOT NULL UNIQUE,
       \"length\" {whole} NOT NULL, \"hash\" {bytes} NOT NULL)",
    "CREATE TABLE \"object gone\" (\"name\" {text} PRIMARY KEY)",
];
