//! The master key, which opens the keys that secrets are encrypted with.

use crate::error::Error;
use crate::key_bytes::KEY_BYTES;
use crate::key_bytes::KeyBytes;
use crate::key_bytes::KeyMark;
use crate::key_bytes::random_bytes;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use postroom_model::webhook::SECRET_PREFIX;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::io;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use zeroize::Zeroize;

/// The name of the file in the data directory that holds the database.
pub const DATABASE_FILE: &str = "postroom.db";
/// The name of the file in the data directory that holds the key.
pub const KEY_FILE: &str = "key";
/// The name of the file in the data directory that holds the key which takes its place.
const NEXT_FILE: &str = "key.next";

/// Writes a file. If the process ends meanwhile, the file is complete or does not exist.
fn make(path: &Path, text: &str) -> io::Result<()> {
    let mut begun = path.as_os_str().to_owned();
    begun.push(".new");
    let begun = PathBuf::from(begun);
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
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Gives a file that root has made to the user of its directory, who could not read it otherwise.
fn give(file: &Path, directory: &Path) -> io::Result<()> {
    let (own, of) = (file.metadata()?, directory.metadata()?);
    if own.uid() != 0 || of.uid() == 0 {
        return Ok(());
    }
    std::os::unix::fs::chown(file, Some(of.uid()), Some(of.gid()))
}

/// The key that opens the keys of a database. It is never shown, not even in debug output.
#[derive(Debug, Clone)]
pub struct MasterKey(KeyBytes);

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

    fn of(mut bytes: blake3::Hash) -> Self {
        let key = Self(KeyBytes::of(*bytes.as_bytes()));
        bytes.zeroize();
        key
    }

    /// Reads the key from a file. If there is none, makes it with a new key. Only its owner can
    /// read it (0600).
    ///
    /// # Errors
    ///
    /// When the file cannot be read or made, or holds something else.
    pub fn in_file(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        match std::fs::read(path) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| Error::KeyForm)?;
                Self::from_hex(&SecretString::from(text))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes = blake3::Hash::from_bytes(random_bytes());
                let text = SecretString::from(format!("{}\n", bytes.to_hex()));
                make(path, text.expose_secret()).map_err(failed)?;
                Ok(Self::of(bytes))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Reads the key from the file `key` of the data directory. If there is neither a key nor a
    /// database, makes the file, which only its owner can read (0600).
    ///
    /// # Errors
    ///
    /// When the file cannot be read or made, is missing beside a database, or holds something else.
    pub fn in_directory(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(KEY_FILE);
        if matches!(path.try_exists(), Ok(false)) && directory.join(DATABASE_FILE).exists() {
            return Err(Error::KeyMissing { path });
        }
        Self::in_file(&path)
    }

    /// The key as 64 hexadecimal digits, for a backup.
    pub(crate) fn to_hex(&self) -> SecretString {
        let digits = blake3::Hash::from_bytes(*self.0.expose()).to_hex();
        SecretString::from(digits.to_string())
    }

    /// What tells it from other keys.
    #[must_use]
    pub fn mark(&self) -> KeyMark {
        self.0.mark()
    }

    /// Its bytes as a key that opens keys, or, of an earlier version, secrets and hashes of tokens.
    pub(crate) fn bytes(&self) -> &KeyBytes {
        &self.0
    }

    /// Encrypts a secret for one place (`context`), as versions did that had no keys of domains.
    #[must_use]
    pub fn seal(&self, context: &str, secret: &str) -> Vec<u8> {
        self.0.seal(context, secret.as_bytes())
    }

    /// Decrypts what [`Self::seal`] encrypted for the same place.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it was not sealed with this key for this place.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<SecretString, Error> {
        opened(&self.0, context, sealed)
    }
}

/// The text that was encrypted with a key for a place.
///
/// # Errors
///
/// [`Error::Damaged`] when it was not encrypted with this key for this place.
pub(crate) fn opened(key: &KeyBytes, context: &str, sealed: &[u8]) -> Result<SecretString, Error> {
    const DAMAGED: Error = Error::Damaged { what: "a secret" };
    let opened = key.open(context, sealed).ok_or(DAMAGED)?;
    let text = std::str::from_utf8(&opened).map_err(|_| DAMAGED)?;
    Ok(SecretString::from(text))
}

/// The keys in a data directory, of which the next one takes the place of the present one.
#[derive(Debug)]
pub struct KeyFiles<'a>(pub &'a Path);

impl KeyFiles<'_> {
    /// The key in the file `key.next`. If there is no such file, it is made with a new key.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or made, or holds something else.
    pub fn next(&self) -> Result<MasterKey, Error> {
        MasterKey::in_file(&self.0.join(NEXT_FILE))
    }

    /// Whether there is a next key.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.0.join(NEXT_FILE).exists()
    }

    /// Gives the next key the place of the present one, durably. If root does it, the key belongs
    /// to the user of the directory.
    ///
    /// # Errors
    ///
    /// When the file cannot be renamed.
    pub fn replace(&self) -> Result<(), Error> {
        let path = self.0.join(NEXT_FILE);
        let given = give(&path, self.0);
        let renamed = given.and_then(|()| std::fs::rename(&path, self.0.join(KEY_FILE)));
        let synced = renamed.and_then(|()| std::fs::File::open(self.0)?.sync_all());
        synced.map_err(|source| Error::File { path, source })
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
        assert_eq!(made.mark(), read.mark());
        let mode = std::fs::metadata(directory.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(format!("{made:?}"), "MasterKey(KeyBytes(…))");
    }

    #[test]
    fn a_key_that_root_replaces_is_of_the_user_of_its_directory() {
        const USER: u32 = 65_534;
        let directory = tempfile::tempdir().unwrap();
        let files = KeyFiles(directory.path());
        if std::os::unix::fs::chown(directory.path(), Some(USER), Some(USER)).is_err() {
            postroom_testkit::skipped("needs root, who may give a directory to another user");
            return;
        }
        files.next().unwrap();
        files.replace().unwrap();
        assert_eq!(directory.path().join(KEY_FILE).metadata().unwrap().uid(), USER);
    }
}
