//! Changes of entities that have no row of the feed, because no client sees them, or because they
//! happen all the time.

use crate::columns::quoted;
use crate::database::Statement;
use crate::database::Value;
use crate::failed::Failed;
use postroom_model::Class;
use postroom_model::EntityId;
use postroom_model::Operation;

/// The statement that sets columns of an entity, by their names. It is for values that change all
/// the time.
pub(crate) fn set(class: &Class, id: EntityId, values: Vec<(&str, Value)>) -> Statement {
    let set: Vec<_> =
        (2..).zip(&values).map(|(at, (name, _))| format!("{} = ${at}", quoted(name))).collect();
    let (table, set) = (quoted(&class.table()), set.join(", "));
    let sql = format!("UPDATE {table} SET {set} WHERE \"id\" = $1");
    let values = values.into_iter().map(|(_, value)| value);
    Statement::new(sql).bind(id).bind_all(values).of_class(class)
}

/// [`set`], unless the entity was created after the change with the number `seq`: then it is
/// another one with the same id.
pub(crate) fn set_of(
    class: &Class,
    id: EntityId,
    values: Vec<(&str, Value)>,
    seq: i64,
) -> Statement {
    let (seq_at, class_at, create_at) = (values.len() + 2, values.len() + 3, values.len() + 4);
    let mut statement = set(class, id, values);
    statement.sql = format!(
        "{} AND NOT EXISTS (SELECT 1 FROM \"change\" WHERE \"entity\" = $1 AND \"seq\" > ${seq_at}
           AND \"class\" = ${class_at} AND \"operation\" = ${create_at})",
        statement.sql
    )
    .into();
    let statement = statement.bind(seq).bind(class.classname.as_str());
    statement.bind(Operation::Create.number())
}

/// A secret that takes the place of the one that was read.
pub(crate) struct SecretSwap<'a> {
    /// The name of its property.
    pub property: &'a str,
    /// The bytes that were read. Null: there were none.
    pub former: Value,
    /// The bytes that take their place. Null: none.
    pub now: Value,
}

/// The statement that gives an entity another secret. The batch fails as stale if the secret was
/// changed since it was read. So of several batches that read the same one, one is written.
pub(crate) fn swap(class: &Class, id: EntityId, swap: SecretSwap<'_>) -> Statement {
    let (table, column) = (quoted(&class.table()), quoted(swap.property));
    let sql = format!(
        "UPDATE {table} SET {column} = $3
         WHERE \"id\" = $1 AND {column} IS NOT DISTINCT FROM $2"
    );
    let swapped = Statement::new(sql).bind(id).bind(swap.former).bind(swap.now);
    swapped.of_class(class).must_change(Failed::Stale)
}

/// Other bytes for the same secret of an entity.
pub(crate) struct SealedAnew<'a> {
    /// The name of its property.
    pub property: &'a str,
    /// The bytes that were read.
    pub former: Vec<u8>,
    /// The bytes that take their place.
    pub now: Vec<u8>,
}

/// The statement that replaces the bytes of a secret, unless it was changed meanwhile.
pub(crate) fn seal_anew(class: &Class, id: EntityId, secret: SealedAnew<'_>) -> Statement {
    let (table, column) = (quoted(&class.table()), quoted(secret.property));
    let sql = format!("UPDATE {table} SET {column} = $3 WHERE \"id\" = $1 AND {column} = $2");
    Statement::new(sql).bind(id).bind(secret.former).bind(secret.now).of_class(class)
}
