//! The page of the application on which a user sets up a second factor, or gives it up.
//!
//! ```text
//!   /second-factor   whether there is one
//!     begin          the key for the app, and a field for its first code
//!     activate       the recovery codes, which are shown this once
//!     remove         it is gone
//! ```

use crate::app::App;
use crate::console_answer::SignedForm;
use crate::console_answer::SignedIn;
use crate::console_answer::field;
use crate::console_answer::html;
use crate::console_answer::refused;
use crate::console_answer::to;
use crate::console_client::ConsoleClient;
use crate::console_client::FieldProblem;
use crate::console_form::FieldKind;
use crate::console_page;
use crate::console_page::button;
use crate::console_page::entity_field;
use crate::console_page::small_form;
use crate::console_page::value;
use crate::escaped::escaped;
use crate::problem::Problem;
use crate::totp::TOTP;
use axum::Router;
use axum::http::Method;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value as Json;
use serde_json::json;

/// The path.
const PAGE: &str = "/second-factor";
/// The title.
const TITLE: &str = "Second factor";

/// The paths.
pub(crate) fn routes() -> Router<App> {
    Router::new().route(PAGE, get(show).post(change))
}

async fn show(SignedIn(client): SignedIn) -> Result<Response, Problem> {
    page(&client, StatusCode::OK, &[]).await
}

async fn page(
    client: &ConsoleClient,
    status: StatusCode,
    problems: &[FieldProblem],
) -> Result<Response, Problem> {
    let state = client.get(TOTP).await?;
    if state.status == StatusCode::NOT_FOUND {
        let content = format!(
            "<h1>{TITLE}</h1>\n<p>You have signed in with a token. A second factor belongs to a \
             user: sign in with a login and a password to set one up.</p>\n"
        );
        return Ok(html(StatusCode::OK, console_page::page(TITLE, true, &content)));
    }
    if let Some(refused) = refused(&state) {
        return Ok(refused);
    }
    let list = console_page::problem_list(problems);
    let has_one = state.json.get("secondFactor").and_then(Json::as_bool) == Some(true);
    let rest = if has_one {
        let code = code_field("Code of the app, or a recovery code", problems);
        format!(
            "<p>You have a second factor: each login needs a code of your app. Of your recovery \
             codes, {} are left. To get others, or to change the device, remove it and set it up \
             again.</p>\n{}",
            value(state.json.get("recoveryCodes")),
            small_form(PAGE, &button("remove", "Remove it", true), &code)
        )
    } else {
        format!(
            "<p>You have none. With one, a login needs a code of an app on another device too, so \
             that your password alone lets nobody in. You need an app that makes codes (TOTP).\
             </p>\n{}",
            small_form(PAGE, &button("begin", "Set it up", false), "")
        )
    };
    let content = format!("<h1>{TITLE}</h1>\n{list}{rest}");
    Ok(html(status, console_page::page(TITLE, true, &content)))
}

fn code_field(label: &str, problems: &[FieldProblem]) -> String {
    entity_field("code", label, "", FieldKind::Word(&[]), problems)
}

async fn change(SignedForm { client, sent }: SignedForm) -> Result<Response, Problem> {
    let code = json!({"code": field(&sent, "code").trim()});
    match field(&sent, "do") {
        "begin" => {
            let begun = client.send(Method::POST, TOTP, None, Some(&json!({}))).await?;
            if begun.status.is_success() {
                return Ok(key_page(&begun.json));
            }
            page(&client, begun.status, &begun.problems()).await
        }
        "activate" => {
            let made = client.send(Method::POST, TOTP, None, Some(&code)).await?;
            match made.status {
                status if status.is_success() => Ok(codes_page(&made.json)),
                StatusCode::UNPROCESSABLE_ENTITY => Ok(again_page(&made.problems())),
                status => page(&client, status, &made.problems()).await,
            }
        }
        "remove" => {
            let gone = client.send(Method::DELETE, TOTP, None, Some(&code)).await?;
            if gone.status.is_success() {
                return Ok(to(PAGE, None));
            }
            page(&client, gone.status, &gone.problems()).await
        }
        _ => Err(Problem::malformed("`do` takes begin, activate or remove")),
    }
}

fn activate_form(problems: &[FieldProblem]) -> String {
    let code = code_field("Code of the app", problems);
    small_form(PAGE, &button("activate", "Switch it on", false), &code)
}

/// The page with the key, which is shown this once.
fn key_page(begun: &Json) -> Response {
    let text = |name: &str| escaped(begun.get(name).and_then(Json::as_str).unwrap_or_default());
    let content = format!(
        "<h1>Set up the second factor</h1>\n<p>Give this key to your app. Nothing has changed so \
         far, and the key waits until {}.</p>\n\
         <p><label for=\"secret\">Key</label>\n\
         <input id=\"secret\" class=\"value\" readonly value=\"{}\"></p>\n\
         <p><label for=\"uri\">The same as an address, for apps and QR codes</label>\n\
         <input id=\"uri\" class=\"value\" readonly value=\"{}\"></p>\n\
         <h2>The first code</h2>\n<p>Enter the code that the app shows now.</p>\n{}\
         <p><a href=\"{PAGE}\">Leave it as it was</a></p>\n",
        text("until"),
        text("secret"),
        text("uri"),
        activate_form(&[])
    );
    html(StatusCode::OK, console_page::page(TITLE, true, &content))
}

/// The page after a wrong first code. The key is not shown again.
fn again_page(problems: &[FieldProblem]) -> Response {
    let content = format!(
        "<h1>Set up the second factor</h1>\n{}<p>Enter the code that the app shows now.</p>\n{}\
         <p><a href=\"{PAGE}\">Begin again with another key</a></p>\n",
        console_page::problem_list(problems),
        activate_form(problems)
    );
    html(StatusCode::UNPROCESSABLE_ENTITY, console_page::page(TITLE, true, &content))
}

/// The page with the recovery codes.
fn codes_page(made: &Json) -> Response {
    let codes = made.get("recoveryCodes").and_then(Json::as_array).into_iter().flatten();
    let codes: String =
        codes.map(|code| format!("<li><code>{}</code></li>\n", value(Some(code)))).collect();
    let content = format!(
        "<h1>The second factor is set up</h1>\n{}<h2>Recovery codes</h2>\n<p>Each lets you in once \
         in place of a code of the app.</p>\n<ol class=\"codes\">\n{codes}</ol>\n\
         <p><a href=\"{PAGE}\">They are kept: go on</a></p>\n",
        console_page::told(
            "Print the recovery codes or keep them where your password is not. Postroom has only \
             hashes of them, and shows them nowhere again.",
            false
        )
    );
    html(StatusCode::OK, console_page::page(TITLE, true, &content))
}
