//! Suspended sending: a restored backup sends nothing until somebody resumes.

use crate::account::Account;
use crate::error::Error;
use crate::journal;
use crate::send::prepare;
use crate::shared::Shared;
use postroom_store::Wait;

/// Why messages wait.
const REASON: &str = "this is a restored backup, which does not know what was sent after it was \
    made, so nothing is sent. Withdraw what was sent (messageState null), then let the rest go: \
    POST /rest/v1/sending:resume";

/// Whether sending is suspended. Then due messages of the account say so.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn look(shared: &Shared, account: &Account) -> Result<bool, Error> {
    if !shared.store.sending_is_suspended().await? {
        return Ok(false);
    }
    prepare::prepare_all(shared, account).await?;
    let wait = Wait { now_ms: shared.clock.now_ms(), until: None, reason: REASON };
    shared.store.delivery_wait(account.id, wait, journal::waiting(account, REASON)).await?;
    Ok(true)
}
