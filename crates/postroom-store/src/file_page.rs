//! The files of many entities at once, for lists.

use crate::columns::places;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::file_property::stored_property;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use std::collections::HashMap;

/// A file as a list shows it, without where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// The property of the class.
    pub property: String,
    /// The name, unique within the property.
    pub name: String,
    /// The media type.
    pub media_type: String,
    /// The Content-ID, without angle brackets.
    pub content_id: Option<String>,
    /// How many bytes it has, decoded. For a part, before its charset is converted.
    pub size_bytes: u64,
}

impl Store {
    /// The files of entities of a class, in the order of the properties and of each property. It is
    /// one query, whatever the number of entities. Entities without files are absent.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn file_page(
        &self,
        domain: &Domain,
        class: &Class,
        entities: &[EntityId],
    ) -> Result<HashMap<EntityId, Vec<ListedFile>>, Error> {
        let properties = class.properties.iter().filter(|property| property.is_file());
        let names: Vec<_> = properties.map(|property| property.name.as_str()).collect();
        if entities.is_empty() || names.is_empty() {
            return Ok(HashMap::new());
        }
        let mut statement = Statement::new("").bind(domain.as_str());
        let mut bound = |values: Vec<Value>| {
            let places = places(statement.values.len() + 1, values.len());
            statement.values.extend(values);
            places
        };
        let of = names.iter().map(|name| Value::Text(stored_property(class, name)));
        let (of, ids) = (bound(of.collect()), bound(padded(entities)));
        statement.sql = format!(
            "SELECT \"entity\", \"property\", \"name\", \"media_type\", \"content_id\", \"size\"
             FROM \"file\"
             WHERE \"domain\" = $1 AND \"property\" IN ({of}) AND \"entity\" IN ({ids})
             ORDER BY \"entity\", \"property\", \"position\", \"name\""
        )
        .into();
        let mut listed: HashMap<EntityId, Vec<ListedFile>> = HashMap::new();
        for row in self.read(statement).await? {
            let (entity, file) = of_row(&row)?;
            listed.entry(entity).or_default().push(file);
        }
        let place = |name: &str| names.iter().position(|known| *known == name);
        for files in listed.values_mut() {
            files.sort_by_key(|file| place(&file.property));
        }
        Ok(listed)
    }
}

/// The ids, the last one repeated up to a power of two, so that there are few different statements.
pub(crate) fn padded(ids: &[EntityId]) -> Vec<Value> {
    let last = ids.last().into_iter().cycle();
    ids.iter().chain(last).take(ids.len().next_power_of_two()).map(|id| Value::Id(*id)).collect()
}

fn of_row(row: &Row) -> Result<(EntityId, ListedFile), Error> {
    const DAMAGED: Error = Error::Damaged { what: "a file" };
    let text = |column| row.text(column).map(str::to_owned);
    let size = row.whole(5).and_then(|size| u64::try_from(size).ok());
    let stored = row.text(1).ok_or(DAMAGED)?;
    let file = ListedFile {
        property: stored.split_once('/').map_or(stored, |(_, name)| name).to_owned(),
        name: text(2).ok_or(DAMAGED)?,
        media_type: text(3).ok_or(DAMAGED)?,
        content_id: text(4),
        size_bytes: size.ok_or(DAMAGED)?,
    };
    Ok((row.id(0).ok_or(DAMAGED)?, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_few_different_statements() {
        let ids: Vec<_> = (1..=5).map(EntityId::from_u128).collect();
        for (count, want) in [(1, 1), (2, 2), (3, 4), (5, 8)] {
            let padded = padded(&ids[..count]);
            assert_eq!(padded.len(), want);
            assert_eq!(padded.last(), Some(&Value::Id(ids[count - 1])));
        }
    }
}
