//! Header fields: any value is read as an address list, a date, words and parameters.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut message = vec![];
    for name in ["From", "Date", "Subject", "References", "Content-Type", "Received"] {
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(b": ");
        message.extend(bytes.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\nx\r\n");
    let parsed = postroom_mime::parse(&message);
    assert!(parsed.headers.len() <= 6);
});
