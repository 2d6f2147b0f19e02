//! What a person sees.

use std::io::Write;

/// Writes one line.
pub fn say(line: &str) {
    // A closed pipe is no reason to fail.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes one line about something wrong.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "error: {line}");
}
