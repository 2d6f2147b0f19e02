//! The dialogue from the first byte to the last.

use crate::imap::command;
use crate::imap::command::Command;
use crate::imap::mailboxes::Appended;
use crate::imap::mailboxes::Wanted;
use crate::imap::selected::Messages;
use crate::imap::selected::not_selected;
use crate::imap::session::Session;
use crate::imap::token;
use crate::imap::token::Malformed;
use crate::imap::token::Segment;
use crate::imap::token::as_text;
use crate::peer::Flow;
use crate::peer::Peer;
use crate::script::ImapCommand;
use crate::script::Point;
use crate::wire::Line;
use std::io;

/// The longest line of a command, as Dovecot has it.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// The largest literal that is not a message.
const LITERAL_BYTES_MAX: u64 = 64 * 1024;
/// How many literals a command may have.
const LITERALS_MAX: usize = 100;

/// Serves one client until it leaves.
///
/// # Errors
///
/// The connection is lost, or ended by a rule.
pub async fn serve(mut peer: Peer, implicit_tls: bool) -> io::Result<()> {
    if let Flow::Instead(bytes, ending) = peer.at(Point::ImapConnect, &[]).await? {
        peer.say(&bytes, ending).await?;
    }
    if implicit_tls {
        peer.start_tls(Point::ImapTls).await?;
    }
    let mut session = Session::new(peer);
    let greeting = format!(
        "* OK [CAPABILITY {}] sandbox\r\n",
        session.capabilities().join(" ")
    );
    match session.peer.at(Point::ImapGreeting, &[]).await? {
        Flow::Instead(bytes, ending) => session.peer.say(&bytes, ending).await?,
        Flow::Then(bytes) => session
            .peer
            .wire
            .push(&[greeting.as_bytes(), &bytes].concat()),
        Flow::Go | Flow::Without(_) | Flow::Fault(_) => {
            session.peer.wire.push(greeting.as_bytes());
        }
    }
    session.run().await
}

/// A command as it came.
struct Received {
    tag: String,
    name: ImapCommand,
    uid: bool,
    command: Result<Command, Malformed>,
}

impl Session {
    async fn run(mut self) -> io::Result<()> {
        let mut pipelined = false;
        loop {
            if self.peer.wire.input().is_empty() {
                self.peer.wire.flush().await?;
            }
            if let Some(received) = self.receive(pipelined).await? {
                let name = received.name;
                let done = self.step(received).await?;
                if done && name == ImapCommand::Logout {
                    return self.peer.wire.close().await;
                }
                if done && name == ImapCommand::StartTls {
                    self.peer.start_tls(Point::ImapTls).await?;
                }
            }
            pipelined = !self.peer.wire.input().is_empty();
        }
    }

    /// Reads one command with its literals; `None` if it is answered already.
    async fn receive(&mut self, pipelined: bool) -> io::Result<Option<Received>> {
        let Line::Text(first) = self.peer.wire.line(LINE_BYTES_MAX).await? else {
            self.peer.wire.push(b"* BAD line too long\r\n");
            return Ok(None);
        };
        let head = Head::of(&first);
        self.record(&head, &first, pipelined);
        if head.tag.is_empty() || head.word.is_empty() {
            self.peer
                .wire
                .push(b"* BAD a command has a tag and a name\r\n");
            return Ok(None);
        }
        let arguments = first.get(head.bytes..).unwrap_or_default().to_vec();
        let Some(segments) = self.literals(&head, arguments).await? else {
            return Ok(None);
        };
        let tokens = token::tokens(&segments);
        let command = tokens.and_then(|tokens| command::parse(head.name, head.uid, &tokens));
        Ok(Some(Received {
            tag: head.tag,
            name: head.name,
            uid: head.uid,
            command,
        }))
    }

    /// The rest of the command: its first line and, as long as lines end with `{n}`, what follows.
    async fn literals(
        &mut self,
        head: &Head,
        mut line: Vec<u8>,
    ) -> io::Result<Option<Vec<Segment>>> {
        let mut segments = Vec::new();
        let mut refused = None;
        while let Some(mark) = LiteralMark::of(&line) {
            line.truncate(mark.at);
            segments.push(Segment::Line(std::mem::take(&mut line)));
            let bytes_max = match head.name {
                ImapCommand::Append => self.peer.house.message_bytes_max,
                _ => LITERAL_BYTES_MAX,
            };
            if mark.bytes > bytes_max || segments.len() > 2 * LITERALS_MAX {
                refused = Some("NO [TOOBIG] too big");
            } else if !mark.waits && !self.offers("LITERAL+") {
                refused = Some("BAD LITERAL+ is not offered");
            }
            if let (Some(text), true) = (refused, mark.waits) {
                self.peer
                    .wire
                    .push(format!("{} {text}\r\n", head.tag).as_bytes());
                return Ok(None);
            }
            if mark.waits && !self.let_go_on(&head.tag).await? {
                return Ok(None);
            }
            match refused {
                Some(_) => self.peer.wire.skip(mark.bytes).await?,
                None => {
                    let literal = self.peer.wire.literal(mark.bytes as usize).await?;
                    segments.push(Segment::Literal(literal));
                }
            }
            line = match self.peer.wire.line(LINE_BYTES_MAX).await? {
                Line::Text(line) => line,
                Line::TooLong => {
                    refused = Some("BAD line too long");
                    Vec::new()
                }
            };
            let secret = matches!(head.name, ImapCommand::Login | ImapCommand::Authenticate);
            if !line.is_empty() && !secret {
                self.peer.record(&head.command(), &line, false);
            }
        }
        segments.push(Segment::Line(line));
        if let Some(text) = refused {
            self.peer
                .wire
                .push(format!("{} {text}\r\n", head.tag).as_bytes());
            return Ok(None);
        }
        Ok(Some(segments))
    }

    /// Says `+` as the rules want. False if they refuse the command.
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

    fn record(&self, head: &Head, line: &[u8], pipelined: bool) {
        let shown = match head.name {
            ImapCommand::Login => format!("{} LOGIN ***", head.tag).into_bytes(),
            ImapCommand::Authenticate => {
                let text = as_text(line);
                let mut words = text.split_ascii_whitespace().skip(2);
                let mechanism = words.next().unwrap_or_default();
                let secret = if words.next().is_some() { " ***" } else { "" };
                format!("{} AUTHENTICATE {mechanism}{secret}", head.tag).into_bytes()
            }
            _ => line.to_vec(),
        };
        self.peer.record(&head.command(), &shown, pipelined);
    }

    /// Carries out one command as the rules want. True if it is done and was answered OK.
    async fn step(&mut self, received: Received) -> io::Result<bool> {
        let Received {
            tag,
            name,
            uid,
            command,
        } = received;
        let claimed = match &command {
            Ok(Command::Login { user, .. }) => Some(user.clone()),
            _ => None,
        };
        let claimed: Vec<&str> = claimed.as_deref().into_iter().collect();
        let mut behind = Vec::new();
        match self.peer.at(Point::ImapCommand(name), &claimed).await? {
            Flow::Instead(bytes, ending) => {
                self.peer.say(&with_tag(&bytes, &tag), ending).await?;
                return Ok(false);
            }
            Flow::Then(bytes) => behind = bytes,
            Flow::Without(item) => self.without = Some(item),
            Flow::Go | Flow::Fault(_) => {}
        }
        let text = match command {
            Err(Malformed(text)) => format!("BAD {text}"),
            Ok(_) if !self.knows(name) => "BAD command not known".to_owned(),
            Ok(_) if !self.is_time_for(name) => "BAD not now".to_owned(),
            Ok(command) => self.carry_out(&tag, command).await?,
        };
        self.without = None;
        // RFC 3501 §7.4.1: EXPUNGE would shift the numbers that these commands use.
        let counts = matches!(
            name,
            ImapCommand::Fetch | ImapCommand::Store | ImapCommand::Search
        );
        if uid || !counts {
            self.tell_news();
        }
        let mut tagged = format!("{tag} {text}\r\n").into_bytes();
        match self.peer.at(Point::ImapDone(name), &claimed).await? {
            Flow::Instead(bytes, ending) => {
                self.peer.say(&with_tag(&bytes, &tag), ending).await?;
                tagged.clear();
            }
            Flow::Then(bytes) => behind.extend(bytes),
            Flow::Go | Flow::Without(_) | Flow::Fault(_) => {}
        }
        self.peer.wire.push(&tagged);
        self.peer.wire.push(&behind);
        Ok(text.starts_with("OK"))
    }

    /// Whether the capability that the command belongs to is offered.
    fn knows(&self, name: ImapCommand) -> bool {
        let capability = match name {
            ImapCommand::Unknown => return false,
            ImapCommand::Id => "ID",
            ImapCommand::Namespace => "NAMESPACE",
            ImapCommand::StartTls => "STARTTLS",
            ImapCommand::Unselect => "UNSELECT",
            ImapCommand::Idle => "IDLE",
            ImapCommand::Move => "MOVE",
            _ => return true,
        };
        self.offers(capability)
    }

    /// Whether the command fits the state of the dialogue (RFC 3501 §3).
    fn is_time_for(&self, name: ImapCommand) -> bool {
        match name {
            ImapCommand::Capability
            | ImapCommand::Noop
            | ImapCommand::Logout
            | ImapCommand::Id
            | ImapCommand::Unknown => true,
            ImapCommand::StartTls | ImapCommand::Login | ImapCommand::Authenticate => {
                self.peer.user.is_none()
            }
            ImapCommand::Unselect
            | ImapCommand::Close
            | ImapCommand::Check
            | ImapCommand::Search
            | ImapCommand::Fetch
            | ImapCommand::Store
            | ImapCommand::Expunge
            | ImapCommand::Copy
            | ImapCommand::Move => self.view.is_some(),
            ImapCommand::Namespace
            | ImapCommand::List
            | ImapCommand::Lsub
            | ImapCommand::Subscribe
            | ImapCommand::Unsubscribe
            | ImapCommand::Create
            | ImapCommand::Delete
            | ImapCommand::Rename
            | ImapCommand::Select
            | ImapCommand::Examine
            | ImapCommand::Status
            | ImapCommand::Append
            | ImapCommand::Idle => self.peer.user.is_some(),
        }
    }

    /// Carries out a command; the text of its tagged response.
    async fn carry_out(&mut self, tag: &str, command: Command) -> io::Result<String> {
        Ok(match command {
            Command::Plain(name) => return self.plain(name).await,
            Command::Login { user, password } => self.login(&user, &password),
            Command::Authenticate { mechanism, initial } => {
                return self.authenticate(&mechanism, initial.as_deref()).await;
            }
            Command::List {
                subscribed,
                special_use,
                reference,
                patterns,
            } => {
                let word = if subscribed { "LSUB" } else { "LIST" };
                let (reference, patterns) = (reference.as_str(), patterns.as_slice());
                self.list(
                    word,
                    &Wanted {
                        subscribed,
                        special_use,
                        reference,
                        patterns,
                    },
                )
            }
            Command::Subscribe { mailbox, subscribe } => self.subscribe(&mailbox, subscribe),
            Command::Create {
                mailbox,
                special_use,
            } => self.create(&mailbox, special_use),
            Command::Delete { mailbox } => self.delete(&mailbox),
            Command::Rename { from, to } => self.rename(&from, &to),
            Command::Select { mailbox, read_only } => self.select(&mailbox, read_only),
            Command::Status { mailbox, items } => self.status(&mailbox, &items),
            Command::Append {
                mailbox,
                flags,
                date_ms,
                bytes,
            } => self.append(
                &mailbox,
                Appended {
                    flags,
                    date_ms,
                    bytes,
                },
            ),
            Command::Search {
                returns: Some(_), ..
            } if !self.offers("ESEARCH") => "BAD RETURN is not offered".to_owned(),
            Command::Search {
                charset: Some(charset),
                ..
            } if !is_known_charset(&charset) => {
                "NO [BADCHARSET (US-ASCII UTF-8)] charset not known".to_owned()
            }
            Command::Search {
                uid, returns, key, ..
            } => self.search(tag, uid, returns.as_deref(), &key),
            Command::Fetch { uid, set, items } => {
                return self.fetch(Messages { set: &set, uid }, items).await;
            }
            Command::Store {
                uid,
                set,
                change,
                silent,
                flags,
            } => {
                return self
                    .store(Messages { set: &set, uid }, change, &flags, silent)
                    .await;
            }
            Command::Expunge { set: Some(_) } if !self.offers("UIDPLUS") => {
                "BAD UID EXPUNGE is not offered".to_owned()
            }
            Command::Expunge { set } => self.expunge(set.as_ref()),
            Command::Copy {
                uid,
                set,
                mailbox,
                remove,
            } => self.copy(Messages { set: &set, uid }, &mailbox, remove),
        })
    }

    async fn plain(&mut self, name: ImapCommand) -> io::Result<String> {
        Ok(match name {
            ImapCommand::Capability => self.capability(),
            ImapCommand::Noop | ImapCommand::Check => "OK here".to_owned(),
            ImapCommand::Id => self.id(),
            ImapCommand::Namespace => self.namespace(),
            ImapCommand::StartTls => "OK begin TLS".to_owned(),
            ImapCommand::Unselect => self.unselect(false),
            ImapCommand::Close => self.unselect(true),
            ImapCommand::Idle => return self.idle().await,
            ImapCommand::Logout => {
                self.peer.wire.push(b"* BYE goodbye\r\n");
                "OK goodbye".to_owned()
            }
            _ => not_selected(),
        })
    }
}

/// The beginning of a command.
struct Head {
    tag: String,
    /// In upper case, without UID.
    word: String,
    uid: bool,
    name: ImapCommand,
    /// How many bytes of the line it takes.
    bytes: usize,
}

impl Head {
    fn of(line: &[u8]) -> Self {
        let mut bytes = 0;
        let mut next = || {
            let rest = line.get(bytes..).unwrap_or_default();
            let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
            let word = rest
                .iter()
                .skip(spaces)
                .take_while(|byte| **byte != b' ')
                .count();
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
        Self {
            tag,
            word,
            uid,
            name,
            bytes,
        }
    }

    fn command(&self) -> String {
        if self.uid {
            format!("UID {}", self.word)
        } else {
            self.word.clone()
        }
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
        let bytes = std::str::from_utf8(number)
            .ok()?
            .parse()
            .unwrap_or(u64::MAX);
        let before = open.checked_sub(1).and_then(|before| line.get(before));
        let at = if before == Some(&b'~') {
            open - 1
        } else {
            open
        };
        Some(Self { at, bytes, waits })
    }
}

fn with_tag(bytes: &[u8], tag: &str) -> Vec<u8> {
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

fn is_known_charset(charset: &str) -> bool {
    ["UTF-8", "US-ASCII"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(charset))
}
