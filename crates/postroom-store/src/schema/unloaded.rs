//! The step that notes which messages are not loaded.

/// Of a folder whose older messages are not loaded: what recognises them (`unloaded`), and the keys
/// of those that are above the baseline (`unloaded_keys`).
pub(super) const STEP: &[&str] = &[
    "ALTER TABLE \"origin\" ADD COLUMN \"unloaded\" {bytes}",
    "ALTER TABLE \"origin\" ADD COLUMN \"unloaded_keys\" {bytes}",
];
