//! The transcript: every command line that clients sent, without secrets.

use std::collections::VecDeque;

/// How many lines are kept; older ones go.
const LINES_MAX: usize = 200_000;

/// Which of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 3501.
    Imap,
    /// RFC 5321.
    Smtp,
}

/// One line that a client sent.
///
/// Literals, message content and the lines of a SASL exchange are not lines of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Which connection; numbers ascend from 1 over both servers.
    pub connection: u64,
    /// Which server.
    pub protocol: Protocol,
    /// Who was logged in when the line came.
    pub user: Option<String>,
    /// Whether it came under TLS.
    pub tls: bool,
    /// Whether it came before the reply to the command before it was sent.
    pub pipelined: bool,
    /// The command in upper case, with `UID` if it had that: `UID STORE`; `.` ends a message.
    pub command: String,
    /// The line without its end, `***` where a secret was.
    pub text: String,
}

/// The lines in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    lines: VecDeque<CommandLine>,
}

impl Transcript {
    /// Adds a line.
    pub(crate) fn add(&mut self, line: CommandLine) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The lines, oldest first.
    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = &CommandLine> {
        self.lines.iter()
    }

    /// Forgets all lines.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
    }
}

/// A line as text; bytes that are not UTF-8 are shown escaped.
pub(crate) fn shown(line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) => text.to_owned(),
        Err(_) => line.escape_ascii().to_string(),
    }
}
