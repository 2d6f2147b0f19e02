//! The stream after DATA: canonical line ends, dots at the start of lines doubled.
//!
//! A CR or LF that stands alone becomes CRLF, because one server may read it as a line end where
//! another does not. That could hide a command (SMTP smuggling). Standards: RFC 5321 §2.3.8 and
//! §4.5.2.

/// Doubles the dots of a message while it streams. The pieces may be cut anywhere.
#[derive(Debug)]
pub struct DotStuffer {
    at_line_start: bool,
    after_cr: bool,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self { at_line_start: true, after_cr: false }
    }
}

impl DotStuffer {
    /// Appends the stuffed form of `bytes` to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len() + bytes.len() / 32 + 4);
        let mut rest = bytes;
        while let Some((&first, after)) = rest.split_first() {
            if self.after_cr {
                self.after_cr = false;
                out.extend_from_slice(b"\r\n");
                self.at_line_start = true;
                if first == b'\n' {
                    rest = after;
                    continue;
                }
            }
            match first {
                b'\r' => {
                    self.after_cr = true;
                    rest = after;
                }
                b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    self.at_line_start = true;
                    rest = after;
                }
                _ => {
                    if self.at_line_start && first == b'.' {
                        out.push(b'.');
                    }
                    self.at_line_start = false;
                    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                    let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
                    out.extend_from_slice(text);
                    rest = after;
                }
            }
        }
    }

    /// Ends the last line. The caller sends the final dot.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.after_cr || !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuff(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut stuffer, mut out) = (DotStuffer::default(), vec![]);
        for piece in pieces {
            stuffer.push(piece, &mut out);
        }
        stuffer.finish(&mut out);
        out
    }

    #[test]
    fn dots_and_line_ends() {
        #[rustfmt::skip]
        let table: &[(&[u8], &[u8])] = &[
            (b"",                 b""),
            (b"a",                b"a\r\n"),
            (b".",                b"..\r\n"),
            (b"a\r\n.\r\nb\r\n",  b"a\r\n..\r\nb\r\n"),
            (b"a\n.\nb",          b"a\r\n..\r\nb\r\n"),
            (b"a\r.\rb",          b"a\r\n..\r\nb\r\n"),
            (b"a\r\r\nb",         b"a\r\n\r\nb\r\n"),
            (b"a\r\n\r\n",        b"a\r\n\r\n"),
            (b"a.b\r\n..c",       b"a.b\r\n...c\r\n"),
            (b"a\r",              b"a\r\n"),
        ];
        for (input, want) in table {
            assert_eq!(stuff(&[input]), *want, "{}", input.escape_ascii());
            for at in 0..=input.len() {
                let (one, two) = input.split_at(at);
                assert_eq!(stuff(&[one, two]), *want, "{} cut at {at}", input.escape_ascii());
            }
        }
    }

    proptest! {
        #[test]
        fn no_line_is_a_lone_dot_and_no_line_end_stands_alone(
            bytes in proptest::collection::vec(proptest::sample::select(b".\r\nab".to_vec()), 0..60),
            cut in 0_usize..60,
        ) {
            let (one, two) = bytes.split_at(cut.min(bytes.len()));
            let out = stuff(&[one, two]);
            prop_assert_eq!(&out, &stuff(&[&bytes]));
            prop_assert!(out.is_empty() || out.ends_with(b"\r\n"));
            let text = String::from_utf8(out).unwrap();
            for line in text.split_inclusive("\r\n") {
                let line = line.strip_suffix("\r\n").unwrap();
                prop_assert!(!line.contains(['\r', '\n']));
                prop_assert!(line != "." && (!line.starts_with('.') || line.starts_with("..")));
            }
        }
    }
}
