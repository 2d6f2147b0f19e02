//! Transmit: one attempt to hand one delivery to the server.

use crate::account::Account;
use crate::backoff;
use crate::error::Error;
use crate::journal;
use crate::send::prepare::wire;
use crate::send::settle;
use crate::send::settle::Tried;
use crate::send::settle::Verdict;
use crate::shared::Shared;
use bytes::Bytes;
use postroom_model::Timestamp;
use postroom_model::options::Options;
use postroom_smtp::Connection;
use postroom_smtp::Envelope;
use postroom_smtp::MessageSource;
use postroom_store::BlobReader;
use postroom_store::Claimed;
use postroom_store::Settlement;
use postroom_store::clock;
use std::io;
use std::time::Duration;

/// How many recipients one transaction names (RFC 5321 §4.5.3.1.8: each server takes so many).
const RECIPIENTS_MAX: usize = 100;

/// The bytes of a composed message on their way out of the store.
struct Stored {
    reader: BlobReader,
}

impl MessageSource for Stored {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.reader.next().await.map_err(io::Error::other)
    }
}

/// Sends one claimed delivery over a connection, in as many transactions as its recipients need;
/// the rows of the recipients say how it went. Who has the message is durable before the next
/// transaction.
///
/// # Errors
///
/// What ended the attempt; the recipients of earlier transactions have their results.
pub async fn hand_over(
    shared: &Shared,
    connection: &mut Connection,
    claimed: &mut Claimed,
) -> Result<(), postroom_smtp::Error> {
    let waiting = settle::waiting(&claimed.recipients);
    let mut groups = waiting.chunks(RECIPIENTS_MAX).peekable();
    while let Some(group) = groups.next() {
        let outcome = match one(shared, connection, (claimed, group)).await {
            Ok(outcome) => outcome,
            Err(error) => {
                if error.verdict() == postroom_smtp::Verdict::InDoubt {
                    settle::doubt(&mut claimed.recipients, group, &error.to_string());
                }
                return Err(error);
            }
        };
        settle::record(&mut claimed.recipients, &outcome, wire);
        if groups.peek().is_none() {
            break;
        }
        let kept = shared.store.delivery_part(claimed.message, &claimed.recipients).await;
        if let Err(error) = &kept {
            tracing::error!(message = %claimed.message, %error, "results were not written");
        }
        if kept.is_err() || !connection.is_reusable() {
            break;
        }
    }
    Ok(())
}

async fn one(
    shared: &Shared,
    connection: &mut Connection,
    (claimed, addresses): (&Claimed, &[String]),
) -> Result<postroom_smtp::Outcome, postroom_smtp::Error> {
    let envelope = Envelope {
        reverse_path: claimed.reverse_path.clone(),
        forward_paths: addresses.iter().map(|address| wire(address)).collect(),
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
    connection.send(&envelope, &mut source, before_dot).await
}

/// What becomes of a delivery after an attempt that ended so.
#[must_use]
pub fn verdict(
    claimed: &Claimed,
    ended: &Result<(), postroom_smtp::Error>,
    options: &Options,
) -> Verdict {
    let tried = tried(claimed);
    let Err(error) = ended else {
        return settle::verdict(&claimed.recipients, tried, options);
    };
    match error.verdict() {
        postroom_smtp::Verdict::Refuse => {
            Verdict::Error { code: "refused", reason: error.to_string() }
        }
        postroom_smtp::Verdict::Postpone | postroom_smtp::Verdict::Credentials => {
            settle::later(error.to_string(), tried, options)
        }
        postroom_smtp::Verdict::InDoubt => in_doubt(error.to_string(), tried, options),
    }
}

/// What becomes of a delivery whose connection was lost after its final dot.
#[must_use]
pub fn in_doubt(reason: String, tried: Tried, options: &Options) -> Verdict {
    if options.word("uncertain") == "resend" {
        return settle::later(reason, tried, options);
    }
    let reason = format!(
        "the connection was lost after the last byte, so the server may have the message: \
         {reason}; \
         set `sending` to send it again"
    );
    Verdict::Error { code: "uncertain", reason }
}

/// Settles what was after its final dot when its sender ended; `None`: its account is gone.
///
/// # Errors
///
/// When the store fails.
pub async fn settle_doubt(
    shared: &Shared,
    mut claimed: Claimed,
    account: Option<&Account>,
) -> Result<(), Error> {
    let none = Options::cascade([]);
    let options = account.map_or(&none, |account| &account.options);
    let reason = "Postroom was stopped before the answer came".to_owned();
    let mut doubtful = settle::waiting(&claimed.recipients);
    doubtful.truncate(RECIPIENTS_MAX);
    settle::doubt(&mut claimed.recipients, &doubtful, &reason);
    let verdict = in_doubt(reason, tried(&claimed), options);
    let settlement = settlement(verdict);
    shared.store.delivery_settle(&claimed, &settlement).await?;
    journal::settled(account, &claimed, &settlement);
    Ok(())
}

/// A verdict as the store records it.
#[must_use]
pub fn settlement(verdict: Verdict) -> Settlement {
    let now_ms = clock::now_ms();
    match verdict {
        Verdict::Sent => Settlement::Sent { at: Timestamp::from_ms(now_ms) },
        Verdict::Later { after, reason } => {
            Settlement::Later { next_attempt_ms: now_ms + backoff::ms(after), reason }
        }
        Verdict::Error { code, reason } => Settlement::Error { code: code.to_owned(), reason },
    }
}

/// How long a delivery has been tried.
#[must_use]
pub fn tried(claimed: &Claimed) -> Tried {
    let since_ms = clock::now_ms().saturating_sub(claimed.first_due_ms);
    let since = Duration::from_millis(u64::try_from(since_ms).unwrap_or(0));
    Tried { attempts: claimed.attempts, since }
}
