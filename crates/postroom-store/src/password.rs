//! Passwords of users: only their hashes are stored, encrypted like all secrets.
//!
//! ```text
//!   password ──► argon2id ──► $argon2id$v=19$m=…,t=…,p=…$salt$hash ──► encrypted, in the row
//! ```
//! A hash takes 19 MiB of memory and some 20 ms of a processor. So few are made at once, on threads
//! of their own, and who waits too long is told to come again.
//!
//! Standards: RFC 9106 (Argon2), the PHC string format.

use crate::error::Error;
use crate::key_bytes::random_bytes;
use crate::store::Store;
use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::Version;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use postroom_model::Class;
use postroom_model::builtin::USERS;
use postroom_model::builtin::names;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Map;
use serde_json::Value as Json;
use std::time::Duration;
use zeroize::Zeroizing;

/// How many KiB of memory a hash takes.
const MEMORY_KIB: u32 = 19 * 1024;
/// How often that memory is passed.
const PASSES: u32 = 2;
/// How many threads share it.
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// How long a hash waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// What a hash was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HashCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

const PRESENT: HashCost = HashCost { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };

/// A hash with all that is needed to make it again.
struct KeptHash {
    cost: HashCost,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Store {
    /// Replaces the password among the values of a user by its hash. Values of other classes stay.
    ///
    /// # Errors
    ///
    /// [`Error::Crowded`] if too many hashes are being made.
    pub(crate) async fn hash_password(
        &self,
        class: &Class,
        values: &mut Map<String, Json>,
    ) -> Result<(), Error> {
        let password = values.get(names::PASSWORD).filter(|_| class.classname == USERS);
        let Some(password) = password.and_then(Json::as_str).map(SecretString::from) else {
            return Ok(());
        };
        let hash = self.in_turn(move || made(&password)).await??;
        values.insert(names::PASSWORD.to_owned(), Json::String(hash));
        Ok(())
    }

    /// Whether a password is that of a kept hash. Without one it takes as long, and is not.
    ///
    /// # Errors
    ///
    /// [`Error::Crowded`] if too many hashes are being made; [`Error::Damaged`].
    pub(crate) async fn password_is(
        &self,
        password: SecretString,
        kept: Option<SecretString>,
    ) -> Result<bool, Error> {
        self.in_turn(move || {
            let damaged = Error::Damaged { what: "a password" };
            let kept = match &kept {
                Some(kept) => Some(parsed(kept.expose_secret()).ok_or(damaged)?),
                None => None,
            };
            let nobody = || KeptHash { cost: PRESENT, salt: vec![0; SALT_BYTES], hash: vec![] };
            let is_known = kept.is_some();
            let kept = kept.unwrap_or_else(nobody);
            let hash = hashed(&password, &kept.salt, kept.cost)?;
            // Hashes of hashes are compared in a time that tells nothing.
            Ok(is_known && blake3::hash(hash.as_slice()) == blake3::hash(&kept.hash))
        })
        .await?
    }

    /// Makes a hash when it is its turn, on a thread of its own.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = tokio::time::timeout(TURN_WITHIN, self.inner.hash_turns.0.acquire()).await;
        let _turn = turn.map_err(|_| Error::Crowded)?.map_err(|_| Error::Closed)?;
        self.work().spawn(work).await.map_err(|_| Error::Closed)
    }
}

fn made(password: &SecretString) -> Result<String, Error> {
    let salt: [u8; SALT_BYTES] = random_bytes();
    let hash = hashed(password, &salt, PRESENT)?;
    let HashCost { memory_kib, passes, lanes } = PRESENT;
    Ok(format!(
        "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${}${}",
        BASE64_STANDARD_NO_PAD.encode(salt),
        BASE64_STANDARD_NO_PAD.encode(hash.as_slice())
    ))
}

fn hashed(
    password: &SecretString,
    salt: &[u8],
    cost: HashCost,
) -> Result<Zeroizing<[u8; HASH_BYTES]>, Error> {
    const UNUSABLE: Error = Error::Damaged { what: "the cost of a password" };
    let HashCost { memory_kib, passes, lanes } = cost;
    let params = Params::new(memory_kib, passes, lanes, Some(HASH_BYTES)).map_err(|_| UNUSABLE)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = Zeroizing::new([0; HASH_BYTES]);
    let password = password.expose_secret().as_bytes();
    argon2.hash_password_into(password, salt, hash.as_mut()).map_err(|_| UNUSABLE)?;
    Ok(hash)
}

/// A hash in the PHC string format, of a kind that [`made`] has made in some version.
fn parsed(text: &str) -> Option<KeptHash> {
    let rest = text.strip_prefix("$argon2id$v=19$")?;
    let mut parts = rest.split('$');
    let (cost, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut numbers = cost.split(',');
    let mut number = |name: &str| numbers.next()?.strip_prefix(name)?.parse().ok();
    let cost = HashCost { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
    let bytes = |text: &str| BASE64_STANDARD_NO_PAD.decode(text).ok();
    let is_whole = numbers.next().is_none() && parts.next().is_none();
    is_whole.then_some(KeptHash { cost, salt: bytes(salt)?, hash: bytes(hash)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_known_by_its_password_alone() {
        let [right, wrong] = ["correct horse", "correct house"].map(SecretString::from);
        let (one, other) = (made(&right).unwrap(), made(&right).unwrap());
        assert_ne!(one, other, "each has a salt of its own");
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        let kept = parsed(&one).unwrap();
        let is =
            |password| hashed(password, &kept.salt, kept.cost).unwrap().as_slice() == kept.hash;
        assert!(is(&right) && !is(&wrong));
        for odd in ["", "$argon2i$v=19$m=1,t=1,p=1$a$b", "$argon2id$v=19$m=1,t=1$a$b", &one[1..]] {
            assert!(parsed(odd).is_none(), "{odd}");
        }
        assert!(parsed(&format!("{one}$")).is_none());
    }

    /// The vector of RFC 9106 has a secret and data of its own, so this is one of the reference
    /// implementation: 2 passes, 64 MiB, `password` with `somesalt`.
    #[test]
    fn it_is_the_argon2id_of_others() {
        let cost = HashCost { memory_kib: 65_536, passes: 2, lanes: 1 };
        let hash = hashed(&SecretString::from("password"), b"somesalt", cost).unwrap();
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
    }
}
