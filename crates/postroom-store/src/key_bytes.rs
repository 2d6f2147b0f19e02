//! 32 secret bytes, with which other bytes are encrypted or hashed.
//!
//! Standards: RFC 8439 (ChaCha20-Poly1305).

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::Key;
use chacha20poly1305::KeyInit;
use chacha20poly1305::Nonce;
use chacha20poly1305::aead::Aead;
use chacha20poly1305::aead::Payload;
use secrecy::ExposeSecret;
use secrecy::SecretBox;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroize;
use zeroize::Zeroizing;

/// How many bytes a key has.
pub(crate) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const MARK_BYTES: usize = 8;
/// What the mark of a key is derived for, so that it says nothing about the key.
const MARK_CONTEXT: &str = "postroom 2026 mark of a key";

/// 32 secret bytes. They are never shown, not even in debug output. Clones share them, so that they
/// are in memory once.
#[derive(Clone)]
pub(crate) struct KeyBytes(Arc<SecretBox<[u8; KEY_BYTES]>>);

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(…)")
    }
}

/// What tells a key from others without revealing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMark([u8; MARK_BYTES]);

impl KeyMark {
    /// Its bytes, as the database keeps them.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// The mark of these bytes. `None`: they are none.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl KeyBytes {
    /// A new key.
    pub(crate) fn random() -> Self {
        Self::of(random_bytes())
    }

    /// The key of these bytes, which are overwritten.
    pub(crate) fn of(mut bytes: [u8; KEY_BYTES]) -> Self {
        let key = SecretBox::init_with_mut(|key: &mut [u8; KEY_BYTES]| {
            key.copy_from_slice(&bytes);
        });
        bytes.zeroize();
        Self(Arc::new(key))
    }

    /// Its bytes.
    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        self.0.expose_secret()
    }

    /// Encrypts a secret for one place (`context`). It cannot be decrypted for another place.
    pub(crate) fn seal(&self, context: &str, secret: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = random_bytes();
        let payload = Payload { msg: secret, aad: context.as_bytes() };
        // Encryption of less than 256 GB into memory cannot fail.
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), payload).unwrap_or_default();
        [nonce.as_slice(), &sealed].concat()
    }

    /// Decrypts what was sealed for the same place. `None`: it was not, or with another key.
    pub(crate) fn open(&self, context: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: context.as_bytes() };
        self.cipher().decrypt(&Nonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }

    /// Encrypts another key for one place.
    pub(crate) fn wrap(&self, context: &str, key: &Self) -> Vec<u8> {
        self.seal(context, key.expose())
    }

    /// Decrypts a key that was wrapped for the same place. `None`: it was not, or with another key.
    pub(crate) fn unwrapped(&self, context: &str, wrapped: &[u8]) -> Option<Self> {
        let bytes = self.open(context, wrapped)?;
        bytes.as_slice().try_into().ok().map(Self::of)
    }

    /// The hash of a text, which is useless without the key.
    pub(crate) fn hash(&self, text: &str) -> [u8; 32] {
        *blake3::keyed_hash(self.expose(), text.as_bytes()).as_bytes()
    }

    /// What tells it from other keys.
    pub(crate) fn mark(&self) -> KeyMark {
        let mut hasher = blake3::Hasher::new_derive_key(MARK_CONTEXT);
        let mut mark = [0; MARK_BYTES];
        hasher.update(self.expose()).finalize_xof().fill(&mut mark);
        KeyMark(mark)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(*self.expose()))
    }
}

/// Random bytes of the operating system, taken from random UUIDs.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
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

    #[test]
    fn a_wrapped_key_opens_only_with_its_key_in_its_place() {
        let (outer, inner) = (KeyBytes::random(), KeyBytes::random());
        let wrapped = outer.wrap("here", &inner);
        let opened = outer.unwrapped("here", &wrapped).unwrap();
        assert_eq!((opened.expose(), opened.mark()), (inner.expose(), inner.mark()));
        assert!(outer.unwrapped("there", &wrapped).is_none());
        assert!(inner.unwrapped("here", &wrapped).is_none());
        assert!(outer.unwrapped("here", &outer.seal("here", b"short")).is_none());
        assert_ne!(outer.mark(), inner.mark());
        assert_eq!(outer.mark().to_string().len(), 2 * MARK_BYTES);
        assert_eq!(KeyMark::from_bytes(&outer.mark().to_bytes()), Some(outer.mark()));
    }
}
