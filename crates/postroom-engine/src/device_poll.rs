//! Asks providers whether consents on other devices were given, as long as nobody has decided.
//!
//! ```text
//!   due ──► claim ──► question ──► pending, slow_down, no answer, or a 5yz: later
//!                         ├──────► access_denied, expired_token, any other error: it has ended
//!                         └──────► tokens: saved with the end of the consent, as one
//! ```
//! Each step is durable before the next one. The tokens are saved as if a client had sent them, so
//! the engine tries the account at once. The access token that comes with the refresh token is not
//! used, as with other consents.
//!
//! Standards: RFC 8628 §3.4 and §3.5.

use crate::consent::NO_REFRESH_TOKEN;
use crate::consent::OTHER_APP;
use crate::consent::app_of;
use crate::http_exchange::FormAnswer;
use crate::report::chain;
use crate::shared::Shared;
use crate::token_request;
use crate::token_request::Grant;
use crate::token_request::TokenFailure;
use crate::token_request::TokenRequest;
use postroom_model::Entity;
use postroom_model::OAuthAppId;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::names;
use postroom_model::oauth::OAuthApp;
use postroom_model::oauth_device::DeviceError;
use postroom_model::oauth_device::DeviceState;
use postroom_model::oauth_device::doubled;
use postroom_model::oauth_device::slower;
use postroom_store::AccountRow;
use postroom_store::DevicePending;
use postroom_store::DeviceStep;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::Sealed;
use postroom_store::Updated;
use secrecy::SecretString;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many questions run at the same time. Others wait.
const AT_ONCE_MAX: usize = 32;
/// When a question without an answer is asked again. It is longer than a question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);
/// The longest time between two looks.
const ROUND: Duration = Duration::from_secs(60);
/// How long it takes until those are read that were too many.
const AFTER_MANY: Duration = Duration::from_secs(1);
/// How long it takes until a store that failed is read again.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How long tokens that cannot be saved are kept in memory, and the first delay between two
/// attempts.
const SAVED_WITHIN: Duration = Duration::from_secs(3600);
const SAVED_AGAIN: Duration = Duration::from_secs(1);
/// What a lost answer may mean.
const ANSWER_LOST: &str = "; the answer to an earlier question was lost, and if it had the tokens, \
                           they are lost too: begin again";

/// What a question led to.
enum DeviceEnd {
    Step(DeviceStep),
    Given(SecretString),
}

/// Asks until a stop.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let turns = Arc::new(Semaphore::new(AT_ONCE_MAX));
    loop {
        let pause = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            pause = round(&shared, &turns) => pause,
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = shared.device_begun.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Begins the questions that are due. Gives the time until the next one.
async fn round(shared: &Arc<Shared>, turns: &Arc<Semaphore>) -> Duration {
    let pending = match shared.store.device_list_pending().await {
        Ok(pending) => pending,
        Err(error) => {
            let error = chain(&error);
            tracing::error!(error, "consents on other devices are not read; it is tried again");
            return AFTER_ERROR;
        }
    };
    let mut asks_any = false;
    for one in pending {
        let left = one.due.as_ms().saturating_sub(shared.clock.now_ms());
        if let Ok(left @ 1..) = u64::try_from(left) {
            return Duration::from_millis(left).min(ROUND);
        }
        // The semaphore is never closed.
        let Ok(turn) = Arc::clone(turns).acquire_owned().await else { continue };
        let next = after(shared, ANSWER_WITHIN);
        match shared.store.device_claim(&one, next).await {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "a question about a consent is not noted, and not asked");
                return AFTER_ERROR;
            }
        }
        asks_any = true;
        let asking = Arc::clone(shared);
        shared.asking().spawn(async move {
            let _turn = turn;
            asked(&asking, &one).await;
        });
    }
    // There may be more that are due.
    if asks_any { AFTER_MANY } else { ROUND }
}

/// Asks once, and writes what came of it. Nothing ends it, because the answer may have tokens.
async fn asked(shared: &Shared, pending: &DevicePending) {
    let step = match question(shared, pending).await {
        Ok(DeviceEnd::Given(token)) => return save(shared, pending, &token).await,
        Ok(DeviceEnd::Step(step)) => step,
        Err(error) => {
            let (account, error) = (pending.request.account, chain(&error));
            tracing::warn!(%account, error, "a consent was not asked about; it is tried again");
            return;
        }
    };
    note(shared, pending, &step).await;
}

async fn note(shared: &Shared, pending: &DevicePending, step: &DeviceStep) {
    let (account, slot) = (pending.request.account, pending.request.slot.as_str());
    match shared.store.device_step(pending, step).await {
        Ok(true) => {
            if let DeviceStep::Ended { state, .. } = step {
                tracing::info!(%account, slot, state = state.as_str(), "a consent has ended");
            }
            shared.device_begun.notify_one();
        }
        // Another one was begun.
        Ok(false) => {}
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(%account, error, "what became of a consent is not written");
        }
    }
}

/// Asks the provider.
async fn question(shared: &Shared, pending: &DevicePending) -> Result<DeviceEnd, Error> {
    let request = &pending.request;
    if request.until.as_ms() < shared.clock.now_ms() {
        return Ok(ended(DeviceState::Expired, lost(pending, "nobody consented in time")));
    }
    let row = shared.store.account_find(request.account).await?;
    let row = row.filter(|row| row.domain == request.domain);
    let app = row.as_ref().and_then(|row| app_of(row, request.slot));
    let (Some(row), Some(app)) = (&row, app.filter(|it| OAuthAppId::of(it.app.id) == request.app))
    else {
        return Ok(ended(DeviceState::Failed, OTHER_APP.to_owned()));
    };
    let secret = app.client_secret.as_ref().map(Sealed::open).transpose();
    let (Ok(code), Ok(client_secret)) = (pending.code.open(), secret) else {
        let text = "the device code or the secret of the OAuth app cannot be decrypted";
        return Ok(ended(DeviceState::Failed, text.to_owned()));
    };
    let oauth = OAuthApp::of(&app.app);
    let asked = TokenRequest { app: &oauth, client_secret, grant: Grant::DeviceCode(code) };
    Ok(meaning(shared, pending, &asked, answer(shared, row, &asked).await))
}

async fn answer(
    shared: &Shared,
    row: &AccountRow,
    asked: &TokenRequest<'_>,
) -> Result<FormAnswer, TokenFailure> {
    token_request::answer(&shared.store, &shared.redial(), row, asked).await
}

/// What an answer means for a consent.
fn meaning(
    shared: &Shared,
    pending: &DevicePending,
    asked: &TokenRequest<'_>,
    answer: Result<FormAnswer, TokenFailure>,
) -> DeviceEnd {
    let interval = pending.request.interval;
    let later = |interval, pause: Duration, is_open| {
        let due = after(shared, pause.max(interval));
        DeviceEnd::Step(DeviceStep::Later { due, interval, is_open })
    };
    let read = answer.and_then(|answer| match (asked.read(&answer), error_of(&answer)) {
        (Ok(granted), _) => Ok(Ok(granted)),
        (Err(_), Some(error)) => Ok(Err((error, asked.said(&answer)))),
        (Err(failure), None) => Err(failure),
    });
    match read {
        Ok(Err((DeviceError::Pending, _))) => later(interval, interval, false),
        Ok(Err((DeviceError::SlowDown, _))) => later(slower(interval), interval, false),
        Ok(Err((DeviceError::Denied, said))) => ended(DeviceState::Denied, said),
        Ok(Err((DeviceError::Expired, said))) => ended(DeviceState::Expired, lost(pending, &said)),
        Ok(Err((DeviceError::Other, said))) => ended(DeviceState::Failed, lost(pending, &said)),
        Ok(Ok(granted)) => match granted.refresh_token {
            Some(token) => DeviceEnd::Given(token),
            None => ended(DeviceState::Failed, NO_REFRESH_TOKEN.to_owned()),
        },
        Err(TokenFailure::Refused { reason, .. }) => {
            ended(DeviceState::Failed, lost(pending, &reason))
        }
        Err(TokenFailure::Passing { after, is_open, .. }) => {
            let now = Timestamp::from_ms(shared.clock.now_ms());
            let pause = after.map_or(Duration::ZERO, |after| after.pause(now)).min(ROUND);
            later(doubled(interval), pause, is_open || pending.is_interrupted)
        }
    }
}

/// The error of an answer (RFC 8628 §3.5). `None`: it has none, or the provider was not able to say
/// what it thinks of the device code.
fn error_of(answer: &FormAnswer) -> Option<DeviceError> {
    let json: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = DeviceError::of(json.get("error")?.as_str()?);
    let passes = matches!(answer.status, 408 | 425 | 429 | 500..);
    (error != DeviceError::Other || !passes).then_some(error)
}

fn ended(state: DeviceState, detail: String) -> DeviceEnd {
    DeviceEnd::Step(DeviceStep::Ended { state, detail: Some(detail) })
}

/// A reason, with what else may be true if an answer was lost.
fn lost(pending: &DevicePending, reason: &str) -> String {
    let more = if pending.is_interrupted { ANSWER_LOST } else { "" };
    format!("{reason}{more}")
}

fn after(shared: &Shared, time: Duration) -> Timestamp {
    let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_ms(shared.clock.now_ms().saturating_add(time))
}

/// Saves tokens. If the store fails, it is tried again for a while, because the provider gives them
/// once.
async fn save(shared: &Shared, pending: &DevicePending, token: &SecretString) {
    let account = pending.request.account;
    let (mut pause, begun) = (SAVED_AGAIN, tokio::time::Instant::now());
    loop {
        let error = match saved(shared, pending, token).await {
            Ok(()) => return,
            Err(error) => error,
        };
        let is_over = matches!(error, Error::Condition(Failed::Deposed));
        let error = chain(&error);
        if is_over || begun.elapsed() > SAVED_WITHIN {
            tracing::error!(%account, error, "the tokens of a consent are lost: begin it again");
            return;
        }
        tracing::error!(%account, error, "tokens of a consent are not saved; it is tried again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ROUND);
    }
}

/// Saves tokens as long as the account has the app that asked, and the consent is the last one.
async fn saved(
    shared: &Shared,
    pending: &DevicePending,
    token: &SecretString,
) -> Result<(), Error> {
    let (store, request) = (&shared.store, &pending.request);
    loop {
        let class = store.builtin(ACCOUNTS)?;
        let account = store.entity_get(&request.domain, &class, request.account.into()).await?;
        let has_app =
            |account: &Entity| account.reference(request.slot.app()) == Some(request.app.into());
        let Some(account) = account.filter(has_app) else {
            let state = DeviceState::Failed;
            let step = DeviceStep::Ended { state, detail: Some(OTHER_APP.to_owned()) };
            return store.device_step(pending, &step).await.map(drop);
        };
        match store.device_give(pending, token, account.version).await? {
            Some(Updated::Done(account)) => {
                let address = account.text(names::ADDRESS).unwrap_or_default();
                let slot = request.slot.as_str();
                tracing::info!(account = address, slot, "consent given on another device");
                return Ok(());
            }
            Some(Updated::Stale { .. } | Updated::Missing) => {}
            None => {
                let account = request.account;
                tracing::warn!(%account, "a consent was given after another one was begun");
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_counts_unless_the_provider_could_not_work() {
        #[rustfmt::skip]
        let table = [
            (400, r#"{"error": "authorization_pending"}"#, Some(DeviceError::Pending)),
            (200, r#"{"error": "slow_down"}"#,             Some(DeviceError::SlowDown)),
            (429, r#"{"error": "slow_down"}"#,             Some(DeviceError::SlowDown)),
            (400, r#"{"error": "invalid_grant"}"#,         Some(DeviceError::Other)),
            (200, r#"{"error": "bad_verification_code"}"#, Some(DeviceError::Other)),
            (503, r#"{"error": "server_error"}"#,          None),
            (429, r#"{"error": "too_many"}"#,              None),
            (400, r#"{"error": 7}"#,                       None),
            (404, "<html>",                                None),
        ];
        for (status, body, want) in table {
            let body = body.as_bytes().to_vec();
            let answer = FormAnswer { status, retry_after: None, location: None, body };
            assert_eq!(error_of(&answer), want, "{answer:?}");
        }
    }
}
