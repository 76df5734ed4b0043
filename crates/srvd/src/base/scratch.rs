//! Temporary directories for individual commands.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::base::environment::Environment;

/// A new directory that only the user can access. It is removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Creates a directory among the temporary files. Its name starts with `name`.
    ///
    /// # Errors
    /// The I/O error.
    pub(crate) fn make(environment: &Environment, name: &str) -> io::Result<Self> {
        let parent = environment.path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
        let path = parent.join(format!("{name}-{}", uuid::Uuid::new_v4().simple()));
        // The directory must be new, so that another user's directory is never used.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// The path of the directory.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// The path of an entry in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Creates a subdirectory.
    ///
    /// # Errors
    /// The I/O error.
    pub(crate) fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed stays among the temporary files, which is acceptable.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
