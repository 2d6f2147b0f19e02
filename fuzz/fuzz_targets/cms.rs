//! Cryptographic messages of any bytes, and of any bytes where the string that is signed stands:
//! nothing is found that is not there, and a message that holds them is decomposed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::Cms;
use postroom_mime::cms_kind;
use postroom_mime::cms_signed_content;

/// The way to the string of a signed message: lengths are marked, so that any bytes may follow.
const HEAD: &[u8] = b"\x30\x80\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02\xA0\x80\
    \x30\x80\x02\x01\x01\x31\x00\x30\x80\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01\xA0\x80";

fuzz_target!(|bytes: &[u8]| {
    let _ = cms_kind(bytes);
    let around = [HEAD, bytes].concat();
    for message in [bytes, &around] {
        let content = cms_signed_content(message).unwrap_or_default();
        assert!(content.len() <= message.len());
    }
    assert_eq!(cms_kind(&around), Some(Cms::Signed));
    let fields = b"From: a@b.test\r\nContent-Type: application/pkcs7-mime\r\n\r\n";
    let message = [fields, around.as_slice()].concat();
    let found = postroom_mime::parse(&message);
    for part in found.html.iter().chain(&found.inlines).chain(&found.attachments) {
        assert_eq!(part.decode(&message).len() as u64, part.size_bytes);
    }
});
