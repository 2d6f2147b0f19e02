//! Compressed RTF (MS-OXRTFCP).

use crate::tnef::cursor::Cursor;

/// What the dictionary holds at the start.
const PREFIX: &[u8; 207] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}\
{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New Roman\
Courier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
const DICTIONARY_BYTES: usize = 4096;
const COMPRESSED: u32 = 0x7546_5a4c;
const UNCOMPRESSED: u32 = 0x414c_454d;

/// Decompresses RTF, at most `bytes_max` of it. `None` if it has no header. The checksum is not
/// looked at: what can be read is read.
pub(crate) fn decompress(bytes: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(bytes);
    let _compressed_size = cursor.u32()?;
    let size = cursor.length()?.min(bytes_max);
    let kind = cursor.u32()?;
    let _checksum = cursor.u32()?;
    match kind {
        COMPRESSED => Some(inflate(cursor, size)),
        UNCOMPRESSED => {
            let rest = cursor.rest();
            Some(rest.get(..size).unwrap_or(rest).to_vec())
        }
        _ => None,
    }
}

fn inflate(mut cursor: Cursor<'_>, size: usize) -> Vec<u8> {
    let mut dictionary = [0; DICTIONARY_BYTES];
    for (slot, byte) in dictionary.iter_mut().zip(PREFIX) {
        *slot = *byte;
    }
    let mut at = PREFIX.len();
    let mut out = vec![];
    let mut put = |byte: u8, out: &mut Vec<u8>, dictionary: &mut [u8; DICTIONARY_BYTES]| {
        out.push(byte);
        if let Some(slot) = dictionary.get_mut(at) {
            *slot = byte;
        }
        at = (at + 1) % DICTIONARY_BYTES;
        at
    };
    let mut end = PREFIX.len();
    while out.len() < size {
        let Some(flags) = cursor.u8() else { break };
        for bit in 0..8 {
            if flags >> bit & 1 == 0 {
                let Some(byte) = cursor.u8() else { return out };
                end = put(byte, &mut out, &mut dictionary);
                continue;
            }
            let Some(reference) = cursor.u16() else {
                return out;
            };
            let reference = usize::from(reference.swap_bytes());
            let (offset, count) = (reference >> 4, (reference & 15) + 2);
            if offset == end {
                return out;
            }
            for step in 0..count {
                let from = (offset + step) % DICTIONARY_BYTES;
                let byte = dictionary.get(from).copied().unwrap_or_default();
                end = put(byte, &mut out, &mut dictionary);
            }
        }
    }
    out.truncate(size);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        let compressed = [
            0x2d, 0, 0, 0, 0x2b, 0, 0, 0, 0x4c, 0x5a, 0x46, 0x75, 0xf1, 0xc5, 0xc7, 0xa7, 0x03, 0,
            0x0a, 0, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3, 0x20, 0x68,
            0x65, 0x6c, 0x09, 0, 0x20, 0x62, 0x77, 0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f,
            0xa0,
        ];
        let want = b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n";
        assert_eq!(decompress(&compressed, 1000).unwrap(), want);
        assert_eq!(decompress(&compressed, 5).unwrap(), b"{\\rtf");
        let overlapping = [
            0x1a, 0, 0, 0, 0x1c, 0, 0, 0, 0x4c, 0x5a, 0x46, 0x75, 0xe2, 0xd4, 0x4b, 0x51, 0x41, 0,
            0x04, 0x20, 0x57, 0x58, 0x59, 0x5a, 0x0d, 0x6e, 0x7d, 0x01, 0x0e, 0xb0,
        ];
        let want = b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}";
        assert_eq!(decompress(&overlapping, 1000).unwrap(), want);
    }

    #[test]
    fn any_bytes_are_read_as_far_as_they_go() {
        assert_eq!(decompress(b"short", 9), None);
        assert_eq!(decompress(&[0; 16], 9), None);
        let plain = [0, 0, 0, 0, 9, 0, 0, 0, 0x4d, 0x45, 0x4c, 0x41, 0, 0, 0, 0, b'{'];
        assert_eq!(decompress(&plain, 9).unwrap(), b"{");
    }
}
