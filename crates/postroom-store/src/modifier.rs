//! Who changed an entity, and who has a token.

use crate::bell::Listener;
use postroom_model::Domain;
use std::collections::HashMap;
use std::sync::Arc;

/// Who changed an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modifier {
    /// A client, by the name of its token.
    Client(Arc<str>),
    /// The engine, which records what servers said and what became of messages.
    Engine,
    /// The store itself, for example when it deletes the messages of a deleted account.
    System,
}

impl Modifier {
    /// `modifier_type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Engine => "engine",
            Self::System => "system",
        }
    }

    /// `modifier_id`. `None` where there is only one of its type.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Client(name) => Some(name),
            Self::Engine | Self::System => None,
        }
    }

    pub(crate) fn from_columns(kind: Option<&str>, id: Option<&str>) -> Option<Self> {
        match (kind?, id) {
            ("client", Some(name)) => Some(Self::Client(name.into())),
            ("engine", None) => Some(Self::Engine),
            ("system", None) => Some(Self::System),
            _ => None,
        }
    }
}

/// All tokens, as they were read from the database.
#[derive(Debug)]
pub(crate) struct KnownTokens {
    /// Who has each, by its hash.
    pub by_hash: HashMap<Vec<u8>, Bearer>,
    /// Tells when there may be others, also those that another process has set.
    pub news: Listener,
}

/// Who has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The domain that the token may see.
    pub domain: Domain,
    /// The name of the token there.
    pub name: String,
}
