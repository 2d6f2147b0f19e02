//! Lines of a server that are no replies, such as an empty line, words, or `150 wait`.
//!
//! The reply may follow, so it is waited for. If it does not come, the error quotes what came.

use crate::error::Error;
use crate::reply::LINE_OCTETS_MAX;
use crate::reply::parse_reply_line;
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

/// How many octets at the beginning of `unread` are whole lines that are no replies.
pub(crate) fn noise_octets(unread: &[u8]) -> usize {
    let lines = unread.split_inclusive(|byte| *byte == b'\n');
    let is_noise = |line: &&[u8]| {
        let whole = line.strip_suffix(b"\n");
        let whole = whole.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        whole.is_some_and(|line| parse_reply_line(line).is_err())
    };
    lines.take_while(is_noise).map(<[u8]>::len).sum()
}

/// Whether `unread`, which has no noise before it, begins a reply, or a line that never ends.
pub(crate) fn begins_reply(unread: &[u8]) -> bool {
    matches!(unread.first(), Some(b'2'..=b'5')) || unread.len() > LINE_OCTETS_MAX
}

/// Whether a line is the greeting of a server of another protocol, so that no reply follows it.
pub(crate) fn is_of_another_protocol(line: &[u8]) -> bool {
    OTHER_GREETINGS.iter().any(|greeting| line.starts_with(greeting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_reply_is_one() {
        for (unread, want) in [
            ("", false),
            ("\r", false),
            ("\r\n", false),
            ("scan", false),
            ("scanning\r\n\n150 wait\r\nscan", false),
            ("2", true),
            ("\r\n2", true),
            ("\r\n250 ok\r\n", true),
            ("5.7.1 no\r\n", true),
            ("150 wait\r\n550-no\r\n\r\n", true),
        ] {
            let octets = unread.as_bytes();
            let rest = octets.get(noise_octets(octets)..).unwrap();
            assert_eq!(begins_reply(rest), want, "{unread:?}");
        }
        assert!(begins_reply("x".repeat(LINE_OCTETS_MAX + 1).as_bytes()));
    }
}
