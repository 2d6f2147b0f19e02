//! The step that lets jobs keep to the rights of the client that asked for them.

/// `rights` is NULL where they reach all entities of the class.
pub(super) const STEP: &[&str] = &["ALTER TABLE \"job\" ADD COLUMN \"rights\" {text}"];
