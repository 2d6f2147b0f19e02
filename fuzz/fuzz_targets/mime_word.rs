//! Encoded words: any text is decoded once, within bounds, and text without them stays as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::Defects;
use postroom_mime::encoded_word;

fuzz_target!(|text: &str| {
    let mut left = 50;
    let mut defects = Defects::default();
    let decoded = encoded_word::decode(text, &mut left, &mut defects);
    assert!(decoded.len() <= text.len() * 4 + 16, "{}", decoded.len());
    if !text.contains("=?") {
        assert_eq!(decoded, text);
    }
});
