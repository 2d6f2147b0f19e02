//! Converts between the JSON of properties and the columns of class tables.

use crate::database::ColumnKind;
use crate::database::Database;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::keyring::Keyring;
use crate::keyring::Sealer;
use crate::nul::json_without_nul;
use crate::sealed::Sealed;
use crate::seq::SEQ;
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
pub(crate) const LEADING: usize = 4;

/// The last column of each class table. Its value [`END_MARK`] is on the last page of a row. So a
/// page of zeros in its place, or shifted columns, are detected.
pub(crate) const END: &str = "end of row";
/// The value of this column. Rows of earlier versions have it as the default of the column.
pub(crate) const END_MARK: i64 = 0x504F_5354;

/// A quoted name. Quotes inside are doubled, though no name of a class may have any.
pub(crate) fn quoted(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    push_quoted(&mut quoted, name);
    quoted
}

fn push_quoted(to: &mut String, name: &str) {
    to.push('"');
    for (at, piece) in name.split('"').enumerate() {
        to.push_str(if at == 0 { "" } else { "\"\"" });
        to.push_str(piece);
    }
    to.push('"');
}

/// `count` placeholders from `$first` on, with commas between them.
pub(crate) fn places(first: usize, count: usize) -> String {
    let places: Vec<_> = (first..).take(count).map(|number| format!("${number}")).collect();
    places.join(", ")
}

/// The columns of a table. Empty when there is no such table.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn of_table(database: &dyn Database, table: &str) -> Result<Vec<String>, Error> {
    let rows = database.read(Statement::new(database.dialect().columns()).bind(table)).await?;
    Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
}

/// The columns of a table whose target the database keeps.
pub(crate) async fn references(database: &dyn Database, table: &str) -> Result<Vec<String>, Error> {
    let sql = Statement::new(database.dialect().references()).bind(table);
    let rows = database.read(sql).await?;
    Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
}

/// `"domain", "id", "version", "seq"` and the columns of the properties, quoted, in the class's
/// order. NULL stands for those that are not `shown`.
pub(crate) fn column_list(class: &Class, shown: impl Fn(&str) -> bool) -> String {
    let leading = ["domain", "id", "version", SEQ].into_iter().map(Some);
    let shown = |property: &Property| shown(&property.name);
    let columns = class.columns().map(|one| shown(one).then(|| one.column()));
    // In one piece, because it is made for each read and each new entity.
    let mut list = String::with_capacity(class.properties.len() * 24);
    for (at, column) in leading.chain(columns).enumerate() {
        list.push_str(if at == 0 { "" } else { ", " });
        match column {
            Some(name) => push_quoted(&mut list, name),
            None => list.push_str("NULL"),
        }
    }
    list
}

/// What the column of a property holds.
pub(crate) fn kind(property: &Property) -> ColumnKind {
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
pub(crate) fn domain(row: &Row) -> Result<Domain, Error> {
    let name = row.text(0).and_then(|name| Domain::new(name).ok());
    name.ok_or(Error::Damaged { what: "a domain" })
}

/// The place of a secret, so that it cannot be decrypted for another place.
pub(crate) fn secret_place(class: &Class, id: EntityId, property: &str) -> String {
    format!("{}/{id}/{property}", class.classname)
}

/// The value that is bound for a property of an entity. Secrets are encrypted or hashed on the way.
///
/// # Errors
///
/// [`Error::WrongType`] for a value that is not of the type of the property.
pub(crate) fn to_value(
    sealer: Sealer<'_>,
    class: &Class,
    id: EntityId,
    property: &Property,
    json: &Json,
) -> Result<Value, Error> {
    if json.is_null() || !property.write_only() {
        return plain_value(class, property, json);
    }
    let text = || json.as_str();
    let value = if property.hashed() {
        text().map(|text| sealer.keys.token_hash(text).to_vec())
    } else {
        let seal = |secret: &str| sealer.seal(&secret_place(class, id, &property.name), secret);
        let any = (property.data_type == DataType::Any).then(|| json.to_string());
        any.as_deref().or_else(text).map(seal)
    };
    value.map(Value::Bytes).ok_or_else(|| wrong_type(class, property))
}

/// The value that is bound for a property that is no secret.
///
/// # Errors
///
/// [`Error::WrongType`] for a value that is not of the type of the property.
pub(crate) fn plain_value(class: &Class, property: &Property, json: &Json) -> Result<Value, Error> {
    if json.is_null() {
        return Ok(Value::Null);
    }
    let text = || json.as_str();
    let value = if property.multi && !json.is_array() {
        None
    } else {
        match kind(property) {
            ColumnKind::Text => text().map(Value::from),
            ColumnKind::Boolean => json.as_bool().map(Value::from),
            ColumnKind::Whole => json.as_i64().map(Value::from),
            ColumnKind::Float => json.as_f64().map(Value::from),
            ColumnKind::Moment => {
                let moment = text().and_then(|text| Timestamp::parse(text).ok());
                moment.map(|moment| Value::Moment(moment.as_ms()))
            }
            ColumnKind::Id => text().and_then(|text| text.parse().ok()).map(Value::Id),
            ColumnKind::Json => Some(Value::Json(json_without_nul(json.to_string()))),
            ColumnKind::Bytes => None,
        }
    };
    value.ok_or_else(|| wrong_type(class, property))
}

fn wrong_type(class: &Class, property: &Property) -> Error {
    Error::WrongType {
        class: class.classname.clone(),
        property: property.name.clone(),
        wanted: wanted(property),
    }
}

/// What the values of a property are, for people.
fn wanted(property: &Property) -> &'static str {
    if property.multi {
        return "a list";
    }
    match property.data_type {
        DataType::String | DataType::Enum | DataType::Date | DataType::Time => "text",
        DataType::Boolean => "true or false",
        DataType::Integer | DataType::Long | DataType::Increment => "a whole number of 64 bits",
        DataType::Float => "a number",
        DataType::Datetime => "a moment (RFC 3339)",
        DataType::Uuid | DataType::Entity => "a UUID",
        DataType::Any | DataType::Attachment => "JSON",
    }
}

/// The revision that the class of a row had when the row was read: the last but one column.
pub(crate) fn revision(row: &Row) -> Option<i64> {
    row.whole(row.0.len().checked_sub(2)?)
}

/// Reads an entity from a row of [`column_list`] with, as its last column, the mark of its end.
/// Secrets are left out; [`secret`] reads them.
pub(crate) fn to_entity(class: &Class, row: &Row) -> Result<Entity, Error> {
    const DAMAGED: Error = Error::Damaged { what: "an entity" };
    if row.whole(row.0.len().saturating_sub(1)) != Some(END_MARK) {
        return Err(DAMAGED);
    }
    let id = row.id(1).ok_or(DAMAGED)?;
    let version = row.whole(2).ok_or(DAMAGED)?;
    let seq = row.whole(3).ok_or(DAMAGED)?;
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
    Ok(Entity { id, version, seq, properties })
}

/// The JSON of a column. `None`: the value is not of the kind of the property, so it is damaged.
pub(crate) fn to_json(property: &Property, row: &Row, column: usize) -> Option<Json> {
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

/// The encrypted bytes of a secret in a row of [`column_list`]. `None`: it is unset.
pub(crate) fn sealed_bytes<'a>(class: &Class, row: &'a Row, name: &str) -> Option<&'a [u8]> {
    let at = class.columns().position(|property| property.name == name)?;
    row.bytes(LEADING + at)
}

/// A secret of a row of [`column_list`]. It stays encrypted. `None`: it is unset.
pub(crate) fn secret(keys: &Keyring, class: &Class, row: &Row, name: &str) -> Option<Sealed> {
    let (id, sealed) = (row.id(1)?, sealed_bytes(class, row, name)?);
    Some(Sealed::new(keys, secret_place(class, id, name), sealed))
}

/// Whether equal values are equal in SQL. JSON may be written in more than one way, and floating
/// point numbers are rounded.
pub(crate) fn is_compared(property: &Property) -> bool {
    match kind(property) {
        ColumnKind::Boolean
        | ColumnKind::Whole
        | ColumnKind::Text
        | ColumnKind::Moment
        | ColumnKind::Id => true,
        ColumnKind::Float | ColumnKind::Json | ColumnKind::Bytes => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use secrecy::ExposeSecret;
    use serde_json::json;
    use std::sync::LazyLock;

    const TYPES: [&str; 13] = [
        "string",
        "boolean",
        "integer",
        "long",
        "float",
        "increment",
        "datetime",
        "date",
        "time",
        "uuid",
        "entity",
        "enum",
        "any",
    ];

    static KEYS: LazyLock<Keyring> = LazyLock::new(crate::fixture::keyring);

    /// A class with one property.
    fn class(property: Json) -> Class {
        let class = json!({
            "id": EntityId::from_u128(1).to_string(), "classname": "crm/Tickets", "name": "",
            "description": "", "parent_id": null, "storage_mode": "category",
            "properties": [property], "opts": {}, "ext": {},
        });
        serde_json::from_value(class).unwrap()
    }

    fn bound(class: &Class, json: &Json) -> Result<Value, Error> {
        let domain = Domain::default_domain();
        let sealer = Sealer { keys: &KEYS, domain: &domain };
        to_value(sealer, class, EntityId::from_u128(7), &class.properties[0], json)
    }

    fn row(id: u128, value: Value) -> Row {
        let id = Value::Id(EntityId::from_u128(id));
        Row(vec!["default".into(), id, 1_i64.into(), 0_i64.into(), value, END_MARK.into()])
    }

    #[test]
    fn a_value_of_a_wrong_type_is_refused_with_class_property_and_type() {
        #[rustfmt::skip]
        let table = [
            ("string",   json!(1),        "text"),
            ("boolean",  json!("true"),   "true or false"),
            ("long",     json!(1.5),      "a whole number of 64 bits"),
            ("long",     json!(u64::MAX), "a whole number of 64 bits"),
            ("integer",  json!("1"),      "a whole number of 64 bits"),
            ("float",    json!("1"),      "a number"),
            ("datetime", json!("soon"),   "a moment (RFC 3339)"),
            ("datetime", json!(5),        "a moment (RFC 3339)"),
            ("uuid",     json!("x"),      "a UUID"),
            ("entity",   json!([]),       "a UUID"),
            ("enum",     json!({}),       "text"),
        ];
        for (of_type, json, wanted) in table {
            let error = bound(&class(json!({"name": "p", "data_type": of_type})), &json);
            let text = error.unwrap_err().to_string();
            assert!(text.contains("crm/Tickets") && text.contains("`p`"), "{text}");
            assert!(text.ends_with(wanted), "{text}: {wanted}");
        }
        let list = class(json!({"name": "p", "data_type": "string", "multi": true}));
        assert!(bound(&list, &json!("one")).unwrap_err().to_string().ends_with("a list"));
        let opts = json!({"name": "p", "data_type": "string", "opts": {"write_only": true}});
        assert!(matches!(bound(&class(opts), &json!(5)), Err(Error::WrongType { .. })));
    }

    #[test]
    fn a_secret_is_bound_for_its_place_and_read_there_alone() {
        let opts = json!({"name": "p", "data_type": "string", "opts": {"write_only": true}});
        let class = class(opts);
        let value = bound(&class, &json!("pass")).unwrap();
        let of = |id| secret(&KEYS, &class, &row(id, value.clone()), "p").unwrap().open();
        assert_eq!(of(7).unwrap().expose_secret(), "pass");
        assert!(of(8).is_err());
        assert_eq!(to_entity(&class, &row(7, value.clone())).unwrap().properties, Map::new());
    }

    /// Reading a number as JSON must not change its last digit.
    #[test]
    fn a_number_with_a_fraction_is_kept_to_its_last_digit() {
        let class = class(json!({"name": "p", "data_type": "any"}));
        for text in ["-996311073.4259871", "0.1", "123456.78901234567", "5e-324"] {
            let number: Json = serde_json::from_str(text).unwrap();
            let read = to_entity(&class, &row(7, bound(&class, &number).unwrap())).unwrap();
            assert_eq!(read.get("p").as_f64(), Some(text.parse().unwrap()), "{text}");
        }
    }

    fn json_value() -> impl Strategy<Value = Json> {
        prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            (-1.0e9..1.0e9).prop_map(|number: f64| json!(number)),
            // U+0000 is replaced (`nul`).
            "[^\x00]{0,8}".prop_map(Json::from),
            any::<u128>().prop_map(|id| json!(EntityId::from_u128(id).to_string())),
            (0..4_000_000_000_000_i64).prop_map(|ms| json!(Timestamp::from_ms(ms).to_string())),
            prop::collection::vec(any::<i64>(), 0..3).prop_map(Json::from),
            Just(json!({"a": [1, "b"]})),
        ]
    }

    proptest! {
        /// What is bound is read again as it was, and what cannot be is refused: nothing is lost.
        #[test]
        fn a_value_is_kept_as_it_is_or_refused(
            of_type in prop::sample::select(&TYPES[..]), multi: bool, json in json_value(),
        ) {
            let class = class(json!({"name": "p", "data_type": of_type, "multi": multi}));
            match bound(&class, &json) {
                Ok(value) => {
                    let read = to_entity(&class, &row(7, value)).unwrap().get("p").clone();
                    let is_float = of_type == "float" && read.as_f64() == json.as_f64();
                    prop_assert!(read == json || is_float, "{of_type} {json} became {read}");
                }
                Err(Error::WrongType { .. }) => {
                    prop_assert!(!json.is_null() && (of_type != "any" || multi));
                }
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
    }
}
