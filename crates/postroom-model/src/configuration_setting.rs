//! The settings of all instances, beside the section of roles. Each is declared once.

use crate::invalid::Invalid;
use crate::secret_member::joined;
use serde_json::Map;
use serde_json::Value as Json;
use std::ops::RangeInclusive;

/// How many certificates `trust.authorities` may have.
const TEXTS_MAX: usize = 100;
/// How many bytes one of them may have.
const TEXT_BYTES_MAX: usize = 64 * 1024;
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
    setting("trust", "authorities", Takes::Certificates),
    setting("outgoing", "mailToPublicAddressesOnly", Takes::Flag),
    setting("outgoing", "webhooksToPrivateAddresses", Takes::Flag),
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
    let reason = match (takes, value) {
        (_, Json::Null) | (Takes::Flag, Json::Bool(_)) => return vec![],
        (Takes::Flag, _) => "takes true or false".to_owned(),
        (Takes::Whole(range), value) => {
            if value.as_u64().is_some_and(|number| range.contains(&number)) {
                return vec![];
            }
            format!("takes a whole number from {} to {}", range.start(), range.end())
        }
        (Takes::OneOf(words), value) => {
            if value.as_str().is_some_and(|word| words.contains(&word)) {
                return vec![];
            }
            format!("takes one of {}", words.join(", "))
        }
        (Takes::Certificates, Json::Array(items)) if items.len() <= TEXTS_MAX => {
            let odd = items.iter().enumerate().filter(|(_, item)| !is_certificate(item));
            let reason = format!(
                "takes a certificate in PEM, which begins with -----BEGIN CERTIFICATE-----, of at \
                 most {TEXT_BYTES_MAX} bytes"
            );
            let problem = |(at, _)| Invalid::new(format!("{place}[{at}]"), reason.as_str());
            return odd.map(problem).collect();
        }
        (Takes::Certificates, _) => format!("takes a list of at most {TEXTS_MAX} certificates"),
    };
    vec![Invalid::new(place, reason)]
}

fn is_certificate(item: &Json) -> bool {
    item.as_str().is_some_and(|text| {
        text.len() <= TEXT_BYTES_MAX && text.trim_start().starts_with("-----BEGIN CERTIFICATE-----")
    })
}

/// A setting as people see it who do not see everything: certificates are counted.
pub(crate) fn trimmed_section(section: &Map<String, Json>) -> Map<String, Json> {
    let shown = |value: &Json| match value.as_array() {
        Some(items) => items.len().into(),
        None => value.clone(),
    };
    section.iter().map(|(name, value)| (name.clone(), shown(value))).collect()
}
