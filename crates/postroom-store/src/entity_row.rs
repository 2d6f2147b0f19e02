//! An entity as a row of its class table.

use crate::class_revision::ClassRevision;
use crate::columns;
use crate::database::Value;
use crate::error::Error;
use crate::keyring::Sealer;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Property;

/// An entity as a row of its class. Lists are text in it, which takes a tenth of their memory.
#[derive(Debug, Clone)]
pub struct EntityRow {
    /// The id of the entity.
    pub id: EntityId,
    /// Its version.
    pub(crate) version: i64,
    /// The definition of its class with which the row was built.
    pub(crate) class: ClassRevision,
    /// The values of the columns, in the order of the class.
    pub(crate) values: Vec<Value>,
}

impl Store {
    /// The row that an entity of a class will be in a domain. For large values this takes long, so
    /// it should not run on a thread that must not block.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] names the first property whose value is of another type.
    pub fn entity_row(
        &self,
        domain: &Domain,
        class: &Class,
        entity: &Entity,
    ) -> Result<EntityRow, Error> {
        let sealer = Sealer { keys: &self.inner.keys, domain };
        let value = |property: &Property| {
            let json = entity.get(&property.name);
            // Entities that Postroom makes get the defaults of the properties of clients too.
            let is_own = class.own().contains(property);
            let json = if json.is_null() && is_own { &property.default } else { json };
            columns::to_value(sealer, class, entity.id, property, json)
        };
        let values = class.columns().map(value).collect::<Result<_, _>>()?;
        let (id, version) = (entity.id, entity.version);
        Ok(EntityRow { id, version, class: class.into(), values })
    }
}
