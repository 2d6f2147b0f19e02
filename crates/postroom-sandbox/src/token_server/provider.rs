//! What a provider knows: consents, codes and tokens, and what it answers to questions for tokens.
//!
//! Standards: RFC 6749 §4.1.3, §4.4, §5 and §6, RFC 7636 §4.6, RFC 9700 §4.14.2.

use crate::token_server::device::AskedDevice;
use crate::token_server::device::GivenDevices;
use crate::token_server::page::AskedConsent;
use crate::token_server::robot;
use crate::token_server::robot::RobotAccount;
use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// The grant of device codes (RFC 8628 §3.4).
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How many codes are kept that nobody has used.
const CODES_MAX: usize = 1_000;

/// What a provider does with a question for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// It answers with this status of HTTP.
    Status(u16),
    /// It is asked too often, and wants so many seconds.
    AsksToWait(u64),
    /// It never answers.
    Silent,
    /// It gives a token, and the connection ends before the answer.
    Cut,
    /// It answers after this time.
    Slow(Duration),
    /// It refuses with this error.
    Says(&'static str),
}

/// A question for a token.
#[derive(Debug, Clone)]
pub struct TokenQuestion {
    /// When it came.
    pub at: Instant,
    /// The fields of the form.
    pub form: HashMap<String, String>,
    /// The status of the answer. `None`: there was none.
    pub status: Option<u16>,
}

/// A status of HTTP and JSON.
pub(crate) type FormSaid = (u16, String);

type OnToken = Box<dyn Fn(&str, &str) + Send + Sync>;

/// A code that somebody may show once.
struct GivenCode {
    user: String,
    asked: AskedConsent,
}

/// Whose tokens an app gets by its own secret.
struct Application {
    secret: String,
    /// The user. `None`: every user.
    user: Option<String>,
}

/// A refresh token.
#[derive(Clone)]
struct GivenRefresh {
    user: String,
    /// The number of the consent that it comes from.
    consent: u64,
}

/// An access token.
struct GivenAccess {
    /// Whose mail it is good for. `None`: that of every user.
    user: Option<String>,
    ends_at: Instant,
}

/// What a provider knows.
#[derive(Default)]
pub(crate) struct ProviderState {
    /// How long access tokens live.
    pub life: Duration,
    /// Whether a refresh token is good for one use, and its second use ends the consent.
    pub rotates: bool,
    /// The client id and the secret that are taken. `None`: any.
    pub client: Option<(String, String)>,
    number: u64,
    codes: HashMap<String, GivenCode>,
    /// The refresh tokens that are good.
    refresh: HashMap<String, GivenRefresh>,
    /// The consents by the refresh tokens that were used.
    used: HashMap<String, u64>,
    access: HashMap<String, GivenAccess>,
    /// What happens to the next questions.
    pub faults: VecDeque<TokenFault>,
    /// What happens to all others.
    pub always: Option<TokenFault>,
    /// All questions.
    pub asked: Vec<TokenQuestion>,
    /// How many are answered now.
    pub running: usize,
    /// How many were answered at the same time, at most.
    pub running_most: usize,
    /// Is called with the user and each access token.
    pub on_token: Option<OnToken>,
    application: Option<Application>,
    /// The codes for consents on other devices.
    pub devices: GivenDevices,
    /// A service account that acts for users.
    pub robot: Option<RobotAccount>,
}

impl ProviderState {
    /// One whose access tokens live for so long.
    pub(crate) fn of(life: Duration) -> Self {
        Self { life, ..Self::default() }
    }

    fn next(&mut self, what: &str) -> String {
        self.number += 1;
        format!("{what}-{}-canary", self.number)
    }

    /// A user consents. Gives the refresh token.
    pub(crate) fn new_refresh(&mut self, user: &str) -> String {
        let consent = self.number;
        self.refresh_of(GivenRefresh { user: user.to_owned(), consent })
    }

    fn refresh_of(&mut self, given: GivenRefresh) -> String {
        let token = self.next("refresh");
        self.refresh.insert(token.clone(), given);
        token
    }

    /// A user consents on the page. Gives the code.
    pub(crate) fn new_code(&mut self, user: &str, asked: AskedConsent) -> String {
        if self.codes.len() >= CODES_MAX {
            self.codes.clear();
        }
        let code = self.next("code");
        self.codes.insert(code.clone(), GivenCode { user: user.to_owned(), asked });
        code
    }

    /// A user takes all consents back.
    pub(crate) fn withdraw(&mut self, user: &str) {
        self.refresh.retain(|_, given| given.user != user);
        self.access.retain(|_, access| access.user.as_deref() != Some(user));
    }

    /// An app gets tokens by its own secret: of this user, or of every user.
    pub(crate) fn entitle(&mut self, secret: &str, user: Option<&str>) {
        let user = user.map(str::to_owned);
        self.application = Some(Application { secret: secret.to_owned(), user });
    }

    /// Whose mail an access token is good for, if it is good. `Some(None)`: that of every user.
    pub(crate) fn access_of(&self, token: &str) -> Option<Option<&str>> {
        let access = self.access.get(token)?;
        (access.ends_at > Instant::now()).then_some(access.user.as_deref())
    }

    /// The answer to a question: a status of HTTP and JSON.
    pub(crate) fn answer(&mut self, form: &HashMap<String, String>) -> FormSaid {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        match (field("grant_type"), field("bearer")) {
            ("refresh_token" | "authorization_code" | DEVICE_CODE, _) if !self.is_client(form) => {
                refused("invalid_client")
            }
            ("refresh_token", _) => self.by_refresh_token(field("refresh_token")),
            ("authorization_code", _) => self.by_code(form),
            (DEVICE_CODE, _) => self.by_device(field("device_code"), field("client_id")),
            (robot::GRANT_TYPE, _) => self.by_assertion(field("assertion")),
            ("client_credentials", _) => self.by_secret(field("client_secret")),
            ("", bearer) if !bearer.is_empty() => self.by_secret(bearer),
            _ => refused("unsupported_grant_type"),
        }
    }

    fn is_client(&self, form: &HashMap<String, String>) -> bool {
        self.client.as_ref().is_none_or(|(id, secret)| {
            form.get("client_id") == Some(id) && form.get("client_secret") == Some(secret)
        })
    }

    fn by_secret(&mut self, secret: &str) -> FormSaid {
        match &self.application {
            Some(application) if application.secret == secret => {
                let user = application.user.clone();
                self.give(user.as_deref(), "")
            }
            _ => refused("invalid_client"),
        }
    }

    fn by_assertion(&mut self, assertion: &str) -> FormSaid {
        let Some(account) = &self.robot else {
            return refused("unsupported_grant_type");
        };
        match account.subject_of(assertion) {
            Ok(user) => self.give(Some(&user), ""),
            Err(error) => refused(error),
        }
    }

    fn by_refresh_token(&mut self, old: &str) -> FormSaid {
        if let Some(consent) = self.used.get(old).copied() {
            // Somebody has stolen one of them. A later consent is another matter.
            self.refresh.retain(|_, given| given.consent != consent);
            return refused("invalid_grant");
        }
        let Some(given) = self.refresh.get(old).cloned() else {
            return refused("invalid_grant");
        };
        let mut more = String::new();
        if self.rotates {
            self.refresh.remove(old);
            self.used.insert(old.to_owned(), given.consent);
            more = format!(r#","refresh_token":"{}""#, self.refresh_of(given.clone()));
        }
        self.give(Some(&given.user), &more)
    }

    fn by_code(&mut self, form: &HashMap<String, String>) -> FormSaid {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        // It is gone, whatever comes of it.
        let Some(GivenCode { user, asked }) = self.codes.remove(field("code")) else {
            return refused("invalid_grant");
        };
        let challenge = digest::digest(&digest::SHA256, field("code_verifier").as_bytes());
        let is_it = BASE64_URL_SAFE_NO_PAD.encode(challenge) == asked.challenge
            && field("redirect_uri") == asked.redirect_uri
            && field("client_id") == asked.client_id;
        if !is_it {
            return refused("invalid_grant");
        }
        let more = format!(r#","refresh_token":"{}""#, self.new_refresh(&user));
        self.give(Some(&user), &more)
    }

    /// The answer to a question for codes.
    pub(crate) fn new_device(&mut self, form: &HashMap<String, String>, host: String) -> FormSaid {
        let client_id = form.get("client_id").cloned().unwrap_or_default();
        if client_id.is_empty() || !self.is_client(form) {
            return refused("invalid_client");
        }
        let (device_code, number) = (self.next("device"), self.number);
        let user_code = format!("WDJB-{number:04}");
        (200, self.devices.add(&device_code, &user_code, AskedDevice { client_id, host }))
    }

    fn by_device(&mut self, code: &str, client_id: &str) -> FormSaid {
        match self.devices.user_of(code, client_id) {
            Ok(user) => {
                let more = format!(r#","refresh_token":"{}""#, self.new_refresh(&user));
                self.give(Some(&user), &more)
            }
            Err(error) => refused(error),
        }
    }

    fn give(&mut self, user: Option<&str>, more: &str) -> FormSaid {
        let (token, now) = (self.next("access"), Instant::now());
        self.access.retain(|_, access| access.ends_at > now);
        let access = GivenAccess { user: user.map(str::to_owned), ends_at: now + self.life };
        self.access.insert(token.clone(), access);
        if let (Some(call), Some(user)) = (&self.on_token, user) {
            call(user, &token);
        }
        let life = self.life.as_secs_f64();
        let said = format!(
            r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{life}{more}}}"#
        );
        (200, said)
    }
}

pub(crate) fn refused(error: &str) -> FormSaid {
    (400, format!(r#"{{"error":"{error}"}}"#))
}
