//! The search for CLIs. A directory or a program that another user can change is not used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_spawner::Cli;

use super::trust::{Trust, TrustError};
use crate::hint::Hint;

/// The directories that are searched for CLIs, in order.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    dirs: Arc<[PathBuf]>,
    /// All directories that the search was made of.
    given: Arc<[PathBuf]>,
    /// Directories that are not searched, with the reasons.
    skipped: Arc<[Skipped]>,
    trust: Trust,
}

/// A directory or a program that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Its path.
    pub(crate) path: PathBuf,
    /// The reason, as a sentence without its full stop.
    pub(crate) reason: String,
    /// The command that mends it, and the setting that accepts it.
    pub(crate) remedy: Option<Hint>,
}

/// The programs with the names of a CLI.
#[derive(Debug, Clone, Default)]
pub(crate) struct Installed {
    /// Programs that may be run, in the order of the search.
    pub(crate) usable: Vec<PathBuf>,
    /// Programs that are not run.
    pub(crate) refused: Vec<Skipped>,
}

impl Skipped {
    fn new(path: &Path, error: &TrustError) -> Self {
        Self { path: path.to_owned(), reason: error.reason(), remedy: error.remedy() }
    }
}

impl Search {
    /// Keeps the directories that only root and this user can change. A directory that does not exist is kept when only
    /// they could create it.
    pub(crate) fn new(dirs: Vec<PathBuf>, trust: Trust) -> Self {
        let (mut kept, mut skipped) = (Vec::new(), Vec::new());
        for dir in &dirs {
            match trust.directory(dir) {
                Ok(_) | Err(TrustError::Missing(_)) => kept.push(dir.clone()),
                // A directory that cannot be entered holds nothing that could be run.
                Err(TrustError::Io { .. } | TrustError::Kind { .. }) => {}
                Err(error) => skipped.push(Skipped::new(dir, &error)),
            }
        }
        Self { dirs: kept.into(), given: dirs.into(), skipped: skipped.into(), trust }
    }

    /// The directories that are searched.
    pub(crate) fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// The directories that the search was made of, those that are not searched included.
    pub(crate) fn given(&self) -> &[PathBuf] {
        &self.given
    }

    /// Returns the search of other directories, with the same check. Blocking.
    pub(crate) fn of_others(&self, dirs: Vec<PathBuf>) -> Self {
        Self::new(dirs, self.trust.clone())
    }

    /// The directories that are not searched.
    pub(crate) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Returns whether a directory is searched.
    pub(crate) fn has(&self, dir: &Path) -> bool {
        self.dirs.iter().any(|searched| searched == dir)
    }

    /// The check that the search makes.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Finds the programs with the names of a CLI. Blocking.
    pub(crate) fn installed(&self, cli: &Cli) -> Installed {
        let mut found = Installed::default();
        for program in auth_spawner::programs(cli, &self.dirs) {
            match self.trust.program(&program) {
                Ok(_) => found.usable.push(program),
                Err(error) => found.refused.push(Skipped::new(&program, &error)),
            }
        }
        for skipped in self.skipped.iter() {
            let there = auth_spawner::programs(cli, std::slice::from_ref(&skipped.path));
            found.refused.extend(there.map(|path| Skipped { path, ..skipped.clone() }));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn search_skips_and_names_what_other_users_can_change() {
        let registry = auth_spawner::Registry::builtin().unwrap();
        let cli = registry.provider("codex").unwrap().cli.as_ref().unwrap();
        let root = tempfile::tempdir().unwrap();
        let program = |dir: &str, dir_mode: u32, mode: u32| {
            let dir = root.path().join(dir);
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("codex"), "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(dir.join("codex"), PermissionsExt::from_mode(mode)).unwrap();
            std::fs::set_permissions(&dir, PermissionsExt::from_mode(dir_mode)).unwrap();
            dir
        };
        let (open, writable, good) =
            (program("open", 0o777, 0o755), program("w", 0o755, 0o757), program("good", 0o755, 0o755));
        let absent = root.path().join("absent");
        let dirs = vec![open.clone(), writable.clone(), absent.clone(), good.clone()];
        let search = Search::new(dirs.clone(), Trust::of_process(None).accepting(Vec::new()));
        assert_eq!(search.dirs(), [writable.clone(), absent, good.clone()]);
        let found = search.installed(cli);
        assert_eq!(found.usable, [good.join("codex")]);
        let refused: Vec<_> = found.refused.iter().map(|refused| refused.path.clone()).collect();
        assert_eq!(refused, [writable.join("codex"), open.join("codex")]);
        for refused in &found.refused {
            assert!(refused.reason.contains("so other users can change it"), "{refused:?}");
            let remedy = refused.remedy.as_ref().unwrap().as_str();
            assert!(remedy.contains("chmod go-w"), "{refused:?}");
            assert!(remedy.contains("trusted_paths in srvd.toml"), "{refused:?}");
        }
        let accepted = Search::new(dirs, Trust::of_process(None).accepting(vec![root.path().to_owned()]));
        assert_eq!(accepted.installed(cli).usable.len(), 3);
    }
}
