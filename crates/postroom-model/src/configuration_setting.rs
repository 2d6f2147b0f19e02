//! The settings of all instances, beside the section of roles. Each is declared once.

use crate::address_rules::AllowedSubnet;
use crate::address_rules::Subnet;
use crate::invalid::Invalid;
use crate::proxy::ProxyAddress;
use crate::secret_member::joined;
use serde_json::Map;
use serde_json::Value as Json;
use std::ops::RangeInclusive;

/// How many certificates `trust.authorities` may have.
const TEXTS_MAX: usize = 100;
/// How many bytes one of them may have.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// How many networks a list may have.
const SUBNETS_MAX: usize = 1000;
/// How many bytes a login or a password may have (the limit of SOCKS5, RFC 1929).
const LOGIN_BYTES_MAX: usize = 255;
/// The levels of the log.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What a setting takes.
#[derive(Debug, Clone)]
pub(crate) enum Takes {
    /// `true` or `false`.
    Flag,
    /// A whole number of this range.
    Whole(RangeInclusive<u64>),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of certificates in PEM.
    Certificates,
    /// A list of networks, of which one may be `public`.
    Allowed,
    /// A list of networks.
    Denied,
    /// The URL of a proxy.
    Proxy,
    /// A login name.
    Login,
    /// A text that nobody is shown. The store seals it.
    Secret,
}

/// A setting.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The section.
    pub section: &'static str,
    /// The member of the section.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
}

const fn setting(section: &'static str, name: &'static str, takes: Takes) -> Setting {
    Setting { section, name, takes }
}

/// All settings.
pub(crate) const SETTINGS: &[Setting] = &[
    setting("limits", "requestsPerSecond", Takes::Whole(1..=1_000_000)),
    setting("retention", "feedDays", Takes::Whole(1..=3_650)),
    setting("retention", "feedChanges", Takes::Whole(1_000..=1_000_000_000)),
    setting("retention", "auditDays", Takes::Whole(1..=3_650)),
    setting("trust", "authorities", Takes::Certificates),
    setting("outgoing", "mailToPublicAddressesOnly", Takes::Flag),
    setting("outgoing", "webhooksToPrivateAddresses", Takes::Flag),
    setting("outgoing", "mailAllowed", Takes::Allowed),
    setting("outgoing", "mailDenied", Takes::Denied),
    setting("outgoing", "webhooksAllowed", Takes::Allowed),
    setting("outgoing", "webhooksDenied", Takes::Denied),
    setting("outgoing", "oauthAllowed", Takes::Allowed),
    setting("outgoing", "oauthDenied", Takes::Denied),
    setting("outgoing", "proxy", Takes::Proxy),
    setting("outgoing", "proxyLogin", Takes::Login),
    setting("outgoing", "proxyPassword", Takes::Secret),
    setting("outgoing", "autoconfigLookups", Takes::Flag),
    setting("log", "level", Takes::OneOf(&LEVELS)),
];

/// The names of the sections, without `roles`.
pub(crate) fn section_names() -> Vec<&'static str> {
    let mut names: Vec<_> = SETTINGS.iter().map(|setting| setting.section).collect();
    names.dedup();
    names
}

/// Checks a section.
pub(crate) fn check_section(name: &str, section: &Json, problems: &mut Vec<Invalid>) {
    let Json::Object(members) = section else {
        problems.push(Invalid::new(name, "takes an object"));
        return;
    };
    for (member, value) in members {
        let place = joined(name, member);
        let known = SETTINGS.iter().filter(|setting| setting.section == name);
        match known.clone().find(|setting| setting.name == member) {
            Some(setting) => problems.extend(refused(&setting.takes, value, &place)),
            None => {
                let names: Vec<_> = known.map(|setting| setting.name).collect();
                let reason = format!("no such setting; there is {}", names.join(", "));
                problems.push(Invalid::new(place, reason));
            }
        }
    }
}

/// Why a setting does not take a value. `null` is its default.
fn refused(takes: &Takes, value: &Json, place: &str) -> Vec<Invalid> {
    let problem = match (takes, value) {
        (_, Json::Null) => None,
        (Takes::Flag, value) => (!value.is_boolean()).then(|| "takes true or false".to_owned()),
        (Takes::Whole(range), value) => {
            let is_in = value.as_u64().is_some_and(|number| range.contains(&number));
            let (from, to) = (range.start(), range.end());
            (!is_in).then(|| format!("takes a whole number from {from} to {to}"))
        }
        (Takes::OneOf(words), value) => {
            let is_one = value.as_str().is_some_and(|word| words.contains(&word));
            (!is_one).then(|| format!("takes one of {}", words.join(", ")))
        }
        (Takes::Certificates | Takes::Allowed | Takes::Denied, value) => {
            return refused_items(takes, value, place);
        }
        (Takes::Proxy, Json::String(text)) => ProxyAddress::parse(text).err().map(str::to_owned),
        (Takes::Proxy, _) => Some("takes socks5://host:port or http://host:port".to_owned()),
        (Takes::Login, value) => (!value.as_str().is_some_and(is_login)).then(|| {
            format!("takes a text of 1 to {LOGIN_BYTES_MAX} bytes without control characters")
        }),
        (Takes::Secret, value) => (!is_secret_text(value))
            .then(|| format!("takes a text of 1 to {LOGIN_BYTES_MAX} bytes")),
    };
    problem.map(|reason| Invalid::new(place, reason)).into_iter().collect()
}

/// The items of a list that are refused, each with its place.
fn refused_items(takes: &Takes, value: &Json, place: &str) -> Vec<Invalid> {
    let is_list_of_certificates = matches!(takes, Takes::Certificates);
    let (least, most) = if is_list_of_certificates { (0, TEXTS_MAX) } else { (1, SUBNETS_MAX) };
    let items = value.as_array().filter(|items| (least..=most).contains(&items.len()));
    let Some(items) = items else {
        let reason = if is_list_of_certificates {
            format!("takes a list of at most {TEXTS_MAX} certificates")
        } else {
            format!("takes a list of 1 to {SUBNETS_MAX} networks; null takes the list away")
        };
        return vec![Invalid::new(place, reason)];
    };
    let reason = |item: &Json| {
        let text = item.as_str().unwrap_or_default();
        match takes {
            Takes::Allowed => {
                let odd = text.parse::<AllowedSubnet>().err()?;
                Some(format!("{odd}, nor the word public"))
            }
            Takes::Denied => text.parse::<Subnet>().err().map(|odd| odd.to_string()),
            Takes::Certificates
            | Takes::Flag
            | Takes::Whole(_)
            | Takes::OneOf(_)
            | Takes::Proxy
            | Takes::Login
            | Takes::Secret => (!is_certificate(item)).then(|| {
                format!(
                    "takes a certificate in PEM, which begins with -----BEGIN CERTIFICATE-----, of \
                     at most {TEXT_BYTES_MAX} bytes"
                )
            }),
        }
    };
    let items = items.iter().enumerate();
    let problem =
        |(at, item): (usize, &Json)| Some(Invalid::new(format!("{place}[{at}]"), reason(item)?));
    items.filter_map(problem).collect()
}

/// What is wrong with the members of `outgoing` together.
pub(crate) fn check_proxy(members: &Map<String, Json>, problems: &mut Vec<Invalid>) {
    let outgoing = members.get("outgoing");
    let is_there = |name| outgoing.and_then(|all| all.get(name)).is_some_and(|it| !it.is_null());
    let (proxy, login) = (is_there("proxy"), is_there("proxyLogin"));
    let table = [
        (login && !proxy, "proxyLogin", "is for a proxy: set `outgoing.proxy` too"),
        (login && !is_there("proxyPassword"), "proxyPassword", "is missing for `proxyLogin`"),
        (is_there("proxyPassword") && !login, "proxyPassword", "is for a login: set `proxyLogin`"),
    ];
    let found = table.into_iter().filter(|(is_wrong, ..)| *is_wrong);
    problems
        .extend(found.map(|(_, name, reason)| Invalid::new(format!("outgoing.{name}"), reason)));
}

fn is_login(text: &str) -> bool {
    (1..=LOGIN_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether it is a text that a client sent, or one that the store has sealed.
fn is_secret_text(value: &Json) -> bool {
    match value {
        Json::String(text) => is_login(text),
        Json::Object(members) => members.get("sealed").is_some_and(Json::is_string),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => false,
    }
}

fn is_certificate(item: &Json) -> bool {
    item.as_str().is_some_and(|text| {
        text.len() <= TEXT_BYTES_MAX && text.trim_start().starts_with("-----BEGIN CERTIFICATE-----")
    })
}

/// A section as people see it who do not see everything: lists are counted, and where a proxy is
/// and who logs in there is left out.
pub(crate) fn trimmed_section(name: &str, section: &Map<String, Json>) -> Map<String, Json> {
    let is_hidden = |member: &str| {
        let known = SETTINGS.iter().find(|one| one.section == name && one.name == member);
        known
            .is_some_and(|known| matches!(known.takes, Takes::Proxy | Takes::Login | Takes::Secret))
    };
    let shown = |value: &Json| match value.as_array() {
        Some(items) => items.len().into(),
        None => value.clone(),
    };
    let members = section.iter().filter(|(member, _)| !is_hidden(member));
    members.map(|(member, value)| (member.clone(), shown(value))).collect()
}
