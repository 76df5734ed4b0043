//! The directories that may move: the data directory and the user's home.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use identity_store::Roots;

use super::Config;

/// Returns the directory that a link of this user or of root leads to, and any other path as it is. People move the data
/// directory to another disk and leave a link in its place. Everything below the directory is still checked for links.
pub(super) fn behind_link(dir: PathBuf) -> PathBuf {
    let me = rustix::process::geteuid().as_raw();
    let ours = |found: std::fs::Metadata| found.is_symlink() && [0, me].contains(&found.uid());
    let led = std::fs::symlink_metadata(&dir).is_ok_and(ours).then(|| dir.canonicalize().ok());
    led.flatten().unwrap_or(dir)
}

impl Config {
    /// The directories that the store refers to logins relative to. Blocks, because links on the way to the home are
    /// resolved.
    pub(crate) fn roots(&self) -> Roots {
        let real_home = self.home.canonicalize().unwrap_or_else(|_| self.home.clone());
        Roots::new(&self.data_dir, &self.home, real_home)
    }
}
