//! Changes whose row of the feed has the whole entity.
//!
//! A row of the feed has the values that its change replaced. One row in [`EACH`] also has all
//! other values. A reader that undoes changes begins with the next such row, however often the
//! entity was changed since.

use crate::feed::VERSION;
use crate::poll_times::OF_TIME;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::Property;
use serde_json::Map;
use serde_json::Value as Json;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

/// The row of one change in so many has the whole entity.
const EACH: u64 = 64;

/// Whether the row of the next change of an entity has the whole entity. If its batch is run again,
/// the answer is the same.
pub(crate) fn is_next(current: &Entity) -> bool {
    let mut hasher = DefaultHasher::new();
    (current.id, current.seq).hash(&mut hasher);
    hasher.finish().is_multiple_of(EACH)
}

/// Adds the values that stay to those that a change replaces.
pub(crate) fn complete(class: &Class, current: &Entity, replaced: &mut Map<String, Json>) {
    replaced.insert(VERSION.to_owned(), Json::from(current.version));
    for property in class.columns().filter(|property| is_told(property)) {
        let name = property.name.as_str();
        replaced.entry(name).or_insert_with(|| current.get(name).clone());
    }
}

/// Whether the feed has the values of a property.
fn is_told(property: &Property) -> bool {
    !property.write_only() && !OF_TIME.contains(&property.name.as_str())
}
