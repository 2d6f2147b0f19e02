//! Consents on another device: the codes, what a person decides, and what an app is told.
//!
//! Standards: RFC 8628 §3.2 (codes) and §3.5 (answers to an app).

use crate::token_server::form::escaped;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How many device codes are kept.
const CODES_MAX: usize = 1_000;
/// How often an app may ask.
const INTERVAL: Duration = Duration::from_secs(1);
/// What is added if it asks more often.
const SLOWER: Duration = Duration::from_secs(5);
/// How long codes are good unless they are told to be good for another time.
const LIFE_USUAL: Duration = Duration::from_secs(900);

/// A device code that was given.
struct GivenDevice {
    user_code: String,
    client_id: String,
    ends_at: Instant,
    /// How long to wait between two questions.
    interval: Duration,
    asked_at: Option<Instant>,
    decision: Option<DeviceDecision>,
}

/// What a person has decided.
enum DeviceDecision {
    Allowed(String),
    Denied,
}

/// All device codes.
pub(crate) struct GivenDevices {
    codes: HashMap<String, GivenDevice>,
    /// How long a code is good.
    pub life: Duration,
}

impl Default for GivenDevices {
    fn default() -> Self {
        Self { codes: HashMap::new(), life: LIFE_USUAL }
    }
}

impl GivenDevices {
    /// Keeps a new code. Gives the answer for the app.
    pub(crate) fn add(&mut self, device_code: &str, user_code: &str, asked: AskedDevice) -> String {
        if self.codes.len() >= CODES_MAX {
            self.codes.clear();
        }
        let AskedDevice { client_id, host } = asked;
        let given = GivenDevice {
            user_code: user_code.to_owned(),
            client_id,
            ends_at: Instant::now() + self.life,
            interval: INTERVAL,
            asked_at: None,
            decision: None,
        };
        self.codes.insert(device_code.to_owned(), given);
        let (page, life) = (format!("http://{host}/activate"), self.life.as_secs());
        let interval = INTERVAL.as_secs();
        let whole = format!("{page}?user_code={user_code}");
        [
            format!(r#"{{"device_code":"{device_code}","user_code":"{user_code}""#),
            format!(r#""verification_uri":"{page}","verification_uri_complete":"{whole}""#),
            format!(r#""expires_in":{life},"interval":{interval}}}"#),
        ]
        .join(",")
    }

    /// A person decides. `user`: who allows it, or nobody. `false`: there is no such code.
    pub(crate) fn decide(&mut self, user_code: &str, user: Option<&str>) -> bool {
        let is_it = |it: &&mut GivenDevice| it.user_code.eq_ignore_ascii_case(user_code);
        let given = self.codes.values_mut().find(is_it);
        given.is_some_and(|given| {
            given.decision =
                Some(user.map_or(DeviceDecision::Denied, |user| {
                    DeviceDecision::Allowed(user.to_owned())
                }));
            true
        })
    }

    /// Who has consented, for an app that asks.
    ///
    /// # Errors
    ///
    /// The name of the error.
    pub(crate) fn user_of(&mut self, code: &str, client_id: &str) -> Result<String, &'static str> {
        let now = Instant::now();
        let given = self.codes.get_mut(code).filter(|given| given.client_id == client_id);
        let given = given.ok_or("invalid_grant")?;
        if given.ends_at <= now {
            self.codes.remove(code);
            return Err("expired_token");
        }
        // A timer may be a little early.
        let least = given.interval * 9 / 10;
        if given.asked_at.is_some_and(|at| now.duration_since(at) < least) {
            given.asked_at = Some(now);
            given.interval += SLOWER;
            return Err("slow_down");
        }
        given.asked_at = Some(now);
        match &given.decision {
            None => Err("authorization_pending"),
            Some(DeviceDecision::Denied) => {
                self.codes.remove(code);
                Err("access_denied")
            }
            Some(DeviceDecision::Allowed(user)) => {
                let user = user.clone();
                self.codes.remove(code);
                Ok(user)
            }
        }
    }
}

/// What an app says when it asks for codes.
pub(crate) struct AskedDevice {
    /// Its client id.
    pub client_id: String,
    /// The host and the port that it asks.
    pub host: String,
}

/// The page where a person types a code, with this one.
pub(crate) fn page(user_code: &str) -> String {
    include_str!("device.html").replace("{code}", &escaped(user_code))
}
