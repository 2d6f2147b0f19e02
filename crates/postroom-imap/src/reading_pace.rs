//! The pace at which a connection is read, so that no server keeps the processor to itself.
//!
//! After each piece other tasks have their turn. What nobody waits for (status responses without
//! end, counts, more mailboxes than are taken) is read slowly when there is much of it. The server
//! then waits for us, because its buffers fill.

use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::sleep;

/// After so many bytes other tasks have their turn.
const TURN_BYTES: u64 = 32 << 10;
/// So many bytes that nobody waits for are read at full speed.
const IDLE_BYTES_FREE: u64 = 1 << 20;
/// The speed at which more of them are read.
const IDLE_BYTES_PER_SECOND: u64 = 512 << 10;

/// How fast a connection is read.
#[derive(Debug, Default)]
pub(crate) struct ReadingPace {
    idle_bytes: u64,
    /// How much had come in at the last rest.
    rested_at: u64,
}

impl ReadingPace {
    /// Says how many bytes have come in since the last that somebody waits for.
    pub(crate) fn is_idle_for(&mut self, bytes: u64) {
        self.idle_bytes = bytes;
    }

    /// Rests, before more is read, as the pace says. Dropping the future loses nothing.
    pub(crate) async fn rest(&mut self, received: u64) {
        let unrested = received.saturating_sub(self.rested_at);
        if self.idle_bytes > IDLE_BYTES_FREE {
            sleep(Duration::from_millis(unrested * 1000 / IDLE_BYTES_PER_SECOND)).await;
        } else if unrested >= TURN_BYTES {
            yield_now().await;
        } else {
            return;
        }
        self.rested_at = received;
    }
}
