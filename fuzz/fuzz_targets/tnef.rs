//! TNEF of any content, with and without its signature.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = postroom_mime::open_tnef(bytes);
    let signed = [&[0x78, 0x9f, 0x3e, 0x22, 1, 0], bytes].concat();
    if let Some(tnef) = postroom_mime::open_tnef(&signed) {
        let content: usize = tnef.attachments.iter().map(|file| file.content.len()).sum();
        assert!(content <= bytes.len() * 20 + 2_000_000);
    }
});
