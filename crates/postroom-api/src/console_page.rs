//! The pages of the application as html. Every text that comes from elsewhere is escaped.

use crate::console_client::FieldProblem;
use crate::console_form::ConfigurationForm;
use crate::console_form::FIELDS;
use crate::console_form::FieldKind;
use crate::console_form::ROLE_FIELDS;
use crate::console_form::RoleRow;
use crate::console_form::SettingField;
use crate::escaped::escaped;
use serde_json::Value as Json;

/// A page around its content.
#[must_use]
pub(crate) fn page(title: &str, is_signed_in: bool, content: &str) -> String {
    let menu = if is_signed_in {
        "<a href=\"/\">Overview</a>\n<a href=\"/configuration\">Configuration</a>\n\
         <a href=\"/versions\">Versions</a>\n<a href=\"/tokens\">Tokens</a>\n\
         <a href=\"/users\">Users</a>\n<a href=\"/domains\">Domains</a>\n\
         <a href=\"/audit\">Audit</a>\n<a href=\"/second-factor\">Second factor</a>\n\
         <a href=\"/rest/v1/docs\">Reference</a>\n\
         <form method=\"post\" action=\"/sign-out\">\
         <button class=\"plain\">Sign out</button></form>"
    } else {
        "<a href=\"/rest/v1/docs\">Reference</a>"
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{} – Postroom</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"/console.css\">\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">To the content</a>\n<header>\n\
         <strong>Postroom</strong>\n{menu}\n</header>\n<main id=\"main\">\n{content}</main>\n\
         </body>\n</html>\n",
        escaped(title)
    )
}

/// What happened, for people.
#[must_use]
pub(crate) fn told(text: &str, is_bad: bool) -> String {
    let (class, role) = if is_bad { ("told bad", "alert") } else { ("told", "status") };
    format!("<div class=\"{class}\" role=\"{role}\"><p>{}</p></div>\n", escaped(text))
}

/// Problems as a list that leads to their fields. Empty if there are none.
#[must_use]
pub(crate) fn problem_list(problems: &[FieldProblem]) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let item = |problem: &FieldProblem| {
        let text = escaped(&problem.text);
        match problem.field.as_str() {
            "" => format!("<li>{text}</li>\n"),
            field => format!("<li><a href=\"#{}\">{text}</a></li>\n", escaped(field)),
        }
    };
    let items: String = problems.iter().map(item).collect();
    format!(
        "<div class=\"told bad\" role=\"alert\"><p>Nothing was changed:</p>\n<ul>\n{items}</ul>\n\
         </div>\n"
    )
}

/// The page that asks for a login, or for a token.
#[must_use]
pub(crate) fn sign_in(problem: Option<&str>) -> String {
    let problem = problem.map(|text| told(text, true)).unwrap_or_default();
    let content = format!(
        "<section class=\"alone\">\n<h1>Sign in</h1>\n{problem}\
         <form method=\"post\" action=\"/sign-in\">\n\
         <p><label for=\"domain\">Domain</label>\n\
         <input id=\"domain\" name=\"domain\" value=\"default\" required></p>\n\
         <p><label for=\"login\">Login</label>\n\
         <input id=\"login\" name=\"login\" autocomplete=\"username\" required></p>\n\
         <p><label for=\"pwd\">Password</label>\n\
         <input id=\"pwd\" name=\"pwd\" type=\"password\" autocomplete=\"current-password\" \
         required></p>\n<p><button>Sign in as a user</button></p>\n</form>\n\
         <form method=\"post\" action=\"/sign-in\">\n\
         <p><label for=\"token\">Token of an administrator</label>\n\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"off\" \
         required></p>\n<p><button>Sign in</button></p>\n</form>\n</section>\n"
    );
    page("Sign in", false, &content)
}

/// The page that asks for the code of a second factor. The password is not kept in it, so it is
/// entered again, or the browser knows it.
#[must_use]
pub(crate) fn sign_in_with_code(domain: &str, login: &str, is_wrong: bool) -> String {
    let said = if is_wrong {
        told("The code is wrong, or was used before. Enter the next one.", true)
    } else {
        told("This user has a second factor. Enter the password again, and the code.", false)
    };
    let content = format!(
        "<section class=\"alone\">\n<h1>Sign in with a code</h1>\n{said}\
         <form method=\"post\" action=\"/sign-in\">\n\
         <p><label for=\"domain\">Domain</label>\n\
         <input id=\"domain\" name=\"domain\" value=\"{}\" required></p>\n\
         <p><label for=\"login\">Login</label>\n\
         <input id=\"login\" name=\"login\" autocomplete=\"username\" value=\"{}\" required></p>\n\
         <p><label for=\"pwd\">Password</label>\n\
         <input id=\"pwd\" name=\"pwd\" type=\"password\" autocomplete=\"current-password\" \
         required autofocus></p>\n\
         <p><label for=\"code\">Code of the app, or a recovery code</label>\n\
         <input id=\"code\" name=\"code\" autocomplete=\"one-time-code\" required></p>\n\
         <p><button>Sign in</button></p>\n</form>\n\
         <p><a href=\"/\">Sign in as somebody else</a></p>\n</section>\n",
        escaped(domain),
        escaped(login)
    );
    page("Sign in with a code", false, &content)
}

/// A table. Each row has a cell for each column.
#[must_use]
pub(crate) fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let head: String =
        columns.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let row = |cells: &Vec<String>| {
        let cell = |(name, cell): (&&str, &String)| format!("<td data-name=\"{name}\">{cell}</td>");
        let cells: String = columns.iter().zip(cells).map(cell).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table></div>\n"
    )
}

/// The processes that share the database, and which of them is active.
#[must_use]
pub(crate) fn node_table(nodes: &Json) -> String {
    let names =
        ["name", "role", "group", "order", "state", "since", "version", "lastSeenAt", "statusText"];
    let row = |node: &Json| names.iter().map(|name| value(node.get(*name))).collect();
    let rows: Vec<_> = nodes.as_array().into_iter().flatten().map(row).collect();
    let columns =
        ["Name", "Role", "Group", "Order", "State", "Since", "Release", "Last seen", "What to do"];
    table(&columns, &rows)
}

/// A value of JSON for people. Nothing is shown as a dash.
#[must_use]
pub(crate) fn value(json: Option<&Json>) -> String {
    match json {
        None | Some(Json::Null) => "–".to_owned(),
        Some(Json::String(text)) => escaped(text),
        Some(Json::Bool(flag)) => if *flag { "yes" } else { "no" }.to_owned(),
        Some(Json::Number(number)) => number.to_string(),
        Some(other) => format!("<code>{}</code>", escaped(&other.to_string())),
    }
}

/// The form that changes the configuration.
#[must_use]
pub(crate) fn configuration_form(form: &ConfigurationForm, problems: &[FieldProblem]) -> String {
    let rows = form.rows.iter().enumerate();
    let rows: String = rows.map(|(at, row)| role_fields(at, row, problems)).collect();
    let settings: String = FIELDS.iter().map(|field| setting(field, form, problems)).collect();
    format!(
        "<form method=\"post\" action=\"/configuration\">\n\
         <input type=\"hidden\" name=\"version\" value=\"{}\">\n<h2>Roles</h2>\n{rows}\
         <h2>Settings</h2>\n<p>What is empty is as the arguments of each process say.</p>\n\
         <div class=\"fields\">\n{settings}</div>\n<div class=\"buttons\">\n\
         <button name=\"do\" value=\"save\">Save</button>\n\
         <button class=\"plain\" name=\"do\" value=\"check\">Check only</button>\n</div>\n\
         </form>\n",
        escaped(&form.version)
    )
}

fn role_fields(at: usize, row: &RoleRow, problems: &[FieldProblem]) -> String {
    let legend = if row.was.is_empty() { "New instance".to_owned() } else { escaped(&row.was) };
    let label = |name| match name {
        "name" => "Name",
        "roletype" => "Role",
        "iface" => "Network interface",
        "group" => "Group",
        "order" => "Order",
        _ => "Enabled",
    };
    let field = |name: &'static str| {
        let input = Input {
            id: format!("role-{at}-{name}"),
            name: format!("role.{at}.{name}"),
            label: label(name),
            value: row.field(name),
            kind: if name == "enabled" { FieldKind::Flag } else { FieldKind::Word(&[]) },
        };
        input.html(problems)
    };
    let fields: String = ROLE_FIELDS.into_iter().map(field).collect();
    let remove = if row.was.is_empty() {
        String::new()
    } else {
        let checked = if row.is_removed { " checked" } else { "" };
        format!(
            "<p><label><input type=\"checkbox\" name=\"role.{at}.remove\"{checked}> Remove this \
             instance</label></p>\n"
        )
    };
    format!(
        "<fieldset>\n<legend>{legend}</legend>\n\
         <input type=\"hidden\" name=\"role.{at}.was\" value=\"{}\">\n\
         <div class=\"fields\">\n{fields}</div>\n{remove}</fieldset>\n",
        escaped(&row.was)
    )
}

fn setting(field: &SettingField, form: &ConfigurationForm, problems: &[FieldProblem]) -> String {
    let place = field.place();
    let value = form.settings.get(&place).map_or("", String::as_str);
    let id = place.replace('.', "-");
    Input { id, name: place, label: field.label, value, kind: field.kind }.html(problems)
}

/// A field with its label and its problems.
pub(crate) struct Input<'a> {
    /// The id of the element.
    pub id: String,
    /// The name under which it is sent.
    pub name: String,
    /// What people read.
    pub label: &'a str,
    /// What it has.
    pub value: &'a str,
    /// What it takes.
    pub kind: FieldKind,
}

/// A field of a form about one entity, whose id is its name.
#[must_use]
pub(crate) fn entity_field(
    name: &str,
    label: &str,
    value: &str,
    kind: FieldKind,
    problems: &[FieldProblem],
) -> String {
    Input { id: name.to_owned(), name: name.to_owned(), label, value, kind }.html(problems)
}

/// A form with one button, and its fields.
#[must_use]
pub(crate) fn small_form(action: &str, button: &str, fields: &str) -> String {
    let fields = match fields {
        "" => String::new(),
        fields => format!("<div class=\"fields\">\n{fields}</div>\n"),
    };
    format!(
        "<form method=\"post\" action=\"{}\">\n{fields}<div class=\"buttons\">\n{button}</div>\n\
         </form>\n",
        escaped(action)
    )
}

/// A button of a form. `what` is what it does, in `do`.
#[must_use]
pub(crate) fn button(what: &str, label: &str, is_plain: bool) -> String {
    let class = if is_plain { " class=\"plain\"" } else { "" };
    format!("<button{class} name=\"do\" value=\"{what}\">{}</button>\n", escaped(label))
}

impl Input<'_> {
    /// The element.
    #[must_use]
    pub(crate) fn html(&self, problems: &[FieldProblem]) -> String {
        let Self { id, label, .. } = self;
        let own: Vec<_> = problems.iter().filter(|problem| problem.field == *id).collect();
        let texts = own.iter().map(|problem| {
            format!("<span class=\"problem\" id=\"{id}-problem\">{}</span>", escaped(&problem.text))
        });
        let text = texts.take(1).collect::<String>();
        let marks = if own.is_empty() {
            String::new()
        } else {
            format!(" aria-invalid=\"true\" aria-describedby=\"{id}-problem\"")
        };
        let control = self.control(&marks);
        format!("<div><label for=\"{id}\">{}</label>{control}{text}</div>\n", escaped(label))
    }

    fn control(&self, marks: &str) -> String {
        let Self { id, name, .. } = self;
        let option = |value: &str, text: &str| {
            let selected = if value == self.value { " selected" } else { "" };
            format!("<option value=\"{value}\"{selected}>{text}</option>")
        };
        let options: String = match self.kind {
            FieldKind::Flag => {
                let all = [("", "–"), ("true", "yes"), ("false", "no")];
                all.into_iter().map(|(value, text)| option(value, text)).collect()
            }
            FieldKind::Word(words) if !words.is_empty() => {
                let words = words.iter().map(|word| option(word, word));
                std::iter::once(option("", "–")).chain(words).collect()
            }
            FieldKind::Number
            | FieldKind::Date
            | FieldKind::Login
            | FieldKind::Password
            | FieldKind::Word(_) => String::new(),
        };
        if !options.is_empty() {
            return format!("<select id=\"{id}\" name=\"{name}\"{marks}>{options}</select>");
        }
        let mode = match self.kind {
            FieldKind::Number => " inputmode=\"numeric\"",
            FieldKind::Date => " type=\"date\"",
            FieldKind::Login => " autocomplete=\"username\"",
            FieldKind::Password => " type=\"password\" autocomplete=\"new-password\"",
            FieldKind::Flag | FieldKind::Word(_) => "",
        };
        let value = escaped(self.value);
        format!("<input id=\"{id}\" name=\"{name}\" value=\"{value}\"{mode}{marks}>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_entered_becomes_html() {
        let odd = "\"><script>x</script>'&";
        let row = RoleRow { was: odd.to_owned(), ..RoleRow::default() };
        let mut form = ConfigurationForm { rows: vec![row], ..ConfigurationForm::default() };
        form.rows[0].fields.insert("name", odd.to_owned());
        form.version = odd.to_owned();
        form.settings.insert("limits.requestsPerSecond".to_owned(), odd.to_owned());
        let problem = FieldProblem { field: "role-0-name".to_owned(), text: odd.to_owned() };
        let problems = [problem];
        let html = [configuration_form(&form, &problems), problem_list(&problems)].concat();
        let html = format!("{html}{}{}", told(odd, true), page(odd, true, ""));
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("aria-invalid=\"true\" aria-describedby=\"role-0-name-problem\""));
        assert!(html.contains("href=\"#role-0-name\""));
    }
}
