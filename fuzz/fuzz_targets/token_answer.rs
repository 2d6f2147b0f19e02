//! Answers of token endpoints: a token can be sent in a line, and lives for a bounded time. Codes
//! for a consent on another device can be shown, and are asked about within limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_model::oauth_answer::TokenAnswer;
use postroom_model::oauth_device::DeviceCodes;
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let Some((status, body)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let body = serde_json::from_slice(body).unwrap_or_default();
    if let Ok(codes) = DeviceCodes::read(&body) {
        assert!(!codes.device_code.is_empty() && codes.device_code.len() <= 4096);
        assert!(!codes.user_code.chars().any(char::is_control));
        let is_address = |uri: &str| uri.starts_with("http") || uri.starts_with("HTTP");
        assert!(is_address(&codes.verification_uri.to_ascii_lowercase()));
        assert!((1..=300).contains(&codes.interval.as_secs()));
        assert!(codes.life <= Duration::from_secs(86_400));
    }
    for status in [200, 400, u16::from_le_bytes(*status)] {
        if let TokenAnswer::Granted(parts) = TokenAnswer::read(status, &body) {
            assert!(parts.access_token.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(!parts.access_token.is_empty() && parts.refresh_token != Some(""));
            assert!(parts.life <= Duration::from_secs(366 * 86_400));
        }
    }
});
