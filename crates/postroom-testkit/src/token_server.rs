//! A provider of OAuth 2.0 on loopback, or in memory: gives tokens, tells servers whether one is
//! good, and fails as it is told to.
//!
//! Standards: RFC 6749 §6 (refresh tokens), RFC 7662 (introspection).

use std::collections::HashMap;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How many bytes a request may have.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

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

type OnToken = Box<dyn Fn(&str, &str) + Send + Sync>;

struct ProviderState {
    life: Duration,
    /// Whether a refresh token is good for one use, and its second use ends the consent.
    rotates: bool,
    number: u64,
    /// The users by the refresh token that is good.
    refresh: HashMap<String, String>,
    /// The users by the refresh tokens that were used.
    used: HashMap<String, String>,
    /// The users and ends of access tokens.
    access: HashMap<String, (String, Instant)>,
    faults: VecDeque<TokenFault>,
    always: Option<TokenFault>,
    asked: Vec<TokenQuestion>,
    running: usize,
    running_most: usize,
    on_token: Option<OnToken>,
    /// Whose tokens an app gets by its own secret.
    application: Option<(String, String)>,
}

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

impl Default for TokenServer {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(ProviderState {
            life: Duration::from_secs(3600),
            rotates: false,
            number: 0,
            refresh: HashMap::new(),
            used: HashMap::new(),
            access: HashMap::new(),
            faults: VecDeque::new(),
            always: None,
            asked: vec![],
            running: 0,
            running_most: 0,
            on_token: None,
            application: None,
        })))
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
    /// credentials, or by asking with the secret as its bearer.
    pub fn entitle(&self, secret: &str, user: &str) {
        self.state().application = Some((secret.to_owned(), user.to_owned()));
    }

    /// A user takes all consents back.
    pub fn withdraw(&self, user: &str) {
        let mut state = self.state();
        state.refresh.retain(|_, of| of != user);
        state.access.retain(|_, (of, _)| of != user);
    }

    /// Does this with the next questions, one after the other.
    pub fn then(&self, faults: &[TokenFault]) {
        self.state().faults = faults.iter().copied().collect();
    }

    /// Does this with all questions. `None`: answers them.
    pub fn always(&self, fault: Option<TokenFault>) {
        self.state().always = fault;
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

    /// Who an access token is of, if it is good.
    #[must_use]
    pub fn user_of(&self, token: &str) -> Option<String> {
        let state = self.state();
        let (user, ends_at) = state.access.get(token)?;
        (*ends_at > Instant::now()).then(|| user.clone())
    }

    /// Listens on a free port of loopback.
    ///
    /// # Errors
    ///
    /// There is none.
    pub async fn listen(&self) -> io::Result<ListeningTokenServer> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
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
        let (head, body) = request(&mut stream).await?;
        let line = head.lines().next().unwrap_or_default();
        let mut form = decoded(&body);
        let bearer = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
        form.extend(bearer.map(|secret| ("bearer".to_owned(), secret.to_owned())));
        let (status, body) = if line.contains("/introspect") {
            let query = line.split(['?', ' ']).find(|part| part.contains("token="));
            let form = query.map(decoded).unwrap_or(form);
            let token = form.get("token").map(String::as_str).unwrap_or_default();
            let said = self.user_of(token).map_or_else(
                || r#"{"active":false}"#.to_owned(),
                |user| format!(r#"{{"active":true,"username":"{user}","scope":"mail"}}"#),
            );
            (200, said)
        } else {
            let _running = RunningQuestion::begin(self);
            match self.token(form).await {
                Some(answer) => answer,
                None => return Ok(()),
            }
        };
        let wait = if status == 429 { format!("retry-after: {body}\r\n") } else { String::new() };
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{wait}content-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }

    /// The answer to a question for a token. `None`: the connection ends.
    async fn token(&self, form: HashMap<String, String>) -> Option<(u16, String)> {
        let fault = {
            let mut state = self.state();
            state.faults.pop_front().or(state.always)
        };
        let question = TokenQuestion { at: Instant::now(), form: form.clone(), status: None };
        let at = {
            let mut state = self.state();
            state.asked.push(question);
            state.asked.len() - 1
        };
        let answer = match fault {
            Some(TokenFault::Status(status)) => (status, String::new()),
            Some(TokenFault::AsksToWait(seconds)) => (429, seconds.to_string()),
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
        self.state().asked[at].status = Some(answer.0);
        Some(answer)
    }
}

impl ProviderState {
    fn next(&mut self, what: &str) -> String {
        self.number += 1;
        format!("{what}-{}-canary", self.number)
    }

    fn new_refresh(&mut self, user: &str) -> String {
        let token = self.next("refresh");
        self.refresh.insert(token.clone(), user.to_owned());
        token
    }

    fn answer(&mut self, form: &HashMap<String, String>) -> (u16, String) {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let refused = |error: &str| (400, format!(r#"{{"error":"{error}"}}"#));
        let secret = match (field("grant_type"), field("bearer")) {
            ("refresh_token", _) => None,
            ("client_credentials", _) => Some(field("client_secret")),
            ("", bearer) if !bearer.is_empty() => Some(bearer),
            _ => return refused("unsupported_grant_type"),
        };
        if let Some(secret) = secret {
            return match self.application.clone() {
                Some((right, user)) if right == secret => self.give(&user, ""),
                _ => refused("invalid_client"),
            };
        }
        let old = field("refresh_token");
        if let Some(user) = self.used.get(old).cloned() {
            // Somebody has stolen one of them.
            self.refresh.retain(|_, of| *of != user);
            return refused("invalid_grant");
        }
        let Some(user) = self.refresh.get(old).cloned() else {
            return refused("invalid_grant");
        };
        let mut more = String::new();
        if self.rotates {
            self.refresh.remove(old);
            self.used.insert(old.to_owned(), user.clone());
            more = format!(r#","refresh_token":"{}""#, self.new_refresh(&user));
        }
        self.give(&user, &more)
    }

    fn give(&mut self, user: &str, more: &str) -> (u16, String) {
        let token = self.next("access");
        self.access.insert(token.clone(), (user.to_owned(), Instant::now() + self.life));
        if let Some(call) = &self.on_token {
            call(user, &token);
        }
        let life = self.life.as_secs_f64();
        let said = format!(
            r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{life}{more}}}"#
        );
        (200, said)
    }
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

/// The head and the body of a request.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(String, String)> {
    let mut read = vec![];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length
                .split("content-length:")
                .nth(1)
                .and_then(|rest| rest.lines().next().and_then(|length| length.trim().parse().ok()));
            if body.len() >= length.unwrap_or(0) {
                return Ok((head.to_owned(), body.to_owned()));
            }
        }
        if read.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The fields of a form.
fn decoded(form: &str) -> HashMap<String, String> {
    let field = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((percent_decoded(name), percent_decoded(value)))
    };
    form.split('&').filter_map(field).collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits = match byte {
            b'%' => [rest.next(), rest.next()],
            b'+' => [Some(b'2'), Some(b'0')],
            byte => {
                bytes.push(byte);
                continue;
            }
        };
        let digits: Vec<u8> = digits.into_iter().flatten().collect();
        let digits = String::from_utf8_lossy(&digits).into_owned();
        bytes.extend(u8::from_str_radix(&digits, 16).ok());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
