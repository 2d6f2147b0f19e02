//! Commands with arguments from outside: checked before anything is written.

/// Why `text` cannot stand in a command. `None`: it can.
///
/// A line break, NUL or other control character in an address or name would end the command and
/// begin another one.
#[must_use]
pub(crate) fn problem(text: &str) -> Option<&'static str> {
    if text.len() > 1000 {
        return Some("is longer than 1000 octets");
    }
    text.chars().any(char::is_control).then_some("has a control character")
}

/// What MAIL says of a message beside its reverse path (RFC 5321 §4.1.2, `Mail-parameters`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct MailParameters {
    /// SIZE (RFC 1870) in bytes; `None` where the server does not offer it.
    pub size_bytes: Option<u64>,
    /// BODY=8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
}

/// `MAIL FROM` with the parameters that the server understands.
#[must_use]
pub(crate) fn mail(reverse_path: &str, parameters: MailParameters) -> String {
    let size = parameters.size_bytes.map(|bytes| format!(" SIZE={bytes}")).unwrap_or_default();
    let body = if parameters.eight_bit { " BODY=8BITMIME" } else { "" };
    let utf8 = if parameters.smtp_utf8 { " SMTPUTF8" } else { "" };
    format!("MAIL FROM:<{reverse_path}>{size}{body}{utf8}\r\n")
}

/// `RCPT TO`.
#[must_use]
pub(crate) fn rcpt(forward_path: &str) -> String {
    format!("RCPT TO:<{forward_path}>\r\n")
}

/// Whether EHLO can give `name`. It can give a domain name of several labels or an address literal
/// (RFC 5321 §4.1.2). It cannot give `localhost` or a name with an underscore.
#[must_use]
pub(crate) fn is_public_name(name: &str) -> bool {
    let of_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let label = |label: &str| {
        let edges = label.starts_with('-') || label.ends_with('-');
        (1..=63).contains(&label.len()) && !edges && label.bytes().all(of_label)
    };
    let is_literal = name.starts_with('[') && name.ends_with(']');
    is_literal || (name.contains('.') && name.len() <= 253 && name.split('.').all(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_could_know() {
        for name in ["mx.example.test", "a-1.test", "[192.0.2.1]", "[IPv6:2001:db8::1]"] {
            assert!(is_public_name(name), "{name}");
        }
        for name in ["localhost", "", "my_host.test", "-a.test", "a..test", "a.test.", "ä.test"] {
            assert!(!is_public_name(name), "{name}");
        }
    }
}
