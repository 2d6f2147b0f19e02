//! Reads secrets from a file, a systemd credential or the environment, in this order, and keeps
//! them out of core dumps.

use anyhow::Context;
use anyhow::bail;
use rustix::process::DumpableBehavior;
use rustix::process::Resource;
use rustix::process::Rlimit;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// The maximum size of a file with a secret.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The administrator's token.
pub(crate) const ADMIN_TOKEN: SecretSource = SecretSource {
    argument: "--admin-token-file",
    credential: "postroom.admin-token",
    variable: "POSTROOM_ADMIN_TOKEN",
};

/// The key that passwords are encrypted with.
pub(crate) const MASTER_KEY: SecretSource = SecretSource {
    argument: "--master-key-file",
    credential: "postroom.master-key",
    variable: "POSTROOM_MASTER_KEY",
};

/// The password of the database.
pub(crate) const DATABASE_PASSWORD: SecretSource = SecretSource {
    argument: "--database-password-file",
    credential: "postroom.database-password",
    variable: "POSTROOM_DATABASE_PASSWORD",
};

/// The places that a secret may come from.
pub(crate) struct SecretSource {
    argument: &'static str,
    credential: &'static str,
    variable: &'static str,
}

impl SecretSource {
    /// Reads the secret from the given file, otherwise from a credential, otherwise from the
    /// environment.
    ///
    /// # Errors
    ///
    /// The secret is empty, not Unicode, or cannot be read.
    pub(crate) fn read(&self, file: Option<&Path>) -> anyhow::Result<Option<SecretString>> {
        if let Some(file) = file {
            return from_file(self.argument, file).map(Some);
        }
        let credentials = variable("CREDENTIALS_DIRECTORY")?.map(PathBuf::from);
        let credential = credentials.map(|directory| directory.join(self.credential));
        if let Some(file) = credential.filter(|file| file.exists()) {
            return from_file("CREDENTIALS_DIRECTORY", &file).map(Some);
        }
        match variable(self.variable)? {
            Some(value) if value.is_empty() => {
                bail!("{} is set but empty: unset it, or give it a value", self.variable)
            }
            value => Ok(value.map(SecretString::from)),
        }
    }
}

/// Reads a secret. A line end after it is not part of it.
fn from_file(given: &str, file: &Path) -> anyhow::Result<SecretString> {
    let at = || format!("{given}: {}", file.display());
    let opened = std::fs::File::open(file).with_context(at)?;
    let mut text = String::new();
    opened.take(FILE_BYTES_MAX).read_to_string(&mut text).with_context(at)?;
    trimmed(&SecretString::from(text))
        .with_context(|| format!("{}: the file is empty, and takes the secret", at()))
}

/// A secret without the line end after it. `None`: nothing is left of it.
pub(crate) fn trimmed(text: &SecretString) -> Option<SecretString> {
    let trimmed = text.expose_secret().trim_end_matches(['\r', '\n']);
    (!trimmed.is_empty()).then(|| SecretString::from(trimmed))
}

#[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            bail!("{name} is not valid Unicode: write it as UTF-8")
        }
    }
}

/// Keeps the memory out of core dumps, and away from other processes of the same user.
///
/// # Errors
///
/// When the kernel refuses.
pub(crate) fn keep_inside() -> anyhow::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none).context("forbidding core dumps")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("forbidding core dumps")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_file_is_its_text_without_the_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        let read = |text: &[u8]| {
            std::fs::write(&file, text).unwrap();
            MASTER_KEY.read(Some(&file)).map(|found| found.unwrap().expose_secret().to_owned())
        };
        assert_eq!(read(b"a b \r\n").unwrap(), "a b ");
        let empty = read(b"\n").unwrap_err().to_string();
        assert!(empty.contains("--master-key-file") && empty.contains("is empty"), "{empty}");
        assert!(read(b"\xFF").is_err());
        std::fs::remove_file(&file).unwrap();
        assert!(MASTER_KEY.read(Some(&file)).is_err(), "what was asked for must be there");
    }
}
