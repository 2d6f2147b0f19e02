//! Writes commands. Strings are written as quoted strings or literals, never bare.
//!
//! Standards: RFC 3501 §4.3 and §9, RFC 7888 (LITERAL+, LITERAL-).

use crate::capabilities::Capabilities;
use crate::error::Error;
use crate::mailbox::MailboxName;
use bytes::Bytes;
use secrecy::zeroize::Zeroizing;

/// The longest string that is sent quoted.
const QUOTED_OCTETS_MAX: usize = 1000;
/// The longest literal that LITERAL- allows without asking (RFC 7888 §5).
const LITERAL_MINUS_OCTETS_MAX: usize = 4096;

/// A piece of a command.
pub struct CommandPart {
    /// Whether to wait until the server asks for it.
    pub waits: bool,
    /// Its octets.
    pub octets: Octets,
}

/// The octets of a piece of a command.
pub enum Octets {
    /// Text, which may hold a secret.
    Text(Zeroizing<Vec<u8>>),
    /// A message.
    Body(Bytes),
}

/// How the name of a mailbox is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameForm {
    /// As a quoted string. If the quoted string would need a `\`, which servers get wrong, as a
    /// literal.
    Safe,
    /// As a quoted string whenever possible.
    Quoted,
}

impl NameForm {
    /// Whether the two forms of a name differ.
    pub fn differs(self, name: &[u8]) -> bool {
        self == Self::Quoted && has_specials(name) && is_quotable(name)
    }
}

/// Which literals may be sent without waiting for the server.
#[derive(Clone, Copy)]
enum Unasked {
    None,
    Short,
    All,
}

/// Writes one command.
pub(crate) struct Encoder {
    unasked: Unasked,
    parts: Vec<CommandPart>,
    text: Zeroizing<Vec<u8>>,
    waits: bool,
}

impl Encoder {
    /// An empty command for a server with these capabilities.
    pub(crate) fn new(capabilities: &Capabilities) -> Self {
        let unasked = if capabilities.has("LITERAL+") {
            Unasked::All
        } else if capabilities.has("LITERAL-") {
            Unasked::Short
        } else {
            Unasked::None
        };
        Self { unasked, parts: vec![], text: Zeroizing::new(vec![]), waits: false }
    }

    /// Writes text that needs no quotes: names of commands, numbers, parentheses.
    pub(crate) fn text(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Writes the name of a mailbox.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if it has a NUL.
    pub(crate) fn mailbox(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.name(name.as_bytes(), NameForm::Safe)
    }

    /// Writes the name of a mailbox in one of its forms.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if it has a NUL.
    pub(crate) fn name(&mut self, name: &[u8], form: NameForm) -> Result<(), Error> {
        if form == NameForm::Safe && has_specials(name) {
            self.announce(name.len());
            self.text.extend_from_slice(name);
            return Ok(());
        }
        self.string(name, "the name of the mailbox")
    }

    /// Writes a string; `what` names it for the error.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if it has a NUL.
    pub(crate) fn string(&mut self, octets: &[u8], what: &'static str) -> Result<(), Error> {
        if octets.contains(&0) {
            return Err(Error::Unsendable { what });
        }
        if is_quotable(octets) {
            self.text.push(b'"');
            for byte in octets {
                if matches!(byte, b'"' | b'\\') {
                    self.text.push(b'\\');
                }
                self.text.push(*byte);
            }
            self.text.push(b'"');
        } else {
            self.announce(octets.len());
            self.text.extend_from_slice(octets);
        }
        Ok(())
    }

    /// Writes a message as a literal.
    pub(crate) fn body(&mut self, body: Bytes) {
        self.announce(body.len());
        let waits = std::mem::take(&mut self.waits);
        self.parts.push(CommandPart { waits, octets: Octets::Body(body) });
    }

    fn announce(&mut self, octets: usize) {
        let waits = match self.unasked {
            Unasked::None => true,
            Unasked::Short => octets > LITERAL_MINUS_OCTETS_MAX,
            Unasked::All => false,
        };
        let plus = if waits { "" } else { "+" };
        self.text(&format!("{{{octets}{plus}}}\r\n"));
        self.next_part(waits);
    }

    /// Ends a piece. If `waits`, the next one is sent only after the server asks for it.
    pub(crate) fn next_part(&mut self, waits: bool) {
        let text = std::mem::take(&mut self.text);
        let waits = std::mem::replace(&mut self.waits, waits);
        self.parts.push(CommandPart { waits, octets: Octets::Text(text) });
    }

    /// Ends the line; gives the pieces.
    pub(crate) fn finish(mut self) -> Vec<CommandPart> {
        self.text("\r\n");
        self.next_part(false);
        self.parts
    }
}

/// A string in quotes (RFC 3501 §9, `quoted`), for the criteria of a search.
///
/// # Errors
///
/// [`Error::Unsendable`] if it has other characters than printable ASCII.
pub fn quoted(text: &str) -> Result<String, Error> {
    if !is_quotable(text.as_bytes()) {
        return Err(Error::Unsendable { what: "a quoted string" });
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Whether a quoted string of it needs a `\`.
fn has_specials(octets: &[u8]) -> bool {
    octets.iter().any(|byte| matches!(byte, b'"' | b'\\')) && !octets.contains(&0)
}

fn is_quotable(octets: &[u8]) -> bool {
    octets.len() <= QUOTED_OCTETS_MAX && octets.iter().all(|byte| matches!(byte, b' '..=b'~'))
}
