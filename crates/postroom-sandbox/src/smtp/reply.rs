//! Replies (RFC 5321 §4.2).

/// One reply, perhaps of several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerReply {
    code: u16,
    enhanced: &'static str,
    lines: Vec<String>,
}

impl ServerReply {
    /// A reply of one line; `enhanced` may be empty (RFC 2034 §4: EHLO, 3yz).
    pub(crate) fn new(code: u16, enhanced: &'static str, text: &str) -> Self {
        Self { code, enhanced, lines: vec![text.to_owned()] }
    }

    /// A reply of several lines without enhanced codes.
    pub(crate) fn of_lines(code: u16, lines: Vec<String>) -> Self {
        Self { code, enhanced: "", lines }
    }

    /// The bytes on the wire, without enhanced codes if the server does not offer them.
    pub(crate) fn bytes(&self, with_enhanced: bool) -> Vec<u8> {
        let mut bytes = String::new();
        for (at, line) in self.lines.iter().enumerate() {
            let separator = if at + 1 == self.lines.len() { ' ' } else { '-' };
            bytes.push_str(&format!("{}{separator}", self.code));
            if with_enhanced && !self.enhanced.is_empty() {
                bytes.push_str(self.enhanced);
                bytes.push(' ');
            }
            bytes.push_str(line);
            bytes.push_str("\r\n");
        }
        bytes.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_has_a_space_after_the_code() {
        let lines = ServerReply::of_lines(250, vec!["a".to_owned(), "SIZE 9".to_owned()]);
        assert_eq!(lines.bytes(true), b"250-a\r\n250 SIZE 9\r\n");
        let one = ServerReply::new(550, "5.1.1", "no");
        assert_eq!(one.bytes(true), b"550 5.1.1 no\r\n");
        assert_eq!(one.bytes(false), b"550 no\r\n");
    }
}
