//! Files that were put into a text with uuencode.
//!
//! ```text
//!   begin 644 name
//!   #0V%T            each line: its length in bytes, then four characters for three bytes
//!   `
//!   end
//! ```
//!
//! The decoder accepts stripped spaces at line ends, a check character after them, a missing `end`,
//! and damaged lines between intact ones. Words like "begin 100 things" in a text are not a file,
//! because the next line must be one that uuencode writes, and no sentence in capitals.

use crate::uuencode::lines::Lines;
use base64::Engine as _;
use memchr::memmem::Finder;
use std::ops::Range;
use std::sync::LazyLock;

mod lines;

/// A file in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UuencodeBlock {
    /// Where in the text it is, from `begin` to the end of the line with `end`.
    pub range: Range<usize>,
    /// The file name; not made harmless.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
    /// Whether its end was there.
    pub is_complete: bool,
    /// Whether some lines are damaged. Their bytes may be wrong. The bytes of the other lines are
    /// at the right places.
    pub is_damaged: bool,
}

/// What each file begins with, and what stands where one in yEnc begins; every text of every
/// message is searched for it.
pub(crate) static BEGIN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"begin"));
/// How many files of a text are read.
const BLOCKS_MAX: usize = 1_000;
/// How many damaged lines may follow one another.
const DAMAGED_MAX: usize = 8;
/// What a whole line begins with: 45 bytes.
const WHOLE: u8 = b'M';

/// Finds the files in a text.
#[must_use]
pub fn blocks(text: &[u8]) -> Vec<UuencodeBlock> {
    let mut blocks = vec![];
    let mut from = 0;
    while let Some(found) = BEGIN.find(text.get(from..).unwrap_or_default()) {
        let at = from + found;
        from = at + 1;
        if at > 0 && !matches!(text.get(at - 1), Some(b'\n' | b'\r')) {
            continue;
        }
        if let Some(block) = block(text, at) {
            from = block.range.end;
            blocks.push(block);
            if blocks.len() == BLOCKS_MAX {
                break;
            }
        }
    }
    blocks
}

/// Reads the file whose `begin` is at `start`.
fn block(text: &[u8], start: usize) -> Option<UuencodeBlock> {
    let mut lines = Lines::new(text, start);
    let (base64, name) = begin(lines.next()?)?;
    if base64 {
        return base64_block(lines, start, name);
    }
    let mut content = vec![];
    let (mut count, mut empty, mut is_damaged) = (0, 0, false);
    let mut end = lines.at();
    while let Some(line) = lines.next() {
        // The next file begins, and this one was not ended.
        let is_next = line.starts_with(b"begin") && begin(line).is_some();
        if is_next || (count == 0 && is_sentence(line)) {
            break;
        }
        let is_end = line.trim_ascii_end() == b"end";
        if is_end && count + empty > 0 {
            let range = start..lines.at();
            return Some(UuencodeBlock { range, name, content, is_complete: true, is_damaged });
        }
        // An empty line stands for the one of length zero, whose only character is a space.
        if line.is_empty() {
            empty += 1;
        } else if decode_line(line, &mut content) {
            count += 1;
        } else if count > 0 && goes_on(lines) {
            decode_damaged(line, &mut content);
            is_damaged = true;
        } else {
            break;
        }
        end = lines.at();
    }
    let range = start..end;
    (count > 0).then_some(UuencodeBlock { range, name, content, is_complete: false, is_damaged })
}

/// Whether the file goes on behind a damaged line: soon a whole line or its end follows.
fn goes_on(lines: Lines<'_>) -> bool {
    let is_sound = |line: &[u8]| {
        let is_whole = line.first() == Some(&WHOLE) && line.len() > 45 / 3 * 4;
        line.trim_ascii_end() == b"end" || (is_whole && decode_line(line, &mut vec![]))
    };
    lines.take(DAMAGED_MAX).any(is_sound)
}

/// Reads `begin 644 name` or `begin-base64 644 name`. Blanks may have become more or other ones.
fn begin(line: &[u8]) -> Option<(bool, String)> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let behind_blanks = |text: &[u8]| text.iter().take_while(|byte| is_blank(byte)).count();
    let rest = line.strip_prefix(b"begin")?;
    let (base64, rest) = match rest.strip_prefix(b"-base64") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.get(behind_blanks(rest)..).filter(|behind| behind.len() < rest.len())?;
    let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let name = rest.get(digits..).filter(|name| name.first().is_some_and(is_blank))?.trim_ascii();
    let inner = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\""));
    let name = inner.unwrap_or(name);
    if !(3..=7).contains(&digits) || name.is_empty() || name.len() > 1_000 {
        return None;
    }
    let name = match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode(name).0.into_owned(),
    };
    Some((base64, name))
}

/// Whether a line is words in capitals: it has not the length that it claims as a line of a file,
/// and blanks, letters and marks of sentences alone.
fn is_sentence(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let length = line.first().map_or(0, |first| usize::from(first.wrapping_sub(b' ') & 63));
    let is_of_words = |byte: &u8| byte.is_ascii_uppercase() || b" .,;:'!?-".contains(byte);
    line.len() < length.div_ceil(3) * 4 && line.contains(&b' ') && line.iter().all(is_of_words)
}

/// Appends what a line holds; tells whether it is a line that uuencode writes.
fn decode_line(line: &[u8], content: &mut Vec<u8>) -> bool {
    let Some((length, codes)) = line.split_first() else {
        return false;
    };
    let is_code = |byte: &u8| (b' '..=b'`').contains(byte);
    if !is_code(length) || !codes.iter().all(is_code) {
        return false;
    }
    let count = usize::from(length.wrapping_sub(b' ') & 63);
    let wanted = count.div_ceil(3) * 4;
    let there = codes.trim_ascii_end().len();
    // Some writers omit the padding of the last group, and some append a check character.
    if there > wanted + 2 || (there < count.div_ceil(3) && there + 8 < wanted && there > 0) {
        return false;
    }
    let mut left = count;
    for group in 0..count.div_ceil(3) {
        let code =
            |at: usize| codes.get(group * 4 + at).map_or(0, |code| code.wrapping_sub(b' ') & 63);
        let bytes =
            [code(0) << 2 | code(1) >> 4, code(1) << 4 | code(2) >> 2, code(2) << 6 | code(3)];
        content.extend(bytes.iter().take(left));
        left = left.saturating_sub(3);
    }
    true
}

/// Appends the bytes of a damaged line: as many as it claims, so that the next lines keep their
/// places.
fn decode_damaged(line: &[u8], content: &mut Vec<u8>) {
    let is_code = |byte: &u8| (b' '..=b'`').contains(byte);
    let (length, codes) = line.split_first().unwrap_or((&WHOLE, &[]));
    let length = if is_code(length) { *length } else { WHOLE };
    let wanted = usize::from(length.wrapping_sub(b' ') & 63).div_ceil(3) * 4;
    // A character that became two bytes is one.
    let is_more = |byte: &&u8| codes.len() <= wanted || !(0x80..0xC0).contains(*byte);
    let codes = codes.iter().filter(is_more).take(wanted);
    let codes = codes.map(|byte| if is_code(byte) { *byte } else { b'`' });
    let repaired: Vec<u8> = std::iter::once(length).chain(codes).collect();
    if !decode_line(&repaired, content) {
        // Too much of it is missing.
        let whole: Vec<u8> =
            repaired.into_iter().chain(std::iter::repeat(b'`')).take(wanted + 1).collect();
        decode_line(&whole, content);
    }
}

fn base64_block(mut lines: Lines<'_>, start: usize, name: String) -> Option<UuencodeBlock> {
    let mut codes = vec![];
    let mut end = lines.at();
    let (mut is_complete, mut is_last, mut width) = (false, false, 0);
    while let Some(line) = lines.next() {
        let line = line.trim_ascii();
        is_complete = line == b"====";
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        // Without its end, what follows the last line may be words.
        let is_other = !line.is_empty() && (is_last || !line.len().is_multiple_of(4));
        if !is_complete && (is_other || !line.iter().all(fits)) {
            break;
        }
        end = lines.at();
        if is_complete {
            break;
        }
        width = width.max(line.len());
        is_last |= !line.is_empty() && (line.len() < width || line.ends_with(b"="));
        codes.extend(line.iter().filter(|byte| **byte != b'='));
    }
    codes.truncate(codes.len() - usize::from(codes.len() % 4 == 1));
    let lenient = base64::engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
    let content = engine.decode(codes).ok()?;
    (is_complete || !content.is_empty()).then_some(UuencodeBlock {
        range: start..end,
        name,
        content,
        is_complete,
        is_damaged: false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes a file as uuencode does; `zero` is the character for zero.
    fn encode(name: &str, content: &[u8], zero: u8) -> Vec<u8> {
        let code = |bits: u8| {
            if bits & 63 == 0 { zero } else { (bits & 63) + b' ' }
        };
        let mut out = format!("begin 644 {name}\r\n").into_bytes();
        for line in content.chunks(45) {
            out.push(code(line.len() as u8));
            for group in line.chunks(3) {
                let byte = |at: usize| group.get(at).copied().unwrap_or(0);
                let (a, b, c) = (byte(0), byte(1), byte(2));
                out.extend([a >> 2, a << 4 | b >> 4, b << 2 | c >> 6, c].map(code));
            }
            out.extend_from_slice(b"\r\n");
        }
        out.push(zero);
        out.extend_from_slice(b"\r\nend\r\n");
        out
    }

    #[test]
    fn files_between_text() {
        let text = b"see:\nbegin 644 cat.txt\n#0V%T\n`\nend\nand\nbegin 755 d g.txt\n#9&]G\n \nend";
        let got = blocks(text);
        let names: Vec<_> = got.iter().map(|b| (b.name.as_str(), b.content.as_slice())).collect();
        assert_eq!(names, [("cat.txt", &b"Cat"[..]), ("d g.txt", b"dog")]);
        assert!(got.iter().all(|block| block.is_complete));
        assert_eq!(got[0].range, 5..35);
        assert_eq!(&text[got[1].range.clone()], &text[39..]);
        let base64 = blocks(b"begin-base64 644 a\nQ2F0\nQ2E=\n====\nx");
        assert_eq!((base64[0].content.as_slice(), base64[0].range.clone()), (&b"CatCa"[..], 0..34));
    }

    #[test]
    fn what_is_only_like_a_file() {
        for text in [
            "begin 644 times\nand more lower case text",
            "begin 100 things",
            "we begin 644 x\n#0V%T\n`\nend",
            "begin 6 x\n#0V%T\n`\nend",
            "begin 644 \n#0V%T\n`\nend",
            "begin 644 x\nA LINE OF WORDS THAT IS LONGER THAN WHAT IT CLAIMS\n",
            "begin 644 reasons\nI HAVE A DREAM, AND IT IS THIS ONE.\n\nend\n",
            "begin 644 reasons why\nand more\nend\n",
            "begin-base64 644 reasons\nAnd here they are.\n====\n",
            "begin-base64 644 reasons\nWords\n",
        ] {
            assert_eq!(blocks(text.as_bytes()), [], "{text}");
        }
    }

    #[test]
    fn a_missing_end_and_stripped_spaces() {
        let cut = blocks(b"begin 644 a\r\n#0V%T\r\nlower case text\r\n");
        assert_eq!((cut[0].content.as_slice(), cut[0].is_complete), (&b"Cat"[..], false));
        assert_eq!(cut[0].range, 0..20);
        let stripped = blocks(b"begin 644 a\n&0V%T\n\nend\n");
        assert_eq!(stripped[0].content, b"Cat\0\0\0");
    }

    #[test]
    fn a_file_ends_where_the_next_one_begins() {
        let two = blocks(b"begin 644 a\n#0V%T\nbegin 644 b\n#9&]G\n`\nend\n");
        let found: Vec<_> = two.iter().map(|b| (&*b.name, &*b.content, b.is_complete)).collect();
        assert_eq!(found, [("a", &b"Cat"[..], false), ("b", b"dog", true)]);
        assert!(two.iter().all(|block| !block.is_damaged));
    }

    #[test]
    fn the_first_line_is_read_as_it_arrives() {
        for first in [
            "begin 644 a b",
            "begin  644  a b ",
            "begin\t0644\ta b",
            "begin 0100644 a b",
            "begin 644 \"a b\"",
        ] {
            let got = blocks(format!("{first}\n#0V%T\n`\nend\n").as_bytes());
            assert_eq!(got.first().map(|block| &*block.name), Some("a b"), "{first}");
        }
    }

    #[test]
    fn words_behind_a_file_without_its_end_do_not_belong_to_it() {
        for (file, want) in [
            ("Q2F0Q2F0\nQ2E=\nBye!", &b"CatCatCa"[..]),
            ("Q2F0Q2F0\nQ2F0\n\nBest", b"CatCatCat"),
            ("Q2F0Q2F0\nBye", b"CatCat"),
        ] {
            let got = blocks(format!("begin-base64 644 a\n{file}\n").as_bytes());
            assert_eq!(got.first().map(|block| &*block.content), Some(want), "{file}");
        }
    }

    type Damage = fn(&[u8]) -> Vec<u8>;

    #[test]
    fn a_damaged_line_costs_its_own_bytes_alone() {
        let content: Vec<u8> = (0..=255).cycle().take(450).collect();
        let sound = encode("a", &content, b'`');
        let lines: Vec<&[u8]> = sound.split_inclusive(|byte| *byte == b'\n').collect();
        let damages: [Damage; 5] = [
            |line| [&line[..9], b"\xA5", &line[10..]].concat(),
            |line| [&line[..9], "\u{a5}".as_bytes(), &line[10..]].concat(),
            |line| [b"\xFF", &line[1..]].concat(),
            |line| [&line[..5], b"\r\n"].concat(),
            |line| [&line[..5], b"lower case words", &line[5..]].concat(),
        ];
        for (at, damage) in damages.into_iter().enumerate() {
            // The first line of the file tells that it is one.
            for damaged in [2, 5, 8] {
                let mut lines: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
                lines[damaged] = damage(&lines[damaged]);
                let got = blocks(&lines.concat());
                let [block] = got.as_slice() else { panic!("{at} {damaged}: {got:?}") };
                assert!(block.is_complete && block.is_damaged, "{at} {damaged}");
                assert_eq!(block.content.len(), content.len(), "{at} {damaged}");
                let start = (damaged - 1) * 45;
                assert_eq!(block.content[..start], content[..start], "{at} {damaged}");
                assert_eq!(block.content[start + 45..], content[start + 45..], "{at} {damaged}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_found(
            before in "[a-z \n]{0,20}",
            content in proptest::collection::vec(any::<u8>(), 0..300),
            zero in prop_oneof![Just(b' '), Just(b'`')],
            strip in any::<bool>(),
        ) {
            let mut text = format!("{before}\n").into_bytes();
            let start = text.len();
            text.extend(encode("имя 1.bin", &content, zero));
            if strip {
                let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
                let lines: Vec<_> = lines.collect();
                text = lines.join(&b"\r\n"[..]);
            }
            let got = blocks(&text);
            prop_assert_eq!(got.len(), 1);
            prop_assert_eq!(&got[0].content, &content);
            prop_assert_eq!(&got[0].name, "имя 1.bin");
            prop_assert!(got[0].is_complete && got[0].range.start >= start.min(got[0].range.start));
        }

        #[test]
        fn any_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            lines in "(begin(-base64)? 644 a|end|[ -`]{0,9}|====|\n){0,9}",
        ) {
            for block in blocks(&[&bytes, lines.as_bytes()].concat()) {
                prop_assert!(block.range.start < block.range.end);
            }
            let _ = blocks(lines.as_bytes());
        }
    }
}
