//! Dates: any text is one of a year that mail can have, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// From 1 January 1900 to 9999 and the day on either side that a zone can make, in milliseconds.
const YEARS: std::ops::Range<i64> = -2_209_075_200_000..253_370_851_200_000;

fuzz_target!(|text: &str| {
    if let Some(ms) = postroom_mime::parse_date(text) {
        assert!(YEARS.contains(&ms), "{ms}");
    }
});
