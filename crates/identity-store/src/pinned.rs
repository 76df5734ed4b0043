//! The files of an open `SQLite` database. A file that was deleted or replaced under the store takes later writes with it,
//! so a write compares the files at their paths with those that are open.
//!
//! Each file is held open, so that its inode cannot be given to another file, and the comparison of device and inode is
//! exact. The database's own file is held from the opening of the store on. The log and the index beside it are held from
//! the moment when the one writing connection was made: while that connection is open, `SQLite` neither removes nor
//! replaces them, because it is never the last one to close them.
//!
//! Closing a file drops every lock that the process has on it, also those of `SQLite`. On Linux the files are opened as
//! paths, which have no locks. Elsewhere they stay open until the process ends.

use std::fs::{File, Metadata, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::StoreError;

/// Opens a file only as a place (`O_PATH`).
#[cfg(target_os = "linux")]
const PLACE: i32 = 0o10_000_000;

/// The files of a database that is open.
#[derive(Debug, Clone)]
pub(crate) struct Pinned(Arc<Files>);

#[derive(Debug)]
struct Files {
    database: Pin,
    /// The files beside the database, as the writing connection has them open.
    beside: Mutex<Vec<Pin>>,
}

/// A file that is held open, and its path.
#[derive(Debug)]
struct Pin {
    path: PathBuf,
    #[cfg(unix)]
    identity: (u64, u64),
    _held: Option<File>,
}

impl Pinned {
    /// Holds the file of a database that exists.
    ///
    /// # Errors
    /// The error of the operating system.
    pub(crate) fn new(path: &Path) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Files { database: Pin::new(path.to_owned())?, beside: Mutex::default() })))
    }

    /// Holds the files beside the database, which a new writing connection has just opened.
    ///
    /// # Errors
    /// The error of the operating system.
    pub(crate) fn pin_beside(&self) -> std::io::Result<()> {
        let beside = ["-wal", "-shm"].map(|suffix| {
            let mut path = self.0.database.path.as_os_str().to_owned();
            path.push(suffix);
            Pin::new(path.into())
        });
        let beside = beside.into_iter().collect::<Result<_, _>>()?;
        *self.0.beside.lock().unwrap_or_else(PoisonError::into_inner) = beside;
        Ok(())
    }

    /// Checks that every file is still the one at its path.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] with the path of the first file that is not.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.0.database.check()?;
        self.0.beside.lock().unwrap_or_else(PoisonError::into_inner).iter().try_for_each(Pin::check)
    }
}

impl Pin {
    #[cfg(unix)]
    fn new(path: PathBuf) -> std::io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true);
        #[cfg(target_os = "linux")]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, PLACE);
        let held = options.open(&path)?;
        let identity = identity(&held.metadata()?);
        #[cfg(not(target_os = "linux"))]
        let held = {
            std::mem::forget(held);
            None
        };
        #[cfg(target_os = "linux")]
        let held = Some(held);
        Ok(Self { path, identity, _held: held })
    }

    #[cfg(unix)]
    fn check(&self) -> Result<(), StoreError> {
        let fault = match std::fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => return Ok(()),
            Ok(_) => "was replaced by another file",
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "was deleted",
            Err(error) => return Err(StoreError::Unavailable(error.into())),
        };
        Err(StoreError::Replaced(format!("{} {fault}", self.path.display()).into()))
    }

    #[cfg(not(unix))]
    fn new(path: PathBuf) -> std::io::Result<Self> {
        Ok(Self { path, _held: None })
    }

    #[cfg(not(unix))]
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(unix)]
fn identity(found: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (found.dev(), found.ino())
}
