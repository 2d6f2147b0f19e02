//! The app of a user who has a second factor: it makes codes.
//!
//! Standards: RFC 6238, RFC 4648 §6 (base32).

use aws_lc_rs::hmac;

/// How long a code is shown.
pub const TOTP_STEP_MS: i64 = 30_000;

/// The letters of base32, each with 5 bits.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The code of a key in base32 at a moment, in milliseconds since 1970. A letter that is none of
/// base32 counts as the first one.
#[must_use]
pub fn totp_code(key: &str, at_ms: i64) -> String {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, vec![]);
    for letter in key.bytes() {
        let value = LETTERS.bytes().position(|one| one == letter).unwrap_or_default();
        bits = bits << 5 | u32::try_from(value).unwrap_or_default();
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xFF).unwrap_or_default());
        }
    }
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = hmac::sign(&key, &at_ms.div_euclid(TOTP_STEP_MS).to_be_bytes());
    let begins = usize::from(tag.as_ref()[19] & 0xF);
    let number = tag.as_ref()[begins..begins + 4].iter().fold(0_u32, |n, b| n << 8 | u32::from(*b));
    format!("{:06}", (number & 0x7FFF_FFFF) % 1_000_000)
}
