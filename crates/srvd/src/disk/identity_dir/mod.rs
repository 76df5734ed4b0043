//! The directories of CLIs inside a bundle: `<data>/identities/<bundle id>/<auth dir name>`.

mod clean;

use std::io;
use std::path::{Component, Path, PathBuf};

use auth_spawner::{Cli, Provider, Reach, Registry};
use clean::Cleaned;
use identity_store::BundleId;

use crate::base::private;
use crate::base::private::PrivateError;
use crate::disk::own_dir;
use crate::wire::bundle::{Cleanup, CleanupOutcome};
use crate::wire::convert::login_cli;
use crate::wire::error::{ApiError, Kind};

/// The root directory of all identities.
#[derive(Debug, Clone)]
pub struct Identities {
    root: PathBuf,
    home: PathBuf,
}

impl Identities {
    /// Creates the identities below `root`. `home` holds the user's own CLI directories, which are never used.
    pub fn new(root: PathBuf, home: PathBuf) -> Self {
        Self { root, home }
    }

    /// The directory of a bundle.
    pub fn bundle(&self, bundle: &BundleId) -> PathBuf {
        self.root.join(bundle.as_str())
    }

    /// The directory of a provider's CLI inside a bundle.
    pub fn place(&self, bundle: &BundleId, name: &str) -> PathBuf {
        self.bundle(bundle).join(name)
    }

    /// Creates the directory of a provider inside a bundle with mode 0700. Links on the path are not followed.
    ///
    /// # Errors
    /// [`PrivateError`] when a part of the path is a link, is open to others, or cannot be created.
    pub fn make(&self, bundle: &BundleId, name: &str) -> Result<PathBuf, PrivateError> {
        let path = self.place(bundle, name);
        self.make_dir(&path)?;
        Ok(path)
    }

    /// Creates the directory of a provider inside a bundle, as [`make`](Self::make) does. Blocking.
    ///
    /// # Errors
    /// `invalid_input` for a provider without a CLI, `store_unavailable` when the directory cannot be used.
    pub fn make_for(&self, bundle: &BundleId, provider: &Provider) -> Result<PathBuf, ApiError> {
        self.make(bundle, &login_cli(provider)?.config_dir.name).map_err(|error| unusable(&error))
    }

    /// Creates a directory that is [ours](Self::owns) with mode 0700. Links below the root are not followed.
    ///
    /// # Errors
    /// [`PrivateError`] when a part of the path is a link, is open to others, or cannot be created.
    pub fn make_dir(&self, dir: &Path) -> Result<(), PrivateError> {
        let above = dir.ancestors().filter(|part| part.starts_with(&self.root));
        for part in above.collect::<Vec<_>>().into_iter().rev() {
            private::directory(part)?;
        }
        Ok(())
    }

    /// Returns whether a directory is ours: at least two levels below the root, with no `..` in its path.
    pub fn owns(&self, dir: &Path) -> bool {
        dir.strip_prefix(&self.root).is_ok_and(|rest| {
            rest.components().count() >= 2
                && rest.components().all(|part| matches!(part, Component::Normal(_)))
        })
    }

    /// Returns whether a directory is, contains or is inside a CLI's own directory under the user's home.
    pub fn is_ambient(&self, registry: &Registry, dir: &Path) -> bool {
        registry.iter().filter_map(|provider| provider.cli.as_ref()).any(|cli| {
            let ambient = match cli.config_dir.ambient.strip_prefix("~/") {
                Some(rest) => self.home.join(rest),
                None => PathBuf::from(&cli.config_dir.ambient),
            };
            dir.starts_with(&ambient) || ambient.starts_with(dir)
        })
    }

    /// Returns whether an account may point at `dir`. Without `adopted`, `dir` must be the CLI's own directory below
    /// the root, with no link on the way to any path that a launch would name. With `adopted`, it must be the user's
    /// own directory of that CLI, in its usual place or in one that only the user can change. Blocking.
    pub fn allows(&self, registry: &Registry, cli: &Cli, dir: &Path, adopted: bool) -> bool {
        if adopted {
            let data = self.root.parent().unwrap_or(&self.root);
            return dir == cli.config_dir.own(&self.home) || own_dir::usable(dir, data).is_ok();
        }
        let named = cli.config_dir.variables(dir, Path::new("/"));
        let places = named.values().map(Path::new).filter(|place| place.starts_with(dir));
        self.owns(dir)
            && !self.is_ambient(registry, dir)
            && std::iter::once(cli.config_dir.inside(dir).as_path())
                .chain(places)
                .all(|place| self.leads_to(place))
    }

    /// Returns whether no part of the path from the root to `place` is a link. A part that does not exist is accepted.
    fn leads_to(&self, place: &Path) -> bool {
        let Ok(below) = place.strip_prefix(&self.root) else { return false };
        let mut path = self.root.clone();
        for part in std::iter::once(None).chain(below.components().map(Some)) {
            path.extend(part);
            match std::fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
                // A path that cannot be inspected is not trusted.
                Ok(_) | Err(_) => return false,
            }
        }
        true
    }

    /// Returns how the CLI of an account finds its directory.
    pub fn reach(&self, cli: &Cli, dir: &Path, adopted: bool) -> Reach {
        cli.config_dir.reach(dir, adopted, &self.home)
    }

    /// Removes the files that a CLI kept in `dir`, except the paths below it that are named in `keep`. Then removes the
    /// empty directories above it up to the root. Links are removed but never followed. A link on the way to `dir` is a
    /// failure. Blocking.
    pub fn clean(&self, dir: &Path, keep: &[PathBuf]) -> Cleanup {
        let below = dir.strip_prefix(&self.root).ok().filter(|_| self.owns(dir));
        let outcome = match below.map(|below| clean::clean(&self.root, below, keep)) {
            None => CleanupOutcome::NotOurs,
            Some(Ok(Cleaned::Removed)) => CleanupOutcome::Removed,
            Some(Ok(Cleaned::KeptHistory)) => CleanupOutcome::KeptHistory,
            Some(Ok(Cleaned::Absent)) => CleanupOutcome::Absent,
            Some(Err(error)) => CleanupOutcome::Failed(error.to_string()),
        };
        Cleanup { path: dir.display().to_string(), outcome }
    }

    /// Removes the directory of a bundle that was not created because its login failed.
    ///
    /// # Errors
    /// The I/O error. A missing directory is not an error.
    pub fn discard(&self, bundle: &BundleId) -> io::Result<()> {
        match std::fs::remove_dir_all(self.bundle(bundle)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Returns the error for a login's directory that cannot be used.
pub fn unusable(error: &PrivateError) -> ApiError {
    tracing::error!(%error, "a login's directory cannot be used");
    ApiError::new(Kind::StoreUnavailable, "the login's directory cannot be used").hint(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn fixture() -> (tempfile::TempDir, Identities, BundleId) {
        let root = tempfile::tempdir().unwrap();
        let identities = Identities::new(root.path().join("identities"), root.path().join("home"));
        (root, identities, "work".parse().unwrap())
    }

    #[test]
    fn identity_dir_is_refused_when_a_link_is_in_its_place() {
        let (root, identities, bundle) = fixture();
        let made = identities.make(&bundle, "codex").unwrap();
        assert_eq!(made, root.path().join("identities/work/codex"));
        symlink(root.path(), identities.bundle(&bundle).join("claude")).unwrap();
        assert!(matches!(identities.make(&bundle, "claude"), Err(PrivateError::Link(_))));
    }

    #[test]
    fn clean_keeps_history_and_follows_no_link() {
        let (root, identities, bundle) = fixture();
        let dir = identities.make(&bundle, "codex").unwrap();
        let outside = root.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("precious"), "").unwrap();
        symlink(&outside, dir.join("link")).unwrap();
        std::fs::write(dir.join("auth.json"), "{}").unwrap();
        std::fs::create_dir(dir.join("sessions")).unwrap();
        let clean = |keep: &[&str]| {
            identities.clean(&dir, &keep.iter().map(PathBuf::from).collect::<Vec<_>>()).outcome
        };
        assert_eq!(clean(&["sessions"]), CleanupOutcome::KeptHistory);
        let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["sessions"]);
        for made in ["inner", "inner/chats", "inner/chats/1", "inner/cache"] {
            std::fs::create_dir(dir.join(made)).unwrap();
        }
        symlink(&outside, dir.join("other")).unwrap();
        assert_eq!(clean(&["inner/chats", "inner/none", "other/precious"]), CleanupOutcome::KeptHistory);
        assert!(dir.join("inner/chats/1").exists() && !dir.join("inner/cache").exists());
        assert!(!dir.join("other").is_symlink() && !dir.join("sessions").exists());
        assert_eq!(clean(&["inner/none"]), CleanupOutcome::Removed);
        assert_eq!(clean(&[]), CleanupOutcome::Absent);
        assert!(!identities.bundle(&bundle).exists());
        assert!(outside.join("precious").exists());
        // A link in place of the directory is removed; a link on the way to it is an error.
        symlink(&outside, identities.bundle(&bundle)).unwrap();
        std::fs::create_dir(outside.join("codex")).unwrap();
        let reason = "a part of its path is not a directory".to_owned();
        assert_eq!(clean(&[]), CleanupOutcome::Failed(reason));
        std::fs::remove_file(identities.bundle(&bundle)).unwrap();
        std::fs::create_dir(identities.bundle(&bundle)).unwrap();
        symlink(&outside, &dir).unwrap();
        assert_eq!(clean(&[]), CleanupOutcome::Removed);
        assert!(outside.join("codex").exists() && outside.join("precious").exists());
        let deep = std::iter::repeat_n("d", 200).fold(dir.clone(), |path, part| path.join(part));
        private::directory(&deep).unwrap();
        assert!(matches!(clean(&[]), CleanupOutcome::Failed(_)));
        assert_eq!(identities.clean(&outside, &[]).outcome, CleanupOutcome::NotOurs);
        assert_eq!(
            identities.clean(&root.path().join("identities/../outside"), &[]).outcome,
            CleanupOutcome::NotOurs
        );
    }

    #[test]
    fn account_points_below_the_root_or_at_an_adopted_directory_of_the_users_own() {
        let (root, identities, bundle) = fixture();
        let registry = Registry::builtin().unwrap();
        let allows = |provider: &str, dir: &Path, adopted: bool| {
            let cli = registry.provider(provider).unwrap().cli.as_ref().unwrap();
            identities.allows(&registry, cli, dir, adopted)
        };
        let dir = identities.make(&bundle, "gemini").unwrap();
        let outside = root.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        assert!(
            allows("gemini", &dir, false) && allows("gemini", &identities.place(&bundle, "absent"), false)
        );
        let home = root.path().join("home");
        // The daemon's own directory is the parent of the root, so these are outside it.
        let elsewhere = tempfile::tempdir().unwrap();
        let place = |name: &str, mode: u32| {
            let dir = elsewhere.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).unwrap();
            dir
        };
        let (own, open) = (place("own", 0o755), place("open", 0o777));
        for (place, adopted, expected) in [
            (home.clone(), true, true),
            (home.join(".gemini"), true, false),
            (elsewhere.path().join("absent"), true, true),
            (own, true, true),
            (open, true, false),
            (identities.place(&bundle, "absent"), true, false),
            (dir.clone(), true, false),
            (outside.clone(), true, false),
            (home.clone(), false, false),
            (outside.clone(), false, false),
            (identities.bundle(&bundle), false, false),
            (dir.join("../../../outside"), false, false),
        ] {
            assert_eq!(allows("gemini", &place, adopted), expected, "{place:?} {adopted}");
        }
        // Each part is replaced by a link in turn: the CLI's own directory, the place of a variable, the directory, the
        // bundle.
        symlink(&outside, dir.join(".gemini")).unwrap();
        assert!(!allows("gemini", &dir, false));
        let copilot = identities.make(&bundle, "copilot").unwrap();
        symlink(&outside, copilot.join("gh")).unwrap();
        assert!(!allows("copilot", &copilot, false));
        symlink(&outside, identities.place(&bundle, "codex")).unwrap();
        assert!(!allows("codex", &identities.place(&bundle, "codex"), false));
        let other: BundleId = "other".parse().unwrap();
        symlink(identities.bundle(&bundle), identities.bundle(&other)).unwrap();
        assert!(!allows("kimi", &identities.place(&other, "kimi"), false));
    }

    #[test]
    fn identity_dirs_recognize_ambient_directories_of_user() {
        let (root, identities, _) = fixture();
        let registry = Registry::builtin().unwrap();
        let home = root.path().join("home");
        for (dir, expect) in [(".codex", true), (".claude/projects", true), ("", true), ("elsewhere", false)]
        {
            assert_eq!(identities.is_ambient(&registry, &home.join(dir)), expect, "{dir:?}");
        }
    }
}
