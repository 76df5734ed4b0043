//! The directories below which logins are kept, and the form in which the database refers to a directory.

use std::path::{Component, Path, PathBuf};

use crate::model::account::SecretRef;

/// The directory of the identities, below the data directory.
const IDENTITIES: &str = "identities";
/// The mark of the user's home at the beginning of a reference.
const HOME: &str = "~";

/// The data directory and the user's home as they are today.
///
/// A reference to a directory of an identity is stored relative to the data directory, and one to a directory of the
/// user's own relative to the home. So the references still hold when either is moved, or reached by another path. Callers
/// of the store only see absolute paths below today's directories.
///
/// Earlier versions stored absolute paths. Of such a path to an identity's directory only the end counts,
/// `identities/<bundle>/<name>`, whatever is before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    data: PathBuf,
    home: PathBuf,
    /// The home with its links resolved. Earlier versions may have stored either form.
    real_home: PathBuf,
}

impl Roots {
    /// The roots of a daemon. `real_home` is the home with its links resolved.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, home: impl Into<PathBuf>, real_home: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), home: home.into(), real_home: real_home.into() }
    }

    /// Returns the present path of a directory that is stored in this form.
    #[must_use]
    pub fn locate(&self, stored: &Path, adopted: bool) -> PathBuf {
        if adopted {
            if let Ok(below) = stored.strip_prefix(HOME) {
                return joined(&self.home, below);
            }
            let old =
                [&self.home, &self.real_home].into_iter().find_map(|home| stored.strip_prefix(home).ok());
            return old.map_or_else(|| stored.to_owned(), |below| joined(&self.home, below));
        }
        match identity(stored) {
            Some(below) => self.data.join(below),
            None => stored.to_owned(),
        }
    }

    /// Returns the form in which a directory is stored. A directory that is below neither root keeps its path.
    #[must_use]
    pub fn stored(&self, dir: &Path, adopted: bool) -> PathBuf {
        if adopted {
            let homes = [&self.home, &self.real_home];
            let below = homes.into_iter().find_map(|home| dir.strip_prefix(home).ok());
            return below.map_or_else(|| dir.to_owned(), |below| joined(Path::new(HOME), below));
        }
        identity(dir).unwrap_or_else(|| dir.to_owned())
    }

    /// Returns a reference with the present path of its directory.
    pub(crate) fn located(&self, reference: SecretRef) -> SecretRef {
        match reference {
            SecretRef::ConfigDir { dir, adopted } => {
                SecretRef::ConfigDir { dir: self.locate(&dir, adopted), adopted }
            }
            other => other,
        }
    }
}

/// Returns the end `identities/<bundle>/<name>` of a path, if it has one and is plain.
fn identity(path: &Path) -> Option<PathBuf> {
    let plain = |part: &Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let parts: Vec<Component<'_>> = path.components().collect();
    let end = parts.len().checked_sub(3)?;
    let found = parts.iter().all(plain) && parts[end].as_os_str() == IDENTITIES;
    found.then(|| parts[end..].iter().collect())
}

/// Joins two paths. An empty second one changes nothing, not even by a slash at the end.
fn joined(above: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { above.to_owned() } else { above.join(below) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> Roots {
        Roots { data: "/d/srvd".into(), home: "/hh/me".into(), real_home: "/var/home/me".into() }
    }

    #[test]
    fn directory_is_located_below_the_roots_of_today() {
        let check = |stored: &str, adopted: bool, expected: &str| {
            assert_eq!(roots().locate(Path::new(stored), adopted), Path::new(expected), "{stored}");
        };
        check("identities/b/codex", false, "/d/srvd/identities/b/codex");
        check("/old/place/identities/b/codex", false, "/d/srvd/identities/b/codex");
        check("/identities/b/codex", false, "/d/srvd/identities/b/codex");
        check("/old/identities/b/codex/more", false, "/old/identities/b/codex/more");
        check("/old/identities/../b/codex", false, "/old/identities/../b/codex");
        check("identities/../../codex", false, "identities/../../codex");
        check("/elsewhere/codex", false, "/elsewhere/codex");
        check("~/.codex", true, "/hh/me/.codex");
        check("~", true, "/hh/me");
        check("/var/home/me/.codex", true, "/hh/me/.codex");
        check("/hh/me/.codex", true, "/hh/me/.codex");
        check("/home/other/.codex", true, "/home/other/.codex");
        check("/work/identities/b/codex", true, "/work/identities/b/codex");
    }

    #[test]
    fn directory_is_stored_relative_to_its_root() {
        let check = |dir: &str, adopted: bool, expected: &str| {
            let stored = roots().stored(Path::new(dir), adopted);
            assert_eq!(stored, Path::new(expected), "{dir}");
            // The form is stable.
            assert_eq!(roots().stored(&stored, adopted), stored, "{dir}");
        };
        check("/d/srvd/identities/b/codex", false, "identities/b/codex");
        check("/elsewhere/codex", false, "/elsewhere/codex");
        check("/hh/me/.codex", true, "~/.codex");
        check("/var/home/me/.codex", true, "~/.codex");
        check("/hh/me", true, "~");
        check("/work/codex", true, "/work/codex");
        for (dir, adopted) in
            [("/d/srvd/identities/b/codex", false), ("/hh/me/.codex", true), ("/hh/me", true)]
        {
            let stored = roots().stored(Path::new(dir), adopted);
            assert_eq!(roots().locate(&stored, adopted), Path::new(dir));
        }
    }
}
