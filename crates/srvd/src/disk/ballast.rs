//! Space that is kept for deletions when the disk is full.
//!
//! A deletion writes to the database before anything becomes free. The ballast is a file beside a `SQLite` database. When
//! the database has no space for a deletion, the file is removed and the deletion is tried again.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::base::private;

/// The name of the file.
const FILE: &str = "ballast";
/// The size of the file in bytes: more than the largest deletion writes.
const SIZE: usize = 2 * 1024 * 1024;

/// The space beside a database. A clone is a handle to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Ballast(Option<PathBuf>);

impl Ballast {
    /// Creates the handle for a database; one on a server has no ballast.
    pub(crate) fn beside(database: Option<&Path>) -> Self {
        Self(database.and_then(Path::parent).map(|dir| dir.join(FILE)))
    }

    /// Makes the file if it is missing and the disk has the space. Blocking.
    pub(crate) fn fill(&self) {
        let Some(path) = &self.0 else { return };
        if path.exists() {
            return;
        }
        // Zeros that are not written would take no space.
        let made = private::new_file(path, 0o600).and_then(|mut file| file.write_all(&vec![0; SIZE]));
        if let Err(error) = made {
            tracing::warn!(%error, path = %path.display(), "no space could be kept for deletions on a full disk");
            // A part of it is of no use.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Frees the space. Returns whether there was any.
    pub(crate) fn release(&self) -> bool {
        self.0.as_ref().is_some_and(|path| std::fs::remove_file(path).is_ok())
    }
}
