//! Modified UTF-7, in which IMAP4rev1 writes names of mailboxes.
//!
//! Decoding accepts everything, because servers and old clients wrote all kinds of bytes. Invalid
//! parts are kept as they are, so that people can still tell names apart.
//!
//! Standards: RFC 3501 §5.1.3, RFC 2152.

/// The alphabet of base64, with `,` for `/`.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Encodes a name.
pub(crate) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut shifted: Vec<u16> = vec![];
    for character in name.chars() {
        if matches!(character, ' '..='~') {
            flush(&mut shifted, &mut encoded);
            encoded.push(character);
            if character == '&' {
                encoded.push('-');
            }
        } else {
            shifted.extend_from_slice(character.encode_utf16(&mut [0; 2]));
        }
    }
    flush(&mut shifted, &mut encoded);
    encoded
}

fn flush(shifted: &mut Vec<u16>, encoded: &mut String) {
    if shifted.is_empty() {
        return;
    }
    encoded.push('&');
    let (mut bits, mut count) = (0_u32, 0_u32);
    for unit in shifted.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            encoded.push(digit(bits >> count));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        encoded.push(digit(bits << (6 - count)));
    }
    encoded.push('-');
}

fn digit(bits: u32) -> char {
    ALPHABET.get((bits & 63) as usize).map_or('-', |byte| char::from(*byte))
}

/// Decodes the valid parts of a name. Plain UTF-8 is kept, other octets are read as Latin-1, and
/// control characters become U+FFFD.
pub(crate) fn decode(name: &[u8]) -> String {
    let decoded = match std::str::from_utf8(name) {
        Ok(text) => decode_text(text),
        Err(_) => decode_text(&name.iter().map(|byte| char::from(*byte)).collect::<String>()),
    };
    if decoded.chars().any(char::is_control) {
        decoded
            .chars()
            .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
            .collect()
    } else {
        decoded
    }
}

fn decode_text(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        decoded.push_str(before);
        match after.split_once('-') {
            Some(("", later)) => {
                decoded.push('&');
                rest = later;
            }
            Some((shifted, later)) => match shifted_text(shifted) {
                Some(text) => {
                    decoded.push_str(&text);
                    rest = later;
                }
                None => {
                    decoded.push('&');
                    rest = after;
                }
            },
            None => {
                decoded.push('&');
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// The text of one shifted run. `None`: it is not valid.
fn shifted_text(shifted: &str) -> Option<String> {
    let (mut bits, mut count) = (0_u32, 0_u32);
    let mut units = Vec::with_capacity(shifted.len() / 2);
    for byte in shifted.bytes() {
        // Some clients wrote `/`, as in plain base64, instead of `,`.
        let byte = if byte == b'/' { b',' } else { byte };
        let value = ALPHABET.iter().position(|known| *known == byte)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(u16::try_from(bits >> count & 0xFFFF).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    if count >= 6 || bits != 0 {
        return None;
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_standard_and_of_the_wild() {
        #[rustfmt::skip]
        let table: &[(&str, &[u8], &str)] = &[
            ("plain",                  b"Sent Items",              "Sent Items"),
            ("the standard's example", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("ampersand",              b"R&-D",                    "R&D"),
            ("one letter",             b"&AOk-t&AOk-",             "été"),
            ("outside the plane",      b"&2D3eAA-",                "😀"),
        ];
        for (why, bytes, text) in table {
            assert_eq!(decode(bytes), *text, "{why}");
            assert_eq!(encode(text).as_bytes(), *bytes, "{why}");
        }
        #[rustfmt::skip]
        let lenient: &[(&str, &[u8], &str)] = &[
            ("bare UTF-8",             b"\xC3\xA9t\xC3\xA9",       "été"),
            ("bare Latin-1",           b"\xE9t\xE9",               "été"),
            ("never ended",            b"a&AOk",                   "a&AOk"),
            ("ampersand at the end",   b"a&",                      "a&"),
            ("not base64",             b"Q&A -x",                  "Q&A -x"),
            ("half a surrogate pair",  b"&2D0-",                   "&2D0-"),
            ("bits left over",         b"&AOl-",                   "&AOl-"),
            ("slash of plain base64",  b"&U/BTFw-",                "台北"),
            ("control characters",     b"a\x01b&AAo-",             "a\u{FFFD}b\u{FFFD}"),
            ("two runs",               b"&AOk-&AOk-",              "éé"),
        ];
        for (why, bytes, text) in lenient {
            assert_eq!(decode(bytes), *text, "{why}");
        }
    }
}
