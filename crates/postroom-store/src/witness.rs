//! Witnesses: facts about a message that tell it from others.

/// Cheap facts about a message, to recognise it. `None`: the server did not give the fact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Witness {
    /// RFC822.SIZE.
    pub size_bytes: Option<u64>,
    /// INTERNALDATE in milliseconds since 1970.
    pub internal_date_ms: Option<i64>,
    /// A hash of the fields Message-ID, Date, From and Subject.
    pub message_id: Option<i64>,
}
