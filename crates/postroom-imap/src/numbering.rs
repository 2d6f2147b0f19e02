//! The numbering of the open mailbox: its UIDVALIDITY must stay while it is open.
//!
//! A server that says another UIDVALIDITY meanwhile has numbered the mailbox anew. Each UID that it
//! says after that is another message's, so the session is over. The next one opens the mailbox as
//! it is then.
//!
//! Standards: RFC 3501 §2.3.1.1, §7.1.

use crate::error::Error;
use crate::response::Code;
use crate::token::uid;

/// UIDVALIDITY of the open mailbox, as SELECT or EXAMINE told it. `None`: it told none.
#[derive(Debug, Default)]
pub(crate) struct Numbering(Option<u64>);

impl Numbering {
    /// A command begins. It may open another mailbox.
    pub(crate) fn begins(&mut self, command: &str) {
        if is_selecting(command) {
            self.0 = None;
        }
    }

    /// The server says this code, untagged, while the command runs.
    ///
    /// # Errors
    ///
    /// [`Error::Renumbered`] if it is another UIDVALIDITY of the open mailbox.
    pub(crate) fn says(&mut self, command: &str, code: Option<&Code>) -> Result<(), Error> {
        let code = code.filter(|code| code.name == "UIDVALIDITY");
        let words = code.and_then(|code| code.arguments.split_ascii_whitespace().next());
        let Some(now) = words.and_then(|word| uid(word.as_bytes())) else {
            return Ok(());
        };
        if is_selecting(command) {
            self.0 = Some(now);
        }
        match self.0 {
            Some(then) if then != now => Err(Error::Renumbered { then, now }),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether a command opens a mailbox.
pub(crate) fn is_selecting(command: &str) -> bool {
    matches!(command, "SELECT" | "EXAMINE")
}
