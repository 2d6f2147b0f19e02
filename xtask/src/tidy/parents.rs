//! Modules inside modules: a child does not name what its parent defines, so that no two files
//! need each other.
//!
//! What both need stands in a child of its own, which the parent may export again.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use crate::tidy::source::code_of;
use std::collections::BTreeSet;

/// Checks all files of the crates.
pub fn check(sources: &[Source]) -> Vec<Offence> {
    let paths: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut offences = vec![];
    for source in sources.iter().filter(|source| source.path.starts_with("crates/")) {
        let Some((root, module)) = source.path.split_once("/src/") else { continue };
        let Some(module) = module.strip_suffix(".rs") else { continue };
        let ancestors = module.match_indices('/').filter_map(|(at, _)| module.get(..at));
        let ancestors: Vec<&str> = ancestors.collect();
        for (number, line) in source.product() {
            for (parent, name) in
                ancestors.iter().flat_map(|parent| named(line, parent).map(move |n| (parent, n)))
            {
                if paths.contains(format!("{root}/src/{parent}/{name}.rs").as_str()) {
                    continue;
                }
                let text = format!(
                    "names `{name}` of its parent `{parent}`: move it into a module beside this \
                     one, or name the module that defines it"
                );
                offences.push(source.offence(number, text));
            }
        }
    }
    offences
}

/// What a line names of the module `parent`, given as `a/b`.
fn named<'a>(line: &'a str, parent: &str) -> impl Iterator<Item = &'a str> {
    let prefix = format!("crate::{}::", parent.replace('/', "::"));
    let code = code_of(line);
    let starts: Vec<usize> = code.match_indices(&prefix).map(|(at, _)| at + prefix.len()).collect();
    starts.into_iter().filter_map(|start| {
        let rest = code.get(start..)?;
        let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_');
        rest.get(..end.unwrap_or(rest.len())).filter(|name| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_names_its_brothers_and_not_its_parent() {
        let sources = [
            Source::new("crates/x/src/a.rs", "mod b;\nmod c;\nstruct A;\n"),
            Source::new("crates/x/src/a/b.rs", "use crate::a::A;\nuse crate::a::c::C;\n"),
            Source::new("crates/x/src/a/c.rs", "struct C;\n// crate::a::A\n"),
            Source::new("crates/x/src/a/c/d.rs", "fn d() -> crate::a::c::C {}\nuse crate::a::B;\n"),
            Source::new("crates/x/src/a/c/tests.rs", "use crate::a::A;\n"),
            Source::new("crates/x/src/e.rs", "use crate::a::A;\n"),
        ];
        let offences = check(&sources);
        let told: Vec<_> = offences.iter().map(|o| format!("{}:{}", o.path, o.line)).collect();
        let own = "crates/x/src/a/b.rs";
        let deep = "crates/x/src/a/c/d.rs";
        assert_eq!(told, [format!("{own}:1"), format!("{deep}:1"), format!("{deep}:2")]);
    }
}
