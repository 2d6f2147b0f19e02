//! Converts between the JSON of properties and the columns of class tables.

use crate::database::ColumnKind;
use crate::database::Row;
use crate::database::Value;
use crate::error::Error;
use crate::key::MasterKey;
use crate::key::Sealed;
use postroom_model::Class;
use postroom_model::DataType;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Property;
use postroom_model::Timestamp;
use serde_json::Map;
use serde_json::Value as Json;

/// The columns that lead each class table, before those of the properties.
pub const LEADING: usize = 3;

/// The last column of each class table. Its value [`END_MARK`] is on the last page of a row. So a
/// page of zeros in its place, or shifted columns, are detected.
pub const END: &str = "end of row";
/// What stands there, also in rows of earlier versions, as the default of the column.
pub const END_MARK: i64 = 0x504F_5354;

/// A quoted name. Quotes inside are doubled, though no name of a class may have any.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"domain", "id", "version"` and the columns of the properties, quoted, in the class's order.
/// NULL stands for those that are not `shown`.
pub fn column_list(class: &Class, shown: impl Fn(&str) -> bool) -> String {
    let leading = ["domain", "id", "version"].into_iter().map(quoted);
    let names = class.columns().map(|property| property.name.as_str());
    let names = names.map(|name| if shown(name) { quoted(name) } else { "NULL".to_owned() });
    leading.chain(names).collect::<Vec<_>>().join(", ")
}

/// What the column of a property holds.
pub fn kind(property: &Property) -> ColumnKind {
    if property.write_only() {
        return ColumnKind::Bytes;
    }
    if property.multi {
        return ColumnKind::Json;
    }
    match property.data_type {
        DataType::String | DataType::Enum | DataType::Date | DataType::Time => ColumnKind::Text,
        DataType::Boolean => ColumnKind::Boolean,
        DataType::Integer | DataType::Long | DataType::Increment => ColumnKind::Whole,
        DataType::Float => ColumnKind::Float,
        DataType::Datetime => ColumnKind::Moment,
        DataType::Uuid | DataType::Entity => ColumnKind::Id,
        DataType::Any | DataType::Attachment => ColumnKind::Json,
    }
}

/// The domain of a row of [`column_list`].
pub fn domain(row: &Row) -> Result<Domain, Error> {
    let name = row.text(0).and_then(|name| Domain::new(name).ok());
    name.ok_or(Error::Damaged { what: "a domain" })
}

/// The place of a secret, so that it cannot be decrypted for another place.
pub fn secret_place(class: &Class, id: EntityId, property: &str) -> String {
    format!("{}/{id}/{property}", class.classname)
}

/// The value that is bound for a property of an entity. Secrets are encrypted on the way.
pub fn to_value(
    key: &MasterKey,
    class: &Class,
    id: EntityId,
    property: &Property,
    json: &Json,
) -> Value {
    if json.is_null() {
        return Value::Null;
    }
    if property.write_only() {
        let secret = json.as_str().unwrap_or_default();
        return Value::Bytes(key.seal(&secret_place(class, id, &property.name), secret));
    }
    let value = match kind(property) {
        ColumnKind::Text => json.as_str().map(Value::from),
        ColumnKind::Boolean => json.as_bool().map(Value::from),
        ColumnKind::Whole => json.as_i64().map(Value::from),
        ColumnKind::Float => json.as_f64().map(Value::from),
        ColumnKind::Moment => {
            let moment = json.as_str().and_then(|text| Timestamp::parse(text).ok());
            moment.map(|moment| Value::Moment(moment.as_ms()))
        }
        ColumnKind::Id => json.as_str().and_then(|text| text.parse().ok()).map(Value::Id),
        ColumnKind::Json => Some(Value::Json(json.to_string())),
        ColumnKind::Bytes => None,
    };
    value.unwrap_or(Value::Null)
}

/// Reads an entity from a row of [`column_list`] and the mark of its end. Secrets are left out;
/// [`secret`] reads them.
pub fn to_entity(class: &Class, row: &Row) -> Result<Entity, Error> {
    const DAMAGED: Error = Error::Damaged { what: "an entity" };
    if row.whole(row.0.len().saturating_sub(1)) != Some(END_MARK) {
        return Err(DAMAGED);
    }
    let id = row.id(1).ok_or(DAMAGED)?;
    let version = row.whole(2).ok_or(DAMAGED)?;
    let mut properties = Map::new();
    for (at, property) in class.columns().enumerate() {
        if property.write_only() {
            continue;
        }
        if *row.value(LEADING + at) == Value::Null {
            continue;
        }
        let json = to_json(property, row, LEADING + at).ok_or(DAMAGED)?;
        properties.insert(property.name.clone(), json);
    }
    Ok(Entity { id, version, properties })
}

/// `None` for what is not of the kind of the property: nobody wrote that.
fn to_json(property: &Property, row: &Row, column: usize) -> Option<Json> {
    match kind(property) {
        ColumnKind::Text => row.text(column).map(Json::from),
        ColumnKind::Boolean => row.whole(column).map(|flag| Json::from(flag != 0)),
        ColumnKind::Whole => row.whole(column).map(Json::from),
        ColumnKind::Float => row.float(column).map(Json::from),
        ColumnKind::Moment => {
            row.whole(column).map(|ms| Json::from(Timestamp::from_ms(ms).to_string()))
        }
        ColumnKind::Id => row.id(column).map(|id| Json::from(id.to_string())),
        ColumnKind::Json => row.text(column).and_then(|text| serde_json::from_str(text).ok()),
        ColumnKind::Bytes => None,
    }
}

/// A secret of a row of [`column_list`] as it is stored, encrypted; `None` when it is unset.
pub fn sealed_bytes<'a>(class: &Class, row: &'a Row, name: &str) -> Option<&'a [u8]> {
    let at = class.columns().position(|property| property.name == name)?;
    row.bytes(LEADING + at)
}

/// Reads a secret from a row of [`column_list`], sealed as it is; `None` when it is unset.
pub fn secret(key: &MasterKey, class: &Class, row: &Row, name: &str) -> Option<Sealed> {
    let (id, sealed) = (row.id(1)?, sealed_bytes(class, row, name)?);
    Some(Sealed::new(key, secret_place(class, id, name), sealed))
}
