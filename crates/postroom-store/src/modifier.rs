//! Who changed an entity, and who has a token.

use crate::bell::Listener;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Rights;
use postroom_model::TokenRole;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

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

/// The hash of a token.
pub(crate) type TokenHash = [u8; 32];

/// The valid tokens that were used lately, as they were read from the database.
#[derive(Debug)]
pub(crate) struct KnownTokens {
    /// Who has each, by its hash.
    pub by_hash: HashMap<TokenHash, KnownToken>,
    /// Tells when there may be others, also those that another process has set.
    pub news: Listener,
}

/// A token as it was read from the database.
#[derive(Debug, Clone)]
pub(crate) struct KnownToken {
    /// Who has it.
    pub bearer: Bearer,
    /// When it ends, in milliseconds since 1970. `None`: never.
    pub ends_ms: Option<i64>,
    /// When the session was used last, in milliseconds since 1970. `None`: it is no session.
    pub used_ms: Option<i64>,
}

/// When tokens or sessions were used, in milliseconds since 1970, as long as it is not written.
#[derive(Debug)]
pub(crate) struct Uses<K>(Mutex<HashMap<K, i64>>);

impl<K> Default for Uses<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash + Ord> Uses<K> {
    /// Notes that one was used.
    pub(crate) fn note(&self, used: K, now_ms: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(used, now_ms);
    }

    /// When one was used last. `None`: not since it was written.
    pub(crate) fn last(&self, used: K) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&used).copied()
    }

    /// Takes out what is noted. The map gives back its memory.
    pub(crate) fn take(&self) -> Vec<(K, i64)> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken: Vec<_> = taken.into_iter().collect();
        // The order of rows that are locked is the same in each process.
        taken.sort_unstable();
        taken
    }
}

/// Who has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The domain that the token may see.
    pub domain: Domain,
    /// The name of the token there.
    pub name: String,
    /// The token. `None`: it is the administrator's, which is no entity, or a session.
    pub token: Option<EntityId>,
    /// The user who has signed in. `None`: it is a token.
    pub user: Option<EntityId>,
    /// What its holder may do.
    pub rights: Arc<Rights>,
    /// Whether the domain is suspended, so that it may do nothing at present.
    pub is_suspended: bool,
}

impl Bearer {
    /// Whose keys of `Idempotency-Key` these are: those of a token, or of a user in all sessions.
    #[must_use]
    pub fn keys_of(&self) -> String {
        match (self.token, self.user) {
            (Some(token), _) => token.to_string(),
            (None, Some(user)) => user.to_string(),
            (None, None) => self.name.clone(),
        }
    }

    /// Whether it administers the domains: with the role `admin` in the domain `master`, or as the
    /// administrator of `default`, whose token is given to the program.
    #[must_use]
    pub fn administers_domains(&self) -> bool {
        let is_given = self.token.is_none() && self.user.is_none();
        let is_administrator = is_given && self.domain == Domain::default_domain();
        let is_admin = *self.rights == Rights::Role(TokenRole::Admin);
        is_admin && (self.domain == Domain::master() || is_administrator)
    }
}
