//! Tests of what stores run on each database that there is: a test that runs on one says why.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;

/// Where tests stand that open stores, or start the binary.
const PLACES: [&str; 4] = [
    "crates/postroom-store/tests/",
    "crates/postroom-store/src/",
    "crates/postroom-api/tests/",
    "crates/postroom/tests/",
];

/// What makes a store in a directory, or shares one between tests.
const OPENS: &str = "use crate::fixture::";

/// How the reason begins.
const REASONS: [&str; 2] = ["// SQLite alone:", "// PostgreSQL alone:"];

/// Checks one Rust file.
pub fn check(source: &Source) -> Vec<Offence> {
    let opens = |line: &String| line.trim_start().starts_with(OPENS);
    let is_unit = source.path.contains("/src/");
    let is_here = PLACES.iter().any(|place| source.path.starts_with(place));
    if !is_here || (is_unit && !source.lines.iter().any(opens)) || is_of_one(source) {
        return vec![];
    }
    let mut offences = vec![];
    let mut before = "";
    for (number, line) in source.numbered() {
        let line = line.trim();
        let has_reason = REASONS.iter().any(|reason| before.starts_with(reason));
        if line.starts_with("#[tokio::test") && !has_reason {
            let text = "runs on one database: write #[on_both], or `// SQLite alone: why`";
            offences.push(source.offence(number, text));
        }
        // A reason may take several lines.
        if !(line.starts_with("//") && has_reason) {
            before = line;
        }
    }
    offences
}

/// Whether the header says that all tests of the file are about one database.
fn is_of_one(source: &Source) -> bool {
    let mut header = source.lines.iter().take_while(|line| line.starts_with("//!"));
    header.any(|line| REASONS.iter().any(|reason| line.contains(reason.trim_start_matches("// "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offences(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn a_test_that_runs_on_one_database_says_why() {
        let path = "crates/postroom/tests/it/send.rs";
        assert_eq!(offences(path, "#[tokio::test]\nasync fn a() {}\n"), 1);
        assert_eq!(offences(path, "#[tokio::test(flavor = \"x\")]\nasync fn a() {}\n"), 1);
        assert_eq!(offences(path, "#[on_both]\nasync fn a() {}\n"), 0);
        let why = "// SQLite alone: it is about its\n// file.\n#[tokio::test]\nasync fn a() {}\n";
        assert_eq!(offences(path, why), 0);
        let other = "// Another remark.\n#[tokio::test]\nasync fn a() {}\n";
        assert_eq!(offences(path, other), 1);
        assert_eq!(offences("crates/postroom-mime/tests/a.rs", other), 0);
        assert_eq!(offences(path, &format!("//! A file. SQLite alone: it is its.\n{other}")), 0);
    }

    #[test]
    fn a_unit_test_without_a_store_runs_once() {
        let path = "crates/postroom-store/src/a.rs";
        let test = "#[tokio::test]\nasync fn a() {}\n";
        assert_eq!(offences(path, test), 0);
        assert_eq!(offences(path, &format!("use crate::fixture::store;\n{test}")), 1);
    }
}
