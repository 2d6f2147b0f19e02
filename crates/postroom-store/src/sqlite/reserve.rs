//! The reserve: disk space for deletions, and for small writes that must not be lost. A deletion
//! writes before it frees space, so without the reserve nobody could make room on a full disk.
//!
//! It is a separate file. If such a batch finds no space, the file is truncated, but for a rest
//! that the next start takes. From then on, all other batches are refused until there is space for
//! a new reserve.

use rustix::fs::FallocateFlags;
use rustix::fs::StatVfs;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

/// The maximum size, which is the maximum size of the database's log.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How much of it is left when it is freed. A start takes that, because it writes before anybody
/// can delete.
const START_BYTES: u64 = 512 * 1024;
/// On a small disk, the size of the reserve is the size of the disk divided by this.
const PART: u64 = 5;

/// The reserve of a data directory.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    is_used: bool,
}

impl Reserve {
    /// Takes over the reserve in the directory of a database, or makes it. A reserve that was used
    /// before is made anew only when there is space.
    pub(super) fn beside(file: &Path) -> Self {
        let path = file.with_file_name("reserve");
        let length = std::fs::metadata(&path).map(|metadata| metadata.len());
        let is_used = length.as_ref().is_ok_and(|bytes| *bytes <= START_BYTES);
        let mut reserve = Self { path, is_used };
        if is_used || length.is_err() {
            reserve.restore();
        }
        if reserve.is_used && reserve.release_rest() {
            tracing::warn!("the rest of the reserve of disk space was freed for the start");
        }
        reserve
    }

    /// How many bytes it has when it is whole. `None`: this is not known.
    pub(super) fn holds(&self) -> Option<u64> {
        self.disk().ok().map(|disk| part_of(&disk))
    }

    /// How many bytes of the disk are free. `None`: this is not known.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        self.disk().ok().map(|disk| free_of(&disk))
    }

    /// Whether only batches that may use the reserve can write. Checks for space first.
    pub(super) fn is_used(&mut self) -> bool {
        if self.is_used {
            self.restore();
        }
        self.is_used
    }

    /// Frees the space. `false` when it is free already.
    pub(super) fn release(&mut self) -> bool {
        if self.is_used || !self.path.exists() {
            return false;
        }
        match self.cut(START_BYTES) {
            Ok(()) => {
                self.is_used = true;
                tracing::warn!(
                    "the reserve of disk space was freed, so that deletions and small writes that \
                     must not be lost still work"
                );
                true
            }
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "the reserve was not freed");
                false
            }
        }
    }

    /// Frees what is left of it, for a start. `false` when all of it is free already.
    fn release_rest(&self) -> bool {
        let has_rest = std::fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() > 0);
        has_rest && self.cut(0).is_ok()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        File::options().write(true).open(&self.path).and_then(|file| file.set_len(bytes))
    }

    /// Makes the reserve if there is space for it twice.
    fn restore(&mut self) {
        let made = self.bytes().and_then(|bytes| match bytes {
            Some(bytes) => self.make(bytes).map(|()| true),
            None => Ok(false),
        });
        match made {
            Ok(true) => {
                if std::mem::take(&mut self.is_used) {
                    tracing::info!("the reserve of disk space was made again");
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "no reserve was made");
                // Others took the space in the meantime. What the file got of it is given back.
                let _ = File::options().write(true).open(&self.path).map(|file| file.set_len(0));
            }
        }
    }

    /// How large it is on this disk. `None` when there is no space for it.
    fn bytes(&self) -> io::Result<Option<u64>> {
        let disk = self.disk()?;
        let bytes = part_of(&disk);
        Ok((bytes > 0 && free_of(&disk) / 2 >= bytes).then_some(bytes))
    }

    /// The disk that it is on.
    fn disk(&self) -> io::Result<StatVfs> {
        Ok(rustix::fs::statvfs(self.path.parent().unwrap_or(Path::new(".")))?)
    }

    fn make(&self, bytes: u64) -> io::Result<()> {
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write(file, bytes),
            Err(error) => Err(error.into()),
        }
    }
}

fn free_of(disk: &StatVfs) -> u64 {
    disk.f_bavail.saturating_mul(disk.f_frsize)
}

fn part_of(disk: &StatVfs) -> u64 {
    (disk.f_blocks.saturating_mul(disk.f_frsize) / PART).min(BYTES_MAX)
}

/// Takes the space by writing, for file systems that cannot allocate it at once.
fn write(mut file: File, bytes: u64) -> io::Result<()> {
    let mut zeros = io::Read::take(io::repeat(0), bytes);
    io::copy(&mut zeros, &mut file).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_freed_once_and_made_again_when_there_is_space() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reserve");
        let mut reserve = Reserve::beside(&directory.path().join("db"));
        let made = std::fs::metadata(&path).unwrap();
        assert!(made.len() > 0 && made.blocks() * 512 >= made.len(), "it takes its space");
        assert!(!reserve.is_used());
        assert!(reserve.release());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), START_BYTES, "a start needs the rest");
        assert!(!reserve.release(), "there is nothing more to free");
        assert!(reserve.release_rest() && !reserve.release_rest());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        // This disk has space.
        assert!(!reserve.is_used());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), made.len());
    }
}
