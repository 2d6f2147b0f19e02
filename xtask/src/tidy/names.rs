//! Bans names that say nothing, for files, modules, types, functions and constants.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use crate::tidy::source::code_of;

/// Words that may not be part of a name.
const BANNED: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "misc", "tools", "manager", "service",
    "services", "handler", "handlers", "data", "info", "ctx", "ctx2",
];

/// Exceptions, each with the reason.
const ALLOWED: &[(&str, &str)] = &[
    ("DataType", "`data_type` is a word of the class definitions"),
    ("data_type", "`data_type` is a word of the class definitions"),
    ("data", "the SMTP command, RFC 5321 §4.1.1.4, and the argument --data"),
    ("Data", "the SMTP command, RFC 5321 §4.1.1.4"),
    ("REND_DATA", "an attribute of TNEF, attAttachRendData"),
    ("data_directory", "the directory that the argument --data names"),
];

/// The keywords before a name that is being defined.
const KEYWORDS: &[&str] =
    &["fn", "struct", "enum", "trait", "mod", "type", "const", "static", "union", "macro_rules!"];

/// Checks one Rust file.
pub fn check(source: &Source) -> Vec<Offence> {
    let mut offences = vec![];
    for part in source.path.trim_end_matches(".rs").split('/') {
        if let Some(word) = banned_word(part) {
            let text = format!("the path says `{word}`: name it after what it does");
            offences.push(source.offence(1, text));
        }
    }
    for (number, line) in source.product() {
        if let Some((name, word)) = defined_name(line).and_then(|n| Some((n, banned_word(n)?))) {
            let text = format!("`{name}` says `{word}`: name it after what it does");
            offences.push(source.offence(number, text));
        }
    }
    offences
}

/// The name that a line defines, if it does.
fn defined_name(line: &str) -> Option<&str> {
    let mut words = code_of(line).split_whitespace();
    let modifiers = ["pub", "async", "unsafe", "extern", "default"];
    let keyword = words.find(|word| !modifiers.contains(word) && !word.starts_with("pub("))?;
    if !KEYWORDS.contains(&keyword) {
        return None;
    }
    let mut name = words.next()?;
    if ["fn", "mut"].contains(&name) {
        name = words.next()?;
    }
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

fn banned_word(name: &str) -> Option<String> {
    if ALLOWED.iter().any(|(allowed, _)| *allowed == name) {
        return None;
    }
    words(name).into_iter().find(|word| BANNED.contains(&word.as_str()))
}

/// The words of `snake_case`, `CamelCase`, `kebab-case` and `SCREAMING_CASE`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![];
    let mut previous = '_';
    for character in name.chars() {
        if !character.is_alphanumeric() {
            previous = character;
            continue;
        }
        let begins =
            !previous.is_alphanumeric() || (character.is_uppercase() && !previous.is_uppercase());
        let lower: String = character.to_lowercase().collect();
        match words.last_mut() {
            Some(word) if !begins => word.push_str(&lower),
            Some(_) | None => words.push(lower),
        }
        previous = character;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offences(path: &str, line: &str) -> Vec<String> {
        let source = Source::new(path, &format!("//! A.\n{line}\n"));
        check(&source).into_iter().map(|offence| offence.text).collect()
    }

    #[test]
    fn definitions_and_paths_are_checked_and_uses_are_not() {
        let path = "crates/x/src/a.rs";
        let table = [
            ("pub fn parse_info(line: &str) {", 1),
            ("pub(crate) struct ServiceManager;", 1),
            ("    pub async fn handler() {}", 1),
            ("const fn helper() {}", 1),
            ("static mut CTX: u8 = 0;", 1),
            ("mod common;", 1),
            ("fn database() {}", 0),
            ("fn information() {}", 0),
            ("enum DataType {", 0),
            ("tracing::info!(a);", 0),
            ("// fn helper", 0),
            ("fn a(handler: u8) {}", 0),
        ];
        for (line, want) in table {
            assert_eq!(offences(path, line).len(), want, "{line}");
        }
        assert_eq!(offences("crates/x/src/util.rs", "").len(), 1);
        assert_eq!(offences("crates/x-common/src/a.rs", "").len(), 1);
    }
}
