//! A small plain IMAP client that shares nothing with Postroom's own, so that what a mailbox
//! holds is known from a second source. It reads whole messages into memory.

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use sha2::Digest;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::time::Duration;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(120);

/// One message as FETCH gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedMessage {
    /// The whole message.
    pub bytes: Vec<u8>,
    /// Flags as the server writes them, sorted, without `\Recent`.
    pub flags: Vec<String>,
}

/// One logged in connection.
pub struct ImapClient {
    input: BufReader<TcpStream>,
    tag: u32,
}

/// One line of an answer with the literals in it.
struct ResponseLine {
    line: String,
    literals: Vec<Vec<u8>>,
}

impl ImapClient {
    /// Connects to `port` of 127.0.0.1 without TLS and logs in.
    ///
    /// # Errors
    ///
    /// When the server does not answer or refuses the login.
    pub fn login(port: u16, user: &str, password: &str) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting")?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_nodelay(true)?;
        let mut client = Self { input: BufReader::with_capacity(1 << 16, stream), tag: 0 };
        client.answer()?;
        client.command(&format!("LOGIN {} {}", quoted(user), quoted(password)))?;
        Ok(client)
    }

    /// Sends one command line and returns the untagged lines of its answer.
    ///
    /// # Errors
    ///
    /// When the answer is not OK.
    pub fn command(&mut self, command: &str) -> Result<Vec<String>> {
        let mut lines = vec![];
        self.exchange(command, |answer| lines.push(answer.line))?;
        Ok(lines)
    }

    /// Every message of `mailbox` by UID. Leaves `\Seen` as it is.
    ///
    /// # Errors
    ///
    /// When the server refuses, or answers what this client does not read.
    pub fn fetch(&mut self, mailbox: &str) -> Result<BTreeMap<u32, FetchedMessage>> {
        let mut found = BTreeMap::new();
        self.fetch_each(mailbox, |uid, delivered| {
            found.insert(uid, delivered);
        })?;
        Ok(found)
    }

    /// The SHA-256 of every message of `mailbox` by UID, as lower case hexadecimal digits.
    ///
    /// # Errors
    ///
    /// As [`ImapClient::fetch`].
    pub fn digests(&mut self, mailbox: &str) -> Result<BTreeMap<u32, String>> {
        let mut found = BTreeMap::new();
        self.fetch_each(mailbox, |uid, delivered| {
            found.insert(uid, sha256(&delivered.bytes));
        })?;
        Ok(found)
    }

    /// Adds a message to `mailbox`.
    ///
    /// # Errors
    ///
    /// When the server does not take it.
    pub fn append(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> Result<()> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        let size = message.len();
        let mut bytes =
            format!("{tag} APPEND {} ({flags}) {{{size}}}\r\n", quoted(mailbox)).into_bytes();
        self.input.get_mut().write_all(&bytes)?;
        let go_on = self.answer()?;
        if !go_on.line.starts_with('+') {
            bail!("APPEND was answered {}", go_on.line);
        }
        bytes.clear();
        bytes.extend_from_slice(message);
        bytes.extend_from_slice(b"\r\n");
        self.input.get_mut().write_all(&bytes)?;
        self.until(&tag, "APPEND", |_| {})
    }

    fn fetch_each(
        &mut self,
        mailbox: &str,
        mut take: impl FnMut(u32, FetchedMessage),
    ) -> Result<()> {
        self.command(&format!("EXAMINE {}", quoted(mailbox)))?;
        let mut odd = None;
        self.exchange("UID FETCH 1:* (UID FLAGS BODY.PEEK[])", |answer| {
            // What a server tells unasked has no body, and may have no UID. `NIL` is the body of a
            // message that was expunged meanwhile.
            let has_body = answer.line.contains("BODY[]") && !answer.line.contains("BODY[] NIL");
            if answer.line.contains(" FETCH ") && has_body {
                match delivered(answer) {
                    Ok((uid, delivered)) => take(uid, delivered),
                    Err(error) => odd = Some(error),
                }
            }
        })?;
        odd.map_or(Ok(()), Err)
    }

    fn exchange(&mut self, command: &str, take: impl FnMut(ResponseLine)) -> Result<()> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.input.get_mut().write_all(format!("{tag} {command}\r\n").as_bytes())?;
        let name = command.split(' ').next().unwrap_or_default().to_owned();
        self.until(&tag, &name, take)
    }

    fn until(&mut self, tag: &str, name: &str, mut take: impl FnMut(ResponseLine)) -> Result<()> {
        loop {
            let answer = self.answer()?;
            match answer.line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                Some(text) if text.starts_with("OK") => return Ok(()),
                Some(text) => bail!("{name} was answered {text}"),
                None => take(answer),
            }
        }
    }

    fn answer(&mut self) -> Result<ResponseLine> {
        let mut answer = ResponseLine { line: String::new(), literals: vec![] };
        loop {
            let mut line = Vec::new();
            if self.input.read_until(b'\n', &mut line)? == 0 {
                bail!("the server closed the connection after {:?}", answer.line);
            }
            answer.line += String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']);
            let Some(size_bytes) = literal_size(&answer.line) else {
                return Ok(answer);
            };
            let mut literal = vec![0; size_bytes];
            self.input.read_exact(&mut literal)?;
            answer.literals.push(literal);
            answer.line.push(' ');
        }
    }
}

fn literal_size(line: &str) -> Option<usize> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}

fn delivered(mut answer: ResponseLine) -> Result<(u32, FetchedMessage)> {
    let line = &answer.line;
    let uid = between(line, "UID ", &[' ', ')']).and_then(|digits| digits.parse().ok());
    let uid = uid.with_context(|| format!("no UID in {line}"))?;
    let flags = between(line, "FLAGS (", &[')']).unwrap_or_default();
    let mut flags: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
    flags.retain(|flag| flag != "\\Recent");
    flags.sort();
    let bytes = match answer.literals.pop() {
        Some(bytes) => bytes,
        None if line.contains("BODY[] \"\"") => vec![],
        None => bail!("no body in {line}"),
    };
    Ok((uid, FetchedMessage { bytes, flags }))
}

fn between<'a>(line: &'a str, start: &str, end: &[char]) -> Option<&'a str> {
    line.split_once(start)?.1.split(end).next()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The SHA-256 of `bytes` as lower case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
