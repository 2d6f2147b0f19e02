//! Replies: `Reply-code ( "-" / SP ) textstring`, one or more lines.
//!
//! Standards: RFC 5321 §4.2, RFC 2034 and RFC 3463 (enhanced codes).

use std::fmt;

/// How many octets a line of a reply may have, with its end.
pub const LINE_OCTETS_MAX: usize = 4096;
/// How many lines a reply may have.
pub const LINES_MAX: usize = 200;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The reply code, 200 to 599.
    pub code: u16,
    /// The enhanced code of the first line that has one, as 5.1.1.
    pub enhanced: Option<(u8, u16, u16)>,
    /// The text of the lines, without codes; what is not UTF-8 is replaced.
    pub lines: Vec<String>,
}

/// One line of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyLine<'a> {
    /// The reply code.
    pub code: u16,
    /// Whether more lines follow.
    pub more: bool,
    /// The text.
    pub text: &'a [u8],
}

/// The line is no line of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAReply;

impl Reply {
    /// Whether it is 2yz.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether it is 5yz, and not of a limit that passes.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code) && !self.is_over_limit()
    }

    /// Whether the account has sent enough for now: whatever its class, congestion may pass (RFC
    /// 3463 §3.5).
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        // QUIRK(Gmail): "550 5.4.5 Daily user sending limit exceeded".
        // QUIRK(Exchange Online): "550 5.1.90" when the recipients of a day are used up.
        matches!(self.enhanced, Some((_, 4, 5) | (_, 1, 90)))
    }

    /// Whether it refuses a command for want of a login that is taken (RFC 4954 §6).
    #[must_use]
    pub fn wants_login(&self) -> bool {
        matches!(self.code, 530 | 534 | 535 | 538)
    }

    /// Whether it says that there are too many recipients, which others may be sent to next (RFC
    /// 5321 §4.5.3.1.10: 552 counts as 452, unless its enhanced code is of something else).
    #[must_use]
    pub fn is_too_many(&self) -> bool {
        match (self.code, self.enhanced) {
            (_, Some((_, 5, 3))) | (452, _) | (552, None | Some((_, 0, 0))) => true,
            (_, _) => false,
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, " {class}.{subject}.{detail}")?;
        }
        for line in self.lines.iter().filter(|line| !line.is_empty()) {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

/// Reads one line, without its line end; the separator is optional on the last line.
///
/// # Errors
///
/// [`NotAReply`] when it does not begin with a code of 200 to 559, or goes on otherwise.
pub fn parse_reply_line(line: &[u8]) -> Result<ReplyLine<'_>, NotAReply> {
    let [a @ b'2'..=b'5', b @ b'0'..=b'5', c @ b'0'..=b'9', rest @ ..] = line else {
        return Err(NotAReply);
    };
    let code = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
    match rest {
        [] => Ok(ReplyLine { code, more: false, text: b"" }),
        [b' ', text @ ..] => Ok(ReplyLine { code, more: false, text }),
        [b'-', text @ ..] => Ok(ReplyLine { code, more: true, text }),
        _ => Err(NotAReply),
    }
}

/// Collects the lines of one reply.
#[derive(Debug, Default)]
pub struct Collector {
    code: Option<u16>,
    enhanced: Option<(u8, u16, u16)>,
    lines: Vec<String>,
}

impl Collector {
    /// Takes the next line, without its line end; gives the reply when it was the last.
    ///
    /// # Errors
    ///
    /// Says in words what is no reply: another form, another code than before, too many lines.
    pub fn push(&mut self, line: &[u8]) -> Result<Option<Reply>, &'static str> {
        let line = parse_reply_line(line).map_err(|NotAReply| "a line is no reply")?;
        if self.code.is_some_and(|code| code != line.code) {
            return Err("the code changes within a reply");
        }
        if self.lines.len() >= LINES_MAX {
            return Err("a reply has too many lines");
        }
        self.code = Some(line.code);
        let (enhanced, text) = enhanced(line.text);
        self.enhanced = self.enhanced.or(enhanced);
        self.lines.push(shown(text));
        if line.more {
            return Ok(None);
        }
        let Self { enhanced, lines, .. } = std::mem::take(self);
        Ok(Some(Reply { code: line.code, enhanced, lines }))
    }
}

/// Splits an enhanced code off the text (RFC 2034 §3).
fn enhanced(text: &[u8]) -> (Option<(u8, u16, u16)>, &[u8]) {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let mut numbers = word.split(|byte| *byte == b'.').map(|digits| {
        let digits = std::str::from_utf8(digits).ok()?;
        let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| plain)
    });
    let found = (numbers.next(), numbers.next(), numbers.next(), numbers.next());
    match found {
        (Some(Some(class @ (2 | 4 | 5))), Some(Some(subject)), Some(Some(detail)), None) => {
            let class = u8::try_from(class).unwrap_or(5);
            (Some((class, subject, detail)), rest.strip_prefix(b" ").unwrap_or(rest))
        }
        _ => (None, text),
    }
}

/// The text of a line for people and logs: no control characters.
fn shown(text: &[u8]) -> String {
    let mut shown = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        shown.extend(chunk.valid().chars().map(|c| if c.is_control() { ' ' } else { c }));
        if !chunk.invalid().is_empty() {
            shown.push(char::REPLACEMENT_CHARACTER);
        }
    }
    shown.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_replies() {
        let line = |code, more, text| Ok(ReplyLine { code, more, text });
        let no = || Err(NotAReply);
        #[rustfmt::skip]
        let table: &[(&str, &[u8], Result<ReplyLine<'_>, NotAReply>)] = &[
            ("last line",               b"250 2.0.0 Ok",   line(250, false, b"2.0.0 Ok")),
            ("more follows",            b"250-SIZE 1000",  line(250, true, b"SIZE 1000")),
            ("no text, §4.2.1 allows",  b"354",            line(354, false, b"")),
            ("text not in ASCII",       b"550 n\xE9ant",   line(550, false, b"n\xE9ant")),
            ("1yz is not SMTP",         b"150 x",          no()),
            ("second digit above 5",    b"260 x",          no()),
            ("four digits",             b"2500 x",         no()),
            ("empty",                   b"",               no()),
        ];
        for (why, input, want) in table {
            assert_eq!(parse_reply_line(input), *want, "{why}: {}", input.escape_ascii());
        }
    }

    fn reply(lines: &[&[u8]]) -> Result<Option<Reply>, &'static str> {
        let mut collector = Collector::default();
        let mut last = Ok(None);
        for line in lines {
            last = collector.push(line);
        }
        last
    }

    #[test]
    fn replies_are_collected_with_their_enhanced_code() {
        let got = reply(&[b"550-5.1.1 no such", b"550 5.1.1 user\x07 n\xE9"]).unwrap().unwrap();
        assert_eq!(got.enhanced, Some((5, 1, 1)));
        assert_eq!(got.to_string(), "550 5.1.1 no such user  n\u{FFFD}");
        assert!(got.is_permanent() && !got.is_success());
        let plain = reply(&[b"250 1.2.3.4 is welcome"]).unwrap().unwrap();
        assert_eq!((plain.enhanced, plain.lines), (None, vec!["1.2.3.4 is welcome".to_owned()]));
        assert_eq!(reply(&[b"250-a", b"251 b"]), Err("the code changes within a reply"));
        let endless = vec![b"250-x".as_slice(); LINES_MAX + 1];
        assert_eq!(reply(&endless), Err("a reply has too many lines"));
    }

    #[test]
    fn what_passes_is_told_by_the_enhanced_code() {
        #[rustfmt::skip]
        let table = [
            // line,                                   permanent, too many
            ("452 4.5.3 too many recipients",              false, true),
            ("552 too many recipients",                    true,  true),
            ("552 5.0.0 no",                               true,  true),
            ("550 5.5.3 too many recipients",              true,  true),
            ("552 5.3.4 message too big",                  true,  false),
            ("552 5.2.2 mailbox full",                     true,  false),
            ("550 5.4.5 Daily user sending limit reached", false, false),
            ("550 5.1.90 daily limit for recipients",      false, false),
            ("550 5.1.1 nobody",                           true,  false),
        ];
        for (line, permanent, too_many) in table {
            let got = reply(&[line.as_bytes()]).unwrap().unwrap();
            assert_eq!((got.is_permanent(), got.is_too_many()), (permanent, too_many), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_a_reply_or_is_none(
            lines in proptest::collection::vec(proptest::collection::vec(0_u8.., 0..40), 0..6),
        ) {
            let mut collector = Collector::default();
            for line in &lines {
                if let Ok(Some(reply)) = collector.push(line) {
                    assert!((200..560).contains(&reply.code));
                    assert!(!reply.to_string().chars().any(char::is_control));
                }
            }
        }

        #[test]
        fn a_reply_is_read_as_it_was_written(
            (class, subject, detail) in (2_u16..6, 0_u16..6, 0_u16..10),
            texts in proptest::collection::vec("[a-z]{0,9}", 1..9),
        ) {
            let code = class * 100 + subject * 10 + detail;
            let mut collector = Collector::default();
            for (at, text) in texts.iter().enumerate() {
                let is_last = at + 1 == texts.len();
                let line = format!("{code}{}{text}", if is_last { ' ' } else { '-' });
                let got = collector.push(line.as_bytes()).unwrap();
                assert_eq!(got.is_some(), is_last);
                if let Some(reply) = got {
                    assert_eq!((reply.code, &reply.lines), (code, &texts));
                }
            }
        }
    }
}
