//! The direction of a message: whether Postroom received it or is to send it.

use crate::builtin::names;
use crate::entity::Entity;
use serde::Serialize;
use serde::Serializer;

/// The values of `messageDirection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageDirection {
    /// It was received, or a client says so of a message of its own.
    In,
    /// It is to be sent, or was sent.
    Out,
}

impl MessageDirection {
    /// The value in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    /// The direction of a message. `None`: it has none.
    #[must_use]
    pub fn of(message: &Entity) -> Option<Self> {
        let name = message.text(names::MESSAGE_DIRECTION)?;
        [Self::In, Self::Out].into_iter().find(|direction| direction.as_str() == name)
    }

    /// Whether a message has this direction.
    #[must_use]
    pub fn is_of(self, message: &Entity) -> bool {
        Self::of(message) == Some(self)
    }
}

impl Serialize for MessageDirection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;

    #[test]
    fn the_directions_are_the_values_that_the_class_allows() {
        let classes = builtin::classes().unwrap();
        let messages = classes.iter().find(|class| class.classname == builtin::MESSAGES).unwrap();
        let property = messages.property(names::MESSAGE_DIRECTION).unwrap();
        let own = [MessageDirection::In, MessageDirection::Out].map(MessageDirection::as_str);
        assert_eq!(property.items, own);
    }
}
