//! The disk of the data directory: whether it has room, and which process uses it.

use crate::error::Error;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The bytes that are written as a probe.
static BLOCK: [u8; 64 * 1024] = [0x5A; 64 * 1024];

/// Writes so many bytes into a file of the directory, and removes it.
///
/// # Errors
///
/// [`Error::Full`] when there is no space for them, [`Error::File`] when nothing can be written.
pub(crate) fn probe(directory: &Path, bytes: usize) -> Result<(), Error> {
    let path = directory.join("probe");
    let written = write(&path, bytes);
    // A file that could not be made need not be removed.
    let removed = match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    };
    written.and(removed).map_err(|source| {
        let is_full =
            matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if is_full { Error::Full } else { Error::File { path, source } }
    })
}

/// Whether the disk of the directory has so many bytes free. `true` if the disk does not tell.
pub(crate) fn has_space(directory: &Path, bytes: usize) -> bool {
    rustix::fs::statvfs(directory)
        .map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= bytes as u64)
}

/// A data directory that no other process uses until this value is dropped.
#[derive(Debug)]
pub struct DirectoryLock(File);

impl DirectoryLock {
    /// Locks a directory for this process. A store with a SQLite database needs no call of this,
    /// because it takes the same lock when it is opened.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] when another process has it.
    pub fn take(directory: &Path) -> Result<Self, Error> {
        lock(directory).map(Self)
    }

    /// What identifies the directory until the next start of this host, so that a process knows
    /// that whoever had the same directory before has ended. `None`: the host does not tell.
    #[must_use]
    pub fn seat(&self) -> Option<String> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let at = self.0.metadata().ok()?;
        Some(format!("{} {}:{}", boot.trim(), at.dev(), at.ino()))
    }
}

/// Locks the directory for this process, as long as the file is open.
///
/// # Errors
///
/// [`Error::Locked`] when another process has it.
pub(crate) fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let failed = |source| Error::File { path: path.clone(), source };
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::Locked { directory: directory.to_owned() })
        }
        Err(std::fs::TryLockError::Error(source)) => Err(Error::File { path, source }),
    }
}

fn write(path: &Path, bytes: usize) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    for _ in 0..bytes.div_ceil(BLOCK.len()) {
        file.write_all(&BLOCK)?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        probe(directory.path(), 100_000).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let gone = directory.path().join("gone");
        assert!(matches!(probe(&gone, 1), Err(Error::File { .. })));
    }
}
