//! Messages: any bytes are taken apart, in memory and through a window alike, and every part that
//! is found lies within them and can be decoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::ParserLimits;
use postroom_mime::PartSource;
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let message = postroom_mime::parse(bytes);
    let files = message.html.iter().chain(&message.inlines).chain(&message.attachments);
    for part in files {
        if let PartSource::Range { offset, length, .. } = part.source {
            assert!(offset + length <= bytes.len() as u64);
        }
        assert_eq!(part.decode(bytes).len() as u64, part.size_bytes);
    }
    let read = postroom_mime::parse_reader(Cursor::new(bytes), &ParserLimits::default());
    let read = read.expect("memory can be read");
    assert_eq!(read.subject, message.subject);
    assert_eq!(read.text, message.text);
    assert_eq!(read.attachments, message.attachments);
});
