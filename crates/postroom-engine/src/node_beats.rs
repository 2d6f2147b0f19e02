//! The beats of a node, by which it says that it is there.

use crate::error::Error;
use postroom_store::BEAT;
use postroom_store::Store;
use std::time::Duration;
use tokio::time::Instant;

/// How long a look or a beat may take. The next one has a new connection.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// The beats of a node.
#[derive(Default)]
pub(crate) struct Beats {
    /// Whether nobody would see them.
    is_alone: bool,
    /// How long the last one took.
    lag: Option<Duration>,
    /// When the next one is due. `None`: now.
    due: Option<Instant>,
}

impl Beats {
    /// `is_alone`: nobody would see them.
    pub(crate) fn of(is_alone: bool) -> Self {
        Self { is_alone, ..Self::default() }
    }

    pub(crate) async fn beat(&mut self, store: &Store) -> Result<(), Error> {
        if self.is_alone {
            return Ok(());
        }
        let begun = Instant::now();
        let beat = tokio::time::timeout(ANSWER_WITHIN, store.beat(self.lag)).await;
        beat.unwrap_or(Err(postroom_store::Error::TooSlow))?;
        self.lag = Some(begun.elapsed());
        self.due = Some(begun + BEAT);
        Ok(())
    }

    pub(crate) async fn beat_if_due(&mut self, store: &Store) -> Result<(), Error> {
        match self.due {
            Some(due) if Instant::now() < due => Ok(()),
            Some(_) | None => self.beat(store).await,
        }
    }

    /// Says nothing for so long.
    pub(crate) fn pause(&mut self, time: Duration) {
        self.due = Some(Instant::now() + time);
    }
}
