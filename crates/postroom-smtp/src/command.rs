//! Commands with arguments from outside: checked before anything is written.

/// Says what keeps `text` from standing in a command; `None` when nothing does.
///
/// A line break, NUL or other control character in an address or name would end the command and
/// begin another one.
#[must_use]
pub fn problem(text: &str) -> Option<&'static str> {
    if text.len() > 1000 {
        return Some("is longer than 1000 octets");
    }
    text.chars().any(char::is_control).then_some("has a control character")
}

/// `MAIL FROM` with the parameters that the server understands.
#[must_use]
pub fn mail(
    reverse_path: &str,
    size_bytes: Option<u64>,
    (eight_bit, utf8): (bool, bool),
) -> String {
    let size = size_bytes.map(|bytes| format!(" SIZE={bytes}")).unwrap_or_default();
    let body = if eight_bit { " BODY=8BITMIME" } else { "" };
    let utf8 = if utf8 { " SMTPUTF8" } else { "" };
    format!("MAIL FROM:<{reverse_path}>{size}{body}{utf8}\r\n")
}

/// `RCPT TO`.
#[must_use]
pub fn rcpt(forward_path: &str) -> String {
    format!("RCPT TO:<{forward_path}>\r\n")
}
