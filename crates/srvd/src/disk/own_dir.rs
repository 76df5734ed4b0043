//! The directories of the user's own CLIs: the usual ones, or those that the user's variables name.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use auth_spawner::{Cli, Proof, Reach, Registry, Shadow};

use crate::base::blocking::{BlockingTasks, BrokenOff};
use crate::base::environment::Environment;
use crate::config::Config;

/// The user's own directories as the variables of one environment name them.
#[derive(Debug, Clone)]
pub(crate) struct OwnDirs {
    home: PathBuf,
    /// The daemon's own directory. A variable that names a directory below it was set by a launch.
    data: PathBuf,
    named: BTreeMap<String, PathBuf>,
    blocking: BlockingTasks,
}

/// The user's own directory of one CLI, in the form in which its variable names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnDir {
    /// The path of the directory.
    pub dir: PathBuf,
    /// The variable that names the directory; `None` for the usual directory.
    pub variable: Option<String>,
    data: PathBuf,
}

impl OwnDirs {
    /// The directories that the variables of this environment name.
    pub(crate) fn new(
        environment: &Environment,
        config: &Config,
        registry: &Registry,
        blocking: BlockingTasks,
    ) -> Self {
        let dirs = registry.iter().filter_map(|provider| Some(&provider.cli.as_ref()?.config_dir));
        // A CLI with an option does not read the variable.
        let variables = dirs.filter(|dir| dir.option.is_none()).map(|dir| &dir.var);
        let named = variables.filter_map(|name| Some((name.clone(), environment.path(name)?))).collect();
        Self { home: config.home.clone(), data: config.data_dir.clone(), named, blocking }
    }

    /// The usual directories below a home. `data` is the daemon's own directory.
    #[cfg(test)]
    pub(crate) fn usual(home: &Path, data: &Path) -> Self {
        let (home, data) = (home.to_owned(), data.to_owned());
        Self { home, data, named: BTreeMap::new(), blocking: BlockingTasks::default() }
    }

    /// The user's own directory of a CLI.
    pub(crate) fn of(&self, cli: &Cli) -> OwnDir {
        let config = &cli.config_dir;
        let usual = config.own(&self.home);
        let named = self.named.get(&config.var).filter(|dir| **dir != usual && !dir.starts_with(&self.data));
        OwnDir {
            dir: named.unwrap_or(&usual).clone(),
            variable: named.map(|_| config.var.clone()),
            data: self.data.clone(),
        }
    }

    /// Reads the login from the files of a directory, as [`OwnDir::prove`] does, on a thread for blocking work.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn read(&self, dir: &OwnDir, cli: &Cli) -> Result<Proof, BrokenOff> {
        let (dir, cli) = (dir.clone(), cli.clone());
        let place = dir.dir.clone();
        self.blocking.run_at(&place, move || dir.prove(&cli)).await
    }
}

impl OwnDir {
    /// Reads the login from the directory's files. Expiry times are not checked. Blocking.
    pub(crate) fn prove(&self, cli: &Cli) -> Proof {
        let reach = self.reach();
        if reach == Reach::Variable
            && let Err(reason) = usable(&self.dir, &self.data)
        {
            return Proof::Unreadable { reason };
        }
        match cli.prove(&self.dir, reach) {
            // A CLI that was never run has no directory, and therefore no login in the keychain either.
            Proof::Absent if cli.keeps_in_keychain() && cli.config_dir.inside(&self.dir).is_dir() => {
                Proof::InKeyring {
                    reason: "its CLI may keep the login in this system's keychain, which srvd cannot read"
                        .to_owned(),
                    hint: "to use it with srvd, log in again with `srvd login`".to_owned(),
                }
            }
            proof => proof,
        }
    }

    /// Returns a setting that takes the place of the login in the directory. Blocking.
    pub(crate) fn shadow(&self, cli: &Cli) -> Option<Shadow> {
        cli.shadow(&self.dir, self.reach())
    }

    fn reach(&self) -> Reach {
        if self.variable.is_some() { Reach::Variable } else { Reach::Usual }
    }

    /// The name of the directory, for people.
    pub(crate) fn describe(&self) -> String {
        match &self.variable {
            Some(name) => format!("{}, which {name} names", self.dir.display()),
            None => self.dir.display().to_string(),
        }
    }
}

/// Checks that a directory outside the usual place may be used as the user's own. No other user may be able to change
/// it, and it must not be part of the daemon's own directory `data`. A directory that does not exist is accepted.
/// Blocking.
///
/// # Errors
/// The reason, as text for people.
pub(crate) fn usable(dir: &Path, data: &Path) -> Result<(), String> {
    let plain = dir.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !dir.is_absolute() || !plain {
        return Err(format!("{} is not an absolute path without `..`", dir.display()));
    }
    let inside = || format!("{} is in srvd's own directory", dir.display());
    if dir.starts_with(data) {
        return Err(inside());
    }
    let place = match std::fs::canonicalize(dir) {
        Ok(place) => place,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{} cannot be read: {error}", dir.display())),
    };
    let ours = std::fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
    if place.starts_with(&ours) {
        return Err(inside());
    }
    let found = std::fs::metadata(&place).map_err(|error| error.to_string())?;
    if !found.is_dir() {
        return Err(format!("{} is not a directory", dir.display()));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!("{} belongs to another user (uid {})", dir.display(), found.uid()));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o022 != 0 {
        let (dir, quoted) = (dir.display(), shell_words::quote(&dir.to_string_lossy()).into_owned());
        return Err(format!("other users can change {dir} (mode {mode:04o}); run: chmod go-w {quoted}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn cli(provider: &str) -> Cli {
        Registry::builtin().unwrap().provider(provider).unwrap().cli.clone().unwrap()
    }

    #[test]
    fn variable_names_the_directory_when_it_is_absolute_and_not_of_a_launch() {
        let check = |provider: &str, value: &str, expected: (&str, bool)| {
            let cli = cli(provider);
            let environment = Environment::of([
                ("HOME", "/home/u".to_owned()),
                ("SRVD_DATA_DIR", "/home/u/data".to_owned()),
            ]);
            let config = Config::load(&environment, &crate::config::Flags::default()).unwrap();
            let name: &'static str = String::leak(cli.config_dir.var.clone());
            let environment = Environment::of([(name, value.to_owned())]);
            let own =
                OwnDirs::new(&environment, &config, &Registry::builtin().unwrap(), BlockingTasks::default())
                    .of(&cli);
            assert_eq!((own.dir.to_str().unwrap(), own.variable.is_some()), expected, "{provider} {value:?}");
        };
        check("codex", "/work/codex", ("/work/codex", true));
        check("codex", "", ("/home/u/.codex", false));
        check("codex", "work/codex", ("/home/u/.codex", false));
        check("codex", "/home/u/.codex", ("/home/u/.codex", false));
        check("codex", "/home/u/data/identities/b/codex", ("/home/u/.codex", false));
        check("gemini", "/work/g", ("/work/g", true));
        check("gemini", "/home/u", ("/home/u", false));
        check("amp", "/work/share", ("/work/share", true));
        check("amp", "/home/u/.local/share", ("/home/u/.local/share", false));
        check("github", "/work/gh", ("/work/gh", true));
    }

    #[test]
    fn directory_is_refused_when_it_is_relative_shared_or_srvds_own() {
        let root = tempfile::tempdir().unwrap();
        let place = |name: &str, mode: u32| {
            let dir = root.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).unwrap();
            dir
        };
        let (data, own) = (place("data", 0o700), place("own", 0o755));
        let check = |dir: &Path, expected: Result<(), &str>| match (usable(dir, &data), expected) {
            (Ok(()), Ok(())) => {}
            (Err(found), Err(part)) if found.contains(part) => {}
            (found, _) => panic!("{}: {found:?}", dir.display()),
        };
        check(&own, Ok(()));
        check(&root.path().join("absent"), Ok(()));
        check(Path::new("own"), Err("absolute"));
        check(&own.join("../data"), Err("absolute"));
        check(&place("group", 0o775), Err("chmod go-w"));
        check(&place("others", 0o777), Err("chmod go-w"));
        std::fs::create_dir(data.join("identities")).unwrap();
        check(&data.join("identities"), Err("srvd's own"));
        symlink(data.join("identities"), root.path().join("link")).unwrap();
        check(&root.path().join("link"), Err("srvd's own"));
        std::fs::write(root.path().join("file"), "").unwrap();
        check(&root.path().join("file"), Err("not a directory"));
        if !rustix::process::geteuid().is_root() {
            check(Path::new("/usr"), Err("another user"));
        }
    }
}
