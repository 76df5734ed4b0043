//! The locks that a CLI keeps in and beside its directory. They are only looked at, never taken or removed.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::registry::{Cli, LockFile};

/// A lock of a CLI that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockSeen {
    /// The path of the lock.
    pub path: PathBuf,
    /// The time until the CLI itself disregards the lock; zero if it does so now.
    pub stale_in: Duration,
    /// The age of the lock.
    pub age: Duration,
}

impl Cli {
    /// Returns the lock that a process holds, or has left, while it renews the login in `dir`. Of several, the one that
    /// lasts longest. `now` is the current time. Blocks.
    #[must_use]
    pub fn renewing_lock(&self, dir: &Path, now: SystemTime) -> Option<LockSeen> {
        let locks = self.keep_alive.iter().flat_map(|keep| &keep.locks);
        let renewing = locks.filter(|lock| lock.renewing && lock.stale_s.is_some());
        renewing
            .filter_map(|lock| seen(lock, &lock.place(&self.config_dir, dir), now))
            .max_by_key(|lock| lock.stale_in)
    }

    /// Returns the paths of the CLI's locks beside `dir`.
    #[must_use]
    pub fn locks_beside(&self, dir: &Path) -> Vec<PathBuf> {
        let locks = self.keep_alive.iter().flat_map(|keep| &keep.locks);
        locks.filter(|lock| lock.is_beside()).map(|lock| lock.place(&self.config_dir, dir)).collect()
    }
}

fn seen(lock: &LockFile, place: &Path, now: SystemTime) -> Option<LockSeen> {
    let stale = Duration::from_secs(u64::from(lock.stale_s?));
    let paths = match place.file_name()?.to_str()?.split_once('*') {
        None => vec![place.to_owned()],
        Some((head, tail)) => {
            let entries = std::fs::read_dir(place.parent()?).ok()?.take(1000).flatten();
            let fits = |name: &str| {
                name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
            };
            entries
                .filter(|entry| entry.file_name().to_str().is_some_and(fits))
                .map(|entry| entry.path())
                .collect()
        }
    };
    let lasting = paths.into_iter().filter_map(|path| {
        let changed = std::fs::symlink_metadata(&path).ok()?.modified().ok()?;
        // A time in the future says nothing about the age.
        let age = now.duration_since(changed).unwrap_or_default();
        Some(LockSeen { path, stale_in: stale.saturating_sub(age), age })
    });
    lasting.max_by_key(|lock| lock.stale_in)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn lock_of_a_renewal_counts_down_to_the_age_at_which_its_cli_disregards_it() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("claude");
        std::fs::create_dir(&dir).unwrap();
        let registry = Registry::builtin().unwrap();
        let cli = registry.provider("claude").unwrap().cli.as_ref().unwrap();
        let now = SystemTime::now();
        assert_eq!(cli.renewing_lock(&dir, now), None);
        std::fs::create_dir(root.path().join("claude.lock")).unwrap();
        let lock = cli.renewing_lock(&dir, now).unwrap();
        assert_eq!(lock.path, root.path().join("claude.lock"));
        assert!(lock.stale_in > Duration::from_secs(30), "{lock:?}");
        let later = cli.renewing_lock(&dir, now + Duration::from_mins(5)).unwrap();
        assert_eq!(later.stale_in, Duration::ZERO);
        // The CLI takes this one only to write a file.
        std::fs::remove_dir(root.path().join("claude.lock")).unwrap();
        std::fs::create_dir(dir.join(".storage-write.lock")).unwrap();
        assert_eq!(cli.renewing_lock(&dir, now), None);
    }

    #[test]
    fn lock_with_a_pattern_is_found() {
        let root = tempfile::tempdir().unwrap();
        std::fs::DirBuilder::new().recursive(true).create(root.path().join("oauth/kimi-code.lock")).unwrap();
        let registry = Registry::builtin().unwrap();
        let cli = registry.provider("kimi-code").unwrap().cli.as_ref().unwrap();
        let lock = cli.renewing_lock(root.path(), SystemTime::now()).unwrap();
        assert_eq!(lock.path, root.path().join("oauth/kimi-code.lock"));
    }
}
