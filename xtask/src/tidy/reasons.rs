//! Every direct dependency has a line of reason in `deny.toml`.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use serde_json::Value;
use std::collections::BTreeSet;

/// Where the reasons stand, as `# name: reason`.
const LIST: &str = "deny.toml";

/// Checks the packages of `cargo metadata` against the list.
pub fn check(packages: &[Value], sources: &[Source]) -> Vec<Offence> {
    let list = sources.iter().find(|source| source.path == LIST);
    let lines = list.into_iter().flat_map(|list| &list.lines);
    let reasons = lines.filter_map(|line| Some(line.strip_prefix("# ")?.split_once(": ")?.0));
    let reasons: BTreeSet<&str> = reasons.collect();
    let mut offences = vec![];
    for package in packages {
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default();
            // What lies in the workspace has a path.
            if dependency["path"].is_null() && !reasons.contains(name) {
                let text = format!("no line `# {name}: reason`, but {} uses it", package["name"]);
                offences.push(Offence { path: LIST.to_owned(), line: 1, text });
            }
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_dependency_needs_a_reason() {
        let list = [Source::new("deny.toml", "# tokio: the runtime\n")];
        let package = json!({"name": "postroom-x", "dependencies": [
            {"name": "tokio"}, {"name": "leftpad"}, {"name": "postroom-y", "path": "../y"},
        ]});
        let found: Vec<String> = check(&[package], &list).iter().map(|o| o.to_string()).collect();
        let want = "deny.toml:1: no line `# leftpad: reason`, but \"postroom-x\" uses it";
        assert_eq!(found, [want]);
    }
}
