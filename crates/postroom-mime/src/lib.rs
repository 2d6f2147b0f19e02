//! Mail messages: decomposition into fields and parts, and composition.
pub mod calendar;
pub mod compose;
pub mod tnef;
pub mod uuencode;
pub mod yenc;
