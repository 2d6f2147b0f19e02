//! Status responses: OK, NO, BAD, BYE, PREAUTH, with their codes.
//!
//! Standards: RFC 3501 §7.1, RFC 5530 §3.

use crate::token::readable;

/// How much of a server's text is kept.
const TEXT_CHARS_MAX: usize = 500;

/// The kinds of status responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusKind {
    /// Done; or a greeting.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
    /// The server ends the connection.
    Bye,
    /// A greeting that says that we are logged in already.
    Preauth,
}

/// A response code: `[UIDNEXT 5]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Its name, in upper case.
    pub name: String,
    /// What follows the name, as the server wrote it.
    pub arguments: String,
}

/// A status response, tagged or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLine {
    /// Its kind.
    pub state: StatusKind,
    /// Its code.
    pub code: Option<Code>,
    /// Words for people.
    pub text: String,
}

/// Whether a line is a status response or a continuation request. Such a line never announces a
/// literal, whatever it ends with.
pub(crate) fn is_state_line(line: &[u8]) -> bool {
    line.starts_with(b"+") || state_word(line).is_some()
}

/// Reads a status response; `None` if the line is none.
pub(crate) fn parse_state(line: &[u8]) -> Option<StateLine> {
    let (state, rest) = state_word(line)?;
    let rest = rest.trim_ascii();
    let (code, text) = match rest.strip_prefix(b"[").and_then(split_code) {
        Some((code, text)) => (Some(code), text),
        None => (None, rest),
    };
    let text = readable(text.trim_ascii());
    let text = match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    };
    Some(StateLine { state, code, text })
}

/// The kind of a status response, and what follows its second word.
fn state_word(line: &[u8]) -> Option<(StatusKind, &[u8])> {
    let line = line.trim_ascii_start();
    let (_, rest) = line.split_at_checked(memchr::memchr(b' ', line)?)?;
    let rest = rest.trim_ascii_start();
    let (word, rest) = rest.split_at_checked(memchr::memchr(b' ', rest).unwrap_or(rest.len()))?;
    let state = match word.trim_ascii_end() {
        word if word.eq_ignore_ascii_case(b"OK") => StatusKind::Ok,
        word if word.eq_ignore_ascii_case(b"NO") => StatusKind::No,
        word if word.eq_ignore_ascii_case(b"BAD") => StatusKind::Bad,
        word if word.eq_ignore_ascii_case(b"BYE") => StatusKind::Bye,
        word if word.eq_ignore_ascii_case(b"PREAUTH") => StatusKind::Preauth,
        _ => return None,
    };
    Some((state, rest))
}

/// Splits `NAME arguments] text`. Flags may have brackets, so a list of them ends with `)]`.
fn split_code(rest: &[u8]) -> Option<(Code, &[u8])> {
    let in_list = memchr::memmem::find(rest, b")]").map(|at| at + 1);
    let first = memchr::memchr(b']', rest)?;
    let opens = memchr::memchr(b'(', rest).is_some_and(|at| at < first);
    let end = in_list.filter(|_| opens).unwrap_or(first);
    let (code, text) = rest.split_at_checked(end)?;
    let code = readable(code);
    let (name, arguments) = code.split_once(' ').unwrap_or((&code, ""));
    let code = Code { name: name.to_ascii_uppercase(), arguments: arguments.trim().to_owned() };
    Some((code, text.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// State, name and arguments of the code, text.
    type Read<'a> = Option<(StatusKind, Option<(&'a str, &'a str)>, &'a str)>;

    fn check(line: &[u8], want: Read<'_>) {
        let got = parse_state(line);
        let got = got.as_ref().map(|line| {
            let code = line.code.as_ref().map(|c| (c.name.as_str(), c.arguments.as_str()));
            (line.state, code, line.text.as_str())
        });
        assert_eq!(got, want, "{}", line.escape_ascii());
    }

    #[test]
    fn status_lines() {
        use StatusKind::{Bad, Bye, No, Ok, Preauth};
        #[rustfmt::skip]
        let table: &[(&[u8], Read<'_>)] = &[
            (b"A1 OK",                            Some((Ok, None, ""))),
            (b"* BYE",                            Some((Bye, None, ""))),
            (b"* preauth hi",                     Some((Preauth, None, "hi"))),
            (b"* OK [UIDNEXT 5] x",               Some((Ok, Some(("UIDNEXT", "5")), "x"))),
            (b"* OK [NOMODSEQ]",                  Some((Ok, Some(("NOMODSEQ", "")), ""))),
            (b"A1 NO [throttled] Too many",       Some((No, Some(("THROTTLED", "")), "Too many"))),
            (b"A1 BAD [X-FOO bar (a b)] no",      Some((Bad, Some(("X-FOO", "bar (a b)")), "no"))),
            (b"A1 NO [ALERT Please log in",       Some((No, None, "[ALERT Please log in"))),
            (b"* OK [PERMANENTFLAGS (\\Seen [a] \\*)] y", Some((Ok, Some(("PERMANENTFLAGS", "(\\Seen [a] \\*)")), "y"))),
            (b"* OK [A 1] text (b)] c",           Some((Ok, Some(("A", "1")), "text (b)] c"))),
            (b"* OK Bienvenue \xe9t\xe9",         Some((Ok, None, "Bienvenue été"))),
            (b"* OK a\x00b",                      Some((Ok, None, "a b"))),
            (b"*  OK  x",                         Some((Ok, None, "x"))),
            (b"* OKAY",                           None),
            (b"* CAPABILITY OK",                  None),
            (b"*",                                None),
            (b"",                                 None),
        ];
        for (line, want) in table {
            check(line, *want);
        }
    }

    #[test]
    fn words_are_bounded() {
        let line = [b"* OK ".as_slice(), "é".repeat(1000).as_bytes()].concat();
        let text = parse_state(&line).unwrap().text;
        assert_eq!(text, "é".repeat(TEXT_CHARS_MAX));
    }
}
