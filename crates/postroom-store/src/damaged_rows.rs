//! The damaged rows that were met since the start. Each is named in the log once.
//!
//! A loop that meets one leaves it as it is and goes on with the others.

use postroom_model::EntityId;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;

/// How many rows are remembered. Beyond that, a row may be named again.
const NAMED_MAX: usize = 10_000;

/// The ids of the damaged rows that the log names already.
#[derive(Debug, Default)]
pub(crate) struct DamagedRows(Mutex<HashSet<EntityId>>);

impl DamagedRows {
    /// Names a damaged row of a class, or of another table. `None`: not even its id can be read.
    pub(crate) fn name(&self, class: &str, id: Option<EntityId>) {
        let Some(id) = id else {
            tracing::error!(class, "a row is damaged, and its id cannot be read");
            return;
        };
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= NAMED_MAX {
            named.clear();
        }
        if named.insert(id) {
            tracing::error!(
                class,
                id = %id,
                "a row is damaged: it is left as it is, and nothing is done with what it was \
                 about. `postroom verify` lists what is damaged. A backup may still have it"
            );
        }
    }
}
