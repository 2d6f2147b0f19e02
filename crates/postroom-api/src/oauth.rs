//! `/rest/v1/oauth`: the owner of a mailbox consents that an OAuth app reads and sends its mail.
//!
//! ```text
//!   software ──► start ──► the provider's page ──► callback ──► a page for the owner
//! ```
//! `start` is for the software that uses Postroom. The provider sends the browser of the owner to
//! `callback`, so that needs no token: its `state` is one that `start` has made, and is good once.
//! Neither the state nor the code is logged, because the log has no parameters. The page loads
//! nothing from elsewhere and tells no other site its address.
//!
//! Standards: RFC 6749 §4.1.2 (answers of an authorisation page), Content Security Policy Level 3.

use crate::app::App;
use crate::caller::Caller;
use crate::docs_page;
use crate::escaped::escaped;
use crate::format;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_engine::ConsentError;
use postroom_engine::OAuthConsents;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Invalid;
use postroom_model::RightAction;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::oauth;
use postroom_model::oauth::TokenSlot;
use postroom_store::Bearer;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::Store;
use secrecy::SecretString;
use serde_json::json;

/// What the page may load: a style sheet of Postroom.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'none'; frame-ancestors 'none'; \
     base-uri 'none'",
);
/// Answers that nobody keeps, and whose address nobody is told.
pub(crate) const NOT_KEPT: [(HeaderName, HeaderValue); 2] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];
/// Why there are no consents at all.
const NO_NODE: &str = "this process serves REST alone, so it asks no provider for tokens";
/// How many characters of what the provider says are shown.
const WORDS_CHARS_MAX: usize = 300;

/// `GET …/start?account=ID`: leads to the provider's page. A client that accepts JSON gets its
/// address. With `slot=smtp`, the consent is for the tokens of the SMTP server.
///
/// # Errors
///
/// 403 for a token that may not change accounts; 404 for an account that is not there; 409 for an
/// account without an app, or an app without what it needs; 422 for other parameters.
pub(crate) async fn start(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    // The tokens of the account are changed in the end.
    let Bearer { domain, rights, .. } = caller.may(&[RightAction::Change], ACCOUNTS)?;
    let (account, slot) = asked(&uri)?;
    reached(&app.store.clone().within(&domain, &rights), &domain, account).await?;
    let consents = consents(&app)?;
    let page = consents.start(&domain, account, slot).await.map_err(problem)?;
    if wants_json(&headers) {
        let shown = json!({"url": page.url, "expiresAt": page.expires_at.to_string()});
        return Ok((NOT_KEPT, Json(shown)).into_response());
    }
    // The address is made of what an administrator has set, which a header field may not carry.
    let location = HeaderValue::from_str(&page.url);
    let location = location.map_err(|error| Problem::fault(error.to_string()))?;
    Ok((StatusCode::FOUND, NOT_KEPT, [(header::LOCATION, location)]).into_response())
}

/// Checks that an account may be changed. What may not be read is not there.
pub(crate) async fn reached(
    store: &Store,
    domain: &Domain,
    account: AccountId,
) -> Result<(), Problem> {
    readable(store, domain, account).await?;
    if store.is_bounded(ACCOUNTS) {
        let class = store.builtin(ACCOUNTS)?;
        let place = EntityPlace::new(domain, &class, account.into());
        if !store.entity_reached(place, RightAction::Change).await? {
            return Err(Error::Condition(Failed::OutOfReach).into());
        }
    }
    Ok(())
}

/// Checks that an account may be read.
pub(crate) async fn readable(
    store: &Store,
    domain: &Domain,
    account: AccountId,
) -> Result<(), Problem> {
    if store.is_bounded(ACCOUNTS) {
        let class = store.builtin(ACCOUNTS)?;
        let place = EntityPlace::new(domain, &class, account.into());
        if !store.entity_reached(place, RightAction::Read).await? {
            return Err(problem(ConsentError::NoAccount));
        }
    }
    Ok(())
}

/// `GET …/callback`: saves the tokens that the provider gives for its code, and says so to the
/// owner of the mailbox on a small page.
///
/// # Errors
///
/// When the store fails. What a person can do something about is said on the page.
pub(crate) async fn callback(State(app): State<App>, uri: Uri) -> Result<Response, Problem> {
    // Providers send more than what is needed.
    let pairs = parameters::all(&uri)?;
    let value = |name: &str| {
        let mut values = pairs.iter().filter(|(of, _)| of == name).map(|(_, text)| text.as_str());
        values.next().filter(|_| values.next().is_none()).map(str::to_owned)
    };
    let Some(consents) = app.node.oauth_consents() else {
        return Ok(page(StatusCode::CONFLICT, "No consent", NO_NODE));
    };
    let state = SecretString::from(value("state").unwrap_or_default());
    let ended = match value("code") {
        Some(code) => consents.finish(state, SecretString::from(code)).await.map(Some),
        None => consents.declined(&state).await.map(|()| None),
    };
    match ended {
        Ok(Some(given)) => {
            let (address, app) = (&given.address, &given.app);
            let text = format!(
                "Postroom may now read and send the mail of {address} by the OAuth app `{app}`. \
                 You can close this page."
            );
            Ok(page(StatusCode::OK, "Thank you", &text))
        }
        Ok(None) => {
            let why = value("error").unwrap_or_else(|| "it gave no code".to_owned());
            let more = value("error_description").map(|text| format!(" ({text})"));
            let said: String = format!("{why}{}", more.unwrap_or_default())
                .chars()
                .take(WORDS_CHARS_MAX)
                .collect();
            let text = format!(
                "Nobody has consented, so nothing has changed. The provider says: {said}. To try \
                 again, begin again."
            );
            Ok(page(StatusCode::FORBIDDEN, "No consent", &text))
        }
        Err(error) => refused(error),
    }
}

/// What a person reads if there is no consent.
fn refused(error: ConsentError) -> Result<Response, Problem> {
    let status = match error {
        ConsentError::Store(error) => return Err(error.into()),
        ConsentError::Unknown | ConsentError::Late => StatusCode::GONE,
        ConsentError::NoAccount | ConsentError::Unset(_) | ConsentError::OtherApp => {
            StatusCode::CONFLICT
        }
        ConsentError::Provider(_) => StatusCode::BAD_GATEWAY,
    };
    let text = format!("There is no consent, so nothing has changed: {error}. Begin again.");
    Ok(page(status, "No consent", &text))
}

/// The account and the slot that are asked for.
pub(crate) fn asked(uri: &Uri) -> Result<(AccountId, TokenSlot), Problem> {
    let sent = parameters::of(uri, &[oauth::CONSENT_ACCOUNT, oauth::CONSENT_SLOT])?;
    let value = |name: &str| sent.iter().find(|(of, _)| of == name).map(|(_, text)| text.as_str());
    let account = value(oauth::CONSENT_ACCOUNT);
    let missing = || Invalid::new(oauth::CONSENT_ACCOUNT, "is required: the id of an account");
    let account = account.ok_or_else(missing)?.parse();
    let odd = |_| Invalid::new(oauth::CONSENT_ACCOUNT, "takes the id of an account");
    let slot = TokenSlot::parse(value(oauth::CONSENT_SLOT).unwrap_or("account"));
    let slot = slot.ok_or_else(|| Invalid::new(oauth::CONSENT_SLOT, "takes account or smtp"))?;
    Ok((account.map_err(odd)?, slot))
}

/// Whether the client names JSON among what it accepts. `*/*` does not name it.
fn wants_json(headers: &HeaderMap) -> bool {
    format::media_ranges(headers).any(|range| {
        let essence = range.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    })
}

fn consents(app: &App) -> Result<OAuthConsents, Problem> {
    app.node.oauth_consents().ok_or_else(|| Problem::conflict("no-engine", NO_NODE))
}

pub(crate) fn problem(error: ConsentError) -> Problem {
    let detail = error.to_string();
    match error {
        ConsentError::NoAccount => Problem::not_found(detail),
        ConsentError::Unset(_)
        | ConsentError::Unknown
        | ConsentError::Late
        | ConsentError::OtherApp => Problem::conflict("no-consent", detail),
        ConsentError::Provider(_) => Problem::new(StatusCode::BAD_GATEWAY, "no-consent", detail),
        ConsentError::Store(error) => error.into(),
    }
}

/// A page for the owner of a mailbox.
fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let body = include_str!("oauth/page.html")
        .replace("{style}", docs_page::STYLE)
        .replace("{title}", title)
        .replace("{text}", &escaped(text));
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, NOT_KEPT, fields, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_provider_says_is_text_on_a_page_that_loads_nothing_from_elsewhere() {
        let error = ConsentError::Provider("<script>alert('\"&')</script>".to_owned());
        let response = refused(error).unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[header::REFERRER_POLICY], "no-referrer");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            body.contains("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"),
            "{body}"
        );
        assert!(!body.contains("<script") && !body.contains("//"), "{body}");
    }

    #[test]
    fn what_the_provider_refuses_is_not_told_as_a_fault_of_the_client() {
        let status = |error| problem(error).into_response().status();
        let provider = ConsentError::Provider("the OAuth app `a` gets no codes".to_owned());
        assert_eq!(status(provider), StatusCode::BAD_GATEWAY);
        assert_eq!(status(ConsentError::OtherApp), StatusCode::CONFLICT);
    }

    #[test]
    fn only_who_names_json_gets_it() {
        #[rustfmt::skip]
        let table = [
            ("application/json",                 true),
            ("text/html, Application/JSON;q=.5", true),
            ("*/*",                              false),
            ("text/html",                        false),
            ("application/*",                    false),
        ];
        for (accept, want) in table {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(wants_json(&headers), want, "{accept}");
        }
    }
}
