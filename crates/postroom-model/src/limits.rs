//! The limits of what a client may send or ask for, in one place.

/// How deep a filter may nest.
pub(crate) const FILTER_DEPTH_MAX: usize = 32;

/// How many conditions a filter may hold.
pub(crate) const FILTER_NODES_MAX: usize = 1000;

/// How many values all lists of `in` of a filter may hold, because databases limit how many are
/// bound.
pub(crate) const FILTER_VALUES_MAX: usize = 10_000;

/// How many names a path into JSON may have.
pub(crate) const FILTER_PATH_NAMES_MAX: usize = 16;

/// Through how many references a property of a filter may lead.
pub(crate) const FILTER_REFERENCES_MAX: usize = 4;

/// How many octets one literal of a filter may have.
pub(crate) const FILTER_LITERAL_BYTES_MAX: usize = 64 * 1024;

/// How many `match` conditions a filter may hold.
pub(crate) const FILTER_MATCHES_MAX: usize = 8;

/// How many words the text of `match` may have.
pub(crate) const MATCH_WORDS_MAX: usize = 32;

/// How many octets the text of `match` may have.
pub(crate) const MATCH_BYTES_MAX: usize = 4096;

/// How many octets the values of a property may have that lists are ordered by.
pub(crate) const ORDER_VALUE_BYTES_MAX: usize = 16 * 1024;

/// How many values `in` may list.
pub(crate) const FILTER_IN_VALUES_MAX: usize = 1000;

/// The number of entities in the answer to a list without `limit`.
pub(crate) const LIST_LIMIT_DEFAULT: u32 = 100;

/// The maximum number of entities in the answer to a list, unless the class has its own.
pub(crate) const LIST_LIMIT_MAX: u32 = 1000;

/// How many values a list property may hold.
pub(crate) const MULTI_VALUES_MAX: usize = 10_000;

/// How many entities a list property may refer to, because each is looked up.
pub(crate) const MULTI_REFERENCES_MAX: usize = 1000;

/// How many octets a string may have, unless its property has its own limit.
pub(crate) const STRING_BYTES_MAX: usize = 64 * 1024;

/// How many octets of JSON a property of type `any` may hold, unless it has its own limit.
pub(crate) const ANY_BYTES_MAX: usize = 64 * 1024;

/// How many classes there may be.
pub(crate) const CLASSES_MAX: usize = 200;

/// How many properties a class may have.
pub(crate) const PROPERTIES_MAX: usize = 200;

/// How many items an enum may have.
pub(crate) const ITEMS_MAX: usize = 1000;

/// How many characters a property's name may have, and each part of a class's name.
pub(crate) const NAME_CHARS_MAX: usize = 63;

/// How many characters the name of a class may have as a whole, so that databases can have it.
pub(crate) const CLASSNAME_CHARS_MAX: usize = 60;

/// How many indexes a class may ask for.
pub(crate) const INDEXES_MAX: usize = 20;

/// How many properties an index may have.
pub(crate) const INDEX_PROPERTIES_MAX: usize = 8;

/// How many octets the values of an index may have, because databases limit that.
pub(crate) const INDEX_BYTES_MAX: i64 = 2000;

/// How many octets an item of an enum may have.
pub(crate) const ITEM_BYTES_MAX: usize = 255;

/// How many octets a text of a class may have: a name, a description, a caption.
pub(crate) const CLASS_TEXT_BYTES_MAX: usize = 16 * 1024;

/// How many problems the answer to one request lists.
pub const PROBLEMS_MAX: usize = 100;

/// How many characters of a client's text an error quotes.
pub const QUOTED_CHARS_MAX: usize = 200;

/// How many characters a reason has.
pub(crate) const REASON_CHARS_MAX: usize = 1000;
