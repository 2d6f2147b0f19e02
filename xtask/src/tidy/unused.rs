//! Dependencies that no source names.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;

/// Dependencies that are there without being named, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Checks the manifests of the workspace.
pub fn check(sources: &[Source]) -> Vec<Offence> {
    check_with(sources, EXCEPTIONS)
}

fn check_with(sources: &[Source], exceptions: &[(&str, &str, &str)]) -> Vec<Offence> {
    let mut offences = vec![];
    for manifest in sources.iter().filter(|source| source.path.ends_with("/Cargo.toml")) {
        let directory = manifest.path.trim_end_matches("Cargo.toml");
        let of_crate: Vec<&Source> = sources
            .iter()
            .filter(|source| source.is_rust() && source.path.starts_with(directory))
            .collect();
        for (number, name) in dependencies(manifest) {
            let identifier = name.replace('-', "_");
            let is_named = of_crate.iter().any(|source| names(source, &identifier));
            let is_excepted =
                exceptions.iter().any(|(path, known, _)| *path == manifest.path && *known == name);
            if !is_named && !is_excepted {
                let text = format!("no source of the crate names `{name}`: take it out");
                offences.push(manifest.offence(number, text));
            }
        }
    }
    offences
}

/// The dependencies of a manifest, each with its line.
fn dependencies(manifest: &Source) -> Vec<(usize, &str)> {
    let mut found = vec![];
    let mut is_list = false;
    for (number, line) in manifest.numbered() {
        if let Some(table) = line.strip_prefix('[') {
            is_list = table.trim_end_matches(']').ends_with("dependencies");
            continue;
        }
        let end = line.find(['.', '=', ' ']).unwrap_or(line.len());
        let name = line.get(..end).unwrap_or_default();
        if is_list && !name.is_empty() && !name.starts_with('#') {
            found.push((number, name));
        }
    }
    found
}

/// Whether a source names a crate.
fn names(source: &Source, identifier: &str) -> bool {
    source.lines.iter().any(|line| {
        line.match_indices(identifier).any(|(at, _)| {
            let before = line.get(..at).and_then(|before| before.chars().last());
            let after = line.get(at + identifier.len()..).and_then(|after| after.chars().next());
            let is_word =
                |char: Option<char>| char.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !is_word(before) && !is_word(after) && !line.trim_start().starts_with("//")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_that_no_source_names_is_an_offence() {
        let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nbase-64.workspace = true\n\
                        serde = \"1\"\n\n[dev-dependencies]\nrcgen.workspace = true\n";
        let sources = [
            Source::new("crates/x/Cargo.toml", manifest),
            Source::new("crates/x/src/a.rs", "use base_64::a;\n// serde\n"),
            Source::new("crates/x/tests/b.rs", "fn f() { rcgen_not(); }\n"),
            Source::new("crates/y/src/a.rs", "use serde::a;\n"),
        ];
        let told = |exceptions: &[(&str, &str, &str)]| -> Vec<usize> {
            check_with(&sources, exceptions).iter().map(|one| one.line).collect()
        };
        assert_eq!(told(&[]), [6, 9]);
        assert_eq!(told(&[("crates/x/Cargo.toml", "serde", "a feature")]), [9]);
    }
}
