//! Text as it is shown: lines ended by LF, without NUL, of bounded length.

use crate::defect::Defect;
use crate::defect::Defects;

/// Makes a decoded text plain, at most `bytes_max` bytes of it.
pub(crate) fn plain(mut text: String, bytes_max: usize, defects: &mut Defects) -> String {
    if memchr::memchr(b'\0', text.as_bytes()).is_some() {
        defects.note(Defect::Nul);
    }
    if memchr::memchr2(b'\r', b'\0', text.as_bytes()).is_some() {
        text = unix_lines(&text);
    }
    if text.len() > bytes_max {
        defects.note(Defect::TextOver);
        text.truncate(text.floor_char_boundary(bytes_max));
    }
    text
}

/// Ends lines by LF and leaves out NUL, as [`plain`] does, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct PlainLines {
    /// Whether the last piece ended with CR, which became LF: an LF behind it is the same end.
    is_behind_cr: bool,
}

impl PlainLines {
    /// The next piece, plain.
    pub(crate) fn push(&mut self, mut text: &str) -> String {
        if self.is_behind_cr {
            text = text.trim_start_matches('\0');
            if text.is_empty() {
                return String::new();
            }
            text = text.strip_prefix('\n').unwrap_or(text);
        }
        self.is_behind_cr = text.trim_end_matches('\0').ends_with('\r');
        unix_lines(text)
    }
}

/// The text with its lines ended by LF, and without NUL, of which there are as many as characters
/// in UTF-16 that says it is not.
fn unix_lines(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\r', b'\0', rest.as_bytes()) {
        let (piece, mark) = rest.split_at_checked(at).unwrap_or((rest, ""));
        plain.push_str(piece);
        rest = mark.trim_start_matches('\0');
        if let Some(after) = rest.strip_prefix('\r') {
            plain.push('\n');
            rest = after.trim_start_matches('\0');
            rest = rest.strip_prefix('\n').unwrap_or(rest);
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_one_way() {
        #[rustfmt::skip]
        let table = [
            ("a\r\nb\rc\n\r\n",  "a\nb\nc\n\n", None),
            ("a\r\0\nb\0",       "a\nb",       Some(Defect::Nul)),
            ("gr\u{fc}n, 12345",  "gr\u{fc}n, 12", Some(Defect::TextOver)),
            ("12345678\u{fc}",    "12345678",   Some(Defect::TextOver)),
        ];
        for (text, want, defect) in table {
            let mut defects = Defects::default();
            assert_eq!(plain(text.to_owned(), 9, &mut defects), want, "{text:?}");
            assert_eq!(defects.into_list().first().copied(), defect, "{text:?}");
        }
    }
}
