//! The shape of a Rust file: header, length, width, and how it names what it uses.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use crate::tidy::source::code_of;

/// The longest file, in lines without its tests.
const LINES_MAX: usize = 400;

/// The longest line, in characters.
const COLUMNS_MAX: usize = 100;

/// The longest header, in lines.
const HEADER_LINES_MAX: usize = 25;

/// Checks one Rust file.
pub fn check(source: &Source) -> Vec<Offence> {
    let mut offences = vec![];
    header(source, &mut offences);
    if source.lines_before_tests > LINES_MAX {
        let count = source.lines_before_tests;
        let text = format!("{count} lines without tests, more than {LINES_MAX}: split the file");
        offences.push(source.offence(LINES_MAX + 1, text));
    }
    if source.path.ends_with("/mod.rs") {
        offences.push(source.offence(1, "no mod.rs: name the file after its module"));
    }
    for (number, line) in source.numbered() {
        if code_of(line).trim_start().starts_with("use crate::{") {
            offences.push(source.offence(number, "no `use crate::{`: one `use` per item"));
        }
    }
    for (number, line) in source.product() {
        // In tests, tables and messages may be wide. rustfmt limits the code.
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            let text = format!("{columns} columns, more than {COLUMNS_MAX}");
            offences.push(source.offence(number, text));
        }
        if code_of(line).contains(concat!("super", "::")) {
            let text = "no names of a parent outside tests: begin at `crate::`";
            offences.push(source.offence(number, text));
        }
        // Inside a function, a glob may save a prefix in each line of a `match`.
        let used = code_of(line);
        if used.starts_with("use ") && used.trim_end().ends_with("::*;") {
            offences.push(source.offence(number, "no glob outside tests: name what is used"));
        }
    }
    offences
}

/// Inner attributes may come before the header.
fn header(source: &Source, offences: &mut Vec<Offence>) {
    let mut attribute = false;
    let mut lines = source.numbered().skip_while(|(_, line)| {
        let begins = line.starts_with("#![");
        let skipped = attribute || begins || line.is_empty();
        attribute = (attribute || begins) && !line.trim_end().ends_with(']');
        skipped
    });
    let first = lines.next().filter(|(_, line)| line.starts_with("//!"));
    let Some((number, line)) = first else {
        offences.push(source.offence(1, "no `//!` header: say in one sentence what this is"));
        return;
    };
    if line.trim_end() == "//!" {
        offences.push(source.offence(number, "the header begins with an empty line"));
    }
    let length = 1 + lines.take_while(|(_, line)| line.starts_with("//!")).count();
    if length > HEADER_LINES_MAX {
        let text = format!("a header of {length} lines, more than {HEADER_LINES_MAX}");
        offences.push(source.offence(number, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Source::new(path, text)).into_iter().map(|offence| offence.line).collect()
    }

    #[test]
    fn a_header_stands_first_or_after_attributes() {
        let path = "crates/x/src/a.rs";
        assert!(lines(path, "//! A.\n\nfn a() {}\n").is_empty());
        assert!(lines(path, "#![no_main]\n//! A.\n").is_empty());
        assert!(
            lines(path, "#![expect(\n    lint,\n    reason = \"tests\"\n)]\n\n//! A.\n").is_empty()
        );
        assert_eq!(lines(path, "fn a() {}\n"), [1]);
        assert_eq!(lines(path, ""), [1]);
        assert_eq!(lines(path, "#![no_main]\nfn a() {}\n"), [1]);
        assert_eq!(lines(path, &"//! A.\n".repeat(26)), [1]);
        assert_eq!(lines(path, "//!\n//! A.\n"), [1]);
    }

    #[test]
    fn files_and_lines_are_short_but_tests_may_be_long() {
        let path = "crates/x/src/a.rs";
        let long = format!("//! A.\n{}", "fn a() {}\n".repeat(400));
        assert_eq!(lines(path, &long), [401]);
        assert!(lines("crates/x/src/a/tests.rs", &long).is_empty());
        let tests = "\n#[cfg(test)]\nmod tests {\n".to_owned() + &"fn a() {}\n".repeat(400) + "}\n";
        assert!(lines(path, &("//! A.\n".to_owned() + &tests)).is_empty());
        assert!(lines(path, &format!("//! {}\n", "ü".repeat(96))).is_empty());
        assert_eq!(lines(path, &format!("//! {}\n", "ü".repeat(97))), [1]);
    }

    #[test]
    fn names_begin_at_the_crate_one_per_line() {
        let path = "crates/x/src/a.rs";
        assert_eq!(lines("crates/x/src/a/mod.rs", "//! A.\n"), [1]);
        assert_eq!(lines(path, "//! A.\nuse crate::{a, b};\n"), [2]);
        assert_eq!(lines(path, "//! A.\nuse super::a;\n"), [2]);
        assert_eq!(lines(path, "//! A.\nuse a::*;\n"), [2]);
        assert!(
            lines(path, "//! A.\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n").is_empty()
        );
    }
}
