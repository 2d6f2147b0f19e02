//! Parameters (RFC 2045, 2231): any value is read, and what is read of it is bounded by it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::Parameters;

fuzz_target!(|bytes: &[u8]| {
    let parameters = Parameters::parse(bytes);
    assert!(parameters.head.len() <= bytes.len() * 3);
    for name in ["name", "filename", "boundary", "charset"] {
        if let Some(value) = parameters.bytes(name) {
            assert!(value.len() <= bytes.len());
        }
        let _ = parameters.token(name);
        let text = parameters.text(name, None).unwrap_or_default();
        // A byte outside ASCII becomes three of UTF-8; within an encoded word, each of them again.
        assert!(text.len() <= bytes.len() * 9 + 16);
    }
});
