//! `/rest/v1/iam/totp`: users set up their second factor, and give it up.
//!
//! ```text
//!   GET                        200 {"secondFactor", "recoveryCodes"}
//!   POST   {}                  200 {"secret", "uri", "until"}: it waits for its first code
//!   POST   {"code": "123456"}  200 {"recoveryCodes": […]}: from now on each login needs a code
//!   DELETE {"code": …}         204: it is gone
//! ```
//! It is about the user whose session sends the request, whatever rights that user has. Wrong codes
//! are counted with those of logins. Answers with secrets are kept by nobody.
//!
//! Standards: RFC 6238.

use crate::app::App;
use crate::body;
use crate::caller;
use crate::caller::Caller;
use crate::claim_request::BodyMembers;
use crate::lockout::ShownToken;
use crate::parameters;
use crate::percent;
use crate::problem::Problem;
use crate::session;
use axum::Json;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_store::NewTotpKey;
use postroom_store::Store;
use postroom_store::TotpRefusal;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value;
use serde_json::json;
use tokio::time::Instant;

/// The path.
pub(crate) const TOTP: &str = "/rest/v1/iam/totp";
/// How many bytes a body has.
const BYTES_MAX: u64 = 4 * 1024;
/// The form of a body.
const FORM: &str = "takes an object: {\"code\": \"123456\"}";
/// The name that an app shows beside the login.
const ISSUER: &str = "Postroom";

/// The user who asks.
struct AskingUser {
    domain: Domain,
    id: EntityId,
    /// `user:` and the login.
    name: String,
    store: Store,
}

/// `GET`: whether the user has a second factor, and how many recovery codes are left.
///
/// # Errors
///
/// 404 for a token that is not the session of a user.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let user = AskingUser::of(caller, &app)?;
    let state =
        user.store.totp_state(user.id).await?.ok_or_else(|| refused(TotpRefusal::NoUser))?;
    let shown = json!({
        "secondFactor": state.is_active,
        "recoveryCodes": state.recovery_codes,
    });
    Ok(kept_by_nobody(&shown))
}

/// `POST`: makes a key that waits for its first code, or takes that code.
///
/// # Errors
///
/// 404 for a token that is not the session of a user; 409 for who has a second factor, or none that
/// waits; 422 for a wrong code; 429 after too many.
pub(crate) async fn set_up(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let user = AskingUser::of(caller, &app)?;
    let (parts, code) = code_of(request, &app).await?;
    let AskingUser { domain, id, .. } = &user;
    let Some(code) = code else {
        let begun = user.store.totp_begin(domain, *id).await?.map_err(refused)?;
        return Ok(kept_by_nobody(&user.shown(&begun)));
    };
    user.counted(&app, &parts, &code)?;
    let activated = user.store.totp_activate(domain, *id, &code).await?;
    let codes = activated.map_err(|refusal| user.failed(&app, &parts, &code, refusal))?;
    let codes: Vec<_> = codes.iter().map(|code| code.expose_secret()).collect();
    Ok(kept_by_nobody(&json!({"recoveryCodes": codes})))
}

/// `DELETE`: removes the second factor of who shows a code of it, or a recovery code.
///
/// # Errors
///
/// As [`set_up`].
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let user = AskingUser::of(caller, &app)?;
    let (parts, code) = code_of(request, &app).await?;
    let missing = "is missing: the code of the app, or a recovery code";
    let code = code.ok_or_else(|| Invalid::new("code", missing))?;
    user.counted(&app, &parts, &code)?;
    let removed = user.store.totp_remove(&user.domain, user.id, &code).await?;
    removed.map_err(|refusal| user.failed(&app, &parts, &code, refusal))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl AskingUser {
    fn of(caller: Caller, app: &App) -> Result<Self, Problem> {
        let store = caller.store(app);
        let bearer = caller.unchecked();
        let detail = "only a user has a second factor, and this token is not the session of a \
                      user: sign in with a login and a password";
        let id = bearer.user.ok_or_else(|| Problem::not_found(detail))?;
        Ok(Self { domain: bearer.domain, id, name: bearer.name, store })
    }

    /// A key as an app takes it: to be typed, or as the content of a QR code.
    fn shown(&self, begun: &NewTotpKey) -> Value {
        let login = self.name.split_once(':').map_or("", |(_, login)| login);
        let account = percent::encode(&format!("{}/{login}", self.domain.as_str()));
        let secret = begun.key.expose_secret();
        let uri = format!(
            "otpauth://totp/{ISSUER}:{account}?secret={secret}&issuer={ISSUER}\
             &algorithm=SHA1&digits=6&period=30"
        );
        json!({"secret": secret, "uri": uri, "until": begun.until.to_string()})
    }

    /// What stands for a code of this user where failures are counted.
    fn guess(&self, app: &App, code: &SecretString) -> String {
        let login = self.name.split_once(':').map_or("", |(_, login)| login);
        session::guess(&session::login_shown(&self.domain, login), code, app)
    }

    /// Refuses a code that is not looked at, after too many wrong ones.
    fn counted(&self, app: &App, parts: &Parts, code: &SecretString) -> Result<(), Problem> {
        let token = self.guess(app, code);
        let shown = ShownToken { source: caller::source(parts), token: &token };
        match app.logins.refused(shown, Instant::now()) {
            Some(wait) => Err(session::locked_out(wait.as_secs() + 1)),
            None => Ok(()),
        }
    }

    /// Why it was not done. A wrong code is a failure as one at a login.
    fn failed(
        &self,
        app: &App,
        parts: &Parts,
        code: &SecretString,
        refusal: TotpRefusal,
    ) -> Problem {
        if refusal == TotpRefusal::WrongCode {
            let token = self.guess(app, code);
            let shown = ShownToken { source: caller::source(parts), token: &token };
            app.logins.failed(shown, Instant::now());
        }
        refused(refusal)
    }
}

/// The code of a body. `None`: it has none.
async fn code_of(request: Request, app: &App) -> Result<(Parts, Option<SecretString>), Problem> {
    let (parts, body) = request.into_parts();
    parameters::of(&parts.uri, &[])?;
    let (bytes, _share) = body::whole(&parts.headers, body, BYTES_MAX, app).await?;
    let bytes = if bytes.is_empty() { b"{}".to_vec() } else { bytes };
    let sent = body::parse_json("the body", bytes, app).await?;
    let json = &sent.document.json;
    BodyMembers::of(json, &["code"], FORM)?;
    let Some(code) = json.get("code").filter(|code| !code.is_null()) else {
        return Ok((parts, None));
    };
    let reason = "takes a text: the six digits of the app, or a recovery code";
    let code = code.as_str().ok_or_else(|| Invalid::new("code", reason))?;
    let code = Some(SecretString::from(code));
    Ok((parts, code))
}

fn refused(refusal: TotpRefusal) -> Problem {
    match refusal {
        TotpRefusal::HasOne => {
            let detail = "this user has a second factor: remove it first (DELETE with a code)";
            Problem::conflict("second-factor", detail)
        }
        TotpRefusal::HasNone => {
            let detail = "this user has no second factor, and none was begun in the last ten \
                          minutes: begin with POST {}";
            Problem::conflict("no-second-factor", detail)
        }
        TotpRefusal::WrongCode => {
            let reason = "is not the code of this moment, or was used before: send the next one, \
                          and see that the clock of the app is right";
            Invalid::new("code", reason).into()
        }
        TotpRefusal::NoUser => Problem::not_found("this user does not exist any more"),
    }
}

/// An answer with secrets.
fn kept_by_nobody(json: &Value) -> Response {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(json)).into_response()
}
