//! A provider of OAuth 2.0 on loopback, or in memory: has a page of consent, gives tokens, tells
//! servers whether one is good, and fails as it is told to.
//!
//! ```text
//!   GET  /authorize    the page, whose one button leads to /consent
//!   POST /consent      back to the app with a code, or with `answer=deny` without one
//!   POST /token        tokens: by a code, a refresh token, the secret of an app, or an assertion
//!   POST /device       codes for a consent on another device, which /activate is the page of
//!   POST /introspect   whose token it is
//! ```
//! Standards: RFC 6749, RFC 7523 (service accounts), RFC 7636 (PKCE), RFC 7662 (introspection),
//! RFC 8628 (consents on other devices).

mod device;
mod form;
mod page;
mod robot;

mod provider;

use crate::token_server::form::FormAsked;
use crate::token_server::page::AskedConsent;
use crate::token_server::provider::ProviderState;
use crate::token_server::robot::RobotAccount;
use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub use crate::token_server::provider::TokenFault;
pub use crate::token_server::provider::TokenQuestion;

/// How long access tokens live unless they are told to live otherwise.
const LIFE_USUAL: Duration = Duration::from_secs(3600);
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// A provider. Clones share everything.
#[derive(Clone)]
pub struct TokenServer(Arc<Mutex<ProviderState>>);

/// A provider that listens on loopback, as long as this is kept.
pub struct ListeningTokenServer {
    /// Where it listens.
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Drop for ListeningTokenServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer of HTTP.
struct FormAnswered {
    status: u16,
    media_type: &'static str,
    /// A further header field.
    field: Option<String>,
    body: String,
}

impl Default for TokenServer {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(ProviderState::of(LIFE_USUAL))))
    }
}

impl TokenServer {
    fn state(&self) -> MutexGuard<'_, ProviderState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, access tokens live for so long.
    pub fn live(&self, life: Duration) {
        self.state().life = life;
    }

    /// From now on, each refresh token is good for one use. A second use ends the consent (RFC 9700
    /// §4.14.2).
    pub fn rotate(&self) {
        self.state().rotates = true;
    }

    /// From now on, codes and refresh tokens are taken from this client alone.
    pub fn register(&self, client_id: &str, client_secret: &str) {
        self.state().client = Some((client_id.to_owned(), client_secret.to_owned()));
    }

    /// Calls this with the user and the access token, whenever one is given.
    pub fn on_token(&self, call: impl Fn(&str, &str) + Send + Sync + 'static) {
        self.state().on_token = Some(Box::new(call));
    }

    /// A user consents. Gives the refresh token. An earlier consent stays.
    #[must_use]
    pub fn consent(&self, user: &str) -> String {
        self.state().new_refresh(user)
    }

    /// From now on, an app with this secret gets tokens of a user without a consent: by its
    /// credentials, or by asking with the secret as its bearer. `None`: they are good for every
    /// user.
    pub fn entitle(&self, secret: &str, user: Option<&str>) {
        self.state().entitle(secret, user);
    }

    /// Makes a service account of this address, which may act for every user. Gives its key, in
    /// PEM. Another one takes its place.
    #[must_use]
    pub fn robot_account(&self, address: &str) -> String {
        let (account, key) = RobotAccount::new(address);
        self.state().robot = Some(account);
        key
    }

    /// Whether the service account may act for users.
    pub fn delegate(&self, is_allowed: bool) {
        if let Some(account) = &mut self.state().robot {
            account.is_allowed = is_allowed;
        }
    }

    /// A user takes all consents back.
    pub fn withdraw(&self, user: &str) {
        self.state().withdraw(user);
    }

    /// Does this with the next questions, one after the other.
    pub fn then(&self, faults: &[TokenFault]) {
        self.state().faults = faults.iter().copied().collect();
    }

    /// Does this with all questions. `None`: answers them.
    pub fn always(&self, fault: Option<TokenFault>) {
        self.state().always = fault;
    }

    /// From now on, codes for consents on other devices are good for so long.
    pub fn devices_live(&self, life: Duration) {
        self.state().devices.life = life;
    }

    /// A person decides on another device about the app with this code. `None`: against it. Gives
    /// whether there is such a code.
    pub fn decide(&self, user_code: &str, user: Option<&str>) -> bool {
        self.state().devices.decide(user_code, user)
    }

    /// All questions so far.
    #[must_use]
    pub fn asked(&self) -> Vec<TokenQuestion> {
        self.state().asked.clone()
    }

    /// How many questions there were at the same time, at most.
    #[must_use]
    pub fn at_once(&self) -> usize {
        self.state().running_most
    }

    /// Whether an access token is good for the mail of a user.
    pub(crate) fn lets_in(&self, user: &str, token: &str) -> bool {
        let state = self.state();
        let of = state.access_of(token);
        of.is_some_and(|of| of.is_none_or(|of| of.eq_ignore_ascii_case(user)))
    }

    /// Listens on a free port of loopback.
    ///
    /// # Errors
    ///
    /// There is none.
    pub async fn listen(&self) -> io::Result<ListeningTokenServer> {
        self.listen_on(0).await
    }

    /// Listens on a port of loopback. 0: on any that is free.
    ///
    /// # Errors
    ///
    /// Another process has it.
    pub async fn listen_on(&self, port: u16) -> io::Result<ListeningTokenServer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let server = self.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        Ok(ListeningTokenServer { address, task: task.abort_handle() })
    }

    /// Serves one request of a connection.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let asked = form::read(&mut stream).await?;
        let answered = match asked.path.as_str() {
            "/authorize" => authorize(&asked.fields),
            "/consent" => self.consented(&asked.fields),
            "/device" => self.device(asked),
            "/activate" => self.activate(&asked.fields),
            path if path.contains("/introspect") => self.introspect(&asked.fields),
            _ => {
                let _running = RunningQuestion::begin(self);
                match self.token(asked).await {
                    Some(answered) => answered,
                    None => return Ok(()),
                }
            }
        };
        let FormAnswered { status, media_type, field, body } = answered;
        let field = field.map(|field| format!("{field}\r\n")).unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\n{field}content-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }

    /// Where the browser goes from the page.
    fn consented(&self, fields: &HashMap<String, String>) -> FormAnswered {
        let asked = match AskedConsent::of(fields) {
            Ok(asked) => asked,
            Err(problem) => return malformed(problem),
        };
        let user = fields.get("user").map(|user| user.trim()).unwrap_or_default();
        let back = if fields.get("answer").is_some_and(|answer| answer == "deny") {
            asked.back("error", "access_denied")
        } else if user.is_empty() {
            return malformed("say who you are");
        } else {
            let code = self.state().new_code(user, asked.clone());
            asked.back("code", &code)
        };
        let field = Some(format!("location: {back}"));
        FormAnswered { status: 302, media_type: TEXT, field, body: String::new() }
    }

    /// Codes for a consent on another device.
    fn device(&self, asked: FormAsked) -> FormAnswered {
        let host = asked.host.unwrap_or_default();
        let (status, body) = self.state().new_device(&asked.fields, host);
        FormAnswered { status, media_type: JSON, field: None, body }
    }

    /// The page of such a consent, and what a person decides there.
    fn activate(&self, fields: &HashMap<String, String>) -> FormAnswered {
        let field = |name: &str| fields.get(name).map(|text| text.trim()).unwrap_or_default();
        let (code, user, answer) = (field("user_code"), field("user"), field("answer"));
        let (status, media_type, body) = match answer {
            "" => (200, HTML, device::page(code)),
            "deny" if self.decide(code, None) => (200, TEXT, "nobody has consented\n".to_owned()),
            "deny" => (404, TEXT, "there is no such code\n".to_owned()),
            _ if user.is_empty() => return malformed("say who you are"),
            _ if self.decide(code, Some(user)) => (200, TEXT, "thank you\n".to_owned()),
            _ => (404, TEXT, "there is no such code\n".to_owned()),
        };
        FormAnswered { status, media_type, field: None, body }
    }

    fn introspect(&self, fields: &HashMap<String, String>) -> FormAnswered {
        let token = fields.get("token").map(String::as_str).unwrap_or_default();
        let state = self.state();
        let body = state.access_of(token).flatten().map_or_else(
            || r#"{"active":false}"#.to_owned(),
            |user| format!(r#"{{"active":true,"username":"{user}","scope":"mail"}}"#),
        );
        FormAnswered { status: 200, media_type: JSON, field: None, body }
    }

    /// The answer to a question for a token. `None`: the connection ends.
    async fn token(&self, asked: FormAsked) -> Option<FormAnswered> {
        let mut form = asked.fields;
        form.extend(asked.bearer.map(|secret| ("bearer".to_owned(), secret)));
        let (fault, at) = {
            let mut state = self.state();
            let question = TokenQuestion { at: Instant::now(), form: form.clone(), status: None };
            state.asked.push(question);
            (state.faults.pop_front().or(state.always), state.asked.len() - 1)
        };
        let mut field = None;
        let (status, body) = match fault {
            Some(TokenFault::Status(status)) => (status, String::new()),
            Some(TokenFault::AsksToWait(seconds)) => {
                field = Some(format!("retry-after: {seconds}"));
                (429, String::new())
            }
            Some(TokenFault::Says(error)) => provider::refused(error),
            Some(TokenFault::Silent) => std::future::pending().await,
            Some(TokenFault::Cut) => {
                self.state().answer(&form);
                return None;
            }
            Some(TokenFault::Slow(pause)) => {
                tokio::time::sleep(pause).await;
                self.state().answer(&form)
            }
            None => self.state().answer(&form),
        };
        if let Some(question) = self.state().asked.get_mut(at) {
            question.status = Some(status);
        }
        Some(FormAnswered { status, media_type: JSON, field, body })
    }
}

/// The page of consent.
fn authorize(fields: &HashMap<String, String>) -> FormAnswered {
    let user = fields.get("login_hint").map(String::as_str).unwrap_or_default();
    match AskedConsent::of(fields) {
        Ok(asked) => {
            let body = asked.page(user);
            FormAnswered { status: 200, media_type: HTML, field: None, body }
        }
        Err(problem) => malformed(problem),
    }
}

fn malformed(problem: &str) -> FormAnswered {
    FormAnswered { status: 400, media_type: TEXT, field: None, body: format!("{problem}\n") }
}

/// Counts a question while it is answered.
struct RunningQuestion<'a>(&'a TokenServer);

impl<'a> RunningQuestion<'a> {
    fn begin(server: &'a TokenServer) -> Self {
        let mut state = server.state();
        state.running += 1;
        state.running_most = state.running_most.max(state.running);
        drop(state);
        Self(server)
    }
}

impl Drop for RunningQuestion<'_> {
    fn drop(&mut self) {
        self.0.state().running -= 1;
    }
}
