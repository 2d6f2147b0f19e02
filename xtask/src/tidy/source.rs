//! A file as the rules see it.

use std::fmt;

/// A place that breaks a rule. Sorts by place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offence {
    /// Relative to the root of the repository.
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub text: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

/// One text file.
pub struct Source {
    /// Relative to the root of the repository, with slashes.
    pub path: String,
    /// Without line ends.
    pub lines: Vec<String>,
    /// How many lines stand before the tests at the end of the file.
    pub lines_before_tests: usize,
}

impl Source {
    /// Takes `text` apart.
    pub fn new(path: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let whole = is_test_file(path);
        let tests = lines.iter().zip(lines.iter().skip(1)).position(|(attribute, module)| {
            attribute.trim() == "#[cfg(test)]" && module.trim_start().starts_with("mod tests")
        });
        let lines_before_tests = if whole { 0 } else { tests.unwrap_or(lines.len()) };
        Self { path: path.to_owned(), lines, lines_before_tests }
    }

    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// All lines with their number, counted from 1.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()))
    }

    /// The lines before the tests, with their number.
    pub fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.numbered().take(self.lines_before_tests)
    }

    /// An offence in this file.
    pub fn offence(&self, line: usize, text: impl Into<String>) -> Offence {
        Offence { path: self.path.clone(), line, text: text.into() }
    }
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/benches/")
}

/// The part of a line before `//`, if that is not inside a string.
pub fn code_of(line: &str) -> &str {
    let mut quoted = false;
    let mut previous = ' ';
    for (at, character) in line.char_indices() {
        match character {
            '"' if previous != '\\' && previous != '\'' => quoted = !quoted,
            '/' if previous == '/' && !quoted => {
                return line.get(..at - 1).unwrap_or_default();
            }
            _ => {}
        }
        previous = character;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_begin_at_their_module_or_fill_the_file() {
        let text = "//! A.\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(Source::new("crates/x/src/a.rs", text).product().count(), 3);
        assert_eq!(Source::new("crates/x/src/a/tests.rs", text).product().count(), 0);
        assert_eq!(Source::new("crates/x/tests/a.rs", text).product().count(), 0);
    }

    #[test]
    fn comments_are_told_from_strings() {
        assert_eq!(code_of("let a = 1; // one"), "let a = 1; ");
        assert_eq!(code_of("let a = \"http://x\"; // x"), "let a = \"http://x\"; ");
        assert_eq!(code_of("/// doc"), "");
    }
}
