//! The step that numbers changes in the order in which they become visible.

/// The number of a change begins with the number of its transaction (`crate::seq`). The row of some
/// changes has the whole entity, so that undoing can begin there.
pub(super) const STEP: &[&str] = &[
    "ALTER TABLE \"change\" DROP COLUMN \"transaction\"",
    "ALTER TABLE \"change\" ADD COLUMN \"whole\" {boolean} NOT NULL DEFAULT FALSE",
    "CREATE INDEX \"change whole\" ON \"change\" (\"entity\", \"seq\") WHERE \"whole\"",
];
