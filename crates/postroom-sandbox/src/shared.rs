//! The state with its lock. Nothing waits while it holds the lock. Each change wakes everything
//! that waits for one: IDLE, rules that hold a reply, and tests.

use crate::script::Action;
use crate::script::Occasion;
use crate::script::RuleId;
use crate::state::SandboxState;
use postroom_watch::Watched;
use postroom_watch::Watcher;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// The state with its lock and its wake-up.
pub(crate) struct SharedState {
    state: Mutex<SandboxState>,
    changed: Watched<u64>,
}

impl SharedState {
    /// Guards `state`.
    pub(crate) fn new(state: SandboxState) -> Self {
        Self { state: Mutex::new(state), changed: Watched::new(0) }
    }

    /// Reads the state.
    pub(crate) fn look<T>(&self, read: impl FnOnce(&SandboxState) -> T) -> T {
        read(&self.lock())
    }

    /// Changes the state and wakes all who wait.
    pub(crate) fn edit<T>(&self, change: impl FnOnce(&mut SandboxState) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        result
    }

    /// Whether somebody may log in with an access token.
    pub(crate) fn lets_in_by_token(&self, user: &str, token: &str) -> bool {
        let provider = self.look(|state| state.tokens.clone());
        // The provider is asked without the lock, because it may change the state by itself.
        match provider.map(|provider| provider.lets_in(user, token)) {
            Some(is_good) => is_good && self.edit(|state| state.lets_in_by_token(user)),
            None => self.edit(|state| state.lets_in(user, token)),
        }
    }

    /// The action at `moment`. It wakes waiting tasks only if there is one.
    pub(crate) fn take(&self, moment: Occasion, subjects: &[&str]) -> Option<(RuleId, Action)> {
        let taken = self.lock().rules.take(moment, subjects)?;
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        Some(taken)
    }

    /// A receiver of every change from now on.
    pub(crate) fn watch(&self) -> Watcher<u64> {
        self.changed.subscribe()
    }

    // A test whose condition panics while it holds the lock must not fail all later ones.
    fn lock(&self) -> MutexGuard<'_, SandboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
