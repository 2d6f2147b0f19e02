//! Rules of the data model that two changes at the same moment could break together: they stand in
//! the batch of the change, and have names.

use std::fmt;

/// A rule of the data model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// An account has one folder for each mailbox, or its mail would arrive twice.
    OneFolder,
    /// A profile stays as long as an account uses it.
    ProfileUnused,
    /// What an entity refers to is there.
    References,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneFolder => "the account has a folder for this mailbox already",
            Self::ProfileUnused => "the profile is still used by an account",
            Self::References => "what the entity refers to was deleted at the same moment",
        })
    }
}
