//! Views of the person's `XDG_` directories, in which the folders of some CLIs are an identity's.
//!
//! Several CLIs have no directory variable of their own and live by `XDG_DATA_HOME`, as many other programs do. A view
//! stands for such a directory: the CLIs' folders in it lead to the identity's homes, and every other entry leads to
//! the person's.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use auth_spawner::Cli;
use blake2::digest::consts::U8;
use blake2::{Blake2b, Digest as _};

use super::DirError;
use crate::base::private;

/// The folder of the views.
pub(super) const FOLDER: &str = ".xdg";

/// Returns the usual place of the directory of an `XDG_` variable below the home, or `None` for another variable.
pub(super) fn usual(name: &str) -> Option<&'static str> {
    match name {
        "XDG_CACHE_HOME" => Some(".cache"),
        "XDG_CONFIG_HOME" => Some(".config"),
        "XDG_DATA_HOME" => Some(".local/share"),
        "XDG_STATE_HOME" => Some(".local/state"),
        _ => None,
    }
}

/// Returns whether a CLI finds its directory by a variable that many programs share.
pub(super) fn lives_by(cli: &Cli) -> bool {
    usual(&cli.config_dir.var).is_some()
}

/// Returns the name of the CLI's folder in a shared directory.
pub(super) fn entry(cli: &Cli) -> Option<OsString> {
    let first = Path::new(&cli.config_dir.inner).components().next()?;
    Some(first.as_os_str().to_owned())
}

/// A view of one of the person's directories.
#[derive(Debug)]
pub(super) struct View {
    pub(super) dir: PathBuf,
    /// The person's directory.
    own: PathBuf,
    /// The folders that lead elsewhere.
    pub(super) entries: BTreeMap<OsString, PathBuf>,
}

/// Returns bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl View {
    /// Creates a view without folders of a person's directory.
    pub(super) fn new(own: PathBuf) -> Self {
        Self { dir: PathBuf::new(), own, entries: BTreeMap::new() }
    }

    /// Sets the place of the view below the directory of an owner. Launches with other folders have other views, so that
    /// one launch never changes another's.
    pub(super) fn place(&mut self, base: &Path, variable: &str) {
        let mut digest = Blake2b::<U8>::new();
        for (name, target) in &self.entries {
            digest.update(name.as_encoded_bytes());
            digest.update([0]);
            digest.update(target.as_os_str().as_encoded_bytes());
            digest.update([0]);
        }
        let digest = hex(&digest.finalize());
        self.dir = base.join(FOLDER).join(format!("{}-{digest}", variable.to_ascii_lowercase()));
    }

    /// Brings the links up to date. An entry that is no link is a program's own and stays.
    pub(super) fn refresh(&self) -> Result<(), DirError> {
        private::directory(&self.dir)?;
        for target in self.entries.values() {
            private::directory_tree(target)?;
        }
        let mut wanted: BTreeMap<OsString, PathBuf> = self.entries.clone();
        for name in names(&self.own)? {
            wanted.entry(name.clone()).or_insert_with(|| self.own.join(name));
        }
        for name in names(&self.dir)?.into_iter().filter(|name| !wanted.contains_key(name)) {
            let path = self.dir.join(name);
            if path.is_symlink() {
                remove(&path)?;
            }
        }
        wanted.iter().try_for_each(|(name, target)| self.link(name, target))
    }

    fn link(&self, name: &OsString, target: &Path) -> Result<(), DirError> {
        let path = self.dir.join(name);
        match std::fs::read_link(&path) {
            Ok(found) if found == target => return Ok(()),
            Ok(_) => remove(&path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A program made a file or directory of its own here, in place of the person's.
            Err(_) if !self.entries.contains_key(name) => return Ok(()),
            Err(_) => return Err(private::PrivateError::NotDirectory(path).into()),
        }
        match symlink(target, &path) {
            // Another launch was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => Ok(done?),
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns the names in a directory. A missing one has none.
fn names(dir: &Path) -> io::Result<BTreeSet<OsString>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.file_name())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}
