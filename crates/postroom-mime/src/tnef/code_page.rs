//! Code pages by their Windows number, and text in them.

use crate::charset;
use crate::charset::Detection;
use encoding_rs::Encoding;

/// Returns the encoding of a code page. `None` if it is unknown to the WHATWG.
pub(crate) fn encoding(code_page: u32) -> Option<&'static Encoding> {
    let label: &[u8] = match code_page {
        866 => b"ibm866",
        874 => b"windows-874",
        932 | 50932 => b"shift_jis",
        936 | 20936 | 52936 => b"gbk",
        949 | 51949 => b"euc-kr",
        950 => b"big5",
        1200 => b"utf-16le",
        1201 => b"utf-16be",
        1250 => b"windows-1250",
        1251 => b"windows-1251",
        1252 | 20127 | 28591 => b"windows-1252",
        1253 => b"windows-1253",
        1254 | 28599 => b"windows-1254",
        1255 => b"windows-1255",
        1256 => b"windows-1256",
        1257 => b"windows-1257",
        1258 => b"windows-1258",
        10000 => b"macintosh",
        10007 => b"x-mac-cyrillic",
        20866 => b"koi8-r",
        21866 => b"koi8-u",
        28592 => b"iso-8859-2",
        28593 => b"iso-8859-3",
        28594 => b"iso-8859-4",
        28595 => b"iso-8859-5",
        28596 => b"iso-8859-6",
        28597 => b"iso-8859-7",
        28598 | 38598 => b"iso-8859-8",
        28603 => b"iso-8859-13",
        28605 => b"iso-8859-15",
        50220..=50222 => b"iso-2022-jp",
        20932 | 51932 => b"euc-jp",
        54936 => b"gb18030",
        65001 => b"utf-8",
        _ => return None,
    };
    Encoding::for_label(label)
}

/// Decodes text: by its byte order mark, as `code_page`, as UTF-8 if it is, else as windows-1252.
pub(crate) fn decode(bytes: &[u8], code_page: Option<u32>) -> String {
    if let Some(encoding) = code_page.and_then(encoding) {
        // Its bytes may contradict it, as labels of charsets are contradicted.
        return match Encoding::for_bom(bytes) {
            Some(_) => encoding.decode(bytes).0.into_owned(),
            None => {
                let detection = &mut Detection::of_field();
                charset::decode(bytes.to_vec(), Some(encoding.name()), detection).text
            }
        };
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode(bytes).0.into_owned(),
    }
}

/// Decodes UTF-16, little-endian.
pub(crate) fn decode_utf16(bytes: &[u8]) -> String {
    encoding_rs::UTF_16LE.decode_without_bom_handling(bytes).0.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_page_is_known() {
        for code_page in (0..66_000).filter(|page| decode(b"a", Some(*page)) != "a") {
            assert!([1200, 1201].contains(&code_page), "{code_page}");
        }
        assert_eq!(decode(b"\xCF\xF0\xE8", Some(1251)), "При");
        assert_eq!(decode("При".as_bytes(), None), "При");
        assert_eq!(decode(b"\xE9", Some(437)), "é");
        assert_eq!(decode("Grüße".as_bytes(), Some(1252)), "Grüße");
        assert_eq!(decode(b"gr\xC3\xBCn, caf\xE9!", Some(65001)), "grün, café!");
        // Text in another charset than one of seven bits, as long as it may be.
        let long = b"\x93\xFA\x96{\x8C\xEA \x1B$B".repeat(100_000);
        assert!(decode(&long, Some(50220)).len() > long.len());
    }
}
