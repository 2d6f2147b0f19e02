//! Where an entity is: its tenant, its class and its id.

use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;

/// Where an entity is.
#[derive(Debug, Clone, Copy)]
pub struct EntityPlace<'a> {
    /// The tenant.
    pub domain: &'a Domain,
    /// Its class.
    pub class: &'a Class,
    /// Its id.
    pub id: EntityId,
}

impl<'a> EntityPlace<'a> {
    /// The place of the entity of this id.
    #[must_use]
    pub const fn new(domain: &'a Domain, class: &'a Class, id: EntityId) -> Self {
        Self { domain, class, id }
    }
}
