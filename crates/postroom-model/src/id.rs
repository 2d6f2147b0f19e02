//! Ids of entities: one type for each class that the code names, and [`EntityId`] for any class.
//! The id of a class itself is a [`ClassId`].
//!
//! An id of one class cannot be given where another is expected. [`AccountId::of`] and its like say
//! that an entity is of the class; the other way is a plain conversion.

use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The id of an entity of any class.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EntityId(Uuid);

impl EntityId {
    /// The id that is before all others and that no entity has.
    #[must_use]
    pub const fn nil() -> Self {
        Self(Uuid::nil())
    }

    /// Whether it is the id that no entity has.
    #[must_use]
    pub const fn is_nil(&self) -> bool {
        self.0.is_nil()
    }

    /// The id with these 128 bits.
    #[must_use]
    pub const fn from_u128(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }

    /// The id with these 16 bytes; `None` for another number of bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Its UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EntityId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// The id of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassId(Uuid);

impl ClassId {
    /// The id that no class has.
    #[must_use]
    pub const fn nil() -> Self {
        Self(Uuid::nil())
    }

    /// Whether it is the id that no class has.
    #[must_use]
    pub const fn is_nil(self) -> bool {
        self.0.is_nil()
    }

    /// The id with these 128 bits.
    #[must_use]
    pub const fn from_u128(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ClassId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// The id type of one class.
macro_rules! id_of_class {
    ($($(#[$doc:meta])+ $name:ident;)*) => {$(
        $(#[$doc])+
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(EntityId);

        impl $name {
            /// The id of an entity that is of this class.
            #[must_use]
            pub const fn of(entity: EntityId) -> Self {
                Self(entity)
            }

            /// The id that no entity has.
            #[must_use]
            pub const fn nil() -> Self {
                Self(EntityId::nil())
            }

            /// The id with these 128 bits.
            #[must_use]
            pub const fn from_u128(bits: u128) -> Self {
                Self(EntityId::from_u128(bits))
            }

            /// The same id as that of an entity of any class.
            #[must_use]
            pub const fn entity(self) -> EntityId {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl From<$name> for EntityId {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )*};
}

id_of_class! {
    /// The id of an entity of the class Profiles.
    ProfileId;
    /// The id of an entity of the class Accounts.
    AccountId;
    /// The id of an entity of the class Folders.
    FolderId;
    /// The id of an entity of the class Messages. A message has this id in the store; the header
    /// field Message-ID is another thing.
    MessageEntityId;
    /// The id of an entity of the class Webhooks.
    WebhookId;
    /// The id of an entity of the class OAuthApps.
    OAuthAppId;
    /// The id of a job.
    JobId;
    /// What a worker shows to end or extend its claim of an entity.
    ClaimToken;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let text = "0198c5a4-7d1e-7c3a-9a55-3f2b8c6d4e10";
        let id: AccountId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(serde_json::to_value(id).unwrap(), text);
        assert_eq!(EntityId::from_slice(id.entity().as_bytes()), Some(id.entity()));
        assert_eq!(EntityId::from_slice(b"short"), None);
        let class: ClassId = text.parse().unwrap();
        assert_eq!(serde_json::to_value(class).unwrap(), class.to_string());
        assert_eq!(class.to_string(), text);
        assert!(ClassId::nil().is_nil() && !class.is_nil());
        assert!("not an id".parse::<FolderId>().is_err());
    }
}
