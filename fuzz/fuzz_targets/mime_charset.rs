//! Charsets: the first line is the label, the rest the text, decoded whole and in pieces alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::charset;
use postroom_mime::charset::Charset;
use postroom_mime::charset::Detection;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (label, text) = bytes.split_at(end);
    let text = text.get(1..).unwrap_or_default();
    let label = std::str::from_utf8(label).ok();
    let decoded = charset::decode(text.to_vec(), label, &mut Detection::default());
    assert!(decoded.text.len() <= text.len() * 4 + 16, "{}", decoded.text.len());
    let _ =
        charset::decode_raw(text, label.and_then(Charset::for_label), &mut Detection::of_field());
    let mut whole = charset::decoder(label.unwrap_or_default());
    let mut at_once = whole.push(text);
    at_once.push_str(&whole.finish());
    let mut pieces = charset::decoder(label.unwrap_or_default());
    let mut in_pieces = String::new();
    for piece in text.chunks(3) {
        in_pieces.push_str(&pieces.push(piece));
    }
    in_pieces.push_str(&pieces.finish());
    assert_eq!(in_pieces, at_once);
    assert_eq!(pieces.is_malformed(), whole.is_malformed());
});
