//! The keys of a database, opened in memory.
//!
//! ```text
//!   master key ─► root key ─► key of each domain ─► secrets of the domain
//!                        └──► key of hashes ──────► hashes of tokens
//! ```
//! A sealed secret begins with [`FORMAT`] and the number of its key. Versions before this one
//! sealed with the master key itself, and their secrets begin with chance. A domain has its first
//! key when its first secret is sealed. That key is stored with the secret, in one batch. Two
//! processes may do so at the same time, so a domain may have several keys, and all of them open.

use crate::error::Error;
use crate::key;
use crate::key::MasterKey;
use crate::key_bytes::KeyBytes;
use crate::key_bytes::random_bytes;
use postroom_model::Domain;
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

/// What a sealed secret begins with. Chance begins so once in 2^56 times. A byte with the version
/// of the form follows.
const FORMAT: [u8; 7] = *b"\xF3sealed";
/// The form of this version: the number of the key (8 bytes), the nonce, and the encrypted text.
const FORM: u8 = 1;
const NUMBER_BYTES: usize = 8;

/// The number of a key in a database. It is made by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyNumber(pub(crate) i64);

impl KeyNumber {
    fn random() -> Self {
        let number = i64::from_be_bytes(random_bytes());
        Self(number & i64::MAX)
    }

    /// The key of a sealed secret. `None`: it was sealed with the master key, or is none.
    pub(crate) fn of(sealed: &[u8]) -> Option<Self> {
        let (number, _) = body(sealed)?.split_first_chunk::<NUMBER_BYTES>()?;
        Some(Self(i64::from_be_bytes(*number)))
    }
}

/// What follows the format in a sealed secret of this form.
fn body(sealed: &[u8]) -> Option<&[u8]> {
    sealed.strip_prefix(&FORMAT)?.strip_prefix(&[FORM])
}

/// A key of a domain.
#[derive(Debug, Clone)]
pub(crate) struct DomainKey {
    pub number: KeyNumber,
    pub domain: Domain,
    pub key: KeyBytes,
    /// Whether the database has it. If not, the first batch with a secret of it stores it.
    pub is_stored: bool,
}

/// The keys of domains that are in memory.
#[derive(Debug, Default)]
struct DomainKeys {
    by_number: HashMap<KeyNumber, DomainKey>,
    /// The key that new secrets of a domain are sealed with.
    newest: HashMap<Domain, KeyNumber>,
}

/// The keys that are opened when the store is opened.
#[derive(Debug)]
pub(crate) struct OpenedKeys {
    /// The key that was given. It opens the root key, and the secrets of earlier versions.
    pub master: MasterKey,
    /// The key that opens all others.
    pub root: KeyBytes,
    /// The key of new hashes of tokens.
    pub hash: KeyBytes,
    /// The key of hashes that earlier versions made: the master key of that time. `None`: there
    /// are none.
    pub former_hash: Option<KeyBytes>,
}

/// The keys of a database. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Keyring {
    opened: Arc<OpenedKeys>,
    domains: Arc<RwLock<DomainKeys>>,
}

impl Keyring {
    pub(crate) fn new(opened: OpenedKeys, keys: Vec<DomainKey>) -> Self {
        let keyring = Self { opened: Arc::new(opened), domains: Arc::default() };
        keyring.learn(keys);
        keyring
    }

    /// The keys that were opened with the store.
    pub(crate) fn opened(&self) -> &OpenedKeys {
        &self.opened
    }

    /// Adds keys. The last one of a domain seals its new secrets.
    pub(crate) fn learn(&self, keys: Vec<DomainKey>) {
        let mut domains = self.domains.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            domains.newest.insert(key.domain.clone(), key.number);
            domains.by_number.insert(key.number, key);
        }
    }

    /// A key by its number. `None`: it is not in memory.
    pub(crate) fn get(&self, number: KeyNumber) -> Option<DomainKey> {
        let domains = self.domains.read().unwrap_or_else(PoisonError::into_inner);
        domains.by_number.get(&number).cloned()
    }

    /// The key that new secrets of a domain are sealed with. If none is in memory, it is made.
    fn newest(&self, domain: &Domain) -> DomainKey {
        let of = |domains: &DomainKeys| {
            domains.newest.get(domain).and_then(|number| domains.by_number.get(number)).cloned()
        };
        if let Some(key) = of(&self.domains.read().unwrap_or_else(PoisonError::into_inner)) {
            return key;
        }
        let mut domains = self.domains.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        of(&domains).unwrap_or_else(|| {
            let (number, domain) = (KeyNumber::random(), domain.clone());
            let key = KeyBytes::random();
            let made = DomainKey { number, domain: domain.clone(), key, is_stored: false };
            domains.by_number.insert(number, made.clone());
            domains.newest.insert(domain, number);
            made
        })
    }

    /// Notes that the database has these keys.
    pub(crate) fn stored(&self, numbers: &[KeyNumber]) {
        if numbers.is_empty() {
            return;
        }
        let mut domains = self.domains.write().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            if let Some(key) = domains.by_number.get_mut(number) {
                key.is_stored = true;
            }
        }
    }

    /// Forgets keys that the database does not have any more.
    pub(crate) fn forget(&self, numbers: &[KeyNumber]) {
        let mut domains = self.domains.write().unwrap_or_else(PoisonError::into_inner);
        domains.by_number.retain(|number, _| !numbers.contains(number));
        domains.newest.retain(|_, number| !numbers.contains(number));
    }

    /// Forgets all keys of a domain.
    pub(crate) fn forget_domain(&self, domain: &Domain) {
        let mut domains = self.domains.write().unwrap_or_else(PoisonError::into_inner);
        domains.by_number.retain(|_, key| key.domain != *domain);
        domains.newest.remove(domain);
    }

    /// The numbers of the keys that the database had when they were read or stored.
    pub(crate) fn numbers_stored(&self) -> Vec<KeyNumber> {
        let domains = self.domains.read().unwrap_or_else(PoisonError::into_inner);
        let stored = domains.by_number.values().filter(|key| key.is_stored);
        stored.map(|key| key.number).collect()
    }

    /// Encrypts a secret of a domain for one place. It cannot be decrypted for another place.
    pub(crate) fn seal(&self, domain: &Domain, place: &str, secret: &str) -> Vec<u8> {
        let DomainKey { number, key, .. } = self.newest(domain);
        let sealed = key.seal(place, secret.as_bytes());
        [FORMAT.as_slice(), &[FORM], &number.0.to_be_bytes(), &sealed].concat()
    }

    /// Decrypts a secret that was sealed for this place, by this version or an earlier one.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it was sealed with another key or for another place;
    /// [`Error::SecretKeyGone`] when the key of its domain is gone; [`Error::SecretNewer`] when a
    /// later version sealed it.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<SecretString, Error> {
        let Some(form) = sealed.strip_prefix(&FORMAT).and_then(<[u8]>::first) else {
            return self.opened.master.open(place, sealed);
        };
        if *form > FORM {
            return Err(Error::SecretNewer);
        }
        let number = KeyNumber::of(sealed).ok_or(Error::Damaged { what: "a secret" })?;
        let key = self.get(number).ok_or(Error::SecretKeyGone)?;
        let sealed = body(sealed).and_then(|body| body.get(NUMBER_BYTES..)).unwrap_or_default();
        key::opened(&key.key, place, sealed)
    }

    /// The hash of a token, which the database has instead of it. It is useless without the key.
    pub(crate) fn token_hash(&self, token: &str) -> [u8; 32] {
        self.opened.hash.hash(token)
    }

    /// The hash of a token as an earlier version made it. `None`: no earlier version made any.
    pub(crate) fn former_token_hash(&self, token: &str) -> Option<[u8; 32]> {
        self.opened.former_hash.as_ref().map(|key| key.hash(token))
    }
}

/// What seals the secrets of one domain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealer<'a> {
    pub keys: &'a Keyring,
    pub domain: &'a Domain,
}

impl Sealer<'_> {
    /// Encrypts a secret for one place.
    pub(crate) fn seal(&self, place: &str, secret: &str) -> Vec<u8> {
        self.keys.seal(self.domain, place, secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::keyring;
    use secrecy::ExposeSecret;

    #[test]
    fn a_secret_opens_with_the_key_of_its_domain_alone_and_in_its_place() {
        let keys = keyring();
        let (acme, other) = (Domain::new("acme").unwrap(), Domain::new("other").unwrap());
        let sealed = keys.seal(&acme, "account/1", "hush");
        assert_ne!(sealed, keys.seal(&acme, "account/1", "hush"), "the nonce differs");
        let number = KeyNumber::of(&sealed).unwrap();
        assert_eq!(KeyNumber::of(&keys.seal(&acme, "account/2", "x")), Some(number));
        assert_ne!(KeyNumber::of(&keys.seal(&other, "account/1", "hush")), Some(number));
        assert_eq!(keys.open("account/1", &sealed).unwrap().expose_secret(), "hush");
        assert!(keys.open("account/2", &sealed).is_err());
        assert!(keys.open("account/1", &sealed[..9]).is_err());
        let mut later = sealed.clone();
        later[FORMAT.len()] = FORM + 1;
        assert!(matches!(keys.open("account/1", &later), Err(Error::SecretNewer)));
        keys.forget(&[number]);
        assert!(matches!(keys.open("account/1", &sealed), Err(Error::SecretKeyGone)));
        assert_ne!(KeyNumber::of(&keys.seal(&acme, "account/1", "hush")), Some(number));
    }

    #[test]
    fn a_secret_of_an_earlier_version_opens() {
        let keys = keyring();
        let sealed = keys.opened().master.seal("account/1", "hush");
        assert_eq!(KeyNumber::of(&sealed), None);
        assert_eq!(keys.open("account/1", &sealed).unwrap().expose_secret(), "hush");
        assert!(keys.open("account/2", &sealed).is_err());
    }
}
