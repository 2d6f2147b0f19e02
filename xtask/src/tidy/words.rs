//! Words in sources: marks that need an issue, addresses of real people, paths of one machine.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use crate::tidy::source::code_of;

/// Marks of unfinished work.
const MARKS: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// Domains that nobody can own (RFC 2606).
const RESERVED: &[&str] = &[".example", ".test", ".invalid", ".localhost", ".local"];

/// Domains that somebody can own, and that do not occur in code by accident.
const OWNED: &[&str] = &["com", "org"];

/// Directories of one machine, and hosts that packages come from. They are written in pieces,
/// because this file is checked too.
const MACHINE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/tmp/", "plan"),
    concat!("/home", "/"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs"),
    concat!("pypi.", "org"),
    concat!("deb.deb", "ian.o", "rg"),
];

/// Checks a text file of any kind.
pub fn check_any(source: &Source) -> Vec<Offence> {
    let mut offences = vec![];
    for (number, line) in source.numbered() {
        for word in MACHINE.iter().filter(|word| line.contains(**word)) {
            let text = format!("`{word}` is of one machine: say it relative, or leave it out");
            offences.push(source.offence(number, text));
        }
    }
    offences
}

/// Checks a Rust file.
pub fn check_rust(source: &Source) -> Vec<Offence> {
    let mut offences = vec![];
    for (number, line) in source.numbered() {
        for mark in MARKS {
            let comment = line.get(code_of(line).len()..).unwrap_or_default();
            if words_of(comment).any(|word| word == *mark) && !has_issue(comment, mark) {
                let text = format!("{mark} without an issue: write {mark}(#12), or do it");
                offences.push(source.offence(number, text));
            }
        }
        if code_of(line).trim_start().starts_with("#[ignore") {
            let text = "no ignored tests: say what is missing and skip visibly";
            offences.push(source.offence(number, text));
        }
        for domain in owned_domains(line) {
            let text = format!("{domain} may be someone's: use .example, .test or .invalid");
            offences.push(source.offence(number, text));
        }
    }
    offences
}

fn words_of(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn has_issue(line: &str, mark: &str) -> bool {
    line.split(mark).skip(1).all(|rest| {
        rest.strip_prefix("(#").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// The host names of a line that somebody can own. Links are allowed, because they lead to
/// documents.
fn owned_domains(line: &str) -> Vec<&str> {
    let mut found = vec![];
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let mut end = 0;
    while let Some(begin) = line.get(end..).and_then(|rest| rest.find(is_part)) {
        let begin = end + begin;
        let rest = line.get(begin..).unwrap_or_default();
        let name = rest.split(|c| !is_part(c)).next().unwrap_or_default();
        end = begin + name.len();
        let before = line.get(..begin).unwrap_or_default();
        let name = name.trim_end_matches('.');
        let Some((_, last)) = name.rsplit_once('.') else {
            continue;
        };
        let of_address =
            before.ends_with('@') && last.starts_with(|c: char| c.is_ascii_alphabetic());
        let link = before.ends_with("https://") || before.ends_with("http://");
        let reserved = RESERVED.iter().any(|end| name.to_ascii_lowercase().ends_with(end));
        if (of_address || OWNED.contains(&last)) && !link && !reserved && !name.starts_with('.') {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(line: &str) -> usize {
        let source = Source::new("crates/x/src/a.rs", line);
        check_rust(&source).len() + check_any(&source).len()
    }

    #[test]
    fn unfinished_work_names_its_issue() {
        assert_eq!(count(concat!("// TO", "DO: later")), 1);
        assert_eq!(count("// TODO(#12): later"), 0);
        assert_eq!(count("let todos = 1;"), 0);
        assert_eq!(count(concat!("#[ig", "nore]")), 1);
    }

    #[test]
    fn addresses_are_reserved_ones() {
        assert_eq!(count("let a = \"anna@demo.test\";"), 0);
        assert_eq!(count("let a = \"anna@mail.EXAMPLE\";"), 0);
        assert_eq!(count(concat!("let a = \"anna@company", ".de\";")), 1);
        assert_eq!(count(concat!("let a = \"imap.company", ".com\";")), 1);
        assert_eq!(count("// See https://docs.example.org/a."), 0);
        assert_eq!(count("let a @ b = c.d;"), 0);
        assert_eq!(count("let a = \"x@[127.0.0.1]\"; // 127.0.0.1"), 0);
    }

    #[test]
    fn nothing_tells_of_one_machine() {
        assert_eq!(count(concat!("// see /wo", "rk/notes")), 1);
        assert_eq!(count("// see ../shared/notes"), 0);
    }
}
