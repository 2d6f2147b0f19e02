//! The kinds of values in the columns of tables.

/// The kind of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// `true` or `false`.
    Boolean,
    /// Whole numbers of 64 bits.
    Whole,
    /// Floating point numbers.
    Float,
    /// Text.
    Text,
    /// JSON.
    Json,
    /// Bytes.
    Bytes,
    /// Moments.
    Moment,
    /// UUIDs.
    Id,
}
