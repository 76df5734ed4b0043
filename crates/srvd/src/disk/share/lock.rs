//! The lock by which a CLI guards a file of its own: a directory that exists while the file is changed, as the package
//! `proper-lockfile` makes it. A process that ended without removing it leaves it behind; it is then older than its
//! holders ever let it get.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The age from which a lock counts as left behind. A holder renews its lock more often.
const STALE: Duration = Duration::from_secs(10);
/// The pause between two attempts to take a lock.
const PAUSE: Duration = Duration::from_millis(10);

/// A held lock. It is released on drop.
#[derive(Debug)]
pub(super) struct FileLock(PathBuf);

impl FileLock {
    /// Takes the lock, if it is free within `patience`. Blocking.
    ///
    /// # Errors
    /// The reason, for people.
    pub(super) fn take(path: &Path, patience: Duration) -> Result<Self, String> {
        let begun = Instant::now();
        loop {
            match std::fs::create_dir(path) {
                Ok(()) => return Ok(Self(path.to_owned())),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(format!("its lock cannot be taken: {error}")),
            }
            if is_stale(path) {
                // Another process may have removed it in the meantime. The next attempt shows who was first.
                let _ = std::fs::remove_dir(path);
            } else if begun.elapsed() >= patience {
                return Err("its CLI is changing it; the next launch tries again".to_owned());
            } else {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A lock that was held too long belongs to the process that took it over.
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn is_stale(path: &Path) -> bool {
    let changed = std::fs::symlink_metadata(path).and_then(|found| found.modified());
    changed.is_ok_and(|changed| SystemTime::now().duration_since(changed).is_ok_and(|age| age > STALE))
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use super::*;

    #[test]
    fn lock_is_taken_once_and_released_on_drop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.lock");
        let held = FileLock::take(&path, Duration::ZERO).unwrap();
        assert!(FileLock::take(&path, Duration::ZERO).unwrap_err().contains("next launch"));
        drop(held);
        assert!(!path.exists());
        FileLock::take(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn lock_is_taken_over_when_it_was_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.lock");
        std::fs::create_dir(&path).unwrap();
        let old = SystemTime::now() - Duration::from_mins(1);
        std::fs::File::open(&path).unwrap().set_times(FileTimes::new().set_modified(old)).unwrap();
        let held = FileLock::take(&path, Duration::ZERO).unwrap();
        drop(held);
        assert!(!path.exists());
        assert!(FileLock::take(&dir.path().join("none/f.lock"), Duration::ZERO).is_err());
    }
}
