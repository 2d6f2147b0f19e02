//! The pages of the application about the tokens of the domain.
//!
//! ```text
//!   /tokens              all of them, and a form that makes one, whose value is shown once
//!   /tokens/<id>         another name; valid or not
//!   /tokens/<id>/delete  what is lost, and the way to do it
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
use crate::console_client::RestAnswer;
use crate::console_entities::EntityTable;
use crate::console_form::FieldKind;
use crate::console_page;
use crate::console_page::button;
use crate::console_page::entity_field;
use crate::console_page::small_form;
use crate::console_page::value;
use crate::escaped::escaped;
use crate::percent;
use crate::problem::Problem;
use axum::Router;
use axum::extract::Path;
use axum::http::Method;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use postroom_model::builtin::TOKENS;
use serde_json::Value as Json;
use serde_json::json;

/// The roles that a token can be given here.
const ROLES: &[&str] = &["admin", "operator", "reader"];

/// The paths.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/tokens", get(list).post(make))
        .route("/tokens/{id}", get(one).post(change))
        .route("/tokens/{id}/delete", get(ask_delete).post(delete))
}

fn path_of(id: &str) -> String {
    format!("/rest/v1/model/{TOKENS}/{}", percent::encode(id))
}

/// What was entered to make a token.
#[derive(Debug, Default)]
struct NewToken<'a> {
    name: &'a str,
    role: &'a str,
    expires: &'a str,
}

impl<'a> NewToken<'a> {
    fn entered(sent: &'a [(String, String)]) -> Self {
        Self {
            name: field(sent, "name").trim(),
            role: field(sent, "role"),
            expires: field(sent, "expiresAt"),
        }
    }

    /// The entity. A token is valid to the end of its last day.
    fn to_json(&self) -> Json {
        let mut token = json!({"name": self.name, "role": self.role});
        if let Some(members) = token.as_object_mut()
            && !self.expires.is_empty()
        {
            let end = format!("{}T23:59:59.999Z", self.expires);
            members.insert("expiresAt".to_owned(), end.into());
        }
        token
    }

    fn form(&self, action: &str, problems: &[FieldProblem]) -> String {
        let field = |name, label, value, kind| entity_field(name, label, value, kind, problems);
        let fields = [
            field("name", "Name", self.name, FieldKind::Word(&[])),
            field("role", "Role", self.role, FieldKind::Word(ROLES)),
            field("expiresAt", "Last day (UTC)", self.expires, FieldKind::Date),
        ];
        small_form(action, &button("token", "Make a token", false), &fields.concat())
    }
}

/// The form that makes a token. `sent` is what was entered before, and refused.
pub(crate) fn new_token_form(
    action: &str,
    sent: &[(String, String)],
    problems: &[FieldProblem],
) -> String {
    NewToken::entered(sent).form(action, problems)
}

/// The token that a form asks for.
pub(crate) fn new_token(sent: &[(String, String)]) -> Json {
    NewToken::entered(sent).to_json()
}

/// The page with the value of a new token. It is shown this once.
pub(crate) fn made_page(made: &RestAnswer, back: &str) -> Response {
    let content = format!(
        "<h1>The token {} is made</h1>\n{}<p><label for=\"value\">Its value</label>\n\
         <input id=\"value\" class=\"value\" readonly value=\"{}\"></p>\n\
         <p><a href=\"{back}\">It is kept: go on</a></p>\n",
        value(made.json.get("name")),
        console_page::told(
            "Keep the value now: Postroom has only a hash of it, and shows it nowhere again.",
            false
        ),
        escaped(made.json.get("token").and_then(Json::as_str).unwrap_or_default())
    );
    html(StatusCode::OK, console_page::page("The token is made", true, &content))
}

async fn list(SignedIn(client): SignedIn) -> Result<Response, Problem> {
    list_page(&client, StatusCode::OK, &[], &[]).await
}

async fn list_page(
    client: &ConsoleClient,
    status: StatusCode,
    sent: &[(String, String)],
    problems: &[FieldProblem],
) -> Result<Response, Problem> {
    let table = EntityTable {
        class: TOKENS,
        path: "/tokens",
        name: "name",
        columns: &["Name", "Rights", "Valid", "Ends", "Last used"],
        none: "<p>There are none yet but the one of the process (POSTROOM_ADMIN_TOKEN).</p>\n",
    };
    let cells = |token: &Json| {
        let of = |name: &str| value(token.get(name));
        let rights = if token.get("role").is_some_and(Json::is_string) { "role" } else { "rights" };
        vec![of(rights), of("enabled"), of("expiresAt"), of("lastUsedAt")]
    };
    let table = match table.shown(client, cells).await? {
        Ok(table) => table,
        Err(refused) => return Ok(refused),
    };
    let list = console_page::problem_list(problems);
    let content = format!(
        "<h1>Tokens</h1>\n{list}{table}<h2>New token</h2>\n\
         <p>A token of this domain. Other rights than those of a role are given by REST \
         (<a href=\"/rest/v1/docs/chapters/rights\">Rights</a>).</p>\n{}",
        new_token_form("/tokens", sent, problems)
    );
    Ok(html(status, console_page::page("Tokens", true, &content)))
}

async fn make(SignedForm { client, sent }: SignedForm) -> Result<Response, Problem> {
    let path = format!("/rest/v1/model/{TOKENS}");
    let made = client.send(Method::POST, &path, None, Some(&new_token(&sent))).await?;
    if made.status.is_success() {
        return Ok(made_page(&made, "/tokens"));
    }
    list_page(&client, made.status, &sent, &made.problems()).await
}

async fn one(Path(id): Path<String>, SignedIn(client): SignedIn) -> Result<Response, Problem> {
    one_page(&client, &id, StatusCode::OK, &[]).await
}

async fn one_page(
    client: &ConsoleClient,
    id: &str,
    status: StatusCode,
    problems: &[FieldProblem],
) -> Result<Response, Problem> {
    let token = client.get(&path_of(id)).await?;
    if let Some(refused) = refused(&token) {
        return Ok(refused);
    }
    let of = |name: &str| token.json.get(name);
    let is_valid = of("enabled").and_then(Json::as_bool) != Some(false);
    let name = of("name").and_then(Json::as_str).unwrap_or_default();
    let action = format!("/tokens/{}", percent::encode(id));
    let field = entity_field("name", "Name", name, FieldKind::Word(&[]), problems);
    let valid = if is_valid {
        button("disable", "Refuse it from now on", true)
    } else {
        button("enable", "Take it again", false)
    };
    let list = console_page::problem_list(problems);
    let rows = [
        vec![
            "Rights".to_owned(),
            value(of("role").filter(|role| role.is_string()).or(of("rights"))),
        ],
        vec!["Valid".to_owned(), value(of("enabled"))],
        vec!["Ends".to_owned(), value(of("expiresAt"))],
        vec!["Last used".to_owned(), value(of("lastUsedAt"))],
    ];
    let content = format!(
        "<h1>Token {}</h1>\n{list}{}{}{}<p><a href=\"{action}/delete\">Delete it</a></p>\n",
        escaped(name),
        console_page::table(&["What", "Value"], &rows),
        small_form(&action, &button("rename", "Rename", false), &field),
        small_form(&action, &valid, "")
    );
    Ok(html(status, console_page::page("Token", true, &content)))
}

async fn change(
    Path(id): Path<String>,
    SignedForm { client, sent }: SignedForm,
) -> Result<Response, Problem> {
    let patch = match field(&sent, "do") {
        "rename" => json!({"name": field(&sent, "name").trim()}),
        "enable" => json!({"enabled": true}),
        "disable" => json!({"enabled": false}),
        _ => return Err(Problem::malformed("`do` takes rename, enable or disable")),
    };
    let changed = client.send(Method::PATCH, &path_of(&id), None, Some(&patch)).await?;
    if changed.status.is_success() {
        return Ok(to(&format!("/tokens/{}", percent::encode(&id)), None));
    }
    one_page(&client, &id, changed.status, &changed.problems()).await
}

async fn ask_delete(
    Path(id): Path<String>,
    SignedIn(client): SignedIn,
) -> Result<Response, Problem> {
    let token = client.get(&path_of(&id)).await?;
    if let Some(refused) = refused(&token) {
        return Ok(refused);
    }
    let action = format!("/tokens/{}", percent::encode(&id));
    let used = match token.json.get("lastUsedAt").and_then(Json::as_str) {
        Some(at) => format!("It was last used at {}.", escaped(at)),
        None => "It was never used.".to_owned(),
    };
    let content = format!(
        "<h1>Delete the token {}?</h1>\n<p>{used} Programs that use it are refused from the next \
         request on, and their streams of events end. Nobody can bring its value back: a new token \
         has another one. To refuse it for a while, go back and choose “Refuse it from now \
         on”.</p>\n{}<p><a href=\"{action}\">Back</a></p>\n",
        value(token.json.get("name")),
        small_form(&format!("{action}/delete"), &button("delete", "Delete it for good", false), "")
    );
    Ok(html(StatusCode::OK, console_page::page("Delete a token", true, &content)))
}

async fn delete(
    Path(id): Path<String>,
    SignedForm { client, .. }: SignedForm,
) -> Result<Response, Problem> {
    let gone = client.send(Method::DELETE, &path_of(&id), None, None).await?;
    Ok(refused(&gone).unwrap_or_else(|| to("/tokens", None)))
}
