//! `/rest/v1/iam/sessions`: people sign in by a login and a password, or with a token, and out.
//!
//! ```text
//!   POST   {"domain", "login", "pwd", "code"}            201 {"token", "expiresAt", …}
//!   POST   {"token"}                                     201, for a browser that keeps no token
//!   POST   … "cookie": true                              201, and the token is in a cookie
//!   DELETE                                               204: the session that sent it has ended
//! ```
//! Five failures within three minutes lock a source out, and a login for that source. So nobody
//! locks others out: who signs in from elsewhere is not concerned. An unknown login is answered as
//! a wrong password is, and takes as long. Only who knows the password hears that a code is
//! missing or wrong, and a wrong code is a failure as a wrong password is. What is locked out costs
//! no hash of a password. Tokens are locked out as everywhere.
//!
//! Standards: RFC 6265 (cookies), RFC 6750.

use crate::app::App;
use crate::asking::AuditedRequest;
use crate::asking::WhoAsks;
use crate::body;
use crate::caller;
use crate::caller::Caller;
use crate::caller::IsHttps;
use crate::lockout::ShownToken;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::Domain;
use postroom_model::Invalid;
use postroom_store::BegunSession;
use postroom_store::LoginOutcome;
use postroom_store::OfferedLogin;
use postroom_store::SESSION_IDLE_MS;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value;
use serde_json::json;
use tokio::time::Instant;

/// The path.
pub(crate) const SESSIONS: &str = "/rest/v1/iam/sessions";
/// How many bytes a body has.
const BYTES_MAX: u64 = 16 * 1024;
/// How many characters of a hash stand for a login.
const LOGIN_HASH_CHARS: usize = 8;
/// The members of a body with a login, and of one with a token.
const BY_LOGIN: &[&str] = &["domain", "login", "pwd", "code", "cookie"];
const BY_TOKEN: &[&str] = &["token", "cookie"];
/// How long a code is right, at least.
const CODE_MS: i64 = 30_000;
/// The kind of the problem that a code is missing or wrong, and the password is right.
pub(crate) const SECOND_FACTOR: &str = "second-factor";
/// The challenge to who is not known.
const CHALLENGE: &str = "Bearer realm=\"postroom\"";

/// What a client sends to sign in.
struct SignIn {
    who: SignsIn,
    /// Whether the token is given as a cookie.
    by_cookie: bool,
}

/// Who signs in.
enum SignsIn {
    User(UserLogin),
    /// Who has this token.
    Token(SecretString),
}

/// A user with a password.
struct UserLogin {
    domain: Domain,
    login: String,
    password: SecretString,
    code: Option<SecretString>,
}

/// `POST`: begins a session.
///
/// # Errors
///
/// 401 for an unknown login, a wrong password, a user who is disabled and a wrong token; 401 of the
/// kind `second-factor` for a code that is missing or wrong beside the right password; 403 for a
/// page of another site that asks for a cookie, because it would sign the browser in as somebody
/// else; 422 for another body; 429 for a source that failed too often.
pub(crate) async fn begin(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    parameters::of(&parts.uri, &[])?;
    let (bytes, _share) = body::whole(&parts.headers, body, BYTES_MAX, &app).await?;
    let sent = body::parse_json("the body", bytes, &app).await?;
    let SignIn { who, by_cookie } = SignIn::read(&sent.document.json)?;
    if by_cookie && !caller::is_of_own_page(&parts.headers) {
        let detail = "a page of another site has asked for the cookie of a session, so nobody was \
                      signed in: sign in on a page of this address";
        return Err(Problem::new(StatusCode::FORBIDDEN, "other-origin", detail));
    }
    let begun = match who {
        SignsIn::User(login) => login.begin(&app, &parts).await?,
        SignsIn::Token(token) => {
            Caller::known(&parts, &app, token.expose_secret()).await?;
            let store = app.store.of_origin(AuditedRequest::of(&parts.extensions).origin());
            let begun = store.session_begin_with(token.expose_secret()).await?;
            let detail = "this token is that of a session, which begins no other one";
            begun.ok_or_else(|| Problem::unauthenticated(CHALLENGE, detail))?
        }
    };
    let idle_seconds = SESSION_IDLE_MS / 1000;
    let mut answer =
        json!({"expiresAt": begun.ends.to_string(), "idleSeconds": idle_seconds, "token": null});
    let mut fields = HeaderMap::new();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if by_cookie {
        let is_https = parts.extensions.get::<IsHttps>().is_some_and(|it| it.0);
        fields.extend(cookie(Some(&begun.token), is_https).map(|it| (header::SET_COOKIE, it)));
    } else if let Some(token) = answer.get_mut("token") {
        *token = json!(begun.token.expose_secret());
    }
    Ok((StatusCode::CREATED, fields, Json(answer)).into_response())
}

/// `DELETE`: ends the session that the request shows. A browser forgets its cookie.
///
/// # Errors
///
/// 404 for a token that is no session.
pub(crate) async fn end(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    if !caller.store(&app).session_end(&caller::bearer(&headers)?).await? {
        return Err(Problem::not_found("this token is no session: DELETE it in iam/Tokens"));
    }
    let fields = cookie(None, false).map(|cookie| [(header::SET_COOKIE, cookie)]);
    Ok((StatusCode::NO_CONTENT, fields.into_iter().flatten().collect::<HeaderMap>())
        .into_response())
}

impl UserLogin {
    async fn begin(self, app: &App, parts: &Parts) -> Result<BegunSession, Problem> {
        let (source, shown, now) = (caller::source(parts), self.shown(), Instant::now());
        let asking = AuditedRequest::of(&parts.extensions);
        asking.is_by(WhoAsks::Login(self.domain.clone(), self.login.clone()));
        let shown = ShownToken { source, token: &shown };
        if let Some(wait) = app.logins.refused_login(shown, now) {
            return Err(locked_out(wait.as_secs() + 1));
        }
        let Self { domain, login, password, code } = self;
        let guess = code.as_ref().map(|code| guess(shown.token, code, app));
        let offered = OfferedLogin { domain: &domain, login: &login, password, code };
        let store = app.store.of_origin(asking.origin());
        let detail = match store.session_begin(offered).await? {
            LoginOutcome::Begun(begun) => {
                app.logins.accepted(shown, Instant::now());
                return Ok(begun);
            }
            LoginOutcome::Refused => {
                app.logins.failed(shown, Instant::now());
                let detail = "the login or the password is wrong, or the user may not sign in";
                return Err(Problem::unauthenticated(CHALLENGE, detail));
            }
            LoginOutcome::CodeWrong => {
                let token = guess.as_deref().unwrap_or(shown.token);
                app.logins.failed(ShownToken { source, token }, Instant::now());
                "the code is wrong, or was used before: send the next one as `code`, or a recovery \
                 code"
            }
            LoginOutcome::CodeMissing => {
                asking.is_by(WhoAsks::LoginWithoutCode(domain.clone(), login.clone()));
                "this user has a second factor: send all of it again with the code of the app as \
                 `code`, or a recovery code"
            }
        };
        Err(Problem::unauthenticated(CHALLENGE, detail).of_kind(SECOND_FACTOR))
    }

    /// What stands for the login and the password where failures are counted: those of one login
    /// begin alike.
    fn shown(&self) -> String {
        let password = blake3::hash(self.password.expose_secret().as_bytes());
        format!("{}{}", login_shown(&self.domain, &self.login), password.to_hex())
    }
}

/// What stands for a login where failures are counted: how those of it begin.
pub(crate) fn login_shown(domain: &Domain, login: &str) -> String {
    let login = blake3::hash(format!("{}\n{login}", domain.as_str()).as_bytes());
    login.to_hex().chars().take(LOGIN_HASH_CHARS).collect()
}

/// What stands for a login with a code where failures are counted. The same code counts again in
/// the next time, because it may be right then.
pub(crate) fn guess(shown: &str, code: &SecretString, app: &App) -> String {
    let time = app.store.clock().now_ms().div_euclid(CODE_MS);
    let code = blake3::hash(format!("{shown}\n{time}\n{}", code.expose_secret()).as_bytes());
    format!("{}{}", shown.get(..LOGIN_HASH_CHARS).unwrap_or_default(), code.to_hex())
}

impl SignIn {
    fn read(json: &Value) -> Result<Self, Problem> {
        let form = "takes an object: {\"domain\": \"default\", \"login\": …, \"pwd\": …}";
        let members = json.as_object().ok_or_else(|| Invalid::new("", form))?;
        let by_token = members.contains_key("token");
        let known = if by_token { BY_TOKEN } else { BY_LOGIN };
        let mut problems = vec![];
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            let reason = format!("is no member here; there are {}", known.join(", "));
            problems.push(Invalid::new(name.as_str(), reason));
        }
        let by_cookie = members.get("cookie").filter(|value| !value.is_null());
        if by_cookie.is_some_and(|value| !value.is_boolean()) {
            problems.push(Invalid::new("cookie", "takes true or false"));
        }
        let by_cookie = by_cookie.and_then(Value::as_bool).unwrap_or_default();
        let mut text = |name: &str, other: Option<&str>| {
            let given = members.get(name).filter(|value| !value.is_null());
            let read = given.map_or(other, Value::as_str).map(str::to_owned);
            if read.is_none() {
                problems.push(Invalid::new(name, "takes a text"));
            }
            read.unwrap_or_default()
        };
        if by_token {
            let who = SignsIn::Token(SecretString::from(text("token", None)));
            return if problems.is_empty() {
                Ok(Self { who, by_cookie })
            } else {
                Err(problems.into())
            };
        }
        let domain = text("domain", Some(Domain::default_domain().as_str()));
        let (login, password) = (text("login", None), SecretString::from(text("pwd", None)));
        let has_code = members.get("code").is_some_and(|code| !code.is_null());
        let code = has_code.then(|| SecretString::from(text("code", None)));
        let login = login.trim().to_lowercase();
        let domain = Domain::new(&domain);
        if let Err(problem) = &domain {
            problems.push(Invalid::new("domain", problem.to_string()));
        }
        match domain {
            Ok(domain) if problems.is_empty() => {
                let who = SignsIn::User(UserLogin { domain, login, password, code });
                Ok(Self { who, by_cookie })
            }
            Ok(_) | Err(_) => Err(problems.into()),
        }
    }
}

/// The field that gives a browser the token of a session. `None` as token: it forgets it.
fn cookie(token: Option<&SecretString>, is_https: bool) -> Option<HeaderValue> {
    let (value, age) = match token {
        Some(token) => (token.expose_secret(), ""),
        None => ("", "; Max-Age=0"),
    };
    let secure = if is_https { "; Secure" } else { "" };
    let name = caller::COOKIE;
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
    let mut field = HeaderValue::from_str(&text).ok()?;
    field.set_sensitive(true);
    Some(field)
}

pub(crate) fn locked_out(seconds: u64) -> Problem {
    let detail =
        format!("too many failures to sign in from this address; try again in {seconds} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "locked-out", detail)
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
}
