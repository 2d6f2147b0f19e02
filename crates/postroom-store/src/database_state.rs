//! What is known of the room and the soundness of a database. The log says each change once.

use crate::error::Error;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// What is known of a database.
#[derive(Debug)]
pub(crate) struct DatabaseState {
    /// Whether the last batch that needed space found none.
    is_full: AtomicBool,
    /// Whether it has pages that cannot be read.
    is_corrupt: AtomicBool,
    texts: StateTexts,
}

/// What the log says, because people do something else about each kind of database.
#[derive(Debug)]
pub(crate) struct StateTexts {
    /// When there is no space.
    pub no_space: &'static str,
    /// When something is found damaged.
    pub damaged: &'static str,
}

impl DatabaseState {
    /// A database that has room and is sound, as far as is known.
    pub(crate) fn new(texts: StateTexts) -> Self {
        Self { is_full: AtomicBool::new(false), is_corrupt: AtomicBool::new(false), texts }
    }

    /// Whether the last batch that needed space found none.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Notes that there is no space.
    pub(crate) fn no_space(&self) {
        if !self.is_full.swap(true, Ordering::Relaxed) {
            tracing::error!("{}", self.texts.no_space);
        }
    }

    /// Notes that there is space.
    pub(crate) fn has_space(&self) {
        if self.is_full.swap(false, Ordering::Relaxed) {
            tracing::info!("the disk has space again: mail is stored and sent again");
        }
    }

    /// What was found damaged, in words.
    pub(crate) fn damage(&self) -> Option<&'static str> {
        let is_corrupt = self.is_corrupt.load(Ordering::Relaxed);
        is_corrupt.then_some("pages of the database cannot be read")
    }

    /// Notes that something is damaged.
    pub(crate) fn damaged(&self, error: &Error) {
        if !self.is_corrupt.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "{}", self.texts.damaged);
        }
    }
}
