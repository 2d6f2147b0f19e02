//! What is wrong with one property of what a client sent.

use crate::limits::QUOTED_CHARS_MAX;
use crate::limits::REASON_CHARS_MAX;
use std::fmt;

/// One reason to refuse an entity: the property and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The name of the property, or a path into a JSON property, such as `recipients[2].address`.
    /// Empty: the whole entity.
    pub property: String,
    /// What is wrong, and what is accepted.
    pub reason: String,
}

impl Invalid {
    /// An entry with property and reason. Both are cut if the client made them very long.
    pub fn new(property: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            property: cut(property.into(), QUOTED_CHARS_MAX),
            reason: cut(reason.into(), REASON_CHARS_MAX),
        }
    }
}

fn cut(mut text: String, chars_max: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(chars_max) {
        text.truncate(at);
        text.push('…');
    }
    text
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.property.as_str() {
            "" => f.write_str(&self.reason),
            property => write!(f, "{property}: {}", self.reason),
        }
    }
}
