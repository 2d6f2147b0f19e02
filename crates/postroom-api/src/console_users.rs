//! The pages of the application about the users of the domain.
//!
//! ```text
//!   /users        all of them, and a form that makes one
//!   /users/<id>   another title or role; may sign in or not; another password; no second factor
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
use crate::escaped::escaped;
use crate::percent;
use crate::problem::Problem;
use axum::Router;
use axum::extract::Path;
use axum::http::Method;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use postroom_model::builtin::USERS;
use postroom_model::builtin::names;
use serde_json::Value as Json;
use serde_json::json;

/// The roles that a user can be given here.
const ROLES: &[&str] = &["admin", "operator", "reader"];

/// The paths.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/users", get(list).post(make)).route("/users/{id}", get(one).post(change))
}

fn path_of(id: &str) -> String {
    format!("/rest/v1/model/{USERS}/{}", percent::encode(id))
}

/// A text of a form. Null: nothing was entered.
fn entered(sent: &[(String, String)], name: &str) -> Json {
    let text = Some(field(sent, name).trim()).filter(|text| !text.is_empty());
    text.map_or(Json::Null, Json::from)
}

/// The rights of a user: the role, or what is listed.
fn rights(user: &Json) -> String {
    let role = user.get(names::ROLE).filter(|role| role.is_string());
    value(role.or(user.get(names::RIGHTS)))
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
        class: USERS,
        path: "/users",
        name: names::LOGIN,
        columns: &["Login", "Name", "Rights", "May sign in", "Second factor", "Last login"],
        none: "<p>There are none yet.</p>\n",
    };
    let cells = |user: &Json| {
        let of = |name: &str| value(user.get(name));
        let first = [of(names::TITLE), rights(user), of(names::ENABLED)];
        [first.as_slice(), &[of(names::SECOND_FACTOR), of(names::LAST_LOGIN_AT)]].concat()
    };
    let table = match table.shown(client, cells).await? {
        Ok(table) => table,
        Err(refused) => return Ok(refused),
    };
    let list = console_page::problem_list(problems);
    let new = |name, label, kind| {
        let kept = if kind == FieldKind::Password { "" } else { field(sent, name) };
        entity_field(name, label, kept, kind, problems)
    };
    let fields = [
        new(names::LOGIN, "Login", FieldKind::Login),
        new(names::TITLE, "Name", FieldKind::Word(&[])),
        new(names::ROLE, "Role", FieldKind::Word(ROLES)),
        new(names::PASSWORD, "Password (12 characters at least)", FieldKind::Password),
    ];
    let content = format!(
        "<h1>Users</h1>\n{list}{table}<h2>New user</h2>\n\
         <p>A user of this domain. Other rights than those of a role are given by REST \
         (<a href=\"/rest/v1/docs/chapters/users\">Users and sessions</a>).</p>\n{}",
        small_form("/users", &button("make", "Make a user", false), &fields.concat())
    );
    Ok(html(status, console_page::page("Users", true, &content)))
}

async fn make(SignedForm { client, sent }: SignedForm) -> Result<Response, Problem> {
    let user = json!({
        "login": field(&sent, names::LOGIN).trim(),
        "title": entered(&sent, names::TITLE),
        "role": entered(&sent, names::ROLE),
        "password": field(&sent, names::PASSWORD),
    });
    let path = format!("/rest/v1/model/{USERS}");
    let made = client.send(Method::POST, &path, None, Some(&user)).await?;
    if made.status.is_success() {
        let id = made.json.get("id").and_then(Json::as_str).unwrap_or_default();
        return Ok(to(&format!("/users/{}", percent::encode(id)), None));
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
    let user = client.get(&path_of(id)).await?;
    if let Some(refused) = refused(&user) {
        return Ok(refused);
    }
    let of = |name: &str| user.json.get(name);
    let text = |name: &str| of(name).and_then(Json::as_str).unwrap_or_default();
    let is = |name: &str| of(name).and_then(Json::as_bool) == Some(true);
    let action = format!("/users/{}", percent::encode(id));
    let form = |button: &str, fields: &str| small_form(&action, button, fields);
    let named = [
        entity_field(names::TITLE, "Name", text(names::TITLE), FieldKind::Word(&[]), problems),
        entity_field(names::ROLE, "Role", text(names::ROLE), FieldKind::Word(ROLES), problems),
    ];
    let password = "Password (12 characters at least)";
    let password = entity_field(names::PASSWORD, password, "", FieldKind::Password, problems);
    // Whoever keeps passwords in a browser keeps it for this login.
    let login = escaped(text(names::LOGIN));
    let password = format!(
        "<div><label for=\"login\">Login</label><input id=\"login\" name=\"login\" \
         value=\"{login}\" autocomplete=\"username\" readonly></div>\n{password}"
    );
    let enabled = match is(names::ENABLED) {
        true => button("disable", "Refuse the user from now on", true),
        false => button("enable", "Let the user sign in again", false),
    };
    let factor = if is(names::SECOND_FACTOR) {
        let text = "Remove it if the user has lost the device and the recovery codes, and is who \
                    asks. From then on, the password alone is enough.";
        let remove = button("remove-factor", "Remove the second factor", true);
        format!("<p>{text}</p>\n{}", form(&remove, ""))
    } else {
        "<p>There is none. Only the user sets one up, by “Second factor” above.</p>\n".into()
    };
    let rows = [
        vec!["Rights".to_owned(), rights(&user.json)],
        vec!["May sign in".to_owned(), value(of(names::ENABLED))],
        vec!["Second factor".to_owned(), value(of(names::SECOND_FACTOR))],
        vec!["Last login".to_owned(), value(of(names::LAST_LOGIN_AT))],
    ];
    let content = format!(
        "<h1>User {login}</h1>\n{}{}{}<h2>Password</h2>\n<p>Another one ends all sessions of the \
         user. Hand it over in private.</p>\n{}<h2>Second factor</h2>\n{factor}<h2>Access</h2>\n\
         <p>Whoever is refused does not sign in, and all sessions end. Nothing is lost.</p>\n{}",
        console_page::problem_list(problems),
        console_page::table(&["What", "Value"], &rows),
        form(&button("rename", "Save name and role", false), &named.concat()),
        form(&button("password", "Set the password", false), &password),
        form(&enabled, "")
    );
    Ok(html(status, console_page::page("User", true, &content)))
}

async fn change(
    Path(id): Path<String>,
    SignedForm { client, sent }: SignedForm,
) -> Result<Response, Problem> {
    let patch = match field(&sent, "do") {
        "rename" => {
            let role = entered(&sent, names::ROLE);
            // Who has rights of another kind keeps them.
            let title = json!({"title": entered(&sent, names::TITLE)});
            let both = json!({"title": entered(&sent, names::TITLE), "role": role});
            if role.is_null() { title } else { both }
        }
        "password" => json!({"password": field(&sent, names::PASSWORD)}),
        "enable" => json!({"enabled": true}),
        "disable" => json!({"enabled": false}),
        "remove-factor" => json!({"secondFactor": false}),
        _ => {
            let takes = "`do` takes rename, password, enable, disable or remove-factor";
            return Err(Problem::malformed(takes));
        }
    };
    let changed = client.send(Method::PATCH, &path_of(&id), None, Some(&patch)).await?;
    if changed.status.is_success() {
        return Ok(to(&format!("/users/{}", percent::encode(&id)), None));
    }
    one_page(&client, &id, changed.status, &changed.problems()).await
}
