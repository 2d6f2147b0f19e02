//! Mail messages: decomposition into fields and parts, and composition.
pub mod compose;
pub mod tnef;
