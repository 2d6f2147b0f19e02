//! Suspended sending: a copy of the data sends nothing until somebody resumes.

use crate::account::Account;
use crate::error::Error;
use crate::journal;
use crate::send::prepare;
use crate::shared::Shared;
use postroom_store::Wait;

/// What suspended sending means for messages. The text follows the reason.
const REST: &str = ", which does not know what was sent after it was made, so nothing is sent. \
    Withdraw what was sent (messageState null), then let the rest go: POST /rest/v1/sending:resume";

/// Whether sending is suspended. Then due messages of the account say so.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn look(shared: &Shared, account: &Account) -> Result<bool, Error> {
    let Some(why) = shared.store.sending_suspended().await? else {
        return Ok(false);
    };
    prepare::prepare_all(shared, account).await?;
    let reason = format!("{}{REST}", why.as_str());
    let wait = Wait { now_ms: shared.clock.now_ms(), until: None, reason: &reason };
    shared.store.delivery_wait(account.id, wait, journal::waiting(account, &reason)).await?;
    Ok(true)
}
