//! The key that secrets are encrypted with.
//!
//! Standards: RFC 8439 (ChaCha20-Poly1305).

use crate::error::Error;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::Key;
use chacha20poly1305::KeyInit;
use chacha20poly1305::Nonce;
use chacha20poly1305::aead::Aead;
use chacha20poly1305::aead::Payload;
use postroom_model::webhook::SECRET_PREFIX;
use secrecy::ExposeSecret;
use secrecy::SecretBox;
use secrecy::SecretString;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroize;

/// The name of the file in the data directory that holds the database.
pub const DATABASE_FILE: &str = "postroom.db";
/// The name of the file in the data directory that holds the key.
pub const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const MARK_BYTES: usize = 16;

/// Writes a file. If the process ends meanwhile, the file is complete or does not exist.
fn make(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    let begun = directory.join("key.new");
    // The unfinished file of an earlier start.
    match std::fs::remove_file(&begun) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&begun)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&begun, path)?;
    std::fs::File::open(directory)?.sync_all()
}

/// 32 secret bytes. They are never shown, not even in debug output. Clones share them, so that they
/// are in memory once.
#[derive(Clone)]
pub struct MasterKey(Arc<SecretBox<[u8; KEY_BYTES]>>);

/// A stored secret of an account. It stays encrypted in memory until it is used.
#[derive(Debug, Clone)]
pub struct Sealed {
    key: MasterKey,
    place: String,
    bytes: Vec<u8>,
}

impl Sealed {
    pub(crate) fn new(key: &MasterKey, place: String, bytes: &[u8]) -> Self {
        Self { key: key.clone(), place, bytes: bytes.to_vec() }
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it was not sealed with this key for this place.
    pub fn open(&self) -> Result<SecretString, Error> {
        self.key.open(&self.place, &self.bytes)
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

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`Error::KeyForm`] when it is something else.
    pub fn from_hex(text: &SecretString) -> Result<Self, Error> {
        let bytes =
            blake3::Hash::from_hex(text.expose_secret().trim()).map_err(|_| Error::KeyForm)?;
        Ok(Self::of(bytes))
    }

    /// Reads the key from the file `key` of the data directory. If there is neither a key nor a
    /// database, makes the file, which only its owner can read (0600).
    ///
    /// # Errors
    ///
    /// When the file cannot be read or made, is missing beside a database, or holds something else.
    pub fn in_directory(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(KEY_FILE);
        let failed = |source| Error::File { path: path.clone(), source };
        match std::fs::read(&path) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| Error::KeyForm)?;
                Self::from_hex(&SecretString::from(text))
            }
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && directory.join(DATABASE_FILE).exists() =>
            {
                Err(Error::KeyMissing { path })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes = blake3::Hash::from_bytes(random_bytes());
                let text = SecretString::from(format!("{}\n", bytes.to_hex()));
                make(directory, &path, text.expose_secret()).map_err(failed)?;
                Ok(Self::of(bytes))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The key as 64 hexadecimal digits, for a backup.
    pub(crate) fn to_hex(&self) -> SecretString {
        let digits = blake3::Hash::from_bytes(*self.0.expose_secret()).to_hex();
        SecretString::from(digits.to_string())
    }

    fn of(mut bytes: blake3::Hash) -> Self {
        let key = SecretBox::init_with_mut(|key: &mut [u8; KEY_BYTES]| {
            key.copy_from_slice(bytes.as_bytes());
        });
        bytes.zeroize();
        Self(Arc::new(key))
    }

    /// Encrypts a secret for one place (`context`). It cannot be decrypted for another place.
    #[must_use]
    pub fn seal(&self, context: &str, secret: &str) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = random_bytes();
        let payload = Payload { msg: secret.as_bytes(), aad: context.as_bytes() };
        // Encryption of less than 256 GB into memory cannot fail.
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), payload).unwrap_or_default();
        [nonce.as_slice(), &sealed].concat()
    }

    /// Decrypts what was sealed for the same place.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it was not sealed with this key for this place.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<SecretString, Error> {
        const DAMAGED: Error = Error::Damaged { what: "a secret" };
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(DAMAGED)?;
        let payload = Payload { msg: sealed, aad: context.as_bytes() };
        let opened = self.cipher().decrypt(&Nonce::from(*nonce), payload).map_err(|_| DAMAGED)?;
        match String::from_utf8(opened) {
            Ok(text) => Ok(SecretString::from(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(DAMAGED)
            }
        }
    }

    /// The hash of a token, which the database has instead of it. It is useless without the key.
    #[must_use]
    pub(crate) fn token_hash(&self, token: &str) -> [u8; 32] {
        *blake3::keyed_hash(self.0.expose_secret(), token.as_bytes()).as_bytes()
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(*self.0.expose_secret()))
    }
}

/// A new token: 64 hexadecimal digits.
#[must_use]
pub fn random_token() -> SecretString {
    let bytes: [u8; KEY_BYTES] = random_bytes();
    SecretString::from(blake3::Hash::from_bytes(bytes).to_hex().to_string())
}

/// A new secret of a webhook.
#[must_use]
pub fn webhook_secret() -> SecretString {
    let bytes: [u8; KEY_BYTES] = random_bytes();
    SecretString::from(format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(bytes)))
}

/// Random bytes of the operating system, taken from random UUIDs.
fn random_bytes<const N: usize>() -> [u8; N] {
    let mut hasher = blake3::Hasher::new();
    for _ in 0..4 {
        hasher.update(uuid::Uuid::new_v4().as_bytes());
    }
    let mut bytes = [0; N];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> MasterKey {
        MasterKey::from_hex(&SecretString::from(digit.repeat(64))).unwrap()
    }

    #[test]
    fn a_secret_opens_only_with_its_key_in_its_place() {
        let sealed = key("a").seal("account/1", "hush");
        assert_ne!(sealed, key("a").seal("account/1", "hush"), "the nonce differs");
        assert_eq!(key("a").open("account/1", &sealed).unwrap().expose_secret(), "hush");
        assert!(key("a").open("account/2", &sealed).is_err());
        assert!(key("b").open("account/1", &sealed).is_err());
        assert!(key("a").open("account/1", b"short").is_err());
    }

    #[test]
    fn a_secret_of_a_webhook_is_one_and_each_is_another() {
        let (one, other) = (webhook_secret(), webhook_secret());
        assert_eq!(postroom_model::webhook::secret_problem(one.expose_secret()), None);
        assert_ne!(one.expose_secret(), other.expose_secret());
    }

    #[test]
    fn the_key_file_is_made_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let made = MasterKey::in_directory(directory.path()).unwrap();
        let read = MasterKey::in_directory(directory.path()).unwrap();
        assert_eq!(made.token_hash("t"), read.token_hash("t"));
        let mode = std::fs::metadata(directory.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(format!("{made:?}"), "MasterKey(…)");
    }
}
