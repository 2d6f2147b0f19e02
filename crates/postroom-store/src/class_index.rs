//! The indexes that clients ask for with `opts.indexes`, and those of their references.

use crate::columns::quoted;
use crate::database::Dialect;
use postroom_model::Class;
use postroom_model::DataType;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names;

/// What the names of these indexes begin with. The rest is a hash of the class and the columns, so
/// that a name fits into every database.
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

/// The indexes of a class that are not built in. One of `opts.indexes` leads with the domain, as
/// every query does, and ends with the id, by which ties are ordered. A reference has one, so that
/// what refers to an entity is found when it is deleted.
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
    // Messages have one by their time.
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
    // One that has another order has another name.
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
