//! What every request needs.

use crate::budget::Budget;
use crate::limits::Limits;
use crate::lockout::Lockout;
use axum::http::HeaderMap;
use axum::http::Uri;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_store::Store;
use std::sync::Arc;

/// The store, and the bounds of the interface. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The store.
    pub store: Store,
    /// How much a client may send.
    pub limits: Arc<Limits>,
    /// How much JSON is in memory.
    pub budget: Arc<Budget>,
    /// Who sends wrong tokens.
    pub lockout: Arc<Lockout>,
}

impl App {
    /// The interface of a store, with the default bounds.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self::with_limits(store, Limits::default())
    }

    /// The interface of a store, with other bounds.
    #[must_use]
    pub fn with_limits(store: Store, limits: Limits) -> Self {
        let budget = Budget::new(limits.json_read_bytes_max, limits.json_parsed_bytes_max);
        let (limits, budget) = (Arc::new(limits), Arc::new(budget));
        Self { store, limits, budget, lockout: Arc::default() }
    }
}

/// One authorised request at a place of the data model, without its body.
#[derive(Debug)]
pub struct Asked {
    /// What every request needs.
    pub app: App,
    /// The domain of the token.
    pub domain: Domain,
    /// The class that the path names.
    pub class: Arc<Class>,
    /// The path with its parameters.
    pub uri: Uri,
    /// The header fields.
    pub headers: HeaderMap,
}
