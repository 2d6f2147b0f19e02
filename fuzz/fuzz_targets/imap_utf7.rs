//! Names of mailboxes in modified UTF-7: any bytes are shown, and what is made comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_imap::MailboxName;

fuzz_target!(|bytes: &[u8]| {
    let name = MailboxName::from_bytes(bytes);
    let _ = name.to_display();
    let encoded = name.to_percent_encoded();
    assert_eq!(MailboxName::from_percent_encoded(&encoded).as_bytes(), name.as_bytes());
    if let Ok(text) = std::str::from_utf8(bytes) {
        let made = MailboxName::from_display(text);
        // Control characters are not shown, and INBOX has one spelling.
        let plain = !text.chars().any(char::is_control) && !text.eq_ignore_ascii_case("inbox");
        assert!(!plain || made.to_display() == text);
    }
});
