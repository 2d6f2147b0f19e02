//! Bounds of what a client may ask for, in one place.

/// How deep a filter may nest.
pub(crate) const FILTER_DEPTH_MAX: usize = 16;

/// How many operators and operands a filter may hold.
pub(crate) const FILTER_NODES_MAX: usize = 256;

/// How many octets one literal of a filter may have.
pub(crate) const FILTER_LITERAL_BYTES_MAX: usize = 16 * 1024;

/// How many values `in` may list.
pub(crate) const FILTER_IN_VALUES_MAX: usize = 1000;

/// How many entities a list answers when `limit` is not given.
pub(crate) const LIST_LIMIT_DEFAULT: u32 = 100;

/// How many entities a list answers at the most when the class does not say so.
pub(crate) const LIST_LIMIT_MAX: u32 = 1000;

/// How many values a list property may hold.
pub(crate) const MULTI_VALUES_MAX: usize = 10_000;

/// How many octets a string may have when its property does not say so.
pub(crate) const STRING_BYTES_MAX: usize = 64 * 1024;

/// How many octets of JSON a property of type `any` may hold when it does not say so.
pub(crate) const ANY_BYTES_MAX: usize = 64 * 1024;

/// How many problems of one request are told.
pub const PROBLEMS_MAX: usize = 100;

/// How many characters of what a client sent are quoted to it.
pub const QUOTED_CHARS_MAX: usize = 200;

/// How many characters a reason has.
pub(crate) const REASON_CHARS_MAX: usize = 1000;
