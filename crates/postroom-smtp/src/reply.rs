//! Replies: `Reply-code ( "-" / SP ) textstring`, one or more lines.
//!
//! The first digit decides (RFC 5321 §4.2), so anything with a first digit is accepted as a reply.
//! The second and third digit may be anything. Lines in the middle may lack a code, the code may
//! change between lines, the last line may never come, or there may be only an enhanced code.
//! `crate::meaning` says what the server meant. Standards: RFC 5321 §4.2, RFC 2034 and RFC 3463
//! (enhanced codes).

use std::fmt;

/// How many octets of a line of a reply are read, with its end.
pub(crate) const LINE_OCTETS_MAX: usize = 4096;
/// How many lines of a reply are kept. What is left out is said in one line more.
pub const LINES_MAX: usize = 200;
/// How many lines of a reply are read.
pub(crate) const LINES_READ_MAX: usize = 10_000;
/// The line in the place of those that are left out.
const LEFT_OUT: &str = "(the rest of this long reply is left out)";

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The reply code, 200 to 599; 200, 400 or 500 when the server gave only an enhanced code.
    pub code: u16,
    /// Whether the server gave that code.
    pub has_code: bool,
    /// Whether some lines accept and others refuse, which RFC 5321 §4.2.1 forbids. Then `code` is
    /// that of the refusal, but the reply neither accepts nor refuses.
    pub is_mixed: bool,
    /// The enhanced code of the first line that has one, as 5.1.1.
    pub enhanced: Option<(u8, u16, u16)>,
    /// The text of the first 200 lines, without codes; what is not UTF-8 is replaced. If there were
    /// more, one line more says so.
    pub lines: Vec<String>,
}

/// One line of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyLine<'a> {
    /// The reply code; of a line with an enhanced code alone, its class.
    pub code: u16,
    /// Whether the line has that code.
    pub has_code: bool,
    /// Whether more lines follow.
    pub more: bool,
    /// The text.
    pub text: &'a [u8],
}

/// The line does not begin with the first digit of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAReply;

impl Reply {
    /// Whether it is 2yz.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether it is an answer to another command: help, the greeting, a goodbye, a login.
    #[must_use]
    pub(crate) fn is_of_another_command(&self) -> bool {
        matches!(self.code, 211 | 214 | 220 | 221 | 235 | 334)
    }

    /// Whether it had more lines than are kept.
    #[must_use]
    pub(crate) fn is_cut(&self) -> bool {
        self.lines.len() > LINES_MAX
    }

    /// Whether it is 3yz: the server waits for more. The challenge of a login is no such reply: it
    /// does not wait for a message.
    #[must_use]
    pub(crate) fn is_go_on(&self) -> bool {
        (300..400).contains(&self.code) && self.code != 334
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blank = "";
        if self.has_code {
            write!(f, "{}", self.code)?;
            blank = " ";
        }
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, "{blank}{class}.{subject}.{detail}")?;
        }
        for line in self.lines.iter().filter(|line| !line.is_empty()) {
            write!(f, " {line}")?;
        }
        if self.is_mixed {
            f.write_str(" (the lines of this reply contradict each other)")?;
        }
        Ok(())
    }
}

/// Reads one line, without its line end; the separator is optional on the last line.
///
/// # Errors
///
/// [`NotAReply`] when it begins neither with a code of 200 to 599 nor with an enhanced code.
pub(crate) fn parse_reply_line(line: &[u8]) -> Result<ReplyLine<'_>, NotAReply> {
    let [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else {
        return bare(line);
    };
    let code = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
    let (more, text) = match rest {
        [b'-', text @ ..] => (true, text),
        [b' ' | b'\t' | b':' | b'.', text @ ..] => (false, text),
        [b'0'..=b'9', ..] => return Err(NotAReply),
        text => (false, text),
    };
    Ok(ReplyLine { code, has_code: true, more, text })
}

/// Reads a line that has only an enhanced code, or only the first digits of a refusal.
fn bare(line: &[u8]) -> Result<ReplyLine<'_>, NotAReply> {
    let code = match (enhanced(line), line) {
        ((Some((class, _, _)), _), _) => u16::from(class) * 100,
        (_, [class @ (b'4' | b'5')] | [class @ (b'4' | b'5'), b'0'..=b'9']) => short(*class),
        (_, [class @ (b'4' | b'5'), b' ', ..]) => short(*class),
        (_, [class @ (b'4' | b'5'), b'0'..=b'9', b' ', ..]) => short(*class),
        (_, _) => return Err(NotAReply),
    };
    Ok(ReplyLine { code, has_code: false, more: false, text: line })
}

/// The code of a refusal by its first digit alone.
fn short(class: u8) -> u16 {
    u16::from(class - b'0') * 100
}

/// How far a reply is after a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyProgress {
    /// More lines follow.
    More,
    /// That was its last line.
    Whole(Reply),
    /// It has more lines than are read.
    Cut(Reply),
}

/// Collects the lines of one reply.
#[derive(Debug, Default)]
pub struct ReplyCollector {
    reply: Option<Reply>,
    lines: usize,
}

impl ReplyCollector {
    /// Takes the next line, without its line end. If the codes of the lines differ, the last one
    /// counts. A success after a refusal does not count, and neither does a refusal for good after
    /// one for now.
    ///
    /// # Errors
    ///
    /// `NotAReply` when no line so far shows a class.
    pub fn push(&mut self, line: &[u8]) -> Result<ReplyProgress, NotAReply> {
        let parsed = match (parse_reply_line(line), &self.reply) {
            (Ok(parsed), None) => parsed,
            // In the middle, an enhanced code does not end a reply.
            (Ok(parsed), Some(begun)) if parsed.has_code || !begun.has_code => parsed,
            (Ok(_) | Err(NotAReply), Some(begun)) => {
                let (code, has_code) = (begun.code, begun.has_code);
                ReplyLine { code, has_code, more: true, text: line }
            }
            (Err(NotAReply), None) => return Err(NotAReply),
        };
        let (enhanced, text) = enhanced(parsed.text);
        self.lines = if self.reply.is_some() { self.lines + 1 } else { 1 };
        let reply = self.reply.get_or_insert(Reply {
            code: parsed.code,
            has_code: parsed.has_code,
            is_mixed: false,
            enhanced: None,
            lines: vec![],
        });
        reply.is_mixed |= (reply.code < 400) != (parsed.code < 400);
        reply.code = match (reply.code, parsed.code) {
            (refusal @ 400.., ..400) | (refusal @ 400..500, 500..) => refusal,
            (_, last) => last,
        };
        reply.enhanced = reply.enhanced.or(enhanced);
        match reply.lines.len() {
            ..LINES_MAX => reply.lines.push(shown(text)),
            LINES_MAX => reply.lines.push(LEFT_OUT.to_owned()),
            _ => {}
        }
        let is_full = self.lines >= LINES_READ_MAX;
        match (parsed.more, is_full) {
            (true, false) => Ok(ReplyProgress::More),
            (false, _) => Ok(self.reply.take().map_or(ReplyProgress::More, ReplyProgress::Whole)),
            (true, true) => Ok(self.reply.take().map_or(ReplyProgress::More, ReplyProgress::Cut)),
        }
    }

    /// The code so far; `None` while no line has shown one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.reply.as_ref().map(|reply| reply.code)
    }

    /// Whether a line belongs to the next reply because its first digit differs. Then this reply
    /// has no last line.
    #[must_use]
    pub(crate) fn is_ended_by(&self, line: &[u8]) -> bool {
        let class = parse_reply_line(line).ok().filter(|it| it.has_code).map(|it| it.code / 100);
        self.code().zip(class).is_some_and(|(code, class)| code / 100 != class)
    }

    /// Ends a reply whose connection ended within the code of a line. If the code would have been
    /// of another class, the reply contradicts itself.
    #[must_use]
    pub(crate) fn finish_cut(&mut self, code: &[u8]) -> Option<Reply> {
        let mut reply = self.finish()?;
        let class = code.first().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0');
        reply.is_mixed |= class.is_some_and(|class| reply.code / 100 != u16::from(class));
        Some(reply)
    }

    /// Ends a reply whose last line does not come.
    #[must_use]
    pub fn finish(&mut self) -> Option<Reply> {
        self.reply.take()
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
#[must_use]
pub(crate) fn shown(text: &[u8]) -> String {
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
impl Reply {
    /// The reply of one line.
    pub(crate) fn of_line(line: &str) -> Self {
        match ReplyCollector::default().push(line.as_bytes()) {
            Ok(ReplyProgress::Whole(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_replies() {
        let line = |code, more, text| Ok(ReplyLine { code, has_code: true, more, text });
        let bare = |code, text| Ok(ReplyLine { code, has_code: false, more: false, text });
        let no = || Err(NotAReply);
        #[rustfmt::skip]
        let table: &[(&str, &[u8], Result<ReplyLine<'_>, NotAReply>)] = &[
            ("last line",               b"250 2.0.0 Ok",    line(250, false, b"2.0.0 Ok")),
            ("more follows",            b"250-SIZE 1000",   line(250, true, b"SIZE 1000")),
            ("no text, §4.2.1 allows",  b"354",             line(354, false, b"")),
            ("text not in ASCII",       b"550 n\xE9ant",    line(550, false, b"n\xE9ant")),
            ("second digit above 5",    b"571 x",           line(571, false, b"x")),
            ("any digits",              b"499-x",           line(499, true, b"x")),
            ("no separator",            b"554Spam",         line(554, false, b"Spam")),
            ("a tab",                   b"554\tSpam",       line(554, false, b"Spam")),
            ("a colon",                 b"554: Spam",       line(554, false, b" Spam")),
            ("an enhanced code alone",  b"5.7.1 Spam",      bare(500, b"5.7.1 Spam")),
            ("nothing else",            b"4.2.0",           bare(400, b"4.2.0")),
            ("less than a code",        b"5",               bare(500, b"5")),
            ("less than a code",        b"45 x",            bare(400, b"45 x")),
            ("success is said in full", b"25 x",            no()),
            ("1yz is not SMTP",         b"150 x",           no()),
            ("6yz is not SMTP",         b"650 x",           no()),
            ("four digits",             b"2500 x",          no()),
            ("a version",               b"3.1.1 x",         no()),
            ("words",                   b"Message refused", no()),
            ("empty",                   b"",                no()),
        ];
        for (why, input, want) in table {
            assert_eq!(parse_reply_line(input), *want, "{why}: {}", input.escape_ascii());
        }
    }

    /// The code and the words of a reply that consists of these lines, whole or not.
    fn read(lines: &[&[u8]]) -> Option<(u16, String)> {
        let mut collector = ReplyCollector::default();
        for line in lines {
            if let Ok(ReplyProgress::Whole(reply) | ReplyProgress::Cut(reply)) =
                collector.push(line)
            {
                return Some((reply.code, reply.to_string()));
            }
        }
        collector.finish().map(|reply| (reply.code, reply.to_string()))
    }

    /// Lines, and the code and the words that they are.
    type Case = (&'static [&'static [u8]], Option<(u16, &'static str)>);

    #[test]
    fn a_reply_whose_class_is_clear_is_a_reply() {
        #[rustfmt::skip]
        let table: &[Case] = &[
            (&[b"550-5.1.1 no such", b"550 5.1.1 user\x07 n\xE9"], Some((550, "550 5.1.1 no such user  n\u{FFFD}"))),
            (&[b"250 1.2.3.4 is welcome"],                         Some((250, "250 1.2.3.4 is welcome"))),
            (&[b"554-5.7.1 Blocked", b"see the policy", b"554 end"], Some((554, "554 5.7.1 Blocked see the policy end"))),
            (&[b"550-5.7.1 Blocked", b"554 5.7.1 end"],            Some((554, "554 5.7.1 Blocked end"))),
            (&[b"550-Blocked", b"", b"550 end"],                   Some((550, "550 Blocked end"))),
            (&[b"550-Blocked", b"5.7.1 rule 7", b"550 end"],       Some((550, "550 5.7.1 Blocked rule 7 end"))),
            (&[b"250-queued", b"451 4.3.0 not after all"],         Some((451, "451 4.3.0 queued not after all (the lines of this reply contradict each other)"))),
            (&[b"550-Blocked", b"250 ok"],                         Some((550, "550 Blocked ok (the lines of this reply contradict each other)"))),
            (&[b"550-Blocked", b"450 for now"],                    Some((450, "450 Blocked for now"))),
            (&[b"450-for now", b"550-Blocked", b"554 end"],        Some((450, "450 for now Blocked end"))),
            (&[b"554-never", b"554-ended"],                        Some((554, "554 never ended"))),
            (&[b"5.7.1 Spam"],                                     Some((500, "5.7.1 Spam"))),
            (&[b"what"],                                           None),
            (&[],                                                  None),
        ];
        for (lines, want) in table {
            let want = want.map(|(code, words)| (code, words.to_owned()));
            assert_eq!(read(lines), want, "{lines:?}");
        }
    }

    #[test]
    fn an_endless_reply_is_cut() {
        let mut collector = ReplyCollector::default();
        for _ in 1..LINES_READ_MAX {
            assert_eq!(collector.push(b"550-x"), Ok(ReplyProgress::More));
        }
        assert!(
            matches!(collector.push(b"550-x"), Ok(ReplyProgress::Cut(reply)) if reply.code == 550)
        );
    }

    #[test]
    fn a_long_reply_is_read_to_its_end_and_its_first_lines_are_kept() {
        for (count, last, want) in [
            (LINES_MAX, "250 end", (250, false, "end", LINES_MAX)),
            (LINES_MAX + 1, "250 end", (250, false, LEFT_OUT, LINES_MAX + 1)),
            (300, "250 end", (250, false, LEFT_OUT, LINES_MAX + 1)),
            (300, "550 end", (550, true, LEFT_OUT, LINES_MAX + 1)),
        ] {
            let mut collector = ReplyCollector::default();
            for _ in 1..count {
                assert_eq!(collector.push(b"250-x"), Ok(ReplyProgress::More));
            }
            let Ok(ReplyProgress::Whole(reply)) = collector.push(last.as_bytes()) else {
                panic!("{count} {last}");
            };
            let shown = reply.lines.last().unwrap().as_str();
            assert_eq!((reply.code, reply.is_mixed, shown, reply.lines.len()), want, "{count}");
            assert_eq!(reply.is_cut(), count > LINES_MAX, "{count}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_a_reply_or_is_none(
            lines in proptest::collection::vec(proptest::collection::vec(0_u8.., 0..40), 0..6),
        ) {
            let mut collector = ReplyCollector::default();
            for line in &lines {
                if let Ok(ReplyProgress::Whole(reply)) = collector.push(line) {
                    assert!((200..600).contains(&reply.code));
                    assert!(!reply.to_string().chars().any(char::is_control));
                }
            }
        }

        #[test]
        fn a_reply_is_read_as_it_was_written(
            (class, subject, detail) in (2_u16..6, 0_u16..10, 0_u16..10),
            texts in proptest::collection::vec("[a-z]{0,9}", 1..9),
        ) {
            let code = class * 100 + subject * 10 + detail;
            let mut collector = ReplyCollector::default();
            for (at, text) in texts.iter().enumerate() {
                let is_last = at + 1 == texts.len();
                let line = format!("{code}{}{text}", if is_last { ' ' } else { '-' });
                match collector.push(line.as_bytes()).unwrap() {
                    ReplyProgress::Whole(reply) => {
                        assert!(is_last);
                        assert_eq!((reply.code, &reply.lines), (code, &texts));
                    }
                    ReplyProgress::More => assert!(!is_last),
                    ReplyProgress::Cut(_) => panic!("cut"),
                }
            }
        }
    }
}
