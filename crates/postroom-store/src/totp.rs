//! Codes that follow from a shared key and the time of day.
//!
//! ```text
//!   key (160 bits) + time step (30 s since 1970) ─► HMAC-SHA-1 ─► 6 digits
//! ```
//! The app of the user makes the same ones. Its clock may be wrong, so a code of the step before or
//! behind is right too. No code is taken twice: each one is of a later step than the last one.
//!
//! Standards: RFC 6238 (TOTP), RFC 4226 (HOTP), RFC 4648 §6 (base32).

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// How many bytes a key has (RFC 4226 §4).
pub(crate) const KEY_BYTES: usize = 20;
/// How many digits a code has.
const DIGITS: usize = 6;
/// 10 to the power of [`DIGITS`].
const CODES: u32 = 1_000_000;
/// How long a code is shown.
const STEP_MS: i64 = 30_000;
/// How many steps the clock of a user may be wrong (RFC 6238 §5.2).
const DRIFT: i64 = 1;
/// The letters of base32, each with 5 bits.
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The time step of a moment, in milliseconds since 1970.
pub(crate) fn step_of(now_ms: i64) -> i64 {
    now_ms.div_euclid(STEP_MS)
}

/// The code of a time step.
pub(crate) fn code(key: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    // The last 4 bits say where 31 bits of the number begin (RFC 4226 §5.3).
    let begins = usize::from(tag.last().copied().unwrap_or_default() & 0xF);
    let chosen = tag.get(begins..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    let number = u32::from_be_bytes(chosen) & 0x7FFF_FFFF;
    format!("{:0DIGITS$}", number % CODES)
}

/// Whether a text may be a code. What may not is compared with no code.
pub(crate) fn is_code(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The time step of a code that is right at a moment and was not used. `last`: the step of the last
/// code that was used. `None`: it is not right.
pub(crate) fn accepted(key: &[u8], given: &str, now_ms: i64, last: i64) -> Option<i64> {
    let now = step_of(now_ms);
    let (given, mut found) = (blake3::hash(given.as_bytes()), None);
    // All are compared, and hashes in a time that tells nothing.
    for step in now.saturating_sub(DRIFT)..=now.saturating_add(DRIFT) {
        let is_right = blake3::hash(code(key, step).as_bytes()) == given;
        if is_right && step > last {
            found = Some(step);
        }
    }
    found
}

/// Bytes in base32, without padding.
pub(crate) fn base32(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(5) * 8));
    for some in bytes.chunks(5) {
        let mut bits = [0; 8];
        for (bit, byte) in bits.iter_mut().skip(3).zip(some) {
            *bit = *byte;
        }
        let number = u64::from_be_bytes(bits);
        for at in 0..(some.len() * 8).div_ceil(5) {
            let letter = usize::try_from(number >> (35 - 5 * at) & 0x1F).unwrap_or_default();
            text.push(LETTERS.get(letter).copied().map_or('A', char::from));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"12345678901234567890";

    /// RFC 6238 appendix B has 8 digits, of which 6 are the last ones.
    #[test]
    fn codes_are_those_of_the_standard() {
        for (seconds, want) in [
            (59_i64, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(code(KEY, step_of(seconds * 1000)), want[2..], "{seconds}");
        }
        // RFC 4226 appendix D.
        let counted = ["755224", "287082", "359152", "969429", "338314", "254676"];
        for (count, want) in (0..).zip(counted) {
            assert_eq!(code(KEY, count), want, "{count}");
        }
    }

    #[test]
    fn a_code_is_right_for_a_step_before_and_behind_and_once() {
        let now_ms = 1_234_567_890_000;
        let now = step_of(now_ms);
        for (step, want) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let step = now + step;
            let found = accepted(KEY, &code(KEY, step), now_ms, i64::MIN);
            assert_eq!(found, want.then_some(step), "{step}");
            assert_eq!(accepted(KEY, &code(KEY, step), now_ms, step), None, "{step}: used");
        }
        let earlier = code(KEY, now - 1);
        assert_eq!(accepted(KEY, &earlier, now_ms, now), None, "a later one was used");
        assert_eq!(accepted(KEY, "", now_ms, 0), None);
        assert!(is_code("012345"));
        assert!(["", "12345", "1234567", "12345a", "١٢٣"].iter().all(|text| !is_code(text)));
    }

    /// RFC 4648 §10.
    #[test]
    fn base32_is_that_of_the_standard() {
        for (text, want) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(text.as_bytes()).as_str(), want, "{text}");
        }
    }
}
