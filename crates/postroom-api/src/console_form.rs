//! The form in which the application changes the configuration: the part of it that the trimmed
//! view shows, and what a person has entered.
//!
//! What the form does not show, such as a parameter of a role, is taken over as it is.

use crate::percent;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashMap;

/// How many roles a form may have.
const ROWS_MAX: usize = 1001;

/// What a field of the settings takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// A whole number.
    Number,
    /// A day.
    Date,
    /// The login of a user.
    Login,
    /// A new password, which nobody sees.
    Password,
    /// Yes, no, or as the arguments say.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A setting in the form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SettingField {
    /// The section.
    pub section: &'static str,
    /// The member of the section.
    pub name: &'static str,
    /// What people read.
    pub label: &'static str,
    /// What it takes.
    pub kind: FieldKind,
}

const fn field(
    section: &'static str,
    name: &'static str,
    label: &'static str,
    kind: FieldKind,
) -> SettingField {
    SettingField { section, name, label, kind }
}

/// The levels of the log.
const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// The settings of the form.
pub(crate) const FIELDS: &[SettingField] = &[
    field(
        "limits",
        "requestsPerSecond",
        "Requests that a token may send in a second",
        FieldKind::Number,
    ),
    field("retention", "feedDays", "Days that the feed keeps changes", FieldKind::Number),
    field("retention", "feedChanges", "Changes that the feed keeps", FieldKind::Number),
    field("retention", "auditDays", "Days that the audit keeps entries", FieldKind::Number),
    field(
        "outgoing",
        "mailToPublicAddressesOnly",
        "Mail servers at public addresses only",
        FieldKind::Flag,
    ),
    field(
        "outgoing",
        "webhooksToPrivateAddresses",
        "Webhooks to private addresses",
        FieldKind::Flag,
    ),
    field("outgoing", "autoconfigLookups", "Ask others for mail servers", FieldKind::Flag),
    field("log", "level", "Level of the log", FieldKind::Word(LEVELS)),
];

impl SettingField {
    /// Its place in the configuration, which is also the name of its field.
    #[must_use]
    pub(crate) fn place(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

/// The fields of a role, in the order of the form.
pub(crate) const ROLE_FIELDS: [&str; 6] =
    ["name", "roletype", "iface", "group", "order", "enabled"];

/// A role in the form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RoleRow {
    /// Its name in the configuration. Empty: it is new.
    pub was: String,
    /// What the fields have, by their names.
    pub fields: HashMap<&'static str, String>,
    /// Whether it is to be removed.
    pub is_removed: bool,
}

impl RoleRow {
    /// What a field has.
    #[must_use]
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Whether it is the row for a new role, and nothing was entered.
    fn is_blank(&self) -> bool {
        self.was.is_empty() && self.field("name").is_empty() && self.field("roletype").is_empty()
    }

    fn of(role: &Json) -> Self {
        let field = |name: &'static str| (name, shown(role.get(name)));
        let fields: HashMap<_, _> = ROLE_FIELDS.into_iter().map(field).collect();
        let was = fields.get("name").cloned().unwrap_or_default();
        Self { was, fields, is_removed: false }
    }
}

/// A form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConfigurationForm {
    /// The version that it changes.
    pub version: String,
    /// The roles. The last one is blank, for a new role.
    pub rows: Vec<RoleRow>,
    /// What the fields of settings have, by their places.
    pub settings: HashMap<String, String>,
}

impl ConfigurationForm {
    /// The form of a trimmed configuration.
    #[must_use]
    pub(crate) fn of(version: &str, trimmed: &Json) -> Self {
        let roles = trimmed.get("roles").and_then(Json::as_array).into_iter().flatten();
        let mut rows: Vec<_> = roles.map(RoleRow::of).collect();
        rows.push(RoleRow::default());
        let value = |field: &SettingField| {
            let section = trimmed.get(field.section);
            (field.place(), shown(section.and_then(|section| section.get(field.name))))
        };
        let settings = FIELDS.iter().map(value).collect();
        Self { version: version.to_owned(), rows, settings }
    }

    /// What a browser has sent.
    #[must_use]
    pub(crate) fn entered(pairs: &[(String, String)]) -> Self {
        let mut form = Self::default();
        for (name, value) in pairs {
            let value = value.trim().to_owned();
            if name == "version" {
                form.version = value;
            } else if let Some((at, member)) = row_field(name) {
                if form.rows.len() <= at {
                    form.rows.resize_with(at + 1, RoleRow::default);
                }
                let Some(row) = form.rows.get_mut(at) else { continue };
                match member {
                    "was" => row.was = value,
                    "remove" => row.is_removed = true,
                    member => {
                        let known = ROLE_FIELDS.into_iter().find(|known| *known == member);
                        row.fields.extend(known.map(|known| (known, value)));
                    }
                }
            } else if FIELDS.iter().any(|field| field.place() == *name) {
                form.settings.insert(name.clone(), value);
            }
        }
        form
    }

    /// The rows that become roles, with their places in the form.
    pub(crate) fn kept(&self) -> Vec<(usize, &RoleRow)> {
        let all = self.rows.iter().enumerate();
        all.filter(|(_, row)| !row.is_removed && !row.is_blank()).collect()
    }

    /// The merge patch that the form means. `whole` is the configuration that it changes.
    #[must_use]
    pub(crate) fn patch(&self, whole: &Json) -> Json {
        let roles: &[Json] = whole.get("roles").and_then(Json::as_array).map_or(&[], Vec::as_slice);
        let named = |name: &str| {
            let is_it = |role: &&Json| role.get("name").and_then(Json::as_str) == Some(name);
            roles.iter().find(is_it).and_then(Json::as_object).cloned().unwrap_or_default()
        };
        let role = |(_, row): &(usize, &RoleRow)| Json::Object(changed_role(named(&row.was), row));
        let roles: Vec<_> = self.kept().iter().map(role).collect();
        let mut patch = Map::from_iter([("roles".to_owned(), Json::from(roles))]);
        for field in FIELDS {
            let Some(text) = self.settings.get(&field.place()) else { continue };
            let value = match field.kind {
                _ if text.is_empty() => Json::Null,
                FieldKind::Number => number(text),
                FieldKind::Flag => flag(text),
                FieldKind::Date | FieldKind::Login | FieldKind::Password | FieldKind::Word(_) => {
                    text.as_str().into()
                }
            };
            let section = patch.entry(field.section).or_insert_with(|| json!({}));
            if let Some(members) = section.as_object_mut() {
                members.insert(field.name.to_owned(), value);
            }
        }
        Json::Object(patch)
    }
}

fn changed_role(mut role: Map<String, Json>, row: &RoleRow) -> Map<String, Json> {
    for name in ROLE_FIELDS {
        let text = row.field(name);
        let value = match name {
            "group" | "order" => number(text),
            "enabled" => flag(text),
            _ => text.into(),
        };
        // A name that is not entered is told as a problem of the name.
        if text.is_empty() && !["name", "roletype"].contains(&name) {
            role.shift_remove(name);
        } else {
            role.insert(name.to_owned(), value);
        }
    }
    role
}

/// A side of a difference between two versions, without what the application does not show: hosts,
/// ports, and other parameters of roles.
#[must_use]
pub(crate) fn visible(place: &str, side: Option<&Json>) -> Option<Json> {
    let side = side.filter(|side| !side.is_null())?;
    let hidden = || Some("not shown here".into());
    let Some(rest) = place.strip_prefix("roles[") else {
        return visible_setting(place, side).or_else(hidden);
    };
    match (rest.rsplit_once("]."), side) {
        (Some((_, member)), _) if ROLE_FIELDS.contains(&member) => Some(side.clone()),
        (None, Json::Object(role)) => {
            let mut role = role.clone();
            role.retain(|name, _| ROLE_FIELDS.contains(&name.as_str()));
            Some(Json::Object(role))
        }
        _ => hidden(),
    }
}

/// A side of a difference of settings: what the form shows.
fn visible_setting(place: &str, side: &Json) -> Option<Json> {
    match (place.split_once('.'), side) {
        (Some(_), side) => FIELDS.iter().any(|field| field.place() == place).then(|| side.clone()),
        (None, Json::Object(section)) => {
            let mut section = section.clone();
            section.retain(|name, _| {
                FIELDS.iter().any(|field| field.section == place && field.name == name)
            });
            (!section.is_empty()).then_some(Json::Object(section))
        }
        (None, _) => None,
    }
}

/// A number, or the text that is none, so that the interface says what is wrong with it.
fn number(text: &str) -> Json {
    text.parse::<u64>().map_or_else(|_| text.into(), Json::from)
}

fn flag(text: &str) -> Json {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        other => other.into(),
    }
}

/// A value as a field has it.
fn shown(value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The row and the member that `role.3.name` names.
fn row_field(name: &str) -> Option<(usize, &str)> {
    let (at, member) = name.strip_prefix("role.")?.split_once('.')?;
    let at = at.parse().ok().filter(|at| *at < ROWS_MAX)?;
    Some((at, member))
}

/// The pairs of a form. `None`: it is not well formed.
#[must_use]
pub(crate) fn pairs(body: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| percent::decode(&text.replace('+', " "));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    };
    body.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_is_taken_over() {
        let whole = json!({"roles": [
            {"name": "w", "roletype": "web", "port": 80, "apiKey": "********", "order": 1},
            {"name": "gone", "roletype": "im"},
        ], "trust": {"authorities": ["pem"]}});
        let body = "version=3&role.0.was=w&role.0.name=w2&role.0.roletype=web&role.0.order=x\
                    &role.0.enabled=false&role.1.was=gone&role.1.name=gone&role.1.roletype=im\
                    &role.1.remove=on&role.2.was=&role.2.name=&limits.requestsPerSecond=5\
                    &log.level=&outgoing.mailToPublicAddressesOnly=true&trust.authorities=&nope=1";
        let form = ConfigurationForm::entered(&pairs(body).unwrap());
        assert_eq!(form.version, "3");
        let patch = form.patch(&whole);
        let role = json!({"name": "w2", "roletype": "web", "port": 80, "apiKey": "********",
            "order": "x", "enabled": false});
        let want = json!({"roles": [role], "limits": {"requestsPerSecond": 5},
            "log": {"level": null}, "outgoing": {"mailToPublicAddressesOnly": true}});
        assert_eq!(patch, want);
        assert_eq!(form.kept().len(), 1);
    }

    #[test]
    fn a_form_that_nobody_touched_changes_nothing() {
        let whole = json!({"roles": [{"name": "e", "roletype": "email", "group": 7, "order": 0,
            "enabled": false}], "retention": {"feedDays": 3}});
        let form = ConfigurationForm::of("1", &whole);
        let mut patch = form.patch(&whole);
        patch.as_object_mut().unwrap().retain(|_, section| {
            let members = section.as_object();
            members.is_none_or(|members| members.values().any(|value| !value.is_null()))
        });
        patch["retention"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
        assert_eq!(patch, whole);
    }

    #[test]
    fn hosts_and_ports_are_not_shown_in_differences() {
        let role = json!({"name": "w", "roletype": "web", "host": "10.0.0.1", "order": 1});
        let seen = |place: &str, side: &Json| visible(place, Some(side));
        let shown = json!({"name": "w", "roletype": "web", "order": 1});
        assert_eq!(seen("roles[w]", &role), Some(shown));
        assert_eq!(seen("roles[w].order", &json!(2)), Some(json!(2)));
        assert_eq!(seen("limits.requestsPerSecond", &json!(2)), Some(json!(2)));
        assert_eq!(visible("roles[w].host", None), None);
        let outgoing = json!({"proxy": "http://p:1", "mailToPublicAddressesOnly": true});
        let shown = json!({"mailToPublicAddressesOnly": true});
        assert_eq!(seen("outgoing", &outgoing), Some(shown));
        for place in [
            "outgoing.proxy",
            "outgoing.mailDenied",
            "roles[w].host",
            "roles[w].x.order",
            "roles",
            "trust.authorities",
            "trust",
        ] {
            assert_eq!(seen(place, &json!("10.0.0.1")), Some(json!("not shown here")), "{place}");
        }
    }

    #[test]
    fn a_form_of_many_rows_takes_no_memory() {
        let form = ConfigurationForm::entered(&[("role.99999999.name".to_owned(), "x".to_owned())]);
        assert_eq!(form.rows.len(), 0);
        assert_eq!(pairs("a=%zz"), None);
    }
}
