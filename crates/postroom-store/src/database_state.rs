//! Whether a database has space, and whether it is damaged. Each change of this is logged once.

use crate::error::Error;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Whether a database has space, and whether it is damaged.
#[derive(Debug)]
pub(crate) struct DatabaseState {
    /// Whether the last batch that needed space found none.
    is_full: AtomicBool,
    /// Whether it has pages that cannot be read.
    is_corrupt: AtomicBool,
    texts: StateTexts,
}

/// The messages for the log. They differ between databases, because the remedy differs.
#[derive(Debug)]
pub(crate) struct StateTexts {
    /// The message when there is no space.
    pub no_space: &'static str,
    /// The message when something is found damaged.
    pub damaged: &'static str,
}

impl DatabaseState {
    /// A database of which neither lack of space nor damage is known.
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

    /// A text that says what was found damaged.
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
