//! Challenges by which a server refuses an access token: what people are told is short and has no
//! control characters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_net::bearer;

fuzz_target!(|text: &str| {
    if let Some(words) = bearer::refusal(text) {
        assert!(words.chars().count() < 600, "{words}");
        assert!(!words.chars().any(char::is_control), "{words:?}");
    }
});
