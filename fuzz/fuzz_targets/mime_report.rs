//! Reports of any content: the fields alone, and as a part of a message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::Report;
use postroom_mime::ReportKind;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        for kind in [ReportKind::DeliveryStatus, ReportKind::DispositionNotification] {
            let report = Report::read(kind, text);
            assert!(report.recipients.len() <= 1_000);
        }
    }
    let head = b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\
        Content-Type: message/delivery-status\r\n\r\n";
    let message = postroom_mime::parse(&[head, bytes].concat());
    let id = message.report.and_then(|report| report.message_id);
    assert!(id.is_none_or(|id| !id.is_empty() && !id.contains(char::is_whitespace)));
});
