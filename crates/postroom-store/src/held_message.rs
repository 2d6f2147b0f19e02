//! A received message for which there is no place.

use crate::source_key::SourceKey;

/// A message that was not recorded, because its contents have no place now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMessage {
    /// Its key.
    pub key: SourceKey,
    /// Why, in words for people.
    pub reason: String,
}
