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
use std::os::unix::fs::PermissionsExt;
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
    warn_if_open(given, file);
    let mut text = String::new();
    opened.take(FILE_BYTES_MAX).read_to_string(&mut text).with_context(at)?;
    trimmed(&SecretString::from(text))
        .with_context(|| format!("{}: the file is empty, and takes the secret", at()))
}

/// Warns if other users of this machine can read or change a file that has a secret. It is taken
/// all the same, because some ways to hand secrets to a container give no other mode.
pub(crate) fn warn_if_open(given: &str, file: &Path) {
    // Whoever reads it says why that fails.
    if let Some(mode) = open_mode(file).ok().flatten() {
        let file = file.display();
        tracing::warn!(
            "{given}: other users of this machine can read or change {file} (mode {mode:04o}), and \
             it has a secret. Close it: chmod 600 {file} (or 640, if its owner is another user \
             than the one that runs Postroom)"
        );
    }
}

/// The mode of a file that other users can read or change. `None`: they cannot, also because a
/// directory above it is closed to them.
fn open_mode(file: &Path) -> std::io::Result<Option<u32>> {
    const READ_OR_WRITTEN: u32 = 0o006;
    const PASSED: u32 = 0o001;
    let mode = |path: &Path| Ok::<_, std::io::Error>(path.metadata()?.permissions().mode());
    let own = mode(file)? & 0o7777;
    if own & READ_OR_WRITTEN == 0 {
        return Ok(None);
    }
    for directory in file.canonicalize()?.ancestors().skip(1) {
        if mode(directory)? & PASSED == 0 {
            return Ok(None);
        }
    }
    Ok(Some(own))
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
    #[test]
    fn a_file_is_open_if_others_reach_and_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "x").unwrap();
        let open = |of_directory: u32, of_file: u32| {
            let set = |path: &Path, mode| {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            };
            set(directory.path(), of_directory);
            set(&file, of_file);
            open_mode(&file).unwrap()
        };
        #[rustfmt::skip]
        let table = [
            (0o755, 0o644, Some(0o644)),
            (0o755, 0o602, Some(0o602)),
            (0o711, 0o444, Some(0o444)),
            (0o755, 0o600, None),
            (0o755, 0o640, None),
            (0o700, 0o644, None),
            (0o750, 0o666, None),
        ];
        for (of_directory, of_file, want) in table {
            assert_eq!(open(of_directory, of_file), want, "{of_directory:o} {of_file:o}");
        }
    }
}
