//! What a connection waits for, and since when, so that another task can say so.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::time::Instant;

/// A wait for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// What the server is to answer or to take, as in errors.
    pub what: &'static str,
    /// Since when.
    pub since: Instant,
}

/// Shows whether a connection waits for its server now.
#[derive(Debug, Clone, Default)]
pub struct Silence(Arc<Mutex<Option<Awaited>>>);

/// A connection waits for as long as this lives.
#[derive(Debug)]
pub(crate) struct Waiting(Silence);

impl Silence {
    /// What the connection waits for. `None`: for nothing.
    #[must_use]
    pub fn awaited(&self) -> Option<Awaited> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait.
    pub(crate) fn begin(&self, what: &'static str) -> Waiting {
        self.set(Some(Awaited { what, since: Instant::now() }));
        Waiting(self.clone())
    }

    fn set(&self, awaited: Option<Awaited>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = awaited;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_shows_until_it_ends() {
        let silence = Silence::default();
        let waiting = silence.begin("RCPT");
        assert_eq!(silence.awaited().map(|it| it.what), Some("RCPT"));
        drop(waiting);
        assert_eq!(silence.awaited(), None);
    }
}
