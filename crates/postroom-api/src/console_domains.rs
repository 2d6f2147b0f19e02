//! The pages of the application about domains.
//!
//! ```text
//!   /domains              all of them, and a form that makes one
//!   /domains/<id>         another title; suspended or not; a token for its first administrator
//!   /domains/<id>/delete  what is lost, and the way to do it
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
use crate::console_entities::EntityTable;
use crate::console_form::FieldKind;
use crate::console_page;
use crate::console_page::button;
use crate::console_page::entity_field;
use crate::console_page::small_form;
use crate::console_page::value;
use crate::console_tokens::made_page;
use crate::console_tokens::new_token;
use crate::console_tokens::new_token_form;
use crate::erasure::CONFIRM;
use crate::erasure::ERASURES;
use crate::percent;
use crate::problem::Problem;
use axum::Router;
use axum::extract::Path;
use axum::http::Method;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::names;
use serde_json::Value as Json;
use serde_json::json;

/// The limits of a domain, and what they are called.
const LIMITS: [(&str, &str); 4] = [
    (names::ACCOUNTS_MAX, "Accounts"),
    (names::TOKENS_MAX, "Tokens"),
    (names::MESSAGES_MAX, "Messages"),
    (names::BYTES_MAX, "Bytes of originals and files"),
];

/// The paths.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/domains", get(list).post(make))
        .route("/domains/{id}", get(one).post(change))
        .route("/domains/{id}/delete", get(ask_delete).post(delete))
}

fn path_of(id: &str) -> String {
    format!("/rest/v1/model/{DOMAINS}/{}", percent::encode(id))
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
        class: DOMAINS,
        path: "/domains",
        name: "name",
        columns: &["Name", "Title", "Suspended"],
        none: "<p>No domain is shown beside <code>default</code> and <code>master</code>, which \
               exist from the start. Only the administrator’s token shows and makes others.</p>\n",
    };
    let cells = |domain: &Json| ["title", "suspended"].map(|name| value(domain.get(name))).into();
    let table = match table.shown(client, cells).await? {
        Ok(table) => table,
        Err(refused) => return Ok(refused),
    };
    let list = console_page::problem_list(problems);
    let new =
        |name, label| entity_field(name, label, field(sent, name), FieldKind::Word(&[]), problems);
    let fields = [new("name", "Name (never changes)"), new("title", "Title")].concat();
    let content = format!(
        "<h1>Domains</h1>\n{list}{table}<h2>New domain</h2>\n{}{}",
        small_form("/domains", &button("make", "Make a domain", false), &fields),
        erasures(client).await?
    );
    Ok(html(status, console_page::page("Domains", true, &content)))
}

/// The receipts of domains that were deleted with all that they had.
async fn erasures(client: &ConsoleClient) -> Result<String, Problem> {
    let all = client.get(ERASURES).await?;
    let row = |erasure: &Json| {
        let classes = erasure.get("erased").and_then(Json::as_object).into_iter().flatten();
        let entities = classes.filter_map(|(_, of)| of.get("entities").and_then(Json::as_u64));
        let of = |name: &str| value(erasure.get(name));
        let entities = value(Some(&json!(entities.sum::<u64>())));
        let times = [of("begunAt"), of("endedAt")];
        [vec![of("domain"), of("by")], times.into(), vec![entities, of("bytes")]].concat()
    };
    let rows: Vec<_> = all.json.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return Ok(String::new());
    }
    let columns = ["Name", "Deleted by", "Begun", "Ended", "Entities", "Bytes of files"];
    Ok(format!("<h2>Deleted with all that they had</h2>\n{}", console_page::table(&columns, &rows)))
}

async fn make(SignedForm { client, sent }: SignedForm) -> Result<Response, Problem> {
    let title = Some(field(&sent, "title").trim()).filter(|title| !title.is_empty());
    let domain = json!({"name": field(&sent, "name").trim(), "title": title});
    let path = format!("/rest/v1/model/{DOMAINS}");
    let made = client.send(Method::POST, &path, None, Some(&domain)).await?;
    if made.status.is_success() {
        let id = made.json.get("id").and_then(Json::as_str).unwrap_or_default();
        return Ok(to(&format!("/domains/{}", percent::encode(id)), None));
    }
    list_page(&client, made.status, &sent, &made.problems()).await
}

async fn one(Path(id): Path<String>, SignedIn(client): SignedIn) -> Result<Response, Problem> {
    one_page(&client, &id, StatusCode::OK, &[], &[]).await
}

async fn one_page(
    client: &ConsoleClient,
    id: &str,
    status: StatusCode,
    sent: &[(String, String)],
    problems: &[FieldProblem],
) -> Result<Response, Problem> {
    let domain = client.get(&path_of(id)).await?;
    if let Some(refused) = refused(&domain) {
        return Ok(refused);
    }
    let of = |name: &str| domain.json.get(name);
    let title = of("title").and_then(Json::as_str).unwrap_or_default();
    let action = format!("/domains/{}", percent::encode(id));
    let field = entity_field("title", "Title", title, FieldKind::Word(&[]), problems);
    let limits = LIMITS.map(|(name, label)| {
        let kept = of(name).filter(|value| !value.is_null()).map(ToString::to_string);
        entity_field(name, label, &kept.unwrap_or_default(), FieldKind::Number, problems)
    });
    let limits = limits.concat();
    let is_suspended = of("suspended").and_then(Json::as_bool) == Some(true);
    let (what, suspend) = if is_suspended {
        let text = "It is suspended: its tokens are refused, and its accounts neither receive nor \
                    send.";
        (text, button("resume", "Let it work again", false))
    } else {
        let text = "While it is suspended, its tokens are refused, and its accounts neither \
                    receive nor send. Nothing is lost.";
        (text, button("suspend", "Suspend it", true))
    };
    let list = console_page::problem_list(problems);
    let content = format!(
        "<h1>Domain {}</h1>\n{list}{}<h2>Limits</h2>\n<p>An empty field is no limit. What is \
         beyond a limit is refused, and mail waits at its server.</p>\n{}<h2>Suspension</h2>\n\
         <p>{what}</p>\n{}<h2>A token for it</h2>\n<p>Its holder makes the others.</p>\n{}\
         <p><a href=\"{action}/delete\">Delete the domain</a></p>\n",
        value(of("name")),
        small_form(&action, &button("rename", "Save the title", false), &field),
        small_form(&action, &button("limit", "Save the limits", false), &limits),
        small_form(&action, &suspend, ""),
        new_token_form(&action, sent, problems)
    );
    Ok(html(status, console_page::page("Domain", true, &content)))
}

async fn change(
    Path(id): Path<String>,
    SignedForm { client, sent }: SignedForm,
) -> Result<Response, Problem> {
    let title = Some(field(&sent, "title").trim()).filter(|title| !title.is_empty());
    let patch = match field(&sent, "do") {
        "rename" => json!({"title": title}),
        "limit" => {
            Json::Object(LIMITS.map(|(name, _)| limit_of(&sent, name)).into_iter().collect())
        }
        "suspend" => json!({"suspended": true}),
        "resume" => json!({"suspended": false}),
        "token" => {
            let path = format!("{}/tokens", path_of(&id));
            let made = client.send(Method::POST, &path, None, Some(&new_token(&sent))).await?;
            if made.status.is_success() {
                return Ok(made_page(&made, &format!("/domains/{}", percent::encode(&id))));
            }
            return one_page(&client, &id, made.status, &sent, &made.problems()).await;
        }
        _ => return Err(Problem::malformed("`do` takes rename, limit, suspend, resume or token")),
    };
    let changed = client.send(Method::PATCH, &path_of(&id), None, Some(&patch)).await?;
    if changed.status.is_success() {
        return Ok(to(&format!("/domains/{}", percent::encode(&id)), None));
    }
    one_page(&client, &id, changed.status, &[], &changed.problems()).await
}

/// A limit as the form has it. What is no number is sent as it is, so that the answer refuses it.
fn limit_of(sent: &[(String, String)], name: &str) -> (String, Json) {
    let text = field(sent, name).trim();
    let value = match (text, text.parse::<u64>()) {
        ("", _) => Json::Null,
        (_, Ok(number)) => json!(number),
        (text, Err(_)) => json!(text),
    };
    (name.to_owned(), value)
}

async fn ask_delete(
    Path(id): Path<String>,
    SignedIn(client): SignedIn,
) -> Result<Response, Problem> {
    delete_page(&client, &id, StatusCode::OK, &[]).await
}

async fn delete_page(
    client: &ConsoleClient,
    id: &str,
    status: StatusCode,
    problems: &[FieldProblem],
) -> Result<Response, Problem> {
    let domain = client.get(&path_of(id)).await?;
    if let Some(refused) = refused(&domain) {
        return Ok(refused);
    }
    let name = value(domain.json.get("name"));
    let action = format!("/domains/{}", percent::encode(id));
    let list = console_page::problem_list(problems);
    let field = entity_field("name", "Name of the domain", "", FieldKind::Word(&[]), problems);
    let content = format!(
        "<h1>Delete the domain {name}?</h1>\n{list}<p>The domain, its name and its title are \
         gone for good. A domain that still has accounts, messages, tokens or anything else is \
         deleted only with all that it has. Nothing brings that back, and nobody is asked again. \
         To stop it for a while, go back and suspend it.</p>\n\
         <p>To go on, enter its name: {name}</p>\n{}\
         <p><a href=\"{action}\">Back</a></p>\n",
        small_form(
            &format!("{action}/delete"),
            &[
                button("delete", "Delete it if it is empty", false),
                button("erase", "Delete it with all that it has", true),
            ]
            .concat(),
            &field
        )
    );
    Ok(html(status, console_page::page("Delete a domain", true, &content)))
}

async fn delete(
    Path(id): Path<String>,
    SignedForm { client, sent }: SignedForm,
) -> Result<Response, Problem> {
    let domain = client.get(&path_of(&id)).await?;
    if let Some(refused) = refused(&domain) {
        return Ok(refused);
    }
    let name = domain.json.get("name").and_then(Json::as_str).unwrap_or_default();
    if field(&sent, "name").trim() != name {
        let text = format!("name: enter the name of the domain, {name}, to delete it");
        let problem = FieldProblem { field: "name".to_owned(), text };
        return delete_page(&client, &id, StatusCode::UNPROCESSABLE_ENTITY, &[problem]).await;
    }
    let path = match field(&sent, "do") {
        "erase" => format!("{}?{CONFIRM}={}", path_of(&id), percent::encode(name)),
        _ => path_of(&id),
    };
    let gone = client.send(Method::DELETE, &path, None, None).await?;
    if gone.status.is_success() {
        return Ok(to("/domains", None));
    }
    delete_page(&client, &id, gone.status, &gone.problems()).await
}
