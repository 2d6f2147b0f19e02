//! Mailbox names: UTF-8 for people, modified UTF-7 on the wire (RFC 3501 §5.1.3).

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// The wire form of `name`; INBOX in any case becomes `INBOX`.
pub(crate) fn encode(name: &str) -> String {
    let mut wire = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    for character in name.chars() {
        if matches!(character, ' '..='~') {
            unshift(&mut wire, &mut shifted);
            wire.push(character);
            if character == '&' {
                wire.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                shifted.extend(unit.to_be_bytes());
            }
        }
    }
    unshift(&mut wire, &mut shifted);
    fold_inbox(wire)
}

fn unshift(wire: &mut String, shifted: &mut Vec<u8>) {
    if !shifted.is_empty() {
        wire.push('&');
        BASE64.encode_string(&*shifted, wire);
        wire.push('-');
        shifted.clear();
    }
}

/// The name as people write it; a wire name that is not valid modified UTF-7 stays as it is.
pub(crate) fn decode(wire: &str) -> String {
    decoded(wire).unwrap_or_else(|| wire.to_owned())
}

fn decoded(wire: &str) -> Option<String> {
    let mut name = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((before, shifted)) = rest.split_once('&') {
        name.push_str(before);
        let (shifted, after) = shifted.split_once('-')?;
        rest = after;
        if shifted.is_empty() {
            name.push('&');
            continue;
        }
        let bytes = BASE64.decode(shifted).ok()?;
        let (pairs, odd) = bytes.as_chunks::<2>();
        if !odd.is_empty() {
            return None;
        }
        let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
        for character in char::decode_utf16(units) {
            name.push(character.ok()?);
        }
    }
    name.push_str(rest);
    Some(name)
}

/// INBOX is the one name that is the same in any case (RFC 3501 §5.1).
pub(crate) fn fold_inbox(wire: String) -> String {
    if wire.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { wire }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_to_the_wire_and_back() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("Sent", "Sent"),
            ("Ärger & Freude", "&AMQ-rger &- Freude"),
            ("日本語", "&ZeVnLIqe-"),
            ("a/😀", "a/&2D3eAA-"),
        ] {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire), name);
        }
        assert_eq!(encode("inBox"), "INBOX");
        assert_eq!(decode("broken &zz"), "broken &zz");
        assert_eq!(decode("broken &z-"), "broken &z-");
    }
}
