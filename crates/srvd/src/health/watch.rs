//! The watched directories, and the accounts that each is watched for.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use auth_spawner::Format;
use identity_store::AccountId;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::reports::HealthReports;

/// Maximum number of watched directories. Accounts in other directories are polled.
pub(super) const MOST: usize = 4096;

/// Maximum number of attempts to watch directories that change in the meantime.
const ATTEMPTS: usize = 3;

/// A name in a directory that matters to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Interest {
    Exact(OsString),
    /// Names with this prefix: those of a pattern, or of a database and its log.
    Prefix(OsString),
}

impl Interest {
    fn holds(&self, name: &OsStr) -> bool {
        match self {
            Self::Exact(wanted) => name == wanted,
            Self::Prefix(head) => name.as_encoded_bytes().starts_with(head.as_encoded_bytes()),
        }
    }
}

/// The existing directories in which an account's login may change, and the names that matter in each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct WatchedPlaces(BTreeMap<PathBuf, WatchedPlace>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct WatchedPlace {
    /// Device and inode number, which distinguish a directory from another one at the same path.
    inode: (u64, u64),
    interests: Vec<Interest>,
}

impl WatchedPlaces {
    /// Returns the places of a login's files. For a missing directory, its nearest existing ancestor is watched
    /// instead.
    fn of(files: &[(PathBuf, Format)]) -> Self {
        let mut places = Self::default();
        for (path, format) in files {
            places.add(path, *format == Format::Sqlite);
        }
        places
    }

    fn add(&mut self, path: &Path, family: bool) {
        let (Some(mut folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        let pattern = name.to_str().and_then(|name| name.split_once('*'));
        let mut interest = match pattern {
            Some((head, _)) => Interest::Prefix(head.into()),
            None if family => Interest::Prefix(name.to_owned()),
            None => Interest::Exact(name.to_owned()),
        };
        let inode = loop {
            match std::fs::metadata(folder) {
                Ok(found) if found.is_dir() => break (found.dev(), found.ino()),
                _ => {}
            }
            let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else { return };
            (interest, folder) = (Interest::Exact(name.to_owned()), parent);
        };
        let place =
            self.0.entry(folder.to_owned()).or_insert_with(|| WatchedPlace { inode, interests: Vec::new() });
        if !place.interests.contains(&interest) {
            place.interests.push(interest);
        }
    }
}

/// The watched directories.
pub(super) struct Watches {
    reports: HealthReports,
    watcher: Option<RecommendedWatcher>,
    most: usize,
    folders: HashMap<PathBuf, Folder>,
    accounts: HashMap<AccountId, Vec<PathBuf>>,
    complained: bool,
}

struct Folder {
    inode: (u64, u64),
    accounts: HashMap<AccountId, Vec<Interest>>,
}

impl Watches {
    /// Creates a set of at most `most` watches that report to the reports. Nothing is watched before the first
    /// [`Self::reset`].
    pub(super) fn new(reports: HealthReports, most: usize) -> Self {
        Self {
            reports,
            watcher: None,
            most,
            folders: HashMap::new(),
            accounts: HashMap::new(),
            complained: false,
        }
    }

    /// Starts again without watches, after an event was missed.
    pub(super) fn reset(&mut self) {
        let reports = self.reports.clone();
        self.folders.clear();
        self.accounts.clear();
        self.watcher = match notify::recommended_watcher(move |event| reports.heard(event)) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                self.complain(&error);
                None
            }
        };
    }

    /// Watches exactly these places for an account. Returns whether their changes will be reported.
    fn place(&mut self, account: &AccountId, places: &WatchedPlaces) -> bool {
        for path in self.accounts.remove(account).unwrap_or_default() {
            if !places.0.contains_key(&path) {
                self.leave(&path, account);
            }
        }
        let mut heard = true;
        for (path, place) in &places.0 {
            heard &= self.join(path, place, account);
        }
        self.accounts.insert(account.clone(), places.0.keys().cloned().collect());
        // Other systems may report the names of changed files in another spelling.
        heard && cfg!(target_os = "linux")
    }

    fn join(&mut self, path: &Path, place: &WatchedPlace, account: &AccountId) -> bool {
        if self.folders.get(path).is_some_and(|folder| folder.inode != place.inode) {
            // The directory was replaced; the other accounts that watch it are notified.
            for other in self.lost(path) {
                self.reports.changed(&other);
            }
        }
        if !self.folders.contains_key(path) {
            if self.folders.len() >= self.most {
                return false;
            }
            let Some(watcher) = &mut self.watcher else { return false };
            if let Err(error) = watcher.watch(path, RecursiveMode::NonRecursive) {
                self.complain(&error);
                return false;
            }
            let folder = Folder { inode: place.inode, accounts: HashMap::new() };
            self.folders.insert(path.to_owned(), folder);
        }
        if let Some(folder) = self.folders.get_mut(path) {
            folder.accounts.insert(account.clone(), place.interests.clone());
        }
        true
    }

    fn leave(&mut self, path: &Path, account: &AccountId) {
        let Some(folder) = self.folders.get_mut(path) else { return };
        folder.accounts.remove(account);
        if folder.accounts.is_empty() {
            self.lost(path);
        }
    }

    /// Ends the watches of an account that is no longer checked.
    pub(super) fn release(&mut self, account: &AccountId) {
        for path in self.accounts.remove(account).unwrap_or_default() {
            self.leave(&path, account);
        }
    }

    /// Returns the accounts that a change at this path concerns.
    pub(super) fn concerned(&self, path: &Path) -> Vec<AccountId> {
        let here = self.folders.get(path).map(|folder| folder.accounts.keys().cloned());
        let above = path.parent().zip(path.file_name()).and_then(|(parent, name)| {
            let accounts = &self.folders.get(parent)?.accounts;
            let wants = move |(account, interests): (&AccountId, &Vec<Interest>)| {
                interests.iter().any(|interest| interest.holds(name)).then(|| account.clone())
            };
            Some(accounts.iter().filter_map(wants))
        });
        here.into_iter().flatten().chain(above.into_iter().flatten()).collect()
    }

    /// Stops watching a directory that was removed or moved. Returns the accounts that watched it.
    pub(super) fn lost(&mut self, path: &Path) -> Vec<AccountId> {
        let Some(folder) = self.folders.remove(path) else { return Vec::new() };
        if let Some(watcher) = &mut self.watcher {
            // The kernel ends the watch of a removed directory, so there may be none to end.
            let _ = watcher.unwatch(path);
        }
        folder.accounts.into_keys().collect()
    }

    /// Returns the number of watched directories.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.folders.len()
    }

    /// Logs the error once, because it would be the same for each account.
    fn complain(&mut self, error: &notify::Error) {
        if !self.complained {
            self.complained = true;
            tracing::warn!(%error, "some logins cannot be watched; they are checked periodically");
        }
    }
}

/// Watches the directories of an account's files before the files are read. Returns whether their changes will be
/// reported. The files are listed again after the watch starts, because a link among them may lead elsewhere by then.
/// Blocking.
pub(super) fn arm(
    watches: &std::sync::Mutex<Watches>,
    account: &AccountId,
    files: impl Fn() -> Vec<(PathBuf, Format)>,
) -> bool {
    let mut places = WatchedPlaces::of(&files());
    for _ in 0..ATTEMPTS {
        let heard = watches.lock().unwrap_or_else(std::sync::PoisonError::into_inner).place(account, &places);
        // Changes between the listing and the start of the watch were not reported.
        let again = WatchedPlaces::of(&files());
        if again == places {
            return heard;
        }
        places = again;
    }
    false
}

#[cfg(test)]
mod tests;
