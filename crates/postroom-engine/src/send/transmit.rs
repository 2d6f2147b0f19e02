//! Transmit: one attempt to hand one delivery to the server.

use crate::account::Account;
use crate::error::Error;
use crate::send::prepare::wire;
use crate::send::settle;
use crate::send::settle::Tried;
use crate::send::settle::Verdict;
use crate::shared::Shared;
use bytes::Bytes;
use postroom_model::Timestamp;
use postroom_smtp::Connection;
use postroom_smtp::Envelope;
use postroom_smtp::MessageSource;
use postroom_store::BlobReader;
use postroom_store::Claimed;
use postroom_store::Settlement;
use postroom_store::clock;
use std::io;
use std::time::Duration;

/// The bytes of a composed message on their way out of the store.
struct Stored {
    reader: BlobReader,
}

impl MessageSource for Stored {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.reader.next().await.map_err(io::Error::other)
    }
}

/// Sends one claimed delivery over a connection, and settles it.
///
/// # Errors
///
/// When the store fails, or when the account's server wants a person: then the delivery is due
/// again, and no attempt is counted.
pub async fn transmit(
    shared: &Shared,
    account: &Account,
    connection: &mut Connection,
    claimed: Claimed,
) -> Result<(), Error> {
    let waiting = settle::waiting(&claimed.recipients);
    let envelope = Envelope {
        reverse_path: claimed.reverse_path.clone(),
        forward_paths: waiting.iter().map(|address| wire(address)).collect(),
        smtp_utf8: claimed.smtp_utf8,
        // What we compose is ASCII but for such addresses.
        eight_bit: claimed.smtp_utf8,
        size_bytes: claimed.size_bytes,
    };
    let reader = shared.store.blob_read(claimed.blob, 0..claimed.size_bytes);
    let mut source = Stored { reader };
    let (store, message) = (shared.store.clone(), claimed.message);
    let before_dot = async move || match store.delivery_dot_sent(message).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("the message was withdrawn".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let sent = connection.send(&envelope, &mut source, before_dot).await;
    settle_attempt(shared, account, claimed, sent).await
}

async fn settle_attempt(
    shared: &Shared,
    account: &Account,
    mut claimed: Claimed,
    sent: Result<postroom_smtp::Outcome, postroom_smtp::Error>,
) -> Result<(), Error> {
    let options = &account.options;
    let tried = tried(&claimed);
    let verdict = match sent {
        Ok(outcome) => {
            settle::record(&mut claimed.recipients, &outcome, wire);
            settle::verdict(&claimed.recipients, tried, options)
        }
        Err(error) => match error.verdict() {
            postroom_smtp::Verdict::Credentials => {
                shared.store.delivery_release(claimed.message).await?;
                return Err(Error::Smtp(error));
            }
            postroom_smtp::Verdict::Refuse => {
                Verdict::Error { code: "refused", reason: error.to_string() }
            }
            postroom_smtp::Verdict::Postpone => settle::later(error.to_string(), tried, options),
            postroom_smtp::Verdict::InDoubt => in_doubt(error.to_string(), tried, account),
        },
    };
    settle_as(shared, account, claimed, verdict).await
}

/// What becomes of a delivery whose connection was lost after its final dot.
#[must_use]
pub fn in_doubt(reason: String, tried: Tried, account: &Account) -> Verdict {
    if account.options.word("uncertain") == "resend" {
        return settle::later(reason, tried, &account.options);
    }
    let reason = format!(
        "the connection was lost after the last byte, so the server may have the message: \
         {reason}; \
         set `sending` to send it again"
    );
    Verdict::Error { code: "uncertain", reason }
}

/// Records a verdict.
///
/// # Errors
///
/// When the store fails.
pub async fn settle_as(
    shared: &Shared,
    account: &Account,
    claimed: Claimed,
    verdict: Verdict,
) -> Result<(), Error> {
    let now_ms = clock::now_ms();
    let settlement = match verdict {
        Verdict::Sent => Settlement::Sent { at: Timestamp::from_ms(now_ms) },
        Verdict::Later { after, reason } => {
            tracing::info!(message = %claimed.message, reason, "sending is postponed");
            let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 4);
            Settlement::Later { next_attempt_ms: now_ms + after_ms, reason }
        }
        Verdict::Error { code, reason } => {
            tracing::warn!(message = %claimed.message, code, "sending ended without success");
            Settlement::Error { code: code.to_owned(), reason }
        }
    };
    shared.store.delivery_settle(&account.domain, &claimed, &settlement).await?;
    Ok(())
}

/// How long a delivery has been tried.
#[must_use]
pub fn tried(claimed: &Claimed) -> Tried {
    let since_ms = clock::now_ms().saturating_sub(claimed.first_due_ms);
    let since = Duration::from_millis(u64::try_from(since_ms).unwrap_or(0));
    Tried { attempts: claimed.attempts, since }
}
