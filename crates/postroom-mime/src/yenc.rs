//! Files that were put into a text with yEnc, which needs all 256 octets.
//!
//! ```text
//!   =ybegin line=128 size=3 name=cat.bin        also part=1 total=2, then =ypart begin=1 end=3
//!   each octet plus 42. Those that would hurt are `=` and the octet plus 106
//!   =yend size=3 crc32=...
//! ```
//!
//! Text that was converted to another charset is no longer yEnc, so this reads octets.

use memchr::memmem::Finder;
use std::ops::Range;
use std::sync::LazyLock;

/// A file, or a part of one, in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YencBlock {
    /// Where in the text it is, from `=ybegin` to the end of the line with `=yend`.
    pub range: Range<usize>,
    /// The file name; not made harmless.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
    /// The number of this part and of all parts (0 when unknown), if the file has several.
    pub part: Option<(u32, u32)>,
    /// Whether its end was there.
    pub is_closed: bool,
    /// Whether size and CRC are as that says besides.
    pub is_complete: bool,
}

/// What each file begins with; every text of every message is searched for it.
static BEGIN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"=ybegin "));
/// How many files of a text are read.
const BLOCKS_MAX: usize = 1_000;

/// Finds the files in a body.
#[must_use]
pub fn blocks(body: &[u8]) -> Vec<YencBlock> {
    let mut blocks = vec![];
    let mut from = 0;
    while let Some(found) = BEGIN.find(body.get(from..).unwrap_or_default()) {
        let at = from + found;
        from = at + 1;
        if at > 0 && body.get(at - 1) != Some(&b'\n') {
            continue;
        }
        if let Some(block) = block(body, at) {
            from = block.range.end;
            blocks.push(block);
            if blocks.len() == BLOCKS_MAX {
                break;
            }
        }
    }
    blocks
}

/// Reads the file whose `=ybegin` is at `start`.
fn block(body: &[u8], start: usize) -> Option<YencBlock> {
    let mut at = start;
    let head = line(body, &mut at)?;
    let name = memchr::memmem::find(head, b" name=").and_then(|place| head.get(place + 6..))?;
    let name = name.trim_ascii();
    let size = number(head, b" size=")?;
    number(head, b" line=")?;
    if name.is_empty() || name.len() > 1_000 {
        return None;
    }
    let part = number(head, b" part=").map(|part| (part, number(head, b" total=").unwrap_or(0)));
    let mut content = vec![];
    let mut end = at;
    let mut tail = None;
    while let Some(line) = line(body, &mut at) {
        if line.starts_with(b"=yend") {
            tail = Some(line);
            end = at;
            break;
        }
        if line.starts_with(b"=ybegin ") {
            break;
        }
        if !line.starts_with(b"=ypart ") {
            decode_line(line, &mut content);
        }
        end = at;
    }
    let is_closed = tail.is_some();
    let is_complete = tail.is_some_and(|tail| is_sound(tail, part.is_some(), size, &content));
    let name = match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode(name).0.into_owned(),
    };
    Some(YencBlock { range: start..end, name, content, part, is_closed, is_complete })
}

/// Takes the next line, without its end.
fn line<'a>(body: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = body.get(*at..).filter(|rest| !rest.is_empty())?;
    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    *at += (end + 1).min(rest.len());
    let line = rest.get(..end)?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn decode_line(line: &[u8], content: &mut Vec<u8>) {
    let mut octets = line.iter();
    while let Some(octet) = octets.next() {
        let octet = if *octet == b'=' {
            octets.next().map(|octet| octet.wrapping_sub(64))
        } else {
            Some(*octet)
        };
        content.extend(octet.map(|octet| octet.wrapping_sub(42)));
    }
}

/// Compares a content with what its last line says of it.
fn is_sound(tail: &[u8], is_part: bool, size: u32, content: &[u8]) -> bool {
    let crc_key: &[u8] = if is_part { b" pcrc32=" } else { b" crc32=" };
    let crc_is_right = value(tail, crc_key).is_none_or(|text| {
        let crc = std::str::from_utf8(text).ok();
        crc.and_then(|crc| u32::from_str_radix(crc, 16).ok()) == Some(crc32(content))
    });
    let said = number(tail, b" size=").unwrap_or(size);
    crc_is_right && u32::try_from(content.len()) == Ok(said)
}

fn value<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let place = memchr::memmem::find(line, key)?;
    let rest = line.get(place + key.len()..)?;
    rest.split(u8::is_ascii_whitespace).next()
}

fn number(line: &[u8], key: &[u8]) -> Option<u32> {
    std::str::from_utf8(value(line, key)?).ok()?.parse().ok()
}

/// The CRC of ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let at = usize::from(crc.to_le_bytes()[0] ^ byte);
        CRC_TABLE.get(at).copied().unwrap_or_default() ^ (crc >> 8)
    };
    !bytes.iter().fold(u32::MAX, step)
}

const CRC_TABLE: [u32; 256] = crc_table();

#[expect(clippy::indexing_slicing, reason = "runs at compile time, below the length")]
const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(head: &str, content: &[u8], tail: &str) -> Vec<u8> {
        let mut out = head.as_bytes().to_vec();
        for line in content.chunks(128) {
            for byte in line {
                let octet = byte.wrapping_add(42);
                if matches!(octet, 0 | b'\r' | b'\n' | b'=') {
                    out.extend([b'=', octet.wrapping_add(64)]);
                } else {
                    out.push(octet);
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(tail.as_bytes());
        out
    }

    #[test]
    fn whole_files_and_parts() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let body = encode(
            "x\r\n=ybegin line=128 size=3 name= a b.bin\r\n",
            b"Cat",
            "=yend size=3 crc32=5e5c6e9d\r\nx",
        );
        let got = &blocks(&body)[0];
        assert_eq!(
            (got.name.as_str(), got.content.as_slice(), got.part),
            ("a b.bin", &b"Cat"[..], None)
        );
        assert_eq!(got.range, 3..body.len() - 1);
        let body = encode(
            "=ybegin part=2 total=3 line=128 size=999 name=a\r\n=ypart begin=1 end=9\r\n",
            b"123456789",
            "=yend size=9 part=2 pcrc32=CBF43926 crc32=00000000\r\n",
        );
        let got = &blocks(&body)[0];
        assert_eq!(
            (got.content.as_slice(), got.part, got.is_complete),
            (&b"123456789"[..], Some((2, 3)), true)
        );
    }

    #[test]
    fn what_is_malformed() {
        assert_eq!(blocks(b"=ybegin in a text"), []);
        assert_eq!(blocks(b"x =ybegin line=1 size=1 name=x\n"), []);
        let cut = blocks(b"=ybegin line=128 size=3 name=a\r\nm\x8b=");
        assert_eq!((cut[0].content.as_slice(), cut[0].is_complete), (&b"Ca"[..], false));
        let wrong = blocks(b"=ybegin line=128 size=3 name=a\nm\x8b\n=yend size=3\n");
        assert!(!wrong[0].is_complete);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_found(content in proptest::collection::vec(any::<u8>(), 0..400)) {
            let (size, crc) = (content.len(), crc32(&content));
            let head = format!("=ybegin line=128 size={size} name=x\r\n");
            let tail = format!("=yend size={size} crc32={crc:08x}\r\n");
            let got = blocks(&encode(&head, &content, &tail));
            prop_assert_eq!(&got[0].content, &content);
            prop_assert!(got[0].is_complete);
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = blocks(&[b"=ybegin line=1 size=1 name=", &bytes[..]].concat());
        }
    }
}
