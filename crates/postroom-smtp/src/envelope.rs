//! Who sends a message to whom, and whether the server can take it, before a word is said.
//!
//! Standards: RFC 5321 §2.3.1, RFC 1870, RFC 6152, RFC 6531.

use crate::command;
use crate::connection::SmtpConnection;
use crate::error::Error;

/// Who sends to whom (RFC 5321 §2.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The address for delivery failures. Empty: none are reported.
    pub reverse_path: String,
    /// The recipients.
    pub forward_paths: Vec<String>,
    /// Whether the message or an address needs SMTPUTF8.
    pub smtp_utf8: bool,
    /// Whether the message has octets above 127.
    pub eight_bit: bool,
    /// The size of the message in bytes, before stuffing.
    pub size_bytes: u64,
}

impl SmtpConnection {
    /// Whether the server accepts such an address. Letters outside ASCII need SMTPUTF8.
    #[must_use]
    fn takes_address(&self, path: &str) -> bool {
        path.is_ascii() || self.extensions.smtp_utf8
    }

    /// Whether the server accepts messages with such addresses in the header.
    #[must_use]
    pub fn takes_utf8(&self) -> bool {
        self.extensions.smtp_utf8
    }

    /// Refuses a message that the server cannot accept, and addresses that must not be sent.
    pub(crate) fn check(&self, envelope: &Envelope) -> Result<(), Error> {
        if envelope.forward_paths.is_empty() {
            return Err(Error::Unsupported { reason: "there is no recipient".to_owned() });
        }
        let reverse_path = &envelope.reverse_path;
        for path in envelope.forward_paths.iter().chain([reverse_path]) {
            if let Some(problem) = command::problem(path) {
                return Err(Error::Unsupported { reason: format!("an address {problem}") });
            }
        }
        // Without its sender the message goes to nobody, whoever the recipients are.
        if !self.takes_address(reverse_path) {
            return Err(Error::Unsupported { reason: no_such_sender(reverse_path) });
        }
        if let Some(path) = envelope.forward_paths.iter().find(|path| !self.takes_address(path)) {
            return Err(Error::Unsupported { reason: no_such_addresses(path) });
        }
        if envelope.smtp_utf8 && !self.extensions.smtp_utf8 {
            let reason = "the server accepts no messages with letters outside ASCII in an address \
                          (no SMTPUTF8): use other addresses";
            return Err(Error::Unsupported { reason: reason.to_owned() });
        }
        if envelope.eight_bit && !self.extensions.eight_bit_mime {
            let reason = "the server accepts no 8-bit messages (no 8BITMIME)".to_owned();
            return Err(Error::Unsupported { reason });
        }
        if let Some(Some(bytes_max)) = self.extensions.size
            && envelope.size_bytes > bytes_max
        {
            let bytes = envelope.size_bytes;
            let reason = format!(
                "the message has {bytes} bytes, and the server accepts at most \
                                  {bytes_max}: send less or smaller files"
            );
            return Err(Error::Unsupported { reason });
        }
        Ok(())
    }
}

/// Why a recipient whose address has letters outside ASCII is refused, and what to do.
#[must_use]
pub fn no_such_addresses(path: &str) -> String {
    format!(
        "the server accepts no address with letters outside ASCII, such as {path} (no SMTPUTF8): \
         use another address of the recipient, or send through a server that has SMTPUTF8"
    )
}

/// Why a message is refused whose sender has such an address, and what to do.
fn no_such_sender(path: &str) -> String {
    format!(
        "the address of the sender, {path}, has letters outside ASCII, which the server does not \
         accept (no SMTPUTF8): send from another address, or through a server that has SMTPUTF8"
    )
}
