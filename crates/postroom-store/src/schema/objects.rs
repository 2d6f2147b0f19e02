//! The step that makes the tables of objects.

/// The object of a blob that is being written is named in `unfinished`, and that of a finished blob
/// in `object`. Objects that are to be removed from the bucket are in `object gone`.
pub(super) const STEP: &[&str] = &[
    "ALTER TABLE \"unfinished\" ADD COLUMN \"object\" {text}",
    "CREATE TABLE \"object\" (
       \"blob\" {whole} PRIMARY KEY, \"name\" {text} NOT NULL UNIQUE,
       \"length\" {whole} NOT NULL, \"hash\" {bytes} NOT NULL)",
    "CREATE TABLE \"object gone\" (\"name\" {text} PRIMARY KEY)",
];
