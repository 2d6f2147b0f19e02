//! Lines of a server that are no replies, such as an empty line, words, or `150 wait`.
//!
//! The reply may follow, so it is waited for. If it does not come, the error quotes what came.

use crate::error::Error;
use crate::reply::shown;
use postroom_net::cause;
use std::io;

/// How many such lines are skipped before a reply. Who says one in each second says so many within
/// the longest wait.
const LINES_MAX: usize = 1000;
/// How much of such a line an error shows.
const CHARS_MAX: usize = 200;
/// How servers of other protocols begin: IMAP, POP3, SSH, HTTP.
const OTHER_GREETINGS: [&[u8]; 5] = [b"* ", b"+OK", b"-ERR", b"SSH-", b"HTTP/"];

/// Lines before a reply that are not replies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noise {
    lines: usize,
    first: String,
}

impl Noise {
    /// Adds a line.
    pub(crate) fn add(&mut self, line: &[u8]) {
        self.lines += 1;
        if self.first.is_empty() {
            self.first = shown(line).chars().take(CHARS_MAX).collect();
        }
    }

    /// Whether no line came.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Whether no more lines are skipped.
    pub(crate) fn is_full(&self) -> bool {
        self.lines >= LINES_MAX
    }

    /// The error for a missing reply: it quotes what came instead. If nothing came, it is
    /// `otherwise`.
    pub(crate) fn error(&self, otherwise: Error) -> Error {
        if self.is_empty() {
            return otherwise;
        }
        if let Error::Lost { command, source } = otherwise {
            let source = io::Error::other(format!("{}; {}", self.said(), cause(&source)));
            return Error::Lost { command, source };
        }
        self.because(&otherwise.with_cause())
    }

    /// The error for lines that are no replies.
    pub(crate) fn because(&self, why: &str) -> Error {
        Error::Protocol { reason: format!("{}; {why}", self.said()) }
    }

    fn said(&self) -> String {
        let said = match (self.lines, self.first.as_str()) {
            (1, "") => "it sent an empty line".to_owned(),
            (_, "") => "it sent empty lines".to_owned(),
            (_, first) => format!("it said `{first}`"),
        };
        format!("{said}, which is no reply")
    }
}

/// Whether a line is the greeting of a server of another protocol, so that no reply follows it.
pub(crate) fn is_of_another_protocol(line: &[u8]) -> bool {
    OTHER_GREETINGS.iter().any(|greeting| line.starts_with(greeting))
}
