//! A picture of a sunrise, drawn and written as PNG without a library.
//!
//! Standards: PNG (ISO/IEC 15948) with a palette; RFC 1950 and RFC 1951 (a stored block).

const WIDTH: u8 = 48;
const HEIGHT: u8 = 32;
/// Sky, sun, sea.
const PALETTE: [u8; 9] = [0xfb, 0xd7, 0xa8, 0xf0, 0x7f, 0x2f, 0x2f, 0x6d, 0x8c];

/// The bytes of the file.
pub(crate) fn picture() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    // Eight bits per pixel, palette, no interlace.
    chunk(&mut png, b"IHDR", &[0, 0, 0, WIDTH, 0, 0, 0, HEIGHT, 8, 3, 0, 0, 0]);
    chunk(&mut png, b"PLTE", &PALETTE);
    chunk(&mut png, b"IDAT", &stored(&pixels()));
    chunk(&mut png, b"IEND", &[]);
    png
}

/// One byte for "no filter" and one per pixel, line by line.
fn pixels() -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..i32::from(HEIGHT) {
        pixels.push(0);
        for x in 0..i32::from(WIDTH) {
            let (across, down) = (x - 24, y - 20);
            let colour = match () {
                () if y >= 20 => 2,
                () if across * across + down * down < 100 => 1,
                () => 0,
            };
            pixels.push(colour);
        }
    }
    pixels
}

/// A zlib stream of one stored block, which holds at most 65,535 bytes.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u16;
    let mut stream = vec![0x78, 0x01, 0x01];
    stream.extend(length.to_le_bytes());
    stream.extend((!length).to_le_bytes());
    stream.extend(bytes);
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    stream.extend(((b << 16) | a).to_be_bytes());
    stream
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    png.extend((content.len() as u32).to_be_bytes());
    png.extend(kind);
    png.extend(content);
    png.extend(crc32(kind.iter().chain(content)).to_be_bytes());
}

fn crc32<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let crc = bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        assert_eq!(crc32(b"123456789".iter()), 0xcbf4_3926);
        assert_eq!(stored(b"abc").split_off(10), 0x024d_0127_u32.to_be_bytes());
        assert_eq!(picture().len(), 8 + 25 + 21 + (12 + 11 + 49 * 32) + 12);
    }
}
