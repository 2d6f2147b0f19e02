//! The description of the interface, which is made once for each version of the classes.

use bytes::Bytes;
use std::sync::Mutex;
use std::sync::PoisonError;

/// A description of the interface for one version of the classes.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    /// The version of the classes.
    pub version: i64,
    /// The JSON.
    pub bytes: Bytes,
    /// A validator for it.
    pub tag: String,
}

/// The newest description.
#[derive(Debug, Default)]
pub struct Described(Mutex<Option<Description>>);

impl Described {
    /// The description of a version. `None`: it was not made yet, or is no longer kept.
    pub(crate) fn of(&self, version: i64) -> Option<Description> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone().filter(|kept| kept.version == version)
    }

    /// Keeps a description in place of an older one.
    pub(crate) fn keep(&self, made: &Description) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|kept| kept.version <= made.version) {
            *kept = Some(made.clone());
        }
    }
}
