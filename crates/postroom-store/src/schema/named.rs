//! The step that keeps which recipients the transaction names whose final dot is sent next.

/// The places of these recipients in `recipients`, as a JSON list. Null: a version before this step
/// has sent the dot. It named the first that waited.
pub(super) const STEP: &[&str] = &["ALTER TABLE \"delivery\" ADD COLUMN \"named\" {text}"];
