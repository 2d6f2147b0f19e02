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
use postroom_store::Error as StoreError;
use postroom_store::Orphaned;
use postroom_store::Topic;
use postroom_store::Unsendable;
use postroom_store::Why;
use std::collections::HashSet;
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
    let mut left = HashSet::new();
    loop {
        let mut orphaned = shared.store.delivery_orphaned(left.len()).await?;
        orphaned.retain(|found| !left.contains(&found.message));
        if orphaned.is_empty() {
            return Ok(());
        }
        for found in orphaned {
            match settle_orphan(shared, &found).await {
                Ok(()) => {}
                Err(error) if error.is_about_one() => {
                    let id = found.message;
                    tracing::error!(message = %id, %error, "it has no sender and does not say so");
                    left.insert(id);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Lets a message say that it has no sender, or ends it.
async fn settle_orphan(shared: &Shared, found: &Orphaned) -> Result<(), StoreError> {
    let recipients = outgoing::waiting_rows;
    let (store, domain, message) = (&shared.store, &found.domain, found.message);
    let outgoing = Outgoing {
        account: found.address.as_deref(),
        id: message,
        message_id: found.message_id.as_deref(),
    };
    match found.why {
        Why::NoAccount => {
            let reason = "the account of the message was deleted: create the message again with \
                          another account";
            let refusal = Unsendable { code: ErrorCode::AccountDeleted, reason, recipients };
            store.delivery_refuse(domain, message, refusal).await?;
            journal::refused(outgoing, ErrorCode::AccountDeleted, reason);
        }
        Why::NoServer => {
            let reason = "the account only receives, because its profile has no smtpHost: set it, \
                          then set `sending` again";
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
    Ok(())
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
        settle_all_unknown(shared, id, account).await?;
    }
    Ok(())
}

/// Settles the deliveries of an account with an unknown outcome. One that cannot be settled,
/// because its row is damaged, stays as it is.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn settle_all_unknown(
    shared: &Shared,
    id: AccountId,
    account: Option<&Account>,
) -> Result<(), Error> {
    for claimed in shared.store.delivery_outcome_unknown(id).await? {
        match held::settle_unknown_outcome(shared, claimed, account).await {
            Ok(()) | Err(Error::Store(StoreError::Damaged { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
