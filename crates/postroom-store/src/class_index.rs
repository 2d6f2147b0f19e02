//! The indexes that clients ask for with `opts.indexes`, and those of their references.

use crate::columns::quoted;
use crate::database::Dialect;
use postroom_model::Class;
use postroom_model::DataType;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names;

/// The beginning of the names of these indexes. The rest is a hash of the class and the columns, so
/// that a name is short enough for every database.
pub(crate) const OWN_INDEX: &str = "own ";

/// How much of the hash is in a name.
const HASH_DIGITS: usize = 24;

/// An index that a client asked for.
pub(crate) struct OwnIndex {
    /// Its name.
    pub name: String,
    /// The table and its columns, quoted.
    pub on: String,
    /// Its columns.
    pub columns: Vec<String>,
}

/// The indexes of a class that are not built in. An index of `opts.indexes` begins with the domain,
/// because every query names it, and ends with the id, which orders equal values. A reference has
/// an index, so that the entities that refer to a deleted entity are found.
pub(crate) fn own_indexes(dialect: &dyn Dialect, class: &Class) -> Vec<OwnIndex> {
    let whole = |names: Vec<&str>| {
        let columns: Vec<_> = ["domain"].into_iter().chain(names).chain(["id"]).collect();
        own_index(dialect, class, &columns)
    };
    let asked = class.indexes().into_iter().map(whole);
    let built_in = if class.is_built_in() { class.fixed } else { 0 };
    let references = class.properties.iter().skip(built_in);
    let references = references.filter(|p| p.data_type == DataType::Entity && !p.multi);
    let references = references.map(|property| own_index(dialect, class, &[&property.name]));
    // Messages have a built-in index of their time.
    let by_time = |property: &str| class.classname == MESSAGES && property == names::DATE_TIME;
    let expiry = class.expiry().filter(|expiry| !by_time(expiry.property));
    let expiry = expiry.map(|expiry| whole(vec![expiry.property]));
    let mut all: Vec<OwnIndex> = vec![];
    for index in asked.chain(references).chain(expiry) {
        if all.iter().all(|other| other.name != index.name) {
            all.push(index);
        }
    }
    all
}

fn own_index(dialect: &dyn Dialect, class: &Class, columns: &[&str]) -> OwnIndex {
    // If the order of the index changes, its name changes too.
    let order = dialect.indexed();
    let named = format!("{} {}{order}", class.id, columns.join(" "));
    let hash = blake3::hash(named.as_bytes()).to_hex();
    let name = format!("{OWN_INDEX}{}", hash.get(..HASH_DIGITS).unwrap_or_default());
    let columns: Vec<_> = columns.iter().map(|column| (*column).to_owned()).collect();
    let ordered = |column: &String| match column.as_str() {
        // These are always set.
        "domain" | "id" => quoted(column),
        _ => format!("{}{order}", quoted(column)),
    };
    let on: Vec<_> = columns.iter().map(ordered).collect();
    let on = format!("{} ({})", quoted(&class.table()), on.join(", "));
    OwnIndex { name, on, columns }
}
