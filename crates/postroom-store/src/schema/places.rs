//! The step that lets a process tell more of itself.

/// What a process tells of itself, as JSON: why it rests, where it listens, what is wrong. A
/// process that rests has no `role`, so that nobody waits for it.
pub(super) const STEP: &[&str] = &["ALTER TABLE \"owner\" ADD COLUMN \"details\" {text}"];
