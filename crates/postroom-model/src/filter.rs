//! Filters: which entities of a class are meant, in prefix notation.
//!
//! ```text
//!   ["and", ["==", ["property","messageState"], "received"],
//!           [">=", ["property","dateTime"], "2026-11-01T00:00:00Z"]]
//! ```
//! Reading a filter looks its names up in the class, and converts each literal to the type of its
//! property. So the store gets only well-formed filters. Depth, number of nodes and size of
//! literals are limited (`limits.rs`).
//!
//! ```text
//!   JSON ── parse ──► Filter ──┬── store's condition.rs ──► SQL of each database
//!                              └── matches ──► true or false, for one entity
//! ```

mod condition;
mod evaluate;
mod literal;
mod name;
mod parse;
#[cfg(test)]
mod tests;

pub use crate::filter::condition::Comparison;
pub use crate::filter::condition::Filter;
pub use crate::filter::condition::Items;
pub use crate::filter::condition::Literal;
pub use crate::filter::condition::Operand;
pub use crate::filter::condition::Subject;
pub use crate::filter::condition::Through;
pub use crate::filter::evaluate::FindReferred;
pub use crate::filter::evaluate::matches;
pub use crate::filter::name::Names;
pub use crate::filter::parse::equality;
pub use crate::filter::parse::parse;
