//! Texts of any content, searched for files in uuencode and yEnc.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut end = 0;
    for block in postroom_mime::uuencode_blocks(bytes) {
        assert!(end <= block.range.start && block.range.start < block.range.end);
        assert!(block.range.end <= bytes.len());
        end = block.range.end;
    }
    let mut end = 0;
    for block in postroom_mime::yenc_blocks(bytes) {
        assert!(end <= block.range.start && block.range.start < block.range.end);
        assert!(block.range.end <= bytes.len() && block.content.len() <= block.range.len());
        end = block.range.end;
    }
});
