//! One word, one meaning: a type has a name that no other type of the workspace has.
//!
//! So a name tells without its path what it means, and a search finds one thing.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use crate::tidy::source::code_of;
use std::collections::BTreeMap;

/// Names that each crate has by rule.
const SHARED: &[&str] = &["Error"];

/// Names that still stand for two things. The list only gets shorter: an entry that is not needed
/// is an offence.
const EXCEPTIONS: &[&str] = &[];

/// Checks all files of the crates.
pub fn check(sources: &[Source]) -> Vec<Offence> {
    check_with(sources, EXCEPTIONS)
}

fn check_with(sources: &[Source], exceptions: &[&str]) -> Vec<Offence> {
    let mut places: BTreeMap<&str, Vec<(&Source, usize)>> = BTreeMap::new();
    let of_crates =
        |source: &&Source| source.path.starts_with("crates/") && source.path.contains("/src/");
    for source in sources.iter().filter(|source| source.is_rust()).filter(of_crates) {
        for (number, line) in source.product() {
            if let Some(name) = defined_type(line).filter(|name| !SHARED.contains(name)) {
                places.entry(name).or_default().push((source, number));
            }
        }
    }
    let mut offences = vec![];
    for (name, places) in &places {
        let [(first, _), others @ ..] = places.as_slice() else { continue };
        for (source, number) in others.iter().filter(|_| !exceptions.contains(name)) {
            let text = format!(
                "another `{name}` is in {}: one word has one meaning, so give one of them the \
                 name of its role",
                first.path
            );
            offences.push(source.offence(*number, text));
        }
    }
    for name in exceptions {
        if places.get(name).is_none_or(|places| places.len() < 2) {
            let path = "xtask/src/tidy/doubles.rs".to_owned();
            let text = format!("`{name}` has one meaning now: take it off the list");
            offences.push(Offence { path, line: 1, text });
        }
    }
    offences
}

/// The type that a line defines. An associated type is none: it is indented.
fn defined_type(line: &str) -> Option<&str> {
    let code = code_of(line);
    let is_indented = code.starts_with(' ');
    let code = code.trim_start();
    let code = match code.strip_prefix("pub(") {
        Some(rest) => rest.split_once(") ")?.1,
        None => code.strip_prefix("pub ").unwrap_or(code),
    };
    let (keyword, rest) = code.split_once(' ')?;
    let is_type = match keyword {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => !is_indented,
        _ => false,
    };
    let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(rest.len());
    rest.get(..end).filter(|name| is_type && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_their_keyword() {
        for line in
            ["struct A;", "pub enum A<T> {", "    pub(crate) trait A: Send {", "type A = u8;"]
        {
            assert_eq!(defined_type(line), Some("A"), "{line}");
        }
        for line in ["    type Item = u8;", "// struct A;", "fn struct_of() {", "let a = 1;", ""] {
            assert_eq!(defined_type(line), None, "{line}");
        }
    }

    #[test]
    fn a_second_meaning_is_told_with_the_place_of_the_first() {
        let sources = [
            Source::new("crates/x/src/a.rs", "struct Reader;\nenum Error {}\n"),
            Source::new("crates/y/src/b.rs", "\npub struct Reader;\nenum Error {}\n"),
            Source::new("crates/y/tests/c.rs", "struct Reader;\n"),
        ];
        let told = |exceptions: &[&str]| -> Vec<String> {
            check_with(&sources, exceptions).iter().map(ToString::to_string).collect()
        };
        let [one] = told(&[]).try_into().unwrap();
        assert!(one.starts_with("crates/y/src/b.rs:2: another `Reader` is in crates/x/src/a.rs"));
        assert!(told(&["Reader"]).is_empty());
        let [_, needless] = told(&["Writer"]).try_into().unwrap();
        assert!(needless.contains("`Writer` has one meaning now"), "{needless}");
    }
}
