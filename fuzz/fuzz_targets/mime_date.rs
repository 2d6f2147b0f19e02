//! Dates: any text is one of a year that mail can have, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// 1 January 1900 and 2200, in milliseconds.
const YEARS: std::ops::Range<i64> = -2_208_988_800_000..7_258_118_400_000;

fuzz_target!(|text: &str| {
    if let Some(ms) = postroom_mime::date::parse(text) {
        assert!(YEARS.contains(&ms), "{ms}");
    }
});
