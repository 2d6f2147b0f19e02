//! The step that keeps the receipts of former epochs whose messages were recognised in a later one.

/// The number of the later epoch in which the message has another receipt. Null: it has none. The
/// receipt counts again when its epoch comes back.
pub(super) const STEP: &[&str] = &["ALTER TABLE \"receipt\" ADD COLUMN \"linked\" {whole}"];
