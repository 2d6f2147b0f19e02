//! Modules: `lib.rs` declares them lowest first, and each uses only those above it.
//!
//! So `lib.rs` reads as a table of contents, and no two modules can use each other. This check
//! finds every use because of two other rules: no `use crate::{`, and no `super::` outside tests.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use crate::tidy::source::code_of;

/// Checks all crates of `sources`.
pub fn check(sources: &[Source]) -> Vec<Offence> {
    let roots = sources.iter().filter(|source| {
        source.path.ends_with("/src/lib.rs") || source.path.ends_with("/src/main.rs")
    });
    roots.flat_map(|root| check_crate(root, sources)).collect()
}

fn check_crate(root: &Source, sources: &[Source]) -> Vec<Offence> {
    let directory = root.path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let modules: Vec<&str> = root.product().filter_map(|(_, line)| module_of(line)).collect();
    let mut offences = vec![];
    for (at, module) in modules.iter().enumerate() {
        let file = format!("{directory}/{module}.rs");
        let folder = format!("{directory}/{module}/");
        let later: Vec<&&str> = modules.iter().skip(at + 1).collect();
        let of_module = |source: &&Source| source.path == file || source.path.starts_with(&folder);
        for source in sources.iter().filter(of_module) {
            for (number, line) in source.product() {
                for later in later.iter().filter(|later| uses(line, later)) {
                    let text =
                        format!("`{module}` uses `{later}`, which {} declares below it", root.path);
                    offences.push(source.offence(number, text));
                }
            }
        }
    }
    offences
}

/// The module that a line declares without a body.
fn module_of(line: &str) -> Option<&str> {
    let line = code_of(line).trim();
    let rest = ["pub mod ", "pub(crate) mod ", "mod "].iter().find_map(|p| line.strip_prefix(p))?;
    rest.strip_suffix(';')
}

fn uses(line: &str, module: &str) -> bool {
    code_of(line).split("crate::").skip(1).any(|rest| {
        rest.strip_prefix(module).is_some_and(|rest| {
            !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '!')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_uses_only_what_is_declared_above_it() {
        let sources = [
            ("crates/x/src/lib.rs", "//! X.\nmod token;\npub mod session;\n"),
            ("crates/x/src/token.rs", "//! T.\nuse crate::session::State;\n"),
            ("crates/x/src/session.rs", "//! S.\nuse crate::token;\n"),
            ("crates/x/src/token/number.rs", "//! N.\nfn f(s: &crate::session::State) {}\n"),
            ("crates/x/src/token/tests.rs", "//! N.\nuse crate::session::State;\n"),
            ("crates/x/src/token/other.rs", "//! N.\n// crate::session is above\n"),
        ];
        let sources = sources.map(|(path, text)| Source::new(path, text));
        let found: Vec<String> = check(&sources).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "crates/x/src/token.rs:2: `token` uses `session`, which crates/x/src/lib.rs \
                 declares below it",
                "crates/x/src/token/number.rs:2: `token` uses `session`, which \
                 crates/x/src/lib.rs declares below it",
            ]
        );
    }

    #[test]
    fn a_longer_name_is_another_module() {
        assert!(uses("use crate::set::Set;", "set"));
        assert!(uses("use crate::set;", "set"));
        assert!(!uses("use crate::settings::Settings;", "set"));
        assert!(!uses("use other_crate::setting;", "set"));
    }
}
