//! Text bodies: canonical line ends and the transfer encoding that fits (RFC 2045 §6).

use std::borrow::Cow;

use crate::compose::base64_lines::{Base64Lines, base64_lines_size_bytes};

/// Lines of text that is sent as it is have at most this many characters (RFC 5322 §2.1.1).
const LINE_CHARS: usize = 78;
/// Quoted-printable lines have at most this many characters (RFC 2045 §6.7 (5)).
const QUOTED_LINE_CHARS: usize = 76;

/// A text as it stands in a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// The value of `Content-Transfer-Encoding`.
    pub encoding: &'static str,
    /// The body. It ends with a line end only if the text did.
    pub body: Vec<u8>,
}

/// Encodes `text`: as it is if every transport and mailbox keeps it so, else in quoted-printable or
/// base64, whichever is shorter.
pub(crate) fn encode(text: &str) -> Encoded {
    let text = canonical(text);
    if is_safe(&text) {
        let body = text.into_owned().into_bytes();
        return Encoded { encoding: "7bit", body };
    }
    let base64_bytes = base64_lines_size_bytes(text.len() as u64);
    if let Some(body) = quoted_printable(&text, usize::try_from(base64_bytes).unwrap_or(usize::MAX))
    {
        return Encoded { encoding: "quoted-printable", body };
    }
    let mut body = vec![];
    let mut lines = Base64Lines::default();
    lines.push(text.as_bytes(), &mut body);
    lines.finish(&mut body);
    Encoded { encoding: "base64", body }
}

/// Tells whether `content` can be sent without encoding as the body of a part and arrives as it
/// is: ASCII in lines that end in CRLF. `delimiter` begins the boundaries of the message around it,
/// so no line may begin with it.
pub(crate) fn is_seven_bit(content: &[u8], delimiter: &[u8]) -> bool {
    let content_is_fit = |line: &[u8]| {
        line.len() <= 998
            && !line.starts_with(delimiter)
            && line.iter().all(|byte| byte.is_ascii() && !matches!(byte, 0 | b'\r'))
    };
    let Some(content) = content.strip_suffix(b"\r\n") else {
        return false;
    };
    let mut lines = content.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let line = match lines.peek() {
            Some(_) => line.strip_suffix(b"\r"),
            None => Some(line),
        };
        if !line.is_some_and(content_is_fit) {
            return false;
        }
    }
    true
}

/// Makes every line end CRLF: bare CR and bare LF are line ends too.
fn canonical(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let bare = |at: usize| match bytes.get(at) {
        Some(b'\n') => at == 0 || bytes.get(at - 1) != Some(&b'\r'),
        Some(b'\r') => bytes.get(at + 1) != Some(&b'\n'),
        Some(_) | None => false,
    };
    if !memchr::memchr2_iter(b'\r', b'\n', bytes).any(bare) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest.as_bytes()) {
        let (line, end) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(line);
        out.push_str("\r\n");
        rest = end.strip_prefix("\r\n").or_else(|| end.get(1..)).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Tells whether a canonical text needs no encoding. It needs one if a mailbox format may change a
/// line (`From `), a transport may change a line (spaces at the end), or a line may be taken for a
/// boundary.
fn is_safe(text: &str) -> bool {
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) || byte == b'\t';
    text.split("\r\n").all(|line| {
        line.len() <= LINE_CHARS
            && !line.ends_with([' ', '\t'])
            && !line.starts_with("From ")
            && !line.starts_with("--=_")
            && line.bytes().all(plain)
    })
}

/// Encodes a canonical text, unless it gets longer than `bytes_max`.
fn quoted_printable(text: &str, bytes_max: usize) -> Option<Vec<u8>> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    for (at, line) in text.split("\r\n").enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\r\n");
        }
        let mut column = 0;
        for (at, byte) in line.bytes().enumerate() {
            let last = at + 1 == line.len();
            let is_from = byte == b'F' && line.get(at..).is_some_and(|it| it.starts_with("From "));
            let literal = match byte {
                b'=' => false,
                b' ' | b'\t' => !last,
                b'.' => line != ".",
                byte => byte.is_ascii_graphic(),
            };
            // One character is kept free for the `=` of a soft line break.
            let room = QUOTED_LINE_CHARS - usize::from(!last);
            if column + if literal { 1 } else { 3 } > room {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            // At the beginning of a line, behind a soft break too, mailbox formats may change it.
            let literal = literal && !(is_from && column == 0);
            let chars = if literal { 1 } else { 3 };
            if literal {
                out.push(byte);
            } else {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'=', digit(byte >> 4), digit(byte & 15)]);
            }
            column += chars;
        }
        if out.len() > bytes_max {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, encoding: &str, body: &str) {
        let got = encode(text);
        let got = (got.encoding, String::from_utf8(got.body).unwrap());
        assert_eq!(got, (encoding, body.to_owned()), "{text:?}");
    }

    #[test]
    fn the_encoding_that_fits() {
        check("", "7bit", "");
        check("hello\n", "7bit", "hello\r\n");
        check("a\rb\nc\r\nd\n\re", "7bit", "a\r\nb\r\nc\r\nd\r\n\r\ne");
        check("trailing \nx", "quoted-printable", "trailing=20\r\nx");
        check("From me\n.\nF", "quoted-printable", "=46rom me\r\n=2E\r\nF");
        check("--=_x and more text", "quoted-printable", "--=3D_x and more text");
        check("one é in a text", "quoted-printable", "one =C3=A9 in a text");
        check("Привет", "base64", "0J/RgNC40LLQtdGC");
        check("nul \0 in a text", "quoted-printable", "nul =00 in a text");
    }

    #[test]
    fn no_line_begins_as_mailbox_formats_separate_messages() {
        for before in 0..160 {
            let text = format!("é{} From xyz From abc From \n", "y".repeat(before));
            let got = encode(&text);
            assert_eq!(got.encoding, "quoted-printable");
            let body = String::from_utf8(got.body).unwrap();
            assert!(body.lines().all(|line| line.len() <= 76), "{body}");
            assert!(!body.lines().any(|line| line.starts_with("From ")), "{body}");
        }
    }

    #[test]
    fn long_lines_are_broken_softly() {
        let text = format!("{} é{}", "word ".repeat(400), "=".repeat(99));
        let got = encode(&text);
        assert_eq!(got.encoding, "quoted-printable");
        let body = String::from_utf8(got.body).unwrap();
        assert!(body.lines().all(|line| line.len() <= 76));
        assert!(body.lines().any(|line| line.len() == 76));
        assert_eq!(encode(&"x".repeat(76)).encoding, "7bit");
        assert_eq!(encode(&"=".repeat(79)).encoding, "base64");
    }

    #[test]
    fn what_needs_no_encoding_as_an_attached_message() {
        assert!(is_seven_bit(b"Subject: a\r\n\r\nb\r\n--=_y\r\n", b"--=_x"));
        for content in [
            &b"Subject: a\n\nb\n"[..],
            b"a\r\nb",
            b"a\r\n\xE9\r\n",
            b"a\rb\r\n",
            b"a\0\r\n",
            b"a\r\n--=_x\r\n",
            b"\r\r\n",
            b"",
        ] {
            assert!(!is_seven_bit(content, b"--=_x"), "{}", content.escape_ascii());
        }
        assert!(!is_seven_bit(&[&[b'a'; 999][..], b"\r\n"].concat(), b"--=_x"));
    }
}
