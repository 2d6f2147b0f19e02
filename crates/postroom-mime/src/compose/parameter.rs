//! Parameters of `Content-Type` and `Content-Disposition` (RFC 2045 §5.1, RFC 2231).

use crate::compose::field::FieldWriter;
use crate::compose::word;

/// Values up to this length are written whole when they are plain.
const VALUE_CHARS_WHOLE: usize = 200;
/// The longest piece of a value in pieces, so that its line has at most 76 characters.
const PIECE_CHARS: usize = 50;

/// Writes `; name=value` as a quoted string, or in the extended form if the value is not plain.
pub(crate) fn write(field: &mut FieldWriter<'_>, name: &str, value: &str) {
    if is_plain(value) {
        field.glue(";");
        field.token(&format!("{name}=\"{value}\""));
        return;
    }
    let pieces = pieces(value);
    let many = pieces.len() > 1;
    for (at, piece) in pieces.iter().enumerate() {
        let position = if many { format!("*{at}") } else { String::new() };
        let charset = if at == 0 { "utf-8''" } else { "" };
        field.glue(";");
        field.token(&format!("{name}{position}*={charset}{piece}"));
    }
}

/// Returns `value` in ASCII and short, for readers that know no extended form: the last 60
/// characters, so that the extension stays.
pub(crate) fn ascii_form(value: &str) -> String {
    const CHARS: usize = 60;
    let skip = value.chars().count().saturating_sub(CHARS);
    let fit = |char: char| (' '..='~').contains(&char) && !"\"\\".contains(char);
    let ascii: String =
        value.chars().skip(skip).map(|char| if fit(char) { char } else { '_' }).collect();
    ascii.replace("=?", "__").trim().to_owned()
}

/// Tells whether a value can stand between quotes as it is, for readers of any kind.
pub(crate) fn is_plain(value: &str) -> bool {
    word::is_plain(value) && value.len() <= VALUE_CHARS_WHOLE && !value.contains(['"', '\\'])
}

/// Codes `value` (RFC 2231 §7, attribute-char), split between characters.
fn pieces(value: &str) -> Vec<String> {
    let mut pieces = vec![];
    let mut piece = String::new();
    for char in value.chars() {
        let plain = char.is_ascii_alphanumeric() || "!#$&+-.^_`{|}~".contains(char);
        let mut coded = String::new();
        if plain {
            coded.push(char);
        } else {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                coded.push_str(&format!("%{byte:02X}"));
            }
        }
        if piece.len() + coded.len() > PIECE_CHARS {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.push_str(&coded);
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let table = [
            ("a.txt", "X: y; filename=\"a.txt\""),
            ("a b;c.txt", "X: y; filename=\"a b;c.txt\""),
            ("a\"b.txt", "X: y; filename*=utf-8''a%22b.txt"),
            ("it's 5%.txt", "X: y; filename=\"it's 5%.txt\""),
            ("Привет.txt", "X: y; filename*=utf-8''%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82.txt"),
        ];
        for (value, want) in table {
            let mut out = vec![];
            let mut field = FieldWriter::begin(&mut out, "X");
            field.token("y");
            write(&mut field, "filename", value);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn long_values_come_in_short_lines() {
        let mut out = vec![];
        let mut field = FieldWriter::begin(&mut out, "Content-Disposition");
        field.token("attachment");
        write(&mut field, "filename", &format!("{}.pdf", "日本 \"語".repeat(40)));
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.len() <= 76), "{text}");
        assert!(
            text.contains("filename*0*=utf-8''%E6") && text.contains("filename*12*="),
            "{text}"
        );
    }

    #[test]
    fn ascii_forms() {
        assert_eq!(ascii_form("Привет.txt"), "______.txt");
        assert_eq!(ascii_form(&format!("{}.pdf", "x".repeat(99))).len(), 60);
        assert_eq!(ascii_form("a\"=?\u{7}.txt"), "a____.txt");
    }
}
