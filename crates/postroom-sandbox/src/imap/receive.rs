//! Reads commands: lines, literals with their `+`, and the entry in the transcript.

use crate::imap::command::ParsedCommand;
use crate::imap::parse;
use crate::imap::session::ImapDialogue;
use crate::imap::token;
use crate::imap::token::CommandSegment;
use crate::imap::token::Malformed;
use crate::imap::token::as_text;
use crate::peer::Flow;
use crate::script::ImapCommand;
use crate::script::Point;
use crate::wire::ClientLine;
use std::io;

/// The longest line of a command, as Dovecot has it.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// The largest literal that is not a message.
const LITERAL_BYTES_MAX: u64 = 64 * 1024;
/// How many literals a command may have.
const LITERALS_MAX: usize = 100;

/// A command as it came.
pub(crate) struct Received {
    /// Its tag.
    pub tag: String,
    /// Its name.
    pub name: ImapCommand,
    /// Whether it began with UID.
    pub uid: bool,
    /// The rest, or what is wrong with it.
    pub command: Result<ParsedCommand, Malformed>,
}

impl ImapDialogue {
    /// Reads one command with its literals. `None`: it has been answered already.
    ///
    /// # Errors
    ///
    /// The connection is lost, or ended by a rule.
    pub(crate) async fn receive(&mut self, pipelined: bool) -> io::Result<Option<Received>> {
        let ClientLine::Text(first) = self.peer.wire.line(LINE_BYTES_MAX).await? else {
            self.peer.wire.push(b"* BAD line too long\r\n");
            return Ok(None);
        };
        let head = CommandStart::of(&first);
        self.record(&head, &first, pipelined);
        if head.tag.is_empty() || head.word.is_empty() {
            self.peer.wire.push(b"* BAD a command has a tag and a name\r\n");
            return Ok(None);
        }
        let arguments = first.get(head.bytes..).unwrap_or_default().to_vec();
        let Some(segments) = self.literals(&head, arguments).await? else {
            return Ok(None);
        };
        let tokens = token::tokens(&segments);
        let command = tokens.and_then(|tokens| parse::parse(head.name, head.uid, &tokens));
        Ok(Some(Received { tag: head.tag, name: head.name, uid: head.uid, command }))
    }

    /// The rest of the command: its first line and, as long as lines end with `{n}`, what follows.
    async fn literals(
        &mut self,
        head: &CommandStart,
        mut line: Vec<u8>,
    ) -> io::Result<Option<Vec<CommandSegment>>> {
        let mut segments = Vec::new();
        let mut refused = None;
        while let Some(mark) = LiteralMark::of(&line) {
            line.truncate(mark.at);
            segments.push(CommandSegment::Line(std::mem::take(&mut line)));
            let bytes_max = if head.name == ImapCommand::Append {
                self.peer.house.message_bytes_max
            } else {
                LITERAL_BYTES_MAX
            };
            if mark.bytes > bytes_max || segments.len() > 2 * LITERALS_MAX {
                refused = Some("NO [TOOBIG] too big");
            } else if !mark.waits && !self.offers("LITERAL+") {
                refused = Some("BAD LITERAL+ is not offered");
            }
            if let (Some(text), true) = (refused, mark.waits) {
                self.peer.wire.push(format!("{} {text}\r\n", head.tag).as_bytes());
                return Ok(None);
            }
            if mark.waits && !self.let_go_on(&head.tag).await? {
                return Ok(None);
            }
            match refused {
                Some(_) => self.peer.wire.skip(mark.bytes).await?,
                None => {
                    let literal = self.peer.wire.literal(mark.bytes as usize).await?;
                    segments.push(CommandSegment::Literal(literal));
                }
            }
            line = match self.peer.wire.line(LINE_BYTES_MAX).await? {
                ClientLine::Text(line) => line,
                ClientLine::TooLong => {
                    refused = Some("BAD line too long");
                    Vec::new()
                }
            };
            let secret = matches!(head.name, ImapCommand::Login | ImapCommand::Authenticate);
            if !line.is_empty() && !secret {
                self.peer.record(&head.command(), &line, false);
            }
        }
        segments.push(CommandSegment::Line(line));
        if let Some(text) = refused {
            self.peer.wire.push(format!("{} {text}\r\n", head.tag).as_bytes());
            return Ok(None);
        }
        Ok(Some(segments))
    }

    /// Sends `+`, unless the rules demand something else. False: the rules refuse the command.
    async fn let_go_on(&mut self, tag: &str) -> io::Result<bool> {
        match self.peer.at(Point::ImapContinue, &[]).await? {
            Flow::Instead(bytes, ending) => {
                self.peer.say(&with_tag(&bytes, tag), ending).await?;
                return Ok(false);
            }
            Flow::Then(bytes) => self.peer.wire.push(&[b"+ go ahead\r\n", &*bytes].concat()),
            Flow::Go | Flow::Without(_) | Flow::Fault(_) => {
                self.peer.wire.push(b"+ go ahead\r\n");
            }
        }
        self.peer.wire.flush().await?;
        Ok(true)
    }

    fn record(&self, head: &CommandStart, line: &[u8], pipelined: bool) {
        let mut shown = line.to_vec();
        if head.name == ImapCommand::Login {
            shown = format!("{} LOGIN ***", head.tag).into_bytes();
        }
        if head.name == ImapCommand::Authenticate {
            let text = as_text(line);
            let mut words = text.split_ascii_whitespace().skip(2);
            let mechanism = words.next().unwrap_or_default();
            let secret = if words.next().is_some() { " ***" } else { "" };
            shown = format!("{} AUTHENTICATE {mechanism}{secret}", head.tag).into_bytes();
        }
        self.peer.record(&head.command(), &shown, pipelined);
    }
}

/// The beginning of a command.
struct CommandStart {
    tag: String,
    /// In upper case, without UID.
    word: String,
    uid: bool,
    name: ImapCommand,
    /// How many bytes of the line it takes.
    bytes: usize,
}

impl CommandStart {
    fn of(line: &[u8]) -> Self {
        let mut bytes = 0;
        let mut next = || {
            let rest = line.get(bytes..).unwrap_or_default();
            let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
            let word = rest.iter().skip(spaces).take_while(|byte| **byte != b' ').count();
            bytes += spaces + word;
            as_text(rest.get(spaces..spaces + word).unwrap_or_default())
        };
        let tag = next();
        let mut word = next().to_ascii_uppercase();
        let uid = word == "UID";
        if uid {
            word = next().to_ascii_uppercase();
        }
        let name = ImapCommand::named(&word);
        Self { tag, word, uid, name, bytes }
    }

    fn command(&self) -> String {
        if self.uid { format!("UID {}", self.word) } else { self.word.clone() }
    }
}

/// `{n}`, `{n+}` or `~{n}` at the end of a line.
struct LiteralMark {
    /// Where it begins.
    at: usize,
    bytes: u64,
    /// Whether the client waits for `+`.
    waits: bool,
}

impl LiteralMark {
    fn of(line: &[u8]) -> Option<Self> {
        let inside = line.strip_suffix(b"}")?;
        let open = inside.iter().rposition(|byte| *byte == b'{')?;
        let number = inside.get(open + 1..)?;
        let (number, waits) = match number.strip_suffix(b"+") {
            Some(number) => (number, false),
            None => (number, true),
        };
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let bytes = std::str::from_utf8(number).ok()?.parse().unwrap_or(u64::MAX);
        let before = open.checked_sub(1).and_then(|before| line.get(before));
        let at = if before == Some(&b'~') { open - 1 } else { open };
        Some(Self { at, bytes, waits })
    }
}

/// The bytes with the tag in place of each `{tag}`.
pub(crate) fn with_tag(bytes: &[u8], tag: &str) -> Vec<u8> {
    const MARK: &[u8] = b"{tag}";
    let mut said = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, b""));
        said.extend_from_slice(before);
        said.extend_from_slice(tag.as_bytes());
        rest = after.strip_prefix(MARK).unwrap_or(after);
    }
    said.extend_from_slice(rest);
    said
}
