//! The directories of CLIs inside a bundle: `<data>/identities/<bundle id>/<auth dir name>`.

mod clean;
mod error;
pub(crate) mod homes;
mod views;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, RwLock};

use auth_spawner::{Cli, Proof, Provider, Reach, Registry, Shadow};
use clean::Cleaned;
pub(crate) use error::DirError;
use identity_store::{Account, BundleId, SecretRef};

use crate::base::blocking::{BlockingTasks, BrokenOff};
use crate::base::private;
use crate::base::private::PrivateError;
use crate::disk::own_dir;
use crate::wire::bundle::{Cleanup, CleanupOutcome};

/// The directories of all identities. Everything that touches the file system runs on a thread for blocking work, and
/// the daemon waits for it at its shutdown. A clone is a handle to the same directories.
#[derive(Debug, Clone)]
pub(crate) struct IdentityDirs {
    places: Arc<Places>,
    blocking: BlockingTasks,
}

/// The directory of an account's login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountDir {
    /// The path of the directory.
    pub path: PathBuf,
    /// True if the directory is the user's own.
    pub adopted: bool,
}

/// The result of reading the login in an account's directory.
#[derive(Debug)]
pub(crate) enum DirReading {
    /// The registry knows no CLI of the provider.
    NoCli,
    /// An account may not use the directory, so it was not read.
    Forbidden(Reach),
    /// The login that the files prove.
    Read {
        /// The way in which the CLI finds the directory.
        reach: Reach,
        /// The proof. Expiry times are not checked.
        proof: Proof,
        /// A setting that takes the place of the login.
        shadow: Option<Shadow>,
    },
}

impl AccountDir {
    /// Returns the directory of an account, or `None` if its credential is not kept in a directory.
    pub(crate) fn of(account: &Account) -> Option<Self> {
        match &account.secret_ref {
            SecretRef::ConfigDir { dir, adopted } => Some(Self { path: dir.clone(), adopted: *adopted }),
            _ => None,
        }
    }
}

impl IdentityDirs {
    /// Creates the directories below `root`. `home` holds the user's own CLI directories.
    pub(crate) fn new(root: PathBuf, home: PathBuf, registry: Registry, blocking: BlockingTasks) -> Self {
        Self { places: Arc::new(Places::new(root, home, registry)), blocking }
    }

    /// Sets the person's own directories of the `XDG_` variables, by variable. By default they are in their usual places.
    pub(crate) fn with_bases(self, bases: BTreeMap<String, PathBuf>) -> Self {
        let Places { root, home, registry, .. } = &*self.places;
        // A daemon that was started inside a launch has the launch's views.
        let bases = bases.into_iter().filter(|(_, dir)| !dir.starts_with(root)).collect();
        let places = Places { bases, ..Places::new(root.clone(), home.clone(), registry.clone()) };
        Self { places: Arc::new(places), blocking: self.blocking }
    }

    /// The directory of a bundle.
    pub(crate) fn bundle(&self, bundle: &BundleId) -> PathBuf {
        self.places.bundle(bundle)
    }

    /// The directory of a provider's CLI inside a bundle.
    pub(crate) fn place(&self, bundle: &BundleId, name: &str) -> PathBuf {
        self.places.place(bundle, name)
    }

    /// Returns whether a directory is ours: at least two levels below the root, with no `..` in its path, and not a
    /// CLI's own directory under the user's home.
    pub(crate) fn owns(&self, dir: &Path) -> bool {
        self.places.owns(dir) && !self.places.is_ambient(dir)
    }

    /// Returns how the CLI of an account finds its directory.
    pub(crate) fn reach(&self, cli: &Cli, dir: &AccountDir) -> Reach {
        self.places.reach(cli, dir)
    }

    /// Returns whether a directory that is [ours](Self::owns) exists, with no link on the way to it.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn exists(&self, dir: &Path) -> Result<bool, BrokenOff> {
        let at = dir.to_owned();
        let found = |dir: &Path| std::fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir());
        self.run_at(dir, move |places| places.owns(&at) && found(&at) && places.leads_to(&at)).await
    }

    /// Creates the directory of a provider's CLI inside a bundle.
    #[cfg(test)]
    pub(crate) async fn make(&self, bundle: &BundleId, provider: &Provider) -> Result<PathBuf, DirError> {
        let dir = self.place(bundle, &provider.cli.as_ref().unwrap().config_dir.name);
        self.make_dir(&dir).await?;
        Ok(dir)
    }

    /// Creates a directory that is [ours](Self::owns) with mode 0700. Links below the root are not followed.
    ///
    /// # Errors
    /// [`DirError`] when a part of the path is a link, is open to others, or cannot be created.
    pub(crate) async fn make_dir(&self, dir: &Path) -> Result<(), DirError> {
        let dir = dir.to_owned();
        Ok(self.run(move |places| places.make_dir(&dir)).await??)
    }

    /// Reads the login in an account's directory, unless the account may not use the directory.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn read(
        &self,
        provider: &Arc<Provider>,
        dir: &AccountDir,
    ) -> Result<DirReading, BrokenOff> {
        let (provider, dir) = (Arc::clone(provider), dir.clone());
        let place = dir.path.clone();
        let read = move |places: &Places| {
            let Some(cli) = &provider.cli else { return DirReading::NoCli };
            let reach = places.reach(cli, &dir);
            if places.allows(cli, &dir) {
                let proof = cli.prove(&dir.path, reach);
                let shadow = cli.shadow(&dir.path, reach);
                DirReading::Read { reach, proof, shadow }
            } else {
                DirReading::Forbidden(reach)
            }
        };
        self.run_at(&place, read).await
    }

    /// Returns whether a directory below the root, and the CLI's own directory in it, are reached without a link.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn is_real(&self, provider: &Arc<Provider>, dir: &Path) -> Result<bool, BrokenOff> {
        let (provider, at) = (Arc::clone(provider), dir.to_owned());
        self.run_at(dir, move |places| {
            let dir = at;
            let inside = provider.cli.as_ref().map(|cli| cli.config_dir.inside(&dir));
            places.leads_to(inside.as_deref().unwrap_or(&dir))
        })
        .await
    }

    /// Returns a setting that takes the place of a login in a bundle's directory.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn shadow(
        &self,
        provider: &Arc<Provider>,
        dir: &Path,
    ) -> Result<Option<Shadow>, BrokenOff> {
        let (provider, at) = (Arc::clone(provider), dir.to_owned());
        self.run_at(dir, move |_| provider.cli.as_ref().and_then(|cli| cli.shadow(&at, Reach::Bundle))).await
    }

    /// Runs blocking work on an account's directory, with the CLI of the provider and the way in which it finds the
    /// directory, or the reason why the account may not use the directory. Returns `None` for a provider without a CLI.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn visit<T: Send + 'static>(
        &self,
        provider: &Arc<Provider>,
        dir: &AccountDir,
        work: impl FnOnce(&Cli, &Path, Result<Reach, String>) -> T + Send + 'static,
    ) -> Result<Option<T>, BrokenOff> {
        let (provider, dir) = (Arc::clone(provider), dir.clone());
        let place = dir.path.clone();
        let visit = move |places: &Places| {
            let cli = provider.cli.as_ref()?;
            let reach = match places.objection(cli, &dir) {
                None => Ok(places.reach(cli, &dir)),
                Some(reason) => Err(reason),
            };
            Some(work(cli, &dir.path, reach))
        };
        self.run_at(&place, visit).await
    }

    /// Removes the files that a CLI kept in `dir`, except the paths below it that are named in `keep`. Then removes the
    /// empty directories above it up to the root. Links are removed but never followed. A link on the way to `dir` is a
    /// failure.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn clean(&self, dir: &Path, keep: Vec<PathBuf>) -> Result<Cleanup, BrokenOff> {
        let dir = dir.to_owned();
        self.run(move |places| places.clean(&dir, &keep)).await
    }

    /// Removes the directory of a bundle that was not created because its login failed.
    ///
    /// # Errors
    /// The I/O error. A missing directory is not an error.
    pub(crate) async fn discard(&self, bundle: &BundleId) -> Result<(), DirError> {
        let dir = self.bundle(bundle);
        Ok(self.run(move |_| Places::discard(&dir)).await??)
    }

    async fn run_at<T: Send + 'static>(
        &self,
        place: &Path,
        work: impl FnOnce(&Places) -> T + Send + 'static,
    ) -> Result<T, BrokenOff> {
        let places = Arc::clone(&self.places);
        self.blocking.run_at(place, move || work(&places)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Places) -> T + Send + 'static,
    ) -> Result<T, BrokenOff> {
        let places = Arc::clone(&self.places);
        self.blocking.run(move || work(&places)).await
    }
}

/// The paths of the directories, and the blocking work on them.
#[derive(Debug)]
struct Places {
    root: PathBuf,
    /// The user's home, whose CLI directories are used only by accounts that adopted them.
    home: PathBuf,
    registry: Registry,
    /// The person's own directories of the `XDG_` variables that are not in their usual places.
    bases: BTreeMap<String, PathBuf>,
    /// Owners for which no home is made any more, as paths below the root.
    retired: RwLock<HashSet<PathBuf>>,
}

impl Places {
    fn new(root: PathBuf, home: PathBuf, registry: Registry) -> Self {
        Self { root, home, registry, bases: BTreeMap::new(), retired: RwLock::default() }
    }

    fn bundle(&self, bundle: &BundleId) -> PathBuf {
        self.root.join(bundle.as_str())
    }

    fn place(&self, bundle: &BundleId, name: &str) -> PathBuf {
        self.bundle(bundle).join(name)
    }

    fn reach(&self, cli: &Cli, dir: &AccountDir) -> Reach {
        cli.config_dir.reach(&dir.path, dir.adopted, &self.home)
    }

    fn make_dir(&self, dir: &Path) -> Result<(), PrivateError> {
        let above = dir.ancestors().filter(|part| part.starts_with(&self.root));
        for part in above.collect::<Vec<_>>().into_iter().rev() {
            private::directory(part)?;
        }
        Ok(())
    }

    /// Returns whether a directory is at least two levels below the root, with no `..` in its path.
    fn owns(&self, dir: &Path) -> bool {
        dir.strip_prefix(&self.root).is_ok_and(|rest| {
            rest.components().count() >= 2
                && rest.components().all(|part| matches!(part, Component::Normal(_)))
        })
    }

    /// Returns whether a directory is, contains or is inside a CLI's own directory under the user's home.
    fn is_ambient(&self, dir: &Path) -> bool {
        self.registry.iter().filter_map(|provider| provider.cli.as_ref()).any(|cli| {
            let ambient = match cli.config_dir.ambient.strip_prefix("~/") {
                Some(rest) => self.home.join(rest),
                None => PathBuf::from(&cli.config_dir.ambient),
            };
            dir.starts_with(&ambient) || ambient.starts_with(dir)
        })
    }

    /// Returns whether an account may point at a directory. An adopted one must be the user's own directory of that CLI,
    /// in its usual place or in one that only the user can change. Any other must be the CLI's own directory below the
    /// root, with no link on the way to any path that a launch would name.
    fn allows(&self, cli: &Cli, dir: &AccountDir) -> bool {
        self.objection(cli, dir).is_none()
    }

    /// Returns the reason why an account may not point at a directory; `None` if it [may](Self::allows).
    fn objection(&self, cli: &Cli, dir: &AccountDir) -> Option<String> {
        let AccountDir { path: dir, adopted } = dir;
        if *adopted {
            let data = self.root.parent().unwrap_or(&self.root);
            let usual = *dir == cli.config_dir.own(&self.home);
            return if usual { None } else { own_dir::usable(dir, data).err() };
        }
        let named = cli.config_dir.variables(dir, Path::new("/"));
        let places = named.values().map(Path::new).filter(|place| place.starts_with(dir));
        let ours = self.owns(dir)
            && !self.is_ambient(dir)
            && std::iter::once(cli.config_dir.inside(dir).as_path())
                .chain(places)
                .all(|place| self.leads_to(place));
        (!ours).then(|| "its directory is not one that srvd made, or a link leads to it".to_owned())
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

    fn clean(&self, dir: &Path, keep: &[PathBuf]) -> Cleanup {
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

    fn discard(dir: &Path) -> io::Result<()> {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn fixture() -> (tempfile::TempDir, Places, BundleId) {
        let root = tempfile::tempdir().unwrap();
        let places = Places::new(
            root.path().join("identities"),
            root.path().join("home"),
            Registry::builtin().unwrap(),
        );
        (root, places, "work".parse().unwrap())
    }

    impl Places {
        fn make(&self, bundle: &BundleId, name: &str) -> Result<PathBuf, PrivateError> {
            let dir = self.place(bundle, name);
            self.make_dir(&dir).map(|()| dir)
        }
    }

    #[test]
    fn identity_dir_is_refused_when_a_link_is_in_its_place() {
        let (root, places, bundle) = fixture();
        let made = places.make(&bundle, "codex").unwrap();
        assert_eq!(made, root.path().join("identities/work/codex"));
        symlink(root.path(), places.bundle(&bundle).join("claude")).unwrap();
        assert!(matches!(places.make(&bundle, "claude"), Err(PrivateError::Link(_))));
    }

    #[test]
    fn clean_keeps_history_and_follows_no_link() {
        let (root, places, bundle) = fixture();
        let dir = places.make(&bundle, "codex").unwrap();
        let outside = root.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("precious"), "").unwrap();
        symlink(&outside, dir.join("link")).unwrap();
        std::fs::write(dir.join("auth.json"), "{}").unwrap();
        std::fs::create_dir(dir.join("sessions")).unwrap();
        let clean =
            |keep: &[&str]| places.clean(&dir, &keep.iter().map(PathBuf::from).collect::<Vec<_>>()).outcome;
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
        assert!(!places.bundle(&bundle).exists());
        assert!(outside.join("precious").exists());
        // A link in place of the directory is removed; a link on the way to it is an error.
        symlink(&outside, places.bundle(&bundle)).unwrap();
        std::fs::create_dir(outside.join("codex")).unwrap();
        let reason = "a part of its path is not a directory".to_owned();
        assert_eq!(clean(&[]), CleanupOutcome::Failed(reason));
        std::fs::remove_file(places.bundle(&bundle)).unwrap();
        std::fs::create_dir(places.bundle(&bundle)).unwrap();
        symlink(&outside, &dir).unwrap();
        assert_eq!(clean(&[]), CleanupOutcome::Removed);
        assert!(outside.join("codex").exists() && outside.join("precious").exists());
        let deep = std::iter::repeat_n("d", 200).fold(dir.clone(), |path, part| path.join(part));
        private::directory(&deep).unwrap();
        assert!(matches!(clean(&[]), CleanupOutcome::Failed(_)));
        assert_eq!(places.clean(&outside, &[]).outcome, CleanupOutcome::NotOurs);
        assert_eq!(
            places.clean(&root.path().join("identities/../outside"), &[]).outcome,
            CleanupOutcome::NotOurs
        );
    }

    #[test]
    fn account_points_below_the_root_or_at_an_adopted_directory_of_the_users_own() {
        let (root, places, bundle) = fixture();
        let allows = |provider: &str, dir: &Path, adopted: bool| {
            let cli = places.registry.provider(provider).unwrap().cli.as_ref().unwrap();
            places.allows(cli, &AccountDir { path: dir.to_owned(), adopted })
        };
        let dir = places.make(&bundle, "gemini").unwrap();
        let outside = root.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        assert!(allows("gemini", &dir, false) && allows("gemini", &places.place(&bundle, "absent"), false));
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
            (places.place(&bundle, "absent"), true, false),
            (dir.clone(), true, false),
            (outside.clone(), true, false),
            (home.clone(), false, false),
            (outside.clone(), false, false),
            (places.bundle(&bundle), false, false),
            (dir.join("../../../outside"), false, false),
        ] {
            assert_eq!(allows("gemini", &place, adopted), expected, "{place:?} {adopted}");
        }
        // Each part is replaced by a link in turn: the CLI's own directory, the place of a variable, the directory, the
        // bundle.
        symlink(&outside, dir.join(".gemini")).unwrap();
        assert!(!allows("gemini", &dir, false));
        let copilot = places.make(&bundle, "copilot").unwrap();
        symlink(&outside, copilot.join("gh")).unwrap();
        assert!(!allows("copilot", &copilot, false));
        symlink(&outside, places.place(&bundle, "codex")).unwrap();
        assert!(!allows("codex", &places.place(&bundle, "codex"), false));
        let other: BundleId = "other".parse().unwrap();
        symlink(places.bundle(&bundle), places.bundle(&other)).unwrap();
        assert!(!allows("kimi", &places.place(&other, "kimi"), false));
    }

    #[test]
    fn identity_dirs_recognize_ambient_directories_of_user() {
        let (root, places, _) = fixture();
        let home = root.path().join("home");
        for (dir, expect) in [(".codex", true), (".claude/projects", true), ("", true), ("elsewhere", false)]
        {
            assert_eq!(places.is_ambient(&home.join(dir)), expect, "{dir:?}");
        }
    }
}
