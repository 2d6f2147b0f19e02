//! The second factor of a user as it is kept: a JSON document, which is encrypted as one secret.

use crate::key_bytes::random_bytes;
use crate::totp;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value as Json;
use serde_json::json;
use zeroize::Zeroizing;

/// How many recovery codes a user gets.
pub(crate) const RECOVERY_CODES: usize = 10;
/// How many random bytes a recovery code has: 80 bits are 16 letters.
const RECOVERY_BYTES: usize = 10;
/// How many letters of a recovery code stand together.
const GROUP_CHARS: usize = 4;

/// So many wrong codes bar the codes of the app.
const WRONG_MAX: u32 = 5;
/// For how long first.
const BARRED_FIRST_MS: i64 = 30_000;
/// For how long at most.
const BARRED_LONGEST_MS: i64 = 15 * 60_000;

/// The second factor of a user as it is kept.
#[derive(Default)]
pub(crate) struct KeptFactor {
    /// The key of the codes. `None`: no login needs a code.
    pub key: Option<Zeroizing<Vec<u8>>>,
    /// The time step of the last code that was used.
    pub step: i64,
    /// How many wrong codes were given since a right one.
    pub wrong: u32,
    /// Until when no code of an app is taken, because too many were wrong.
    pub barred_ms: i64,
    /// The hashes of the recovery codes that are left, in hexadecimal digits.
    pub recovery: Vec<String>,
    /// The key that waits for its first code.
    pub waiting: Option<WaitingKey>,
}

/// A key that waits for its first code.
pub(crate) struct WaitingKey {
    pub key: Zeroizing<Vec<u8>>,
    pub until_ms: i64,
}

/// How a code is right.
pub(crate) enum RightCode {
    /// It is that of this time step.
    Step(i64),
    /// It is the recovery code at this place.
    Recovery(usize),
}

impl KeptFactor {
    /// Reads what [`Self::to_text`] wrote.
    pub(crate) fn read(text: &SecretString) -> Option<Self> {
        let json: Json = serde_json::from_str(text.expose_secret()).ok()?;
        let key =
            |json: &Json| json.as_str().and_then(|text| BASE64_STANDARD_NO_PAD.decode(text).ok());
        let waiting = json.get("waiting").filter(|waiting| !waiting.is_null());
        let waiting = match waiting {
            None => None,
            Some(waiting) => {
                let until_ms = waiting.get("until")?.as_i64()?;
                Some(WaitingKey { key: key(waiting.get("key")?)?.into(), until_ms })
            }
        };
        let own = json.get("key")?;
        let own = if own.is_null() { None } else { Some(key(own)?.into()) };
        let recovery = json.get("recovery")?.as_array()?.iter();
        let recovery = recovery.map(|hash| hash.as_str().map(str::to_owned));
        Some(Self {
            key: own,
            step: json.get("step")?.as_i64()?,
            wrong: json.get("wrong")?.as_u64().and_then(|count| count.try_into().ok())?,
            barred_ms: json.get("barred")?.as_i64()?,
            recovery: recovery.collect::<Option<_>>()?,
            waiting,
        })
    }

    /// The document.
    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        let text = |key: &Zeroizing<Vec<u8>>| BASE64_STANDARD_NO_PAD.encode(key.as_slice());
        let waiting = self.waiting.as_ref();
        let waiting = waiting.map(|one| json!({"key": text(&one.key), "until": one.until_ms}));
        let kept = json!({
            "key": self.key.as_ref().map(text), "step": self.step, "recovery": self.recovery,
            "waiting": waiting, "wrong": self.wrong, "barred": self.barred_ms,
        });
        Zeroizing::new(kept.to_string())
    }

    /// Notes a wrong code. Of six digits so many can be guessed, from many addresses, that codes
    /// must be barred for the user (RFC 4226 §7.3). `false`: there is nothing to note, because no
    /// code is taken now, or it was a guess of a recovery code.
    pub(crate) fn note_wrong(&mut self, given: &str, now_ms: i64) -> bool {
        if !totp::is_code(given) || now_ms < self.barred_ms {
            return false;
        }
        self.wrong = self.wrong.saturating_add(1);
        if let Some(beyond) = self.wrong.checked_sub(WRONG_MAX) {
            let wait_ms = BARRED_FIRST_MS << beyond.min(16);
            self.barred_ms = now_ms.saturating_add(wait_ms.min(BARRED_LONGEST_MS));
        }
        true
    }

    /// How a code is right. `given` has no spaces and no hyphens. While codes of the app are
    /// barred, recovery codes are right.
    pub(crate) fn proof(&self, given: &str, hash: &str, now_ms: i64) -> Option<RightCode> {
        let key = self.key.as_ref()?;
        if totp::is_code(given) {
            if now_ms < self.barred_ms {
                return None;
            }
            return totp::accepted(key, given, now_ms, self.step).map(RightCode::Step);
        }
        let hash = blake3::hash(hash.as_bytes());
        let is_it = |kept: &String| blake3::hash(kept.as_bytes()) == hash;
        self.recovery.iter().position(is_it).map(RightCode::Recovery)
    }
}

/// A new recovery code, in groups of letters.
pub(crate) fn recovery_code() -> SecretString {
    let bytes = Zeroizing::new(random_bytes::<RECOVERY_BYTES>());
    let letters = Zeroizing::new(totp::base32(bytes.as_slice()).to_ascii_lowercase());
    let groups: Vec<_> = letters.as_bytes().chunks(GROUP_CHARS).map(<[u8]>::escape_ascii).collect();
    let groups: Vec<_> = groups.into_iter().map(|group| group.to_string()).collect();
    SecretString::from(groups.join("-"))
}

/// A code as it is compared: people write it with spaces, hyphens and large letters.
pub(crate) fn plain(code: &SecretString) -> Zeroizing<String> {
    let is_kept = |char: &char| !char.is_whitespace() && *char != '-';
    let kept: String = code.expose_secret().chars().filter(is_kept).collect();
    Zeroizing::new(kept.to_ascii_lowercase())
}
