//! Calendars of any content, with and without their first line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = postroom_mime::summarise_calendar(text);
    let begun = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{text}");
    assert!(postroom_mime::summarise_calendar(&begun).is_some());
});
