//! Values as PostgreSQL sends and takes them.
//!
//! A placeholder has the type that the statement gives it. So a moment becomes a `timestamptz`
//! where the column is one, and a number elsewhere.

use crate::database::Row;
use crate::database::Value;
use bytes::BufMut;
use bytes::BytesMut;
use postroom_model::EntityId;
use std::error::Error;
use tokio_postgres::types::FromSql;
use tokio_postgres::types::IsNull;
use tokio_postgres::types::ToSql;
use tokio_postgres::types::Type;
use tokio_postgres::types::to_sql_checked;

/// The error for a value that cannot be converted.
type Unbound = Box<dyn Error + Sync + Send>;

/// The moment from which PostgreSQL counts, in milliseconds since 1970.
const EPOCH_MS: i64 = 946_684_800_000;
/// PostgreSQL's last moment (in the year 294277), in milliseconds since [`EPOCH_MS`].
const MOMENT_END_MS: i64 = 9_224_318_016_000_000;
/// PostgreSQL's first moment (in the year 4714 BC), in milliseconds since [`EPOCH_MS`].
const MOMENT_BEGIN_MS: i64 = -211_813_488_000_000;
/// The version of the format of `jsonb`.
const JSONB: u8 = 1;

/// A value that is bound.
#[derive(Debug)]
pub(crate) struct Bound<'a>(pub &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self, of_type: &Type, out: &mut BytesMut) -> Result<IsNull, Unbound> {
        if *self.0 == Value::Null {
            return Ok(IsNull::Yes);
        }
        put(self.0, of_type, out)
            .ok_or_else(|| format!("a {} cannot be bound as {of_type}", kind(self.0)))?;
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Writes a value in the form of a type. `None`: the type does not have this value.
fn put(value: &Value, of_type: &Type, out: &mut BytesMut) -> Option<()> {
    match *of_type {
        Type::BOOL => out.put_u8(u8::from(flag(value)?)),
        Type::INT2 => out.put_i16(i16::try_from(whole(value)?).ok()?),
        Type::INT4 => out.put_i32(i32::try_from(whole(value)?).ok()?),
        Type::INT8 | Type::XID8 => out.put_i64(whole(value)?),
        Type::FLOAT8 => out.put_f64(float(value)?),
        Type::TIMESTAMPTZ => out.put_i64(microseconds(whole(value)?)),
        Type::UUID => out.put_slice(id(value)?.as_bytes()),
        Type::BYTEA => out.put_slice(bytes(value)?),
        Type::JSONB => {
            out.put_u8(JSONB);
            out.put_slice(text(value)?.as_bytes());
        }
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::JSON => {
            out.put_slice(text(value)?.as_bytes());
        }
        _ => return None,
    }
    Some(())
}

/// A moment as PostgreSQL counts it. A moment that PostgreSQL cannot have becomes its `infinity` or
/// `-infinity`, which is later or earlier than all others.
fn microseconds(ms: i64) -> i64 {
    let since = ms.saturating_sub(EPOCH_MS);
    if since >= MOMENT_END_MS {
        return i64::MAX;
    }
    if since < MOMENT_BEGIN_MS { i64::MIN } else { since.saturating_mul(1000) }
}

fn flag(value: &Value) -> Option<bool> {
    if let Value::Boolean(flag) = value {
        return Some(*flag);
    }
    match whole(value)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    if let Value::Boolean(flag) = value {
        return Some(i64::from(*flag));
    }
    if let Value::Whole(number) | Value::Moment(number) = value { Some(*number) } else { None }
}

fn float(value: &Value) -> Option<f64> {
    if let Value::Float(number) = value {
        return Some(*number);
    }
    #[expect(clippy::cast_precision_loss, reason = "as a database compares the two")]
    let number = whole(value)? as f64;
    Some(number)
}

fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) | Value::Json(text) = value { Some(text) } else { None }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::Id(id) = value {
        return Some(id.as_bytes());
    }
    if let Value::Bytes(bytes) = value { Some(bytes) } else { None }
}

fn id(value: &Value) -> Option<EntityId> {
    if let Value::Id(id) = value { Some(*id) } else { EntityId::from_slice(bytes(value)?) }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Boolean(_) => "boolean",
        Value::Whole(_) => "whole number",
        Value::Float(_) => "number",
        Value::Text(_) => "text",
        Value::Json(_) => "JSON value",
        Value::Bytes(_) => "byte string",
        Value::Moment(_) => "moment",
        Value::Id(_) => "UUID",
    }
}

/// A value that was read from a row.
struct Found(Value);

impl<'a> FromSql<'a> for Found {
    fn from_sql(of_type: &Type, raw: &'a [u8]) -> Result<Self, Unbound> {
        let unreadable = || format!("a value of type {of_type} cannot be read");
        Ok(Self(found(of_type, raw).ok_or_else(unreadable)?))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Unbound> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn found(of_type: &Type, raw: &[u8]) -> Option<Value> {
    let text = |raw: &[u8]| str::from_utf8(raw).ok().map(str::to_owned);
    let number = || Some(i64::from_be_bytes(raw.try_into().ok()?));
    Some(match *of_type {
        Type::BOOL => Value::Boolean(raw.first() != Some(&0)),
        Type::INT2 => Value::Whole(i16::from_be_bytes(raw.try_into().ok()?).into()),
        Type::INT4 => Value::Whole(i32::from_be_bytes(raw.try_into().ok()?).into()),
        Type::INT8 | Type::XID8 => Value::Whole(number()?),
        Type::FLOAT8 => Value::Float(f64::from_be_bytes(raw.try_into().ok()?)),
        Type::TIMESTAMPTZ => Value::Moment(number()?.div_euclid(1000).checked_add(EPOCH_MS)?),
        Type::UUID => Value::Id(EntityId::from_slice(raw)?),
        Type::BYTEA => Value::Bytes(raw.to_vec()),
        Type::JSONB => match raw.split_first()? {
            (&JSONB, json) => Value::Json(text(json)?),
            _ => return None,
        },
        Type::JSON => Value::Json(text(raw)?),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => Value::Text(text(raw)?),
        Type::VOID => Value::Null,
        _ => return None,
    })
}

/// A row as the store reads it.
pub(crate) fn row(found: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    let values = (0..found.len()).map(|at| found.try_get::<_, Found>(at).map(|found| found.0));
    Ok(Row(values.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_bound() {
        let id = EntityId::from_u128(77);
        #[rustfmt::skip]
        let table = [
            (Value::Boolean(true),           Type::BOOL,        Some(Value::Boolean(true))),
            (Value::Whole(1),                Type::BOOL,        Some(Value::Boolean(true))),
            (Value::Whole(2),                Type::BOOL,        None),
            (Value::Whole(-7),               Type::INT4,        Some(Value::Whole(-7))),
            (Value::Whole(1 << 31),          Type::INT4,        None),
            (Value::Whole(i64::MIN),         Type::INT8,        Some(Value::Whole(i64::MIN))),
            (Value::Moment(-1),              Type::INT8,        Some(Value::Whole(-1))),
            (Value::Moment(-1),              Type::TIMESTAMPTZ, Some(Value::Moment(-1))),
            (Value::Whole(1_800_000_000_123), Type::TIMESTAMPTZ, Some(Value::Moment(1_800_000_000_123))),
            // PostgreSQL's `infinity`, which is later than all that it can tell apart.
            (Value::Moment(i64::MAX),        Type::TIMESTAMPTZ, Some(Value::Moment(9_224_318_721_654_775))),
            (Value::Float(0.1),              Type::FLOAT8,      Some(Value::Float(0.1))),
            (Value::Whole(3),                Type::FLOAT8,      Some(Value::Float(3.0))),
            (Value::Float(3.0),              Type::INT8,        None),
            (Value::from("ß"),               Type::TEXT,        Some(Value::from("ß"))),
            (Value::Json("[1]".to_owned()),  Type::JSONB,       Some(Value::Json("[1]".to_owned()))),
            (Value::Id(id),                  Type::UUID,        Some(Value::Id(id))),
            (Value::Bytes(vec![1; 16]),      Type::UUID,        EntityId::from_slice(&[1; 16]).map(Value::Id)),
            (Value::Bytes(vec![1; 15]),      Type::UUID,        None),
            (Value::Bytes(vec![0, 1]),       Type::BYTEA,       Some(Value::Bytes(vec![0, 1]))),
            (Value::Whole(1),                Type::TEXT,        None),
        ];
        for (value, of_type, want) in table {
            let mut out = BytesMut::new();
            let bound = Bound(&value).to_sql(&of_type, &mut out);
            let read = bound.ok().and_then(|_| found(&of_type, &out));
            assert_eq!(read, want, "{value:?} as {of_type}");
        }
    }
}
