//! Orphaned deliveries: messages in state `sending` whose account has no sender.
//!
//! No message waits without a reason. Without an account or an SMTP server, it ends as `error`.
//! With a disabled account, it says that it waits. A delivery that was after its final dot when its
//! sender ended is settled, so that clients can change the message again.

use crate::account::Account;
use crate::error::Error;
use crate::journal;
use crate::journal::Outgoing;
use crate::outgoing;
use crate::report::chain;
use crate::send::held;
use crate::shared::Shared;
use postroom_model::AccountId;
use postroom_model::ErrorCode;
use postroom_store::Topic;
use postroom_store::Unsendable;
use postroom_store::Why;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The shortest time between two checks.
const PAUSE: Duration = Duration::from_millis(500);

/// Checks them until `stop`, after each change of a message or the configuration, and each minute.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut outgoing = shared.store.listen(Topic::AnyOutgoing);
    let mut configuration = shared.store.listen(Topic::Configuration);
    while !stop.is_cancelled() {
        outgoing.catch_up();
        configuration.catch_up();
        if let Err(error) = look(&shared).await {
            tracing::error!(error = chain(&error), "messages without a sender were not checked");
        }
        let woken = async {
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                biased;
                () = outgoing.rung() => {}
                () = configuration.rung() => {}
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = woken => {}
        }
    }
}

/// Recovers the deliveries of an account whose sender has just ended.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn take_up(shared: &Shared, account: AccountId) -> Result<(), Error> {
    shared.store.delivery_recover(Some(account)).await?;
    look(shared).await
}

async fn look(shared: &Shared) -> Result<(), Error> {
    settle_unknown_outcomes(shared).await?;
    let recipients = outgoing::waiting_rows;
    loop {
        let orphaned = shared.store.delivery_orphaned().await?;
        if orphaned.is_empty() {
            return Ok(());
        }
        for found in orphaned {
            let at = (&found.domain, found.message);
            let (store, (domain, message)) = (&shared.store, at);
            let outgoing = Outgoing {
                account: found.address.as_deref(),
                id: message,
                message_id: found.message_id.as_deref(),
            };
            match found.why {
                Why::NoAccount => {
                    let reason = "the account of the message was deleted: create the message again \
                                  with another account";
                    let refusal =
                        Unsendable { code: ErrorCode::AccountDeleted, reason, recipients };
                    store.delivery_refuse(domain, message, refusal).await?;
                    journal::refused(outgoing, ErrorCode::AccountDeleted, reason);
                }
                Why::NoServer => {
                    let reason = "the account only receives, because its profile has no smtpHost: \
                                  set it, then set `sending` again";
                    let refusal = Unsendable { code: ErrorCode::CannotSend, reason, recipients };
                    store.delivery_refuse(domain, message, refusal).await?;
                    journal::refused(outgoing, ErrorCode::CannotSend, reason);
                }
                Why::Disabled => {
                    let reason = "the account is disabled; the message waits until it is enabled";
                    store.delivery_disabled(domain, message, Some(reason)).await?;
                    journal::waits(outgoing, reason);
                }
                Why::Enabled => store.delivery_disabled(domain, message, None).await?,
            }
        }
    }
}

/// Settles deliveries with an unknown outcome, for accounts without a sender.
async fn settle_unknown_outcomes(shared: &Shared) -> Result<(), Error> {
    let unknown = shared.store.delivery_outcome_unknown_accounts().await?;
    if unknown.is_empty() {
        return Ok(());
    }
    let accounts = shared.store.account_list_enabled_folders().await?;
    let accounts: Vec<_> = accounts.iter().map(Account::from_row).collect();
    for id in unknown {
        let account = accounts.iter().find(|account| account.id == id);
        if account.is_some_and(|account| account.enabled && account.smtp.is_some()) {
            continue;
        }
        for claimed in shared.store.delivery_outcome_unknown(id).await? {
            held::settle_unknown_outcome(shared, claimed, account).await?;
        }
    }
    Ok(())
}
