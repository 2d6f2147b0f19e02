//! Quoted-printable as it arrives.
//!
//! Escapes may be in upper or lower case. Blanks at the end of a line, also after a soft line
//! break, were added on the way and are dropped. An `=` that escapes nothing is kept, except at the
//! end of the body, where it is dropped.
//!
//! Standards: RFC 2045 §6.7.

/// How many blanks are held back to see whether they end a line.
const BLANKS_MAX: usize = 1 << 10;

/// A quoted-printable text that is being decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct QuotedPrintable {
    /// An escape that is not complete (`=` and what followed), or blanks that may end a line.
    held: Vec<u8>,
    malformed: bool,
}

/// Whether a body that begins with `start` may be quoted-printable: most `=` are escapes.
pub(crate) fn fits(start: &[u8]) -> bool {
    let (mut escapes, mut others) = (0_usize, 0_usize);
    for at in memchr::memchr_iter(b'=', start) {
        let after = start.get(at + 1..).unwrap_or_default();
        let is_escape = match after {
            [high, low, ..] if hex(*high).is_some() && hex(*low).is_some() => true,
            // A soft line break, perhaps with blanks; the last one may end the sample or the part.
            _ => {
                let mut line = after.iter().take(BLANKS_MAX);
                let end = line.find(|byte| !matches!(byte, b' ' | b'\t'));
                matches!(end, None | Some(b'\r' | b'\n'))
            }
        };
        escapes += usize::from(is_escape);
        others += usize::from(!is_escape);
    }
    others == 0 || escapes > 2 * others
}

/// What the equals signs of a body are.
#[derive(Debug, Clone, Copy, Default)]
struct EqualsSigns {
    escapes: usize,
    others: usize,
    /// Whether some are what stands nowhere else: soft line breaks within words or behind escapes,
    /// escaped equals signs, and escapes side by side or in capitals of bytes outside ASCII.
    has_sure: bool,
    /// Whether escapes make control characters.
    has_controls: bool,
}

impl EqualsSigns {
    fn of(start: &[u8]) -> Self {
        let mut signs = Self::default();
        let mut last = None;
        for at in memchr::memchr_iter(b'=', start) {
            match start.get(at + 1..).unwrap_or_default() {
                // The end of the sample, or padding of base64.
                [] | [_] | [b'\r', b'\n'] => {}
                [b'\n', ..] | [b'\r', b'\n', ..] => {
                    let before = start.get(..at).unwrap_or_default();
                    let line = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
                    let line = before.get(line..).unwrap_or_default();
                    signs.has_sure |= memchr::memchr2(b' ', b'=', line).is_some();
                }
                [high, low, ..] => {
                    let Some((high_value, low_value)) = hex(*high).zip(hex(*low)) else {
                        signs.others += 1;
                        continue;
                    };
                    let byte = high_value << 4 | low_value;
                    let is_wide = byte >= 0x80;
                    let is_capital = high.is_ascii_uppercase() || low.is_ascii_uppercase();
                    let is_behind = at.checked_sub(3).is_some_and(|before| last == Some(before));
                    signs.escapes += 1;
                    signs.has_sure |= byte == b'=' || (is_wide && (is_behind || is_capital));
                    signs.has_controls |=
                        byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n' | 0x0C);
                    last = is_wide.then_some(at);
                }
            }
        }
        signs
    }
}

/// Whether a body that begins with `start` is quoted-printable though nothing says so: all `=` are
/// escapes that make text, and among them are some that stand nowhere else.
pub(crate) fn is_sure(start: &[u8]) -> bool {
    let signs = EqualsSigns::of(start);
    start.is_ascii() && signs.has_sure && signs.others == 0 && !signs.has_controls
}

/// Whether a body that begins with `start` is not quoted-printable though its field says so: most
/// `=` are no escapes, and none of them must be one.
pub(crate) fn is_other(start: &[u8]) -> bool {
    let signs = EqualsSigns::of(start);
    !signs.has_sure && signs.escapes <= 2 * signs.others
}

impl QuotedPrintable {
    /// Decodes the next bytes.
    pub(crate) fn push(&mut self, mut body: &[u8], content: &mut Vec<u8>) {
        while let Some(&byte) = body.first() {
            let takes = match self.held.first() {
                None => {
                    body = self.plain(body, content);
                    continue;
                }
                Some(b'=') => self.escape(byte, content),
                Some(_) => self.blank(byte, content),
            };
            if takes {
                body = body.get(1..).unwrap_or_default();
            }
        }
    }

    /// Decodes what was held back.
    pub(crate) fn finish(&mut self, content: &mut Vec<u8>) {
        if self.held.get(1).is_some_and(u8::is_ascii_hexdigit) {
            content.extend_from_slice(&self.held);
            self.malformed = true;
        }
        self.held.clear();
    }

    /// Whether an escape was none.
    pub(crate) fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// Decodes up to an escape, or blanks at the end of a line, that are not complete; returns what
    /// follows.
    fn plain<'a>(&mut self, mut body: &'a [u8], content: &mut Vec<u8>) -> &'a [u8] {
        loop {
            let end = memchr::memchr2(b'=', b'\n', body).unwrap_or(body.len());
            let (plain, rest) = body.split_at_checked(end).unwrap_or_default();
            if rest.starts_with(b"\n") && !ends_blank(plain) {
                let (line, after) = body.split_at_checked(end + 1).unwrap_or((body, &[]));
                content.extend_from_slice(line);
                body = after;
                continue;
            }
            if !rest.starts_with(b"=") {
                // The end of a line with blanks, or of what there is so far.
                return self.line_end(plain, rest, content);
            }
            content.extend_from_slice(plain);
            match rest {
                [b'=', b'\r', b'\n', after @ ..] | [b'=', b'\n', after @ ..] => body = after,
                _ => {
                    body = escapes(rest, content);
                    if body.len() == rest.len() {
                        self.held.push(b'=');
                        return rest.get(1..).unwrap_or_default();
                    }
                }
            }
        }
    }

    /// Takes what stands before the end of a line, and the end (empty at the end of the piece).
    fn line_end<'a>(&mut self, plain: &[u8], rest: &'a [u8], content: &mut Vec<u8>) -> &'a [u8] {
        let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
        let blanks = plain.iter().rev().take_while(|byte| is_end(byte)).count();
        let (text, blanks) = plain.split_at_checked(plain.len() - blanks).unwrap_or_default();
        content.extend_from_slice(text);
        match rest.split_first() {
            None => {
                self.held.extend_from_slice(blanks);
                rest
            }
            Some((_, after)) => {
                end_line(blanks, content);
                after
            }
        }
    }

    /// Takes a byte behind blanks that were held back; returns whether it belongs to them.
    fn blank(&mut self, byte: u8, content: &mut Vec<u8>) -> bool {
        match byte {
            b'\n' => {
                end_line(&self.held, content);
                self.held.clear();
                true
            }
            b' ' | b'\t' | b'\r' if self.held.len() < BLANKS_MAX => {
                self.held.push(byte);
                true
            }
            _ => {
                content.append(&mut self.held);
                false
            }
        }
    }

    /// Takes the next byte of an escape; returns whether it belongs to it.
    fn escape(&mut self, byte: u8, content: &mut Vec<u8>) -> bool {
        let belongs = match (self.held.as_slice(), byte) {
            ([_], _) if hex(byte).is_some() => {
                self.held.push(byte);
                return true;
            }
            ([_, high], _) if hex(*high).is_some() => match hex(byte) {
                Some(low) => {
                    content.push(hex(*high).unwrap_or(0) << 4 | low);
                    self.held.clear();
                    return true;
                }
                None => false,
            },
            ([.., b'\r'], b'\n') => {
                self.held.clear();
                return true;
            }
            ([.., b'\r'], _) => {
                // A bare CR ends a line too.
                self.held.clear();
                return false;
            }
            (_, b'\n') => {
                self.held.clear();
                return true;
            }
            (_, b'\r' | b' ' | b'\t') => self.held.len() < BLANKS_MAX,
            _ => false,
        };
        if belongs {
            self.held.push(byte);
        } else {
            self.malformed = true;
            content.append(&mut self.held);
        }
        belongs
    }
}

/// Whether blanks stand at the end of a line, before its CR.
fn ends_blank(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    matches!(text.last(), Some(b' ' | b'\t' | b'\r'))
}

/// Ends a line without the blanks before its end.
fn end_line(blanks: &[u8], content: &mut Vec<u8>) {
    // Bare CRs are no blanks; the last one belongs to the end of the line.
    let kept = blanks.iter().rposition(|byte| *byte == b'\r');
    let is_last = kept.is_some_and(|at| at + 1 == blanks.len());
    let text = blanks.get(..kept.unwrap_or(0)).unwrap_or_default();
    if text.contains(&b'\r') {
        content.extend_from_slice(text);
    } else if kept.is_some() && !is_last {
        content.push(b'\r');
    }
    content.extend_from_slice(if is_last { b"\r\n" } else { b"\n" });
}

/// Decodes the escapes at the front, which stand close together where there are any; returns what
/// follows them.
fn escapes<'a>(mut body: &'a [u8], content: &mut Vec<u8>) -> &'a [u8] {
    while let [b'=', high, low, after @ ..] = body
        && let Some((high, low)) = hex(*high).zip(hex(*low))
    {
        content.push(high << 4 | low);
        body = after;
    }
    body
}

/// The value of a hexadecimal digit, in upper or lower case.
pub(crate) fn hex(byte: u8) -> Option<u8> {
    /// No digit.
    const NONE: u8 = 0xFF;
    const DIGITS: [u8; 256] = {
        let mut digits = [NONE; 256];
        let mut value = 0;
        while value < 16 {
            #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
            {
                digits[b"0123456789abcdef"[value] as usize] = value as u8;
                digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
            }
            value += 1;
        }
        digits
    };
    DIGITS.get(usize::from(byte)).copied().filter(|digit| *digit != NONE)
}
