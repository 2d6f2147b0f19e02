//! Answers of token endpoints: a token can be sent in a line, and lives for a bounded time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_model::oauth_answer::TokenAnswer;
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let Some((status, body)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let body = serde_json::from_slice(body).unwrap_or_default();
    for status in [200, 400, u16::from_le_bytes(*status)] {
        if let TokenAnswer::Granted(parts) = TokenAnswer::read(status, &body) {
            assert!(parts.access_token.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(!parts.access_token.is_empty() && parts.refresh_token != Some(""));
            assert!(parts.life <= Duration::from_secs(366 * 86_400));
        }
    }
});
