//! The data model: classes, properties, entities, filters, states, options and limits.
//!
//! Values and pure functions only: no I/O, no async, no clock. Everything above agrees on these
//! types; what a client may rely on is said here once.
//!
//! ```text
//!   builtin/*.json ──► class ──► validate ──► entity ──► (store, engine, api)
//!                               filter, query: what to look for
//!                               state, options: what may happen, and how
//! ```

pub mod limits;

pub mod domain;
pub mod invalid;
pub mod timestamp;

pub mod address;

pub mod fingerprint;

pub mod property;

pub mod class;

pub mod builtin;

pub mod entity;

pub mod state;

pub mod standing;

pub mod options;

pub mod validate;

pub mod fold;

pub mod filter;

pub mod query;

pub use class::Class;
pub use class::StorageMode;
pub use domain::Domain;
pub use entity::Entity;
pub use filter::Filter;
pub use invalid::Invalid;
pub use property::DataType;
pub use property::Property;
pub use query::Order;
pub use query::Query;
pub use standing::Standing;
pub use state::MessageState;
pub use timestamp::Timestamp;
