//! A stored secret, which stays encrypted in memory until it is used.

use crate::error::Error;
use crate::keyring::Keyring;
use secrecy::SecretString;

const MARK_BYTES: usize = 16;

/// A stored secret of an account. It stays encrypted in memory until it is used.
#[derive(Debug, Clone)]
pub struct Sealed {
    keys: Keyring,
    place: String,
    bytes: Vec<u8>,
}

impl Sealed {
    pub(crate) fn new(keys: &Keyring, place: String, bytes: &[u8]) -> Self {
        Self { keys: keys.clone(), place, bytes: bytes.to_vec() }
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it was not sealed for this place with a key of this database;
    /// [`Error::SecretKeyGone`] when the key of its domain was erased; [`Error::SecretNewer`] when
    /// a later version sealed it.
    pub fn open(&self) -> Result<SecretString, Error> {
        self.keys.open(&self.place, &self.bytes)
    }

    /// A value that differs for each saving of the secret.
    #[must_use]
    pub fn mark(&self) -> SecretMark {
        let mut mark = [0; MARK_BYTES];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.bytes).update(self.place.as_bytes()).finalize_xof().fill(&mut mark);
        SecretMark(mark)
    }
}

/// A value that differs for each saving of a secret, and reveals nothing about the secret. Saving
/// the same secret again makes another mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretMark([u8; MARK_BYTES]);
