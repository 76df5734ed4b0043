//! A temporary directory of a command's own.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::environment::Environment;

/// A directory that is new and the user's alone, and goes with this.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it where temporary files go, with this beginning of its name.
    ///
    /// # Errors
    /// The I/O error.
    pub(crate) fn make(environment: &Environment, name: &str) -> io::Result<Self> {
        let parent = environment.path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
        let path = parent.join(format!("{name}-{}", uuid::Uuid::new_v4().simple()));
        // It must be new: what somebody else put there is not used.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// A place in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a directory in it.
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
        // What cannot be removed is in the temporary directory, where it may stay.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
