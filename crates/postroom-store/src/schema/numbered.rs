//! Changes are numbered in the order in which they become visible.

/// The number of a change has that of its transaction in front (`crate::seq`). Some changes of an
/// entity tell all of it, so that undoing begins with one of them.
pub(super) const STEP: &[&str] = &[
    "ALTER TABLE \"change\" DROP COLUMN \"transaction\"",
    "ALTER TABLE \"change\" ADD COLUMN \"whole\" {boolean} NOT NULL DEFAULT FALSE",
    "CREATE INDEX \"change whole\" ON \"change\" (\"entity\", \"seq\") WHERE \"whole\"",
];
