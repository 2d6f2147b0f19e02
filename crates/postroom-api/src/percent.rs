//! Percent-encoding of path segments, query values and file names.
//!
//! Standards: RFC 3986 §2.1; RFC 8187 §3.2.1 (`attr-char`, a subset of what stays plain here).

use std::fmt::Write;

/// The text with all characters percent-encoded except letters, digits and `-._~`.
#[must_use]
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The text that was percent-encoded; `None` when an escape is cut or the result is not UTF-8.
#[must_use]
pub(crate) fn decode(encoded: &str) -> Option<String> {
    String::from_utf8(decode_bytes(encoded)?).ok()
}

/// The bytes that were percent-encoded; `None` when an escape is cut.
#[must_use]
pub(crate) fn decode_bytes(encoded: &str) -> Option<Vec<u8>> {
    let mut bytes = encoded.bytes();
    let mut plain = Vec::with_capacity(encoded.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
            plain.push(u8::try_from(value).ok()?);
        } else {
            plain.push(byte);
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_can_be_decoded() {
        for text in ["", "a", "a b/c?d#e%f", "Ünïcödé 📎.pdf", "\r\n\0"] {
            assert_eq!(decode(&encode(text)).unwrap(), text);
        }
        assert_eq!(encode("a b/ü"), "a%20b%2F%C3%BC");
    }

    #[test]
    fn what_is_cut_or_no_text_is_refused() {
        for bad in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode("a+b").unwrap(), "a+b");
    }
}
