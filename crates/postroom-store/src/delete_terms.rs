//! The conditions of a deletion.

use postroom_model::Entity;

/// The conditions of whoever deletes an entity.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeleteTerms<'a> {
    /// Deletes only this version.
    pub if_version: Option<i64>,
    /// The entity as the caller has read it. It is read again only if it has changed since.
    pub read: Option<&'a Entity>,
}
