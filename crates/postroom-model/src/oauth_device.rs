//! Device authorisation: a person consents on any device, and the one who asked asks again and
//! again whether it is done.
//!
//! ```text
//!   device code, user code ──► asked with the device code: pending … ──► given, or denied, expired
//! ```
//! Standards: RFC 8628 §3.2 (the first answer) and §3.5 (the answers of the token endpoint).

use crate::webhook::Url;
use serde_json::Value as Json;
use std::time::Duration;

/// Where software begins such a consent, and asks how it is.
pub const CONSENT_DEVICE: &str = "/rest/v1/oauth/device";
/// How often a provider is asked that does not say it (RFC 8628 §3.2).
const INTERVAL_USUAL: Duration = Duration::from_secs(5);
/// The limits of an interval.
const INTERVAL_LEAST: Duration = Duration::from_secs(1);
const INTERVAL_LONGEST: Duration = Duration::from_secs(300);
/// What `slow_down` adds to it (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// How long codes are good whose provider does not say it, and at most.
const LIFE_USUAL: Duration = Duration::from_secs(15 * 60);
const LIFE_LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How many bytes a device code may have, and a code that a person types.
const DEVICE_CODE_BYTES_MAX: usize = 4096;
const USER_CODE_CHARS_MAX: usize = 64;
/// How many bytes an address for a person may have.
const ADDRESS_BYTES_MAX: usize = 2048;

/// What a provider gives for a consent on another device.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceCodes<'a> {
    /// What the token endpoint is asked with. It is a secret.
    pub device_code: &'a str,
    /// What the person types.
    pub user_code: &'a str,
    /// Where.
    pub verification_uri: &'a str,
    /// The same with the code in it, so that nothing is typed.
    pub verification_uri_complete: Option<&'a str>,
    /// For how long both codes are good.
    pub life: Duration,
    /// How long to wait between two questions.
    pub interval: Duration,
}

impl std::fmt::Debug for DeviceCodes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceCodes").field("life", &self.life).finish_non_exhaustive()
    }
}

impl<'a> DeviceCodes<'a> {
    /// Reads an answer of the device endpoint.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn read(body: &'a Json) -> Result<Self, &'static str> {
        let text = |name: &str| body.get(name)?.as_str().filter(|text| !text.is_empty());
        let device_code = text("device_code").ok_or("it has no device_code")?;
        if device_code.len() > DEVICE_CODE_BYTES_MAX {
            return Err("its device_code is too long");
        }
        let user_code = text("user_code").ok_or("it has no user_code")?;
        let is_readable = !user_code.chars().any(char::is_control);
        if !is_readable || user_code.chars().count() > USER_CODE_CHARS_MAX {
            return Err("its user_code cannot be shown");
        }
        // Google wrote it so before there was a standard.
        let page = text("verification_uri").or_else(|| text("verification_url"));
        let is_address = |uri: &&str| uri.len() <= ADDRESS_BYTES_MAX && Url::parse(uri).is_ok();
        let page = page.filter(is_address).ok_or("it has no verification_uri that is a URL")?;
        let life = seconds(body, "expires_in").unwrap_or(LIFE_USUAL).min(LIFE_LONGEST);
        let interval = seconds(body, "interval").unwrap_or(INTERVAL_USUAL);
        Ok(Self {
            device_code,
            user_code,
            verification_uri: page,
            verification_uri_complete: text("verification_uri_complete").filter(is_address),
            life,
            interval: interval.clamp(INTERVAL_LEAST, INTERVAL_LONGEST),
        })
    }
}

/// A number of seconds, which some providers write in quotes. `None`: it is not there, or none.
fn seconds(body: &Json, name: &str) -> Option<Duration> {
    let value = body.get(name)?;
    let quoted = value.as_str().and_then(|text| text.parse().ok());
    let seconds: f64 = quoted.or_else(|| value.as_f64())?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// What a token endpoint says of a device code that it gives no token for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceError {
    /// The person has not decided so far.
    Pending,
    /// The same, and it was asked too often.
    SlowDown,
    /// The person has refused.
    Denied,
    /// The person took too long.
    Expired,
    /// Anything else, after which nobody may ask again.
    Other,
}

impl DeviceError {
    /// The meaning of an error by its name.
    #[must_use]
    pub fn of(error: &str) -> Self {
        match error {
            "authorization_pending" => Self::Pending,
            "slow_down" => Self::SlowDown,
            "access_denied" => Self::Denied,
            "expired_token" => Self::Expired,
            _ => Self::Other,
        }
    }
}

/// How often to ask from now on, after `slow_down`.
#[must_use]
pub fn slower(interval: Duration) -> Duration {
    interval.saturating_add(SLOWER).min(INTERVAL_LONGEST)
}

/// How often to ask from now on, after there was no answer.
#[must_use]
pub fn doubled(interval: Duration) -> Duration {
    interval.saturating_mul(2).min(INTERVAL_LONGEST)
}

/// How a consent on another device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// The person has not decided so far.
    Pending,
    /// It was given, and its tokens are saved.
    Given,
    /// The person has refused.
    Denied,
    /// The person took too long.
    Expired,
    /// The provider gives no tokens.
    Failed,
}

impl DeviceState {
    /// All.
    const ALL: [Self; 5] = [Self::Pending, Self::Given, Self::Denied, Self::Expired, Self::Failed];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Given => "given",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    /// The state of a name. `None`: there is none of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_has_two_codes_and_an_address_for_people() {
        let whole = json!({
            "device_code": "d", "user_code": "WDJB-MJHT", "verification_uri": "https://a.test/d",
            "verification_uri_complete": "https://a.test/d?c=WDJB-MJHT", "expires_in": "1800",
            "interval": 7,
        });
        let read = DeviceCodes::read(&whole).unwrap();
        assert_eq!((read.life.as_secs(), read.interval.as_secs()), (1800, 7));
        assert_eq!(read.verification_uri_complete, Some("https://a.test/d?c=WDJB-MJHT"));
        assert!(!format!("{read:?}").contains("WDJB"), "it is no text for a log");
        let with = |name: &str, value: Json| {
            let mut other = whole.clone();
            other[name] = value;
            let read = DeviceCodes::read(&other);
            read.map(|read| (read.life.as_secs(), read.interval.as_secs()))
        };
        #[rustfmt::skip]
        let table = [
            ("expires_in",       Json::Null,               Ok((900, 7))),
            ("expires_in",       json!(1e300),             Ok((900, 7))),
            ("expires_in",       json!(1_000_000),         Ok((86_400, 7))),
            ("interval",         Json::Null,               Ok((1800, 5))),
            ("interval",         json!(0),                 Ok((1800, 1))),
            ("interval",         json!(-3),                Ok((1800, 5))),
            ("interval",         json!(86_400),            Ok((1800, 300))),
            ("device_code",      json!(""),                Err("it has no device_code")),
            ("device_code",      json!("x".repeat(5_000)), Err("its device_code is too long")),
            ("user_code",        json!(7),                 Err("it has no user_code")),
            ("user_code",        json!("a\nb"),            Err("its user_code cannot be shown")),
            ("verification_uri", json!("javascript:x"),
                                                 Err("it has no verification_uri that is a URL")),
        ];
        for (name, value, want) in table {
            assert_eq!(with(name, value.clone()), want, "{name} {value}");
        }
        let odd = json!({
            "device_code": "d", "user_code": "c", "verification_url": "https://a.test/",
            "verification_uri_complete": "data:x",
        });
        let read = DeviceCodes::read(&odd).unwrap();
        assert_eq!(read.verification_uri, "https://a.test/");
        assert_eq!(read.verification_uri_complete, None);
    }

    #[test]
    fn a_provider_is_asked_less_often_within_a_limit() {
        let of = Duration::from_secs;
        assert_eq!((slower(of(5)), slower(of(299))), (of(10), of(300)));
        assert_eq!((doubled(of(5)), doubled(of(200))), (of(10), of(300)));
        for state in DeviceState::ALL {
            assert_eq!(DeviceState::parse(state.as_str()), Some(state));
        }
    }
}
