//! What characters of base64 are worth, one by one and in groups of four.

/// What a byte is worth; [`NONE`] outside the alphabet.
const VALUES: [u8; 256] = values();
const NONE: u8 = 0xFF;
/// How many groups are decoded at once: a line.
const GROUPS_MAX: usize = 32;

const fn values() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < 64 {
        #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
        {
            values[alphabet[at] as usize] = at as u8;
        }
        at += 1;
    }
    values
}

/// What a character is worth, 0 to 63. `None` outside the alphabet.
pub(crate) fn value(byte: u8) -> Option<u8> {
    VALUES.get(usize::from(byte)).copied().filter(|value| *value != NONE)
}

/// Whether a character is one of the two that the URL-safe alphabet has instead of `+` and `/`.
pub(crate) fn is_mark(byte: u8) -> bool {
    matches!(byte, b'-' | b'_')
}

/// What the characters of a group are worth in their places; [`BAD`] is set for what is none.
static GROUP: [[u32; 256]; 4] = [group(18), group(12), group(6), group(0)];
const BAD: u32 = 1 << 24;

const fn group(shift: u32) -> [u32; 256] {
    let values = values();
    let mut group = [BAD; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
        if values[at] != NONE {
            group[at] = (values[at] as u32) << shift;
        }
        at += 1;
    }
    group
}

/// Decodes whole groups of four from the front, a line or so; returns what follows them.
pub(crate) fn groups<'a>(body: &'a [u8], content: &mut Vec<u8>) -> &'a [u8] {
    let mut room = [0; GROUPS_MAX * 3];
    let mut done = 0;
    // In pairs, then one that may be left.
    for (pair, room) in body.chunks_exact(8).zip(room.chunks_exact_mut(6)) {
        let &[a, b, c, d, e, f, g, h] = pair else { break };
        let (first, second) = (bits([a, b, c, d]), bits([e, f, g, h]));
        if (first | second) & BAD != 0 {
            break;
        }
        let [_, _, bytes @ ..] = (u64::from(first) << 24 | u64::from(second)).to_be_bytes();
        room.copy_from_slice(&bytes);
        done += 2;
    }
    let left = body.get(done * 4..).unwrap_or_default();
    if let (&[a, b, c, d, ..], Some(room)) = (left, room.get_mut(done * 3..done * 3 + 3)) {
        let bits = bits([a, b, c, d]);
        if bits & BAD == 0 {
            let [_, bytes @ ..] = bits.to_be_bytes();
            room.copy_from_slice(&bytes);
            done += 1;
        }
    }
    content.extend_from_slice(room.get(..done * 3).unwrap_or_default());
    body.get(done * 4..).unwrap_or_default()
}

/// The bits of a group of four, or [`BAD`] if one of them is none of base64.
fn bits(group: [u8; 4]) -> u32 {
    let [a, b, c, d] = group;
    let [first, second, third, fourth] = &GROUP;
    // Always there: the tables have a place for each byte.
    let at = |table: &[u32; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(BAD);
    at(first, a) | at(second, b) | at(third, c) | at(fourth, d)
}
