//! The application `/`: pages for administrators of the installation. They are made here and are
//! in the binary. The browser runs no script and loads nothing from elsewhere.
//!
//! ```text
//!   /                 sign in as a user or with a token; then roles, settings and instances
//!   /configuration    the form that changes them, with the problems of each field
//!   /versions         who changed what; a version with its differences; back to a version
//!   /tokens           the tokens of the domain (`console_tokens`)
//!   /domains          the domains (`console_domains`)
//!   /users            the users of the domain (`console_users`)
//!   /audit            who did what (`console_audit`)
//!   /second-factor    that of the user (`console_second_factor`)
//! ```
//! The application is a client of the REST interface (`console_client`). What a token may not do
//! there, nobody does here. Who signs in gets a session, whose token is in a cookie that only these
//! pages use. The token of an administrator is in no cookie.
//!
//! Standards: Content Security Policy Level 3, RFC 6265 (cookies), Fetch metadata.

use crate::app::App;
use crate::console_answer::SignedForm;
use crate::console_answer::SignedIn;
use crate::console_answer::field;
use crate::console_answer::form;
use crate::console_answer::html;
use crate::console_answer::refused;
use crate::console_answer::safe;
use crate::console_answer::to;
use crate::console_audit;
use crate::console_client;
use crate::console_client::ConsoleClient;
use crate::console_client::FieldProblem;
use crate::console_client::RestAnswer;
use crate::console_domains;
use crate::console_form;
use crate::console_form::ConfigurationForm;
use crate::console_form::FIELDS;
use crate::console_form::visible;
use crate::console_page;
use crate::console_page::value;
use crate::console_second_factor;
use crate::console_sign_in;
use crate::console_sign_in::Unknown;
use crate::console_tokens;
use crate::console_users;
use crate::escaped::escaped;
use crate::parameters;
use crate::problem::Problem;
use axum::Router;
use axum::extract::Path;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Redirect;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value as Json;
use serde_json::json;

/// Where the configuration is.
const CONFIG: &str = "/rest/v1/config";

/// The paths of the application.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(overview))
        .route("/sign-in", get(home).post(sign_in))
        .route("/sign-out", get(home).post(sign_out))
        .route("/configuration", get(configuration).post(change))
        .route("/versions", get(versions))
        .route("/versions/{version}", get(version).post(bring_back))
        .route("/console.css", get(style))
        .merge(console_tokens::routes())
        .merge(console_domains::routes())
        .merge(console_users::routes())
        .merge(console_second_factor::routes())
        .merge(console_audit::routes())
}

/// The style sheet.
async fn style() -> Response {
    let css = HeaderValue::from_static("text/css; charset=utf-8");
    safe(([(header::CONTENT_TYPE, css)], include_str!("console/console.css")).into_response())
}

/// The overview, or the page that asks who it is.
async fn overview(request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    parameters::of(&parts.uri, &[])?;
    let Some(client) = ConsoleClient::of(&parts) else {
        return Ok(html(StatusCode::OK, console_page::sign_in(None)));
    };
    let trimmed = client.get("/rest/v1/config/trimmed").await?;
    if let Some(refused) = refused(&trimmed) {
        return Ok(refused);
    }
    let running = client.get("/rest/v1/version").await?;
    let roles = trimmed.json.get("roles").and_then(Json::as_array);
    let names = ["name", "roletype", "iface", "group", "order", "enabled"];
    let row = |role: &Json| names.iter().map(|name| value(role.get(*name))).collect();
    let rows: Vec<_> = roles.into_iter().flatten().map(row).collect();
    let columns = ["Name", "Role", "Network interface", "Group", "Order", "Enabled"];
    let none = "<p>There are none yet. <a href=\"/configuration\">Add the first one</a>.</p>\n";
    let roles = if rows.is_empty() { none.into() } else { console_page::table(&columns, &rows) };
    let setting = |field: &console_form::SettingField| {
        let section = trimmed.json.get(field.section);
        vec![escaped(field.label), value(section.and_then(|section| section.get(field.name)))]
    };
    let settings: Vec<_> = FIELDS.iter().map(setting).collect();
    let nodes = client.get("/rest/v1/nodes").await?;
    let nodes = console_page::node_table(&nodes.json);
    let content = format!(
        "<h1>Overview</h1>\n<p>Postroom {}. The configuration has version {}.</p>\n\
         <h2>Instances that run</h2>\n{nodes}<h2>Roles</h2>\n{roles}<h2>Settings</h2>\n{}",
        value(running.json.get("version")),
        escaped(&trimmed.version),
        console_page::table(&["Setting", "Value"], &settings)
    );
    Ok(html(StatusCode::OK, console_page::page("Overview", true, &content)))
}

/// Where a browser goes that opens the address of a form once more.
async fn home() -> Redirect {
    Redirect::to("/")
}

/// Signs in as a user or with a token, if the interface takes it.
async fn sign_in(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (parts, sent) = form(&app, request).await?;
    match console_sign_in::session_of(&parts, &sent).await? {
        Ok(token) => Ok(to("/", console_client::cookie(&parts, Some(&token)))),
        Err(Unknown { status, is_of_code: true, .. }) => {
            // The first page has no field for a code, so it was not wrong there.
            let is_wrong = !field(&sent, "code").trim().is_empty();
            let (domain, login) = (field(&sent, "domain"), field(&sent, "login"));
            Ok(html(status, console_page::sign_in_with_code(domain, login, is_wrong)))
        }
        Err(Unknown { status, detail, .. }) => {
            Ok(html(status, console_page::sign_in(Some(&detail))))
        }
    }
}

async fn sign_out(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = form(&app, request).await?;
    console_sign_in::end(&parts).await?;
    Ok(to("/", console_client::cookie(&parts, None)))
}

/// The form with the present configuration.
async fn configuration(SignedIn(client): SignedIn) -> Result<Response, Problem> {
    let trimmed = client.get("/rest/v1/config/trimmed").await?;
    if let Some(refused) = refused(&trimmed) {
        return Ok(refused);
    }
    let form = ConfigurationForm::of(&trimmed.version, &trimmed.json);
    Ok(form_page(StatusCode::OK, &form, &[], ""))
}

/// Changes the configuration, or checks what was entered.
async fn change(SignedForm { client, sent }: SignedForm) -> Result<Response, Problem> {
    let entered = ConfigurationForm::entered(&sent);
    let whole = client.get(CONFIG).await?;
    if let Some(refused) = refused(&whole) {
        return Ok(refused);
    }
    let is_check = field(&sent, "do") == "check";
    let path = if is_check { format!("{CONFIG}?dryRun=true") } else { CONFIG.to_owned() };
    let patch = entered.patch(&whole.json);
    // The roles were taken from the version that is there now, and only that one may change.
    let answer = if whole.version == entered.version {
        client.send(Method::PATCH, &path, Some(&entered.version), Some(&patch)).await?
    } else {
        RestAnswer {
            status: StatusCode::PRECONDITION_FAILED,
            version: String::new(),
            next: String::new(),
            json: json!({}),
        }
    };
    match answer.status {
        status if status.is_success() && is_check => {
            let said = told_changes("It can be saved. What would change:", &answer.json);
            Ok(form_page(StatusCode::OK, &entered, &[], &said))
        }
        status if status.is_success() => {
            let form = ConfigurationForm::of(&answer.version, &trimmed_of(&client).await?);
            let said = told_changes(&format!("Saved as version {}.", answer.version), &answer.json);
            Ok(form_page(StatusCode::OK, &form, &[], &said))
        }
        StatusCode::PRECONDITION_FAILED => {
            let text = "somebody else has changed the configuration since you opened this page: \
                        open it again, and enter your change anew";
            let problem = FieldProblem { field: String::new(), text: text.to_owned() };
            Ok(form_page(StatusCode::PRECONDITION_FAILED, &entered, &[problem], ""))
        }
        status => {
            let problems = problems_of(&answer, &entered);
            Ok(form_page(status, &entered, &problems, ""))
        }
    }
}

async fn trimmed_of(client: &ConsoleClient) -> Result<Json, Problem> {
    Ok(client.get("/rest/v1/config/trimmed").await?.json)
}

/// The problems of an answer, each with the id of its field.
fn problems_of(answer: &RestAnswer, entered: &ConfigurationForm) -> Vec<FieldProblem> {
    let errors = answer.json.get("errors").and_then(Json::as_array);
    let Some(errors) = errors else {
        return vec![FieldProblem { field: String::new(), text: answer.detail() }];
    };
    let kept = entered.kept();
    let one = |error: &Json| {
        let text = |name: &str| error.get(name).and_then(Json::as_str).unwrap_or_default();
        let (place, reason) = (text("property"), text("reason"));
        let of_role = place.strip_prefix("roles[").and_then(|rest| rest.split_once("]."));
        let field = match of_role {
            Some((at, member)) => {
                let row = at.parse::<usize>().ok().and_then(|at| kept.get(at));
                row.map(|(row, _)| format!("role-{row}-{member}"))
            }
            None => {
                FIELDS.iter().any(|known| known.place() == place).then(|| place.replace('.', "-"))
            }
        };
        FieldProblem { field: field.unwrap_or_default(), text: format!("{place}: {reason}") }
    };
    errors.iter().map(one).collect()
}

/// What the answer to a change tells.
fn told_changes(begin: &str, answer: &Json) -> String {
    let list = |name: &str| answer.get(name).and_then(Json::as_array).cloned().unwrap_or_default();
    let said = console_page::told(begin, false);
    let changes = list("changes");
    let none = "<p>Nothing differs from the present version.</p>\n".to_owned();
    let changes = if changes.is_empty() { none } else { change_table(&changes) };
    let warnings = list("warnings").iter().map(|one| value(one.get("reason"))).collect::<Vec<_>>();
    let warnings: String = warnings.iter().map(|text| format!("<p>{text}</p>\n")).collect();
    format!("{said}{changes}{warnings}")
}

fn change_table(changes: &[Json]) -> String {
    let row = |change: &Json| {
        let place = change.get("property").and_then(Json::as_str).unwrap_or_default();
        let side = |name: &str| value(visible(place, change.get(name)).as_ref());
        vec![escaped(place), side("before"), side("after")]
    };
    let rows: Vec<_> = changes.iter().map(row).collect();
    console_page::table(&["What", "Before", "After"], &rows)
}

fn form_page(
    status: StatusCode,
    form: &ConfigurationForm,
    problems: &[FieldProblem],
    said: &str,
) -> Response {
    let list = console_page::problem_list(problems);
    let content = format!(
        "<h1>Configuration</h1>\n{list}{said}{}",
        console_page::configuration_form(form, problems)
    );
    html(status, console_page::page("Configuration", true, &content))
}

/// The versions, the newest first.
async fn versions(SignedIn(client): SignedIn) -> Result<Response, Problem> {
    let answer = client.get("/rest/v1/config/versions").await?;
    if let Some(refused) = refused(&answer) {
        return Ok(refused);
    }
    let row = |one: &Json| {
        let number = value(one.get("version"));
        let author = one.get("author");
        let of = |name: &str| value(author.and_then(|author| author.get(name)));
        let restored = match one.get("restored").and_then(Json::as_i64) {
            Some(number) => format!("back to version {number}"),
            None => "a change".to_owned(),
        };
        let link = format!("<a href=\"/versions/{number}\">{number}</a>");
        vec![link, value(one.get("at")), format!("{} ({})", of("name"), of("domain")), restored]
    };
    let rows: Vec<_> = answer.json.as_array().into_iter().flatten().map(row).collect();
    let table = if rows.is_empty() {
        "<p>Nobody has changed the configuration yet.</p>\n".to_owned()
    } else {
        console_page::table(&["Version", "When", "Token", "What"], &rows)
    };
    let content = format!("<h1>Versions</h1>\n{table}");
    Ok(html(StatusCode::OK, console_page::page("Versions", true, &content)))
}

/// A version with its differences, and the way back to it.
async fn version(
    Path(number): Path<String>,
    SignedIn(client): SignedIn,
) -> Result<Response, Problem> {
    let path = format!("/rest/v1/config/versions/{}", crate::percent::encode(&number));
    let answer = client.get(&path).await?;
    if let Some(refused) = refused(&answer) {
        return Ok(refused);
    }
    let changes = match answer.json.get("changes").and_then(Json::as_array) {
        Some(changes) if changes.is_empty() => "<p>It changed nothing.</p>\n".to_owned(),
        Some(changes) => change_table(changes),
        None => "<p>The version before it is no longer kept.</p>\n".to_owned(),
    };
    let number = escaped(&number);
    let content = format!(
        "<h1>Version {number}</h1>\n<p>Written {}.</p>\n<h2>What it changed</h2>\n{changes}\
         <form method=\"post\" action=\"/versions/{number}\">\n<div class=\"buttons\">\n\
         <button>Go back to version {number}</button>\n</div>\n</form>\n\
         <p>This writes a new version with the content of this one.</p>\n",
        value(answer.json.get("at"))
    );
    let title = format!("Version {number}");
    Ok(html(StatusCode::OK, console_page::page(&title, true, &content)))
}

/// Writes a former version as the next one.
async fn bring_back(
    Path(number): Path<String>,
    SignedForm { client, .. }: SignedForm,
) -> Result<Response, Problem> {
    let wanted = json!({"version": number.parse::<i64>().ok()});
    let answer = client.send(Method::POST, "/rest/v1/config:rollback", None, Some(&wanted)).await?;
    if let Some(refused) = refused(&answer) {
        return Ok(refused);
    }
    Ok(to("/versions", None))
}
