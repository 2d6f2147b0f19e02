//! What is known of tokens beside what is stored: when they are replaced, and when a provider is
//! asked again.

use crate::credentials::CredentialError;
use crate::token_found::FoundTokens;
use crate::token_request::GrantedToken;
use postroom_model::Timestamp;
use postroom_store::SecretMark;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::time::Duration;
use tokio::time::Instant;

/// How long before its end a token is replaced, at the latest. Chance adds up to as much again, so
/// that many accounts do not ask at the same time.
const AHEAD: Duration = Duration::from_secs(150);
/// The same as a part of the life of a token that lives shortly.
const AHEAD_PART: u32 = 10;
/// The delay after a provider could not be asked. It doubles with each failure.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
/// The longest one.
const PAUSE_LONGEST: Duration = Duration::from_secs(300);
/// The longest delay that a provider gets if it asks for one. Where it names a time of day and a
/// clock is wrong, the delay is too.
const ASKED_LONGEST: Duration = Duration::from_secs(3600);

/// Tells one access token from others.
pub(crate) type TokenMark = blake3::Hash;

/// What is known of tokens beside what is stored.
#[derive(Debug, Default)]
pub(crate) struct TokenMemory {
    /// The token in use.
    pub kept: Option<KeptToken>,
    /// What a provider gave and the store did not take so far.
    pub unwritten: Option<UnwrittenToken>,
    /// How often in a row the provider could not be asked.
    pub failures: u32,
    /// It is not asked before.
    pub not_before: Option<ProviderPause>,
}

#[derive(Debug)]
pub(crate) struct KeptToken {
    pub mark: TokenMark,
    /// When it is replaced.
    pub renewed_at: Instant,
    /// When it ends.
    pub ends_at: Instant,
}

#[derive(Debug)]
pub(crate) struct UnwrittenToken {
    /// The refresh token that was used.
    pub used: Option<SecretMark>,
    pub given_at: Instant,
    pub granted: GrantedToken,
}

#[derive(Debug)]
pub(crate) struct ProviderPause {
    pub until: Instant,
    pub reason: String,
    /// The refresh token for which it is waited. Another one is tried at once.
    pub of: Option<SecretMark>,
}

impl KeptToken {
    pub(crate) fn of(given: &UnwrittenToken, chance: f64) -> Self {
        let (begin, life) = (given.given_at, given.granted.life);
        let before = ahead(AHEAD.min(life / AHEAD_PART), chance);
        Self {
            mark: mark(&given.granted.access_token),
            renewed_at: begin + life.saturating_sub(before),
            ends_at: begin + life,
        }
    }
}

impl TokenMemory {
    /// Whether a stored token is good for a while. One whose end nobody knows counts as good until
    /// a server refuses it. After a question that was interrupted, a former process may have lost
    /// its answer: the provider is asked at once, because it may take the former refresh token
    /// again for a short time only.
    pub(crate) fn is_good(
        &self,
        token: &SecretString,
        found: &FoundTokens,
        now: Timestamp,
        chance: f64,
    ) -> bool {
        match self.of(token) {
            Some(kept) if kept.renewed_at <= Instant::now() => false,
            Some(_) => found.left(now).is_none_or(|left| left > Duration::ZERO),
            None if found.is_interrupted() => false,
            None => found.left(now).is_none_or(|left| left > ahead(AHEAD, chance)),
        }
    }

    /// Whether a stored token has not ended yet.
    pub(crate) fn is_alive(
        &self,
        token: &SecretString,
        found: &FoundTokens,
        now: Timestamp,
    ) -> bool {
        let is_kept = self.of(token).is_none_or(|kept| kept.ends_at > Instant::now());
        is_kept && found.left(now).is_none_or(|left| left > Duration::ZERO)
    }

    fn of(&self, token: &SecretString) -> Option<&KeptToken> {
        self.kept.as_ref().filter(|kept| kept.mark == mark(token))
    }

    /// Whether the provider may be asked now.
    pub(crate) fn may_ask(&self, used: Option<SecretMark>) -> Result<(), CredentialError> {
        let waiting = self.not_before.as_ref().filter(|waiting| waiting.of == used);
        let Some(ProviderPause { until, reason, .. }) = waiting else {
            return Ok(());
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        Err(CredentialError::Temporary { reason: reason.clone(), after: Some(left) })
    }

    /// Notes that the provider could not be asked.
    pub(crate) fn wait(
        &mut self,
        of: Option<SecretMark>,
        asked: Option<Duration>,
        reason: String,
    ) -> CredentialError {
        let pause = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16)).min(PAUSE_LONGEST);
        self.failures = self.failures.saturating_add(1);
        let pause = asked.map_or(pause, |asked| asked.min(ASKED_LONGEST).max(pause));
        let until = Instant::now() + pause;
        self.not_before = Some(ProviderPause { until, reason: reason.clone(), of });
        CredentialError::Temporary { reason, after: Some(pause) }
    }
}

/// What tells an access token from others.
pub(crate) fn mark(token: &SecretString) -> TokenMark {
    blake3::hash(token.expose_secret().as_bytes())
}

/// `base` and up to as much again.
fn ahead(base: Duration, chance: f64) -> Duration {
    base + base.mul_f64(chance)
}
