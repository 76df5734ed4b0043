//! The record of what srvd made in a home: the links, the copies, and the members of the CLI's own files. It lies in the
//! home, so that it moves and is removed with it.
//!
//! The record is written before something is made and again afterwards, so that a crash in between leaves nothing that
//! srvd would take for the CLI's. Until it is certain, an entry has the states before and after the change.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::origin;
use crate::base::private;

/// The name of the record in a home.
pub(super) const NAME: &str = ".srvd-share.json";
/// The largest record that is read, in bytes.
const LIMIT: u64 = 4 * 1024 * 1024;
/// The state of something that does not exist.
pub(super) const ABSENT: &str = "absent";

/// The record of one home. Paths are below the directory that the CLI's variable names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Ledger {
    /// The links, and the places that they may lead to.
    pub(super) links: BTreeMap<String, Vec<PathBuf>>,
    /// The copies, and the digests that they may have.
    pub(super) copies: BTreeMap<String, Vec<String>>,
    /// The members in files of the CLI's, by file and JSON pointer, and the digests that they may have.
    pub(super) members: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// The parts of the setup that the home does not have, and the reasons.
    pub(super) left_out: Vec<Noted>,
}

/// A part of the setup that a home does not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Noted {
    /// The file.
    pub path: String,
    /// The place in the file; empty for the whole file.
    pub place: String,
    /// The reason, for people.
    pub reason: String,
}

impl Ledger {
    /// Reads the record of a home. A home without one has an empty record. Blocking.
    ///
    /// # Errors
    /// The reason why the record cannot be used. Then nothing in the home is known to be srvd's.
    pub(super) fn read(home: &Path) -> Result<Self, String> {
        match origin::read(&home.join(NAME), LIMIT)? {
            None => Ok(Self::default()),
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|_| "it is not a record of srvd's".to_owned())
            }
        }
    }

    /// Writes the record, or removes an empty one. Blocking.
    ///
    /// # Errors
    /// The I/O error. The record on disk is then unchanged.
    pub(super) fn write(&self, home: &Path) -> std::io::Result<()> {
        let path = home.join(NAME);
        if *self == Self::default() {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        private::replace_file(&path, &serde_json::to_vec_pretty(self).map_err(std::io::Error::other)?)
    }

    /// Returns whether a state of a copy is one that srvd made.
    pub(super) fn made_copy(&self, path: &str, state: &str) -> bool {
        self.copies.get(path).is_some_and(|states| states.iter().any(|known| known == state))
    }

    /// Returns the states of a member that srvd made; `None` if it made none.
    pub(super) fn member(&self, path: &str, pointer: &str) -> Option<&Vec<String>> {
        self.members.get(path)?.get(pointer)
    }

    /// Records the states of a member, or forgets it.
    pub(super) fn set_member(&mut self, path: &str, pointer: &str, states: Option<Vec<String>>) {
        let members = self.members.entry(path.to_owned()).or_default();
        match states {
            Some(states) => members.insert(pointer.to_owned(), states),
            None => members.remove(pointer),
        };
        if members.is_empty() {
            self.members.remove(path);
        }
    }
}

/// Reads the record of a home for a checkup; `Ok(None)` if there is none. Blocking.
///
/// # Errors
/// The reason why it cannot be used.
pub(crate) fn recorded(home: &Path) -> Result<Option<Ledger>, String> {
    if std::fs::symlink_metadata(home.join(NAME)).is_err() {
        return Ok(None);
    }
    Ledger::read(home).map(Some)
}

impl Ledger {
    /// The parts of the setup that the home does not have.
    pub(crate) fn left_out(&self) -> &[Noted] {
        &self.left_out
    }

    /// The links that srvd made and that lead nowhere. Blocking.
    pub(crate) fn broken_links(&self, home: &Path) -> Vec<PathBuf> {
        let paths = self.links.iter().map(|(path, targets)| (home.join(path), targets));
        let broken = paths.filter(|(path, targets)| {
            std::fs::read_link(path).is_ok_and(|found| targets.contains(&found))
                && std::fs::metadata(path).is_err()
        });
        broken.map(|(path, _)| path).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledger_is_kept_in_the_home_and_removed_when_it_is_empty() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Ledger::read(home.path()), Ok(Ledger::default()));
        let mut ledger = Ledger::default();
        ledger.links.insert("CLAUDE.md".into(), vec!["/home/u/CLAUDE.md".into()]);
        ledger.copies.insert("settings.json".into(), vec!["a".into(), ABSENT.into()]);
        ledger.set_member(".claude.json", "/mcpServers/x", Some(vec!["b".into()]));
        ledger.write(home.path()).unwrap();
        assert_eq!(Ledger::read(home.path()).as_ref(), Ok(&ledger));
        assert!(ledger.made_copy("settings.json", "a") && !ledger.made_copy("settings.json", "b"));
        ledger.set_member(".claude.json", "/mcpServers/x", None);
        assert!(ledger.members.is_empty());
        Ledger::default().write(home.path()).unwrap();
        Ledger::default().write(home.path()).unwrap();
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn ledger_is_refused_when_it_is_no_record_or_a_link() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(NAME), "{").unwrap();
        assert!(Ledger::read(home.path()).is_err());
        std::fs::remove_file(home.path().join(NAME)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", home.path().join(NAME)).unwrap();
        assert!(Ledger::read(home.path()).is_err());
    }
}
