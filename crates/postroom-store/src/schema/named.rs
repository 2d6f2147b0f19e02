//! The step that keeps which recipients the transaction names whose final dot is sent next.

/// The number of the attempt, and the places of these recipients in `recipients`, as JSON. Null: a
/// version before this step has sent the dot. It named the first that waited.
pub(super) const STEP: &[&str] = &["ALTER TABLE \"delivery\" ADD COLUMN \"named\" {text}"];
