//! The message after DATA: up to the line that is a dot, without the dots that were added
//! (RFC 5321 §4.5.2). Only CRLF ends a line; a bare CR or LF is content like any other byte.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum DotState {
    /// At the start of a line.
    #[default]
    LineStart,
    /// A dot at the start of a line.
    Dot,
    /// A dot at the start of a line, then CR.
    DotCr,
    /// Inside a line.
    Text,
    /// CR inside a line.
    Cr,
}

/// Takes the message from the stream, wherever it is cut into pieces.
#[derive(Debug, Default)]
pub(crate) struct Unstuffer {
    seen: DotState,
}

impl Unstuffer {
    /// Adds the content of `input` to `message`. Returns how many bytes were used and whether the
    /// end was among them; what is behind the end is not used.
    pub(crate) fn push(&mut self, input: &[u8], message: &mut Vec<u8>) -> (usize, bool) {
        for (at, byte) in input.iter().enumerate() {
            let (next, keep): (DotState, &[u8]) = match (self.seen, *byte) {
                (DotState::LineStart, b'.') => (DotState::Dot, b""),
                (DotState::Dot, b'\r') => (DotState::DotCr, b""),
                (DotState::DotCr, b'\n') => {
                    self.seen = DotState::LineStart;
                    return (at + 1, true);
                }
                // It was not the end: the CR is content, the dot before it was stuffed.
                (DotState::DotCr, b'\r') => (DotState::Cr, b"\r\r"),
                (DotState::DotCr, _) => {
                    message.push(b'\r');
                    (DotState::Text, std::slice::from_ref(byte))
                }
                (DotState::Cr, b'\n') => (DotState::LineStart, b"\n"),
                (DotState::LineStart | DotState::Text | DotState::Cr, b'\r') => {
                    (DotState::Cr, b"\r")
                }
                (DotState::LineStart | DotState::Dot | DotState::Text | DotState::Cr, _) => {
                    (DotState::Text, std::slice::from_ref(byte))
                }
            };
            message.extend_from_slice(keep);
            self.seen = next;
        }
        (input.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_the_same_wherever_the_stream_is_cut() {
        for (stream, want) in [
            (&b".\r\n"[..], &b""[..]),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"a\r\n..\r\n...b\r\n.\r\n", b"a\r\n.\r\n..b\r\n"),
            (b"a\n.\nb\r.\r\n.\r\n", b"a\n.\nb\r.\r\n"),
            (b"a\r\r\n.\r\n", b"a\r\r\n"),
            (b".\rx\r\n.\r\n", b"\rx\r\n"),
            (b".\r\r\n.\r\n", b"\r\r\n"),
        ] {
            for cut in 0..=stream.len() {
                let mut unstuffer = Unstuffer::default();
                let mut message = Vec::new();
                let first = unstuffer.push(&stream[..cut], &mut message);
                let end =
                    if first.1 { first } else { unstuffer.push(&stream[cut..], &mut message) };
                assert!(end.1, "{} cut at {cut}", stream.escape_ascii());
                assert_eq!(message, want, "{} cut at {cut}", stream.escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_behind_the_end_is_left() {
        let mut message = Vec::new();
        assert_eq!(Unstuffer::default().push(b"a\r\n.\r\nQUIT\r\n", &mut message), (6, true));
    }
}
