//! What is wrong with one property of what a client sent.

use std::fmt;

/// One reason to refuse an entity: the property and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The name of the property; a path such as `recipients[2].address` inside a JSON property.
    /// Empty for the whole.
    pub property: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl Invalid {
    /// Names the property and the reason.
    pub fn new(property: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { property: property.into(), reason: reason.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.property.as_str() {
            "" => f.write_str(&self.reason),
            property => write!(f, "{property}: {}", self.reason),
        }
    }
}
