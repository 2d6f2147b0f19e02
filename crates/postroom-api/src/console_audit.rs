//! The page of the application with the audit: who did what, the newest first.
//!
//! ```text
//!   /audit?event=…&actor=…&from=…&until=…&after=…   a page of entries, and the way to the next one
//! ```

use crate::app::App;
use crate::console_answer::field;
use crate::console_answer::html;
use crate::console_answer::refused;
use crate::console_answer::to;
use crate::console_client::ConsoleClient;
use crate::console_form::FieldKind;
use crate::console_page;
use crate::console_page::entity_field;
use crate::console_page::value;
use crate::escaped::escaped;
use crate::parameters;
use crate::percent;
use crate::problem::Problem;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use postroom_model::builtin::AUDIT;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::USERS;
use postroom_model::builtin::names;
use postroom_model::user_name;
use postroom_store::AuditEvent;
use serde_json::Value as Json;
use serde_json::json;

/// The path.
const PAGE: &str = "/audit";
/// How many entries a page has.
const SHOWN: usize = 50;
/// What a page is asked with.
const ASKED: [&str; 5] = ["event", "actor", "from", "until", "after"];
/// The classes whose entities have pages, and where those are.
const PAGES: [(&str, &str); 3] = [(USERS, "/users"), (TOKENS, "/tokens"), (DOMAINS, "/domains")];

/// The paths.
pub(crate) fn routes() -> Router<App> {
    Router::new().route(PAGE, get(show))
}

async fn show(request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let asked = parameters::of(&parts.uri, &ASKED)?;
    let Some(client) = ConsoleClient::of(&parts) else {
        return Ok(to("/", None));
    };
    let filter = percent::encode(&filter(&asked).to_string());
    let after = match field(&asked, "after") {
        "" => String::new(),
        after => format!("&after={}", percent::encode(after)),
    };
    let path = format!("/rest/v1/model/{AUDIT}?order=-at&limit={SHOWN}&filter={filter}{after}");
    let found = client.get(&path).await?;
    // A date that is none is told beside the fields.
    let is_odd = found.status == StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(refused) = refused(&found).filter(|_| !is_odd) {
        return Ok(refused);
    }
    let said = if is_odd { console_page::told(&found.detail(), true) } else { String::new() };
    let rows: Vec<_> = found.json.as_array().into_iter().flatten().map(row).collect();
    let columns = ["When (UTC)", "Who", "What", "To what", "From", "Times", "More"];
    let table = match rows.as_slice() {
        [] if is_odd => String::new(),
        [] => "<p>There are no such entries.</p>\n".to_owned(),
        rows => console_page::table(&columns, rows),
    };
    let content =
        format!("<h1>Audit</h1>\n{}{said}{table}{}", form(&asked), ways(&asked, &found.next));
    Ok(html(found.status, console_page::page("Audit", true, &content)))
}

/// The filter that the fields mean. A day ends with its last millisecond.
fn filter(asked: &[(String, String)]) -> Json {
    let mut all = vec![json!("and")];
    let mut add = |name: &str, filter: &dyn Fn(&str) -> Json| {
        all.extend(Some(field(asked, name).trim()).filter(|text| !text.is_empty()).map(filter));
    };
    let property = |name: &str| json!(["property", name]);
    add("event", &|event| json!(["==", property(names::EVENT), event]));
    // Whoever looks for a user may leave out how the names of users begin.
    let named = |actor: &str| json!(["const", [actor, user_name(actor)]]);
    add("actor", &|actor| json!(["in", property(names::ACTOR), named(actor)]));
    add("from", &|day| json!([">=", property(names::AT), format!("{day}T00:00:00.000Z")]));
    add("until", &|day| json!(["<=", property(names::AT), format!("{day}T23:59:59.999Z")]));
    Json::Array(all)
}

fn form(asked: &[(String, String)]) -> String {
    let chosen = field(asked, "event");
    let option = |event: AuditEvent| {
        let (word, text) = (event.as_str(), escaped(says(event)));
        let selected = if word == chosen { " selected" } else { "" };
        format!("<option value=\"{word}\"{selected}>{text}</option>")
    };
    let options: String = AuditEvent::ALL.into_iter().map(option).collect();
    let other = |name, label, kind| entity_field(name, label, field(asked, name), kind, &[]);
    format!(
        "<form method=\"get\" action=\"{PAGE}\">\n<div class=\"fields\">\n\
         <div><label for=\"event\">What</label><select id=\"event\" name=\"event\">\
         <option value=\"\">everything</option>{options}</select></div>\n{}{}{}</div>\n\
         <div class=\"buttons\">\n<button>Show</button>\n</div>\n</form>\n",
        other("actor", "User or token", FieldKind::Word(&[])),
        other("from", "From (day, UTC)", FieldKind::Date),
        other("until", "Until (day, UTC)", FieldKind::Date)
    )
}

/// The ways to the first and the next page. `next` is where that begins. Empty: there is none.
fn ways(asked: &[(String, String)], next: &str) -> String {
    let way = |after: &str, text: &str| {
        let kept = asked.iter().filter(|(name, text)| name != "after" && !text.is_empty());
        let kept = kept.map(|(name, text)| format!("{name}={}", percent::encode(text)));
        let after = Some(after).filter(|after| !after.is_empty());
        let after = after.map(|after| format!("after={}", percent::encode(after)));
        let query: Vec<_> = kept.chain(after).collect();
        format!("<a href=\"{PAGE}?{}\">{text}</a>\n", escaped(&query.join("&")))
    };
    let first = match field(asked, "after") {
        "" => String::new(),
        _ => way("", "The newest"),
    };
    let older = if next.is_empty() { String::new() } else { way(next, "Older entries") };
    if first.is_empty() && older.is_empty() {
        return String::new();
    }
    format!("<p class=\"buttons\">{first}{older}</p>\n")
}

fn row(entry: &Json) -> Vec<String> {
    let of = |name: &str| entry.get(name).filter(|value| !value.is_null());
    let text = |name: &str| of(name).and_then(Json::as_str).unwrap_or_default();
    let event = AuditEvent::ALL.into_iter().find(|event| event.as_str() == text(names::EVENT));
    let happened = event.map_or_else(|| escaped(text(names::EVENT)), |event| escaped(says(event)));
    let who = match (text(names::ACTOR_TYPE), text(names::ACTOR)) {
        ("system", _) => "Postroom".to_owned(),
        ("nobody", "") => "somebody unknown".to_owned(),
        ("nobody", login) => format!("somebody as “{}”", escaped(login)),
        ("token", name) => format!("the token {}", escaped(name)),
        (_, name) => escaped(name),
    };
    let elsewhere = of(names::AFFECTED_DOMAIN);
    let elsewhere = elsewhere.map(|domain| format!("in the domain {}", value(Some(domain))));
    let details = of(names::DETAILS).map(members);
    let more: Vec<_> = elsewhere.into_iter().chain(details).collect();
    let at = text(names::AT);
    let at = at.split('.').next().unwrap_or(at).replace('T', " ");
    vec![
        escaped(&at),
        who,
        happened,
        about(entry),
        value(of(names::SOURCE)),
        value(of(names::COUNT)),
        if more.is_empty() { "–".to_owned() } else { more.join(", ") },
    ]
}

/// What something was done to: the class, the entity with a way to its page, and the properties.
fn about(entry: &Json) -> String {
    let text = |name: &str| entry.get(name).and_then(Json::as_str);
    let (Some(class), entity) = (text(names::CLASS), text(names::ENTITY)) else {
        return "–".to_owned();
    };
    let page = PAGES.into_iter().find(|(of, _)| *of == class);
    let what = match (entity, page) {
        (Some(id), Some((_, at))) => {
            let (at, id) = (format!("{at}/{}", percent::encode(id)), escaped(id));
            format!("{} <a href=\"{at}\">{id}</a>", escaped(class))
        }
        (Some(id), None) => format!("{} {}", escaped(class), escaped(id)),
        (None, _) => escaped(class),
    };
    let list = entry.get(names::PROPERTIES).and_then(Json::as_array).into_iter().flatten();
    let list: Vec<_> = list.map(|name| value(Some(name))).collect();
    if list.is_empty() { what } else { format!("{what}: {}", list.join(", ")) }
}

/// The members of an object, for people.
fn members(details: &Json) -> String {
    let Some(members) = details.as_object() else {
        return value(Some(details));
    };
    let member =
        |(name, member): (&String, &Json)| format!("{}: {}", escaped(name), value(Some(member)));
    members.iter().map(member).collect::<Vec<_>>().join(", ")
}

/// What happened, for people.
fn says(event: AuditEvent) -> &'static str {
    match event {
        AuditEvent::Create => "created",
        AuditEvent::Change => "changed",
        AuditEvent::Delete => "deleted",
        AuditEvent::Login => "signed in",
        AuditEvent::LoginRefused => "did not get in",
        AuditEvent::LoginLockedOut => "was locked out",
        AuditEvent::LoginCodeAsked => "was asked for a code",
        AuditEvent::Logout => "signed out",
        AuditEvent::TokenUse => "used a token",
        AuditEvent::TokenRefused => "showed an unknown token",
        AuditEvent::Refused => "lacked a right",
        AuditEvent::Configure => "changed the configuration",
        AuditEvent::Design => "changed a class",
        AuditEvent::Erase => "began to erase a domain",
        AuditEvent::Erased => "erased a domain",
        AuditEvent::KeyRotate => "replaced the master key",
        AuditEvent::SendingResume => "let a copy send",
        AuditEvent::TotpEnrol => "set a second factor up",
        AuditEvent::TotpRemove => "removed a second factor",
        AuditEvent::TotpRecover => "used a recovery code",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_readable_and_nothing_in_it_becomes_html() {
        let odd = "<script>\"&";
        let entry = json!({
            "at": "2026-11-30T18:10:00.123Z", "event": "change", "actorType": "user",
            "actor": odd, "class": USERS, "entity": odd, "properties": ["role", odd],
            "source": odd, "count": 3, "affectedDomain": odd, "details": {"left": 9, odd: odd},
        });
        let cells = row(&entry);
        assert_eq!(cells[0], "2026-11-30 18:10:00");
        assert_eq!((cells[2].as_str(), cells[5].as_str()), ("changed", "3"));
        assert!(cells[3].starts_with("iam/Users <a href=\"/users/%3C"), "{}", cells[3]);
        assert!(cells[6].contains("in the domain") && cells[6].contains("left: 9"), "{}", cells[6]);
        assert!(!cells.concat().contains("<script"), "{cells:?}");
        let nobody = row(&json!({"event": "login.refused", "actorType": "nobody", "actor": "ben"}));
        assert_eq!(
            (nobody[1].as_str(), nobody[2].as_str()),
            ("somebody as “ben”", "did not get in")
        );
        let later = row(&json!({"event": "a.later.one"}));
        assert_eq!((later[2].as_str(), later[3].as_str()), ("a.later.one", "–"));
    }

    #[test]
    fn fields_become_a_filter_and_ways_keep_them() {
        let asked: Vec<_> =
            [("event", "login"), ("actor", " anna"), ("until", "2026-11-30"), ("from", "")]
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .into();
        let want = json!([
            "and",
            ["==", ["property", "event"], "login"],
            ["in", ["property", "actor"], ["const", ["anna", "user:anna"]]],
            ["<=", ["property", "at"], "2026-11-30T23:59:59.999Z"],
        ]);
        assert_eq!(filter(&asked), want);
        let next = ways(&asked, "a b");
        assert!(
            next.contains("event=login&amp;actor=%20anna&amp;until=2026-11-30&amp;after=a%20b"),
            "{next}"
        );
        assert_eq!(ways(&asked, ""), "");
    }
}
