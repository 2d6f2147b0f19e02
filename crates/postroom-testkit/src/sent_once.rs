//! The proof that a message was sent once.

use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;

/// Whether a message that is no longer in `sending` may have been sent, after so many copies of it
/// arrived.
///
/// # Errors
///
/// When it was sent, and not exactly one arrived; when it may have been sent, and more than one
/// arrived; or when it says something else.
pub(crate) fn is_uncertain(message: &Value, copies: usize) -> Result<bool> {
    let is_sent = message["messageState"] == "sent";
    let is_right =
        if is_sent { copies == 1 } else { message["errorCode"] == "uncertain" && copies <= 1 };
    ensure!(is_right, "{copies} copies arrived of {message}");
    Ok(!is_sent)
}
