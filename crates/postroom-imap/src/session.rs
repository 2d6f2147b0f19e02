//! One IMAP session as a state machine without I/O: bytes go in, events come out.
//!
//! ```text
//!   received bytes ──► receive() ──► SessionEvent
//!   start(command) ──► take_output() ──► bytes to send
//! ```
//!
//! One command runs at a time. Only a response with its tag completes it; responses with other
//! tags, and everything that cannot be understood, are passed over. The first BYE is the end.
//!
//! Standards: RFC 3501 §2.2, §5.5, §7.

use crate::assembly::Assembled;
use crate::assembly::Assembly;
use crate::capabilities::Capabilities;
use crate::command::Command;
use crate::encoder::CommandPart;
use crate::encoder::Octets;
use crate::error::Error;
use crate::error::Refusal;
use crate::limits::ImapOptions;
use crate::numbering::Numbering;
use crate::response::Body;
use crate::response::Code;
use crate::response::Response;
use crate::response::StateLine;
use crate::response::StatusKind;
use crate::response::parse;
use crate::response::parse_more_search;
use crate::response::parse_state;
use crate::token::Segment;
use crate::token::readable;
use bytes::Bytes;
use bytes::BytesMut;
use postroom_net::SaslError;
use postroom_net::bearer;
use postroom_net::sasl::SaslExchange;
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use std::collections::VecDeque;
use std::sync::Arc;

/// How often a server may ask for more after the last part of a command.
const SURPLUS_REQUESTS_MAX: u32 = 5;

/// What the session read.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionEvent {
    /// An untagged response.
    Response(Response),
    /// The bytes of a large message begin. The other items of the message follow after them.
    BodyStart {
        /// The size that the server announced.
        size_bytes: u64,
    },
    /// Bytes of a large message.
    Chunk(Bytes),
    /// The large message is complete.
    BodyEnd,
    /// The server is ready for the next part of the command.
    Continue,
    /// The running command is complete.
    Completed(Completion),
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Whether it was done.
    pub result: Result<(), Refusal>,
    /// The response code.
    pub code: Option<Code>,
    /// Words for people.
    pub text: String,
}

impl Completion {
    /// The response code, if the command was done.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if it was not.
    pub fn refused(self, command: &'static str) -> Result<Option<Code>, Error> {
        match self.result {
            Ok(()) => Ok(self.code),
            Err(refusal) => {
                let code = self.code.map(|code| code.name);
                Err(Error::Refused { command, refusal, code, text: self.text })
            }
        }
    }
}

/// The running command.
#[derive(Debug)]
struct RunningCommand {
    tag: String,
    name: &'static str,
    last_answer: Option<&'static [u8]>,
    exchange: Option<Box<SaslExchange>>,
    /// Why we broke the login off.
    broken_off: Option<SaslError>,
    /// How large a message body may be to be taken; `None`: none is wanted.
    body_bytes_max: Option<u64>,
    surplus_requests: u32,
    /// What the server said of an access token, in words.
    token_refusal: Option<String>,
}

/// A session.
pub struct Session {
    options: Arc<ImapOptions>,
    assembly: Assembly,
    tag_count: u32,
    running: Option<RunningCommand>,
    parts: VecDeque<CommandPart>,
    go_ahead: bool,
    capabilities: Arc<Capabilities>,
    numbering: Numbering,
    /// What was said of the last command, if it was refused, its words hold no secret, and no later
    /// command was answered. They are the reason of an end without words.
    refused: Option<String>,
}

impl Session {
    /// A session before the greeting.
    #[must_use]
    pub fn new(options: Arc<ImapOptions>) -> Self {
        Self {
            options,
            assembly: Assembly::new(),
            tag_count: 0,
            running: None,
            parts: VecDeque::new(),
            go_ahead: false,
            capabilities: Arc::default(),
            numbering: Numbering::default(),
            refused: None,
        }
    }

    /// The capabilities that the server sent.
    #[must_use]
    pub fn capabilities(&self) -> &Arc<Capabilities> {
        &self.capabilities
    }

    /// The name of the running command, for errors.
    #[must_use]
    pub fn running(&self) -> &'static str {
        self.running.as_ref().map_or("the greeting", |running| running.name)
    }

    /// Begins a command; [`Self::take_output`] then gives what is to be sent.
    pub fn start(&mut self, command: Command) {
        self.tag_count = self.tag_count.wrapping_add(1);
        self.numbering.begins(command.name);
        let tag = format!("P{}", self.tag_count);
        tracing::trace!(tag, command = command.name, "command");
        self.parts = VecDeque::from(command.parts);
        let octets = Octets::Text(Zeroizing::new(format!("{tag} ").into_bytes()));
        self.parts.push_front(CommandPart { waits: false, octets });
        self.go_ahead = false;
        let usual = self.options.limits.literal_bytes_max;
        let body_bytes_max = command.wants_bodies.then(|| command.body_bytes_max.unwrap_or(usual));
        self.running = Some(RunningCommand {
            tag,
            name: command.name,
            last_answer: command.last_answer,
            exchange: command.exchange,
            broken_off: None,
            body_bytes_max,
            surplus_requests: 0,
            token_refusal: None,
        });
    }

    /// What is to be sent next, if anything is to be sent now.
    pub fn take_output(&mut self) -> Option<Octets> {
        if self.parts.front()?.waits && !std::mem::take(&mut self.go_ahead) {
            return None;
        }
        self.parts.pop_front().map(|part| part.octets)
    }

    /// Why the connection has ended. If the server refused the last command and said no more, its
    /// refusal is the reason, as if it had said BYE.
    pub(crate) fn reason_of(&mut self, ended: Error) -> Error {
        self.refused.take().map_or(ended, |text| Error::Bye { code: None, text })
    }

    /// From now on, message bodies are discarded.
    pub(crate) fn discard_bodies(&mut self) {
        if let Some(running) = &mut self.running {
            running.body_bytes_max = None;
        }
    }

    /// How many more octets are needed, at least, before anything comes out.
    #[must_use]
    pub fn wanted(&self, buffer: &BytesMut) -> usize {
        self.assembly.wanted(buffer)
    }

    /// Whether a response has begun whose first line has no end yet.
    #[must_use]
    pub fn is_in_first_line(&self, buffer: &BytesMut) -> bool {
        self.assembly.is_in_first_line(buffer)
    }

    /// Gives back memory that an idle session does not need.
    pub fn shrink(&mut self) {
        self.assembly.shrink();
        self.parts = VecDeque::new();
    }

    /// Takes the next event from the bytes that were received; `None` if more are needed.
    ///
    /// # Errors
    ///
    /// What ends the connection: BYE, a limit, or a message whose end is unknown.
    pub fn receive(&mut self, buffer: &mut BytesMut) -> Result<Option<SessionEvent>, Error> {
        let body_bytes_max = self.running.as_ref().and_then(|running| running.body_bytes_max);
        let options = Arc::clone(&self.options);
        let limits = &options.limits;
        while let Some(assembled) = self.assembly.receive(buffer, limits, body_bytes_max)? {
            let event = match assembled {
                Assembled::Response { segments, is_more_search: true, .. } => {
                    Some(SessionEvent::Response(parse_more_search(&segments)))
                }
                Assembled::Response { segments, is_broken, .. } => {
                    let event = self.read(&segments, is_broken)?;
                    self.assembly.recycle(segments);
                    event
                }
                Assembled::BodyStart { size_bytes } => Some(SessionEvent::BodyStart { size_bytes }),
                Assembled::Chunk(bytes) => Some(SessionEvent::Chunk(bytes)),
                Assembled::BodyEnd => Some(SessionEvent::BodyEnd),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Reads a response; `is_broken`: a literal in it has the wrong size.
    fn read(
        &mut self,
        segments: &[Segment],
        is_broken: bool,
    ) -> Result<Option<SessionEvent>, Error> {
        let Some(Segment::Text(line)) = segments.first() else {
            return Ok(None);
        };
        let is_of_command = self.running.is_some();
        let event = match line.first() {
            Some(b'*') => self.untagged(parse(segments), is_broken).map(Some)?,
            Some(b'+') => self.continued(line),
            Some(_) | None => return self.tagged(line),
        };
        if is_of_command {
            // The words of the refusal before are not about what comes now.
            self.refused = None;
        }
        Ok(event)
    }

    fn untagged(&mut self, mut response: Response, is_broken: bool) -> Result<SessionEvent, Error> {
        match &mut response {
            Response::Capability(capabilities) => {
                self.capabilities = Arc::new(capabilities.clone());
            }
            Response::State(line) => {
                self.learn(line.code.as_ref());
                if line.state == StatusKind::Bye && self.running() != "LOGOUT" {
                    let code = line.code.as_ref().map(|code| code.name.clone());
                    let words = Some(line.text.trim()).filter(|words| !words.is_empty());
                    let text = words.map(str::to_owned).or_else(|| self.refused.take());
                    return Err(Error::Bye { code, text: text.unwrap_or_default() });
                }
                let command = self.running();
                self.numbering.says(command, line.code.as_ref())?;
            }
            Response::Fetch(fetched) => {
                if is_broken && matches!(fetched.body, Body::Bytes(_) | Body::Streamed) {
                    fetched.body = Body::WrongSize;
                }
            }
            Response::Exists(_)
            | Response::Flags(_)
            | Response::Search(..)
            | Response::Esearch(..)
            | Response::List(_)
            | Response::Status(..)
            | Response::Namespace(_)
            | Response::Expunge
            | Response::Other => {}
        }
        Ok(SessionEvent::Response(response))
    }

    /// A code may contain the capabilities (RFC 3501 §7.1).
    fn learn(&mut self, code: Option<&Code>) {
        if let Some(code) = code.filter(|code| code.name == "CAPABILITY") {
            self.capabilities = Arc::new(Capabilities::parse(code.arguments.as_bytes()));
        }
    }

    fn continued(&mut self, line: &[u8]) -> Option<SessionEvent> {
        let running = self.running.as_mut()?;
        if let Some(part) = self.parts.front() {
            self.go_ahead = part.waits;
            return Some(SessionEvent::Continue);
        }
        let answer = running.answer(line)?;
        running.surplus_requests += 1;
        if running.surplus_requests > SURPLUS_REQUESTS_MAX {
            return None;
        }
        let octets = Octets::Text(answer);
        self.parts.push_back(CommandPart { waits: false, octets });
        Some(SessionEvent::Continue)
    }

    fn tagged(&mut self, line: &[u8]) -> Result<Option<SessionEvent>, Error> {
        let Some(running) = self.running.as_ref().filter(|running| running.is_tag_of(line)) else {
            return Ok(None);
        };
        let Some(StateLine { state, code, mut text }) = parse_state(line) else {
            return Ok(None);
        };
        let mut result = match state {
            StatusKind::Ok | StatusKind::Preauth => Ok(()),
            StatusKind::No => Err(Refusal::No),
            StatusKind::Bad | StatusKind::Bye => Err(Refusal::Bad),
        };
        running.may_end(result)?;
        let name = running.name;
        self.learn(code.as_ref());
        let running = self.running.take();
        if let Some(words) = running.and_then(|running| running.token_refusal)
            && let Err(refusal) = &mut result
        {
            text = format!("{words}; {text}");
            // The server has judged the token, so it has understood the command.
            *refusal = Refusal::No;
        }
        self.parts.clear();
        let completion = Completion { result, code, text };
        // The words about a login may repeat the secret.
        let is_told = completion.result.is_err() && !matches!(name, "LOGIN" | "AUTHENTICATE");
        let refused = is_told.then(|| completion.clone().refused(name).err()).flatten();
        self.refused = refused.map(|refused| refused.to_string());
        Ok(Some(SessionEvent::Completed(completion)))
    }
}

impl RunningCommand {
    /// What answers a server that asks for more, after all was sent.
    fn answer(&mut self, line: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let Some(exchange) = &mut self.exchange else {
            let challenge = readable(line.get(1..).unwrap_or_default());
            self.token_refusal = bearer::refusal(&challenge);
            return self.last_answer.map(|answer| Zeroizing::new(answer.to_vec()));
        };
        let challenge = readable(line.get(1..).unwrap_or_default());
        let mut answer = match exchange.answer(challenge.trim()) {
            Ok(answer) => Zeroizing::new(answer.expose_secret().as_bytes().to_vec()),
            Err(error) => {
                self.broken_off.get_or_insert(error);
                Zeroizing::new(b"*".to_vec())
            }
        };
        answer.extend_from_slice(b"\r\n");
        Some(answer)
    }

    fn is_tag_of(&self, line: &[u8]) -> bool {
        let rest = line.strip_prefix(self.tag.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), Some(b' ') | None))
    }

    /// Whether the command may end so: a server that lets us in must have proved what it owes.
    fn may_end(&self, result: Result<(), Refusal>) -> Result<(), Error> {
        if let Some(error) = &self.broken_off {
            return Err(Error::Login(error.clone()));
        }
        match &self.exchange {
            Some(exchange) if result.is_ok() => exchange.finish().map_err(Error::Login),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
