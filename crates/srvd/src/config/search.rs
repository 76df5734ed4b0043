//! The directories that are searched for CLIs.
//!
//! The `PATH` of a service manager is short. Unless `spawn.search_path` names the directories, those of the user's login
//! shell and the usual places of installers and version managers are searched as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use auth_spawner::{ChildEnv, login_path};
use tokio::sync::OnceCell;

use super::{Config, ConfigError, invalid};
use crate::base::environment::Environment;

/// The longest time that the login shell may take.
const SHELL_TIME: Duration = Duration::from_secs(5);
/// The `PATH` from which the login shell starts, as `login` sets it.
const SHELL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Directories below the home in which installers put CLIs.
const BELOW_HOME: &[&str] = &[
    ".local/bin",
    "bin",
    ".npm-global/bin",
    ".npm-packages/bin",
    ".bun/bin",
    ".cargo/bin",
    ".volta/bin",
    ".asdf/shims",
    ".asdf/bin",
    ".local/share/mise/shims",
    ".local/share/pnpm",
    "Library/pnpm",
    ".local/share/fnm/aliases/default/bin",
    ".fnm/aliases/default/bin",
    "Library/Application Support/fnm/aliases/default/bin",
    ".opencode/bin",
    ".claude/local",
    ".amp/bin",
    ".deno/bin",
    "go/bin",
    ".linuxbrew/bin",
    ".nix-profile/bin",
];
/// Directories below the home that hold one directory for each version, and the path from there to the programs.
const VERSIONS: &[(&str, &str)] = &[
    (".nvm/versions/node", "bin"),
    (".config/nvm/versions/node", "bin"),
    (".local/share/fnm/node-versions", "installation/bin"),
    (".fnm/node-versions", "installation/bin"),
    (".local/share/mise/installs/node", "bin"),
    (".asdf/installs/nodejs", "bin"),
];
/// Directories of the machine in which installers put CLIs.
const OF_MACHINE: &[&str] = &[
    "/opt/homebrew/bin",
    "/home/linuxbrew/.linuxbrew/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/snap/bin",
    "/run/current-system/sw/bin",
    "/nix/var/nix/profiles/default/bin",
];
/// The longest `.npmrc` that is read, in bytes.
const NPMRC: u64 = 64 * 1024;

/// Returns the usual places, as they are on this machine now. This reads directories, which blocks.
pub(super) fn usual(home: &Path) -> Vec<PathBuf> {
    let below = BELOW_HOME.iter().map(|dir| home.join(dir));
    let versions = VERSIONS.iter().flat_map(|(dir, rest)| versions(&home.join(dir), rest));
    let machine = OF_MACHINE.iter().map(PathBuf::from);
    below.chain(npm_prefix(home)).chain(versions).chain(machine).collect()
}

/// Returns the directories of all versions in a directory, the default of nvm first, then the newest first.
fn versions(dir: &Path, rest: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<(bool, Vec<u64>, PathBuf)> = Vec::new();
    let default = nvm_default(dir);
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let numbers = numbers(&name);
        if !numbers.is_empty() {
            let is_default = default.as_ref().is_some_and(|default| numbers.starts_with(default));
            found.push((is_default, numbers, entry.path().join(rest)));
        }
    }
    found.sort_by(|one, two| (two.0, &two.1).cmp(&(one.0, &one.1)));
    found.into_iter().map(|(_, _, path)| path).collect()
}

/// Returns the version that nvm uses by default, if it is a number such as `22` or `v22.11.0`.
fn nvm_default(versions: &Path) -> Option<Vec<u64>> {
    let alias = versions.ancestors().nth(2)?.join("alias/default");
    let text = std::fs::read_to_string(alias).ok()?;
    Some(numbers(text.trim())).filter(|numbers| !numbers.is_empty())
}

fn numbers(version: &str) -> Vec<u64> {
    version.trim_start_matches('v').split('.').map_while(|part| part.parse().ok()).collect()
}

/// Returns the directory of programs of the prefix that the user's `.npmrc` sets.
fn npm_prefix(home: &Path) -> Option<PathBuf> {
    use std::io::Read as _;
    let path = home.join(".npmrc");
    if !std::fs::metadata(&path).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(NPMRC).read_to_string(&mut text).ok()?;
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "prefix").then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    })?;
    let rest = value.strip_prefix("~/").or_else(|| value.strip_prefix("${HOME}/"));
    let prefix = rest.map_or_else(|| PathBuf::from(&value), |rest| home.join(rest));
    prefix.is_absolute().then(|| prefix.join("bin"))
}

/// Removes repetitions. The first of equal directories stays.
pub(super) fn unique(mut dirs: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = std::collections::HashSet::new();
    dirs.retain(|dir| seen.insert(dir.clone()));
    dirs
}

/// Returns the paths if all of them are absolute.
pub(super) fn absolute(name: &str, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, ConfigError> {
    match paths.iter().find(|path| !path.is_absolute()) {
        Some(relative) => Err(invalid(name, format!("{} is not an absolute path", relative.display()))),
        None => Ok(paths),
    }
}

/// Returns the directories in which CLIs are installed. The `PATH` of a service manager is short, so usual ones are
/// added.
pub(super) fn configured(
    named: Vec<PathBuf>,
    environment: &Environment,
    home: &Path,
) -> Result<Vec<PathBuf>, ConfigError> {
    let mut path = absolute("spawn.search_path", named)?;
    if path.is_empty() {
        path.extend(inherited(environment));
        path.extend(usual(home));
    }
    Ok(unique(path))
}

/// Returns the directories of the environment's own `PATH`.
fn inherited(environment: &Environment) -> Vec<PathBuf> {
    let path = environment.text("PATH").unwrap_or_default();
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).collect()
}

/// The directories that are searched for CLIs. Who can change them is not checked here. A clone shares the answer of the
/// login shell, which is asked once.
#[derive(Debug, Clone)]
pub(crate) struct SearchPath {
    /// The directories that are named, or else those of the daemon's own `PATH`.
    inherited: Vec<PathBuf>,
    /// All directories that are known without the shell.
    known: Vec<PathBuf>,
    /// The home, whose usual places are looked at again; `None` if the configuration names the directories.
    home: Option<PathBuf>,
    /// The user's login shell, and the environment that it starts with.
    shell: Option<(PathBuf, ChildEnv)>,
    asked: Arc<OnceCell<Vec<PathBuf>>>,
}

impl SearchPath {
    /// Creates the search that the configuration describes. The login shell is marked as `mark`, so that a later daemon
    /// can end it.
    pub(crate) fn new(config: &Config, environment: &Environment, mark: &str) -> Self {
        let known = config.search.given().to_vec();
        let asked = Arc::default();
        if config.search_path_is_named {
            return Self { inherited: known.clone(), known, home: None, shell: None, asked };
        }
        let inherited = inherited(environment);
        let shell = environment.path("SHELL").map(|shell| {
            let mut env: ChildEnv = config.base_env.iter().cloned().collect();
            env.set("PATH", SHELL_PATH);
            env.set("TERM", "dumb");
            env.mark(mark);
            (shell, env)
        });
        Self { inherited, known, home: Some(config.home.clone()), shell, asked }
    }

    /// Returns the directories. The first call waits for the login shell, at most five seconds.
    pub(crate) async fn directories(&self) -> Vec<PathBuf> {
        let Some(home) = self.home.clone() else { return self.known.clone() };
        let asked = self.asked.get_or_init(|| self.ask()).await;
        // A version that was installed since the start is found, too.
        let usual = tokio::task::spawn_blocking(move || usual(&home)).await.unwrap_or_default();
        unique(self.inherited.iter().chain(asked).chain(&usual).cloned().collect())
    }

    /// Returns the directories that are known at this moment, without a wait.
    pub(crate) fn known_now(&self) -> Vec<PathBuf> {
        let asked = self.asked.get().map(Vec::as_slice).unwrap_or_default();
        unique(self.inherited.iter().chain(asked).chain(&self.known).cloned().collect())
    }

    async fn ask(&self) -> Vec<PathBuf> {
        let Some((shell, env)) = &self.shell else { return Vec::new() };
        let mark = format!("SRVD_PATH_{}", uuid::Uuid::new_v4().simple());
        let told = login_path(shell, env, &mark, SHELL_TIME).await;
        let check = move || told.into_iter().filter(|dir| dir.is_dir()).collect();
        tokio::task::spawn_blocking(check).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::private;

    #[test]
    fn usual_places_hold_every_version_with_the_default_first() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path();
        for version in ["v9.0.0", "v22.11.0", "v20.1.0", "v20.10.0", "system"] {
            private::directory(&home.join(".nvm/versions/node").join(version).join("bin")).unwrap();
        }
        let order = || {
            let places = usual(home).into_iter();
            let places =
                places.filter_map(|place| Some(place.strip_prefix(home.join(".nvm")).ok()?.to_owned()));
            places.map(|place| place.display().to_string()).collect::<Vec<_>>()
        };
        let place = |version: &str| format!("versions/node/{version}/bin");
        assert_eq!(order(), ["v22.11.0", "v20.10.0", "v20.1.0", "v9.0.0"].map(place));
        private::directory(&home.join(".nvm/alias")).unwrap();
        std::fs::write(home.join(".nvm/alias/default"), "20\n").unwrap();
        assert_eq!(order(), ["v20.10.0", "v20.1.0", "v22.11.0", "v9.0.0"].map(place));
        std::fs::write(home.join(".nvm/alias/default"), "lts/*\n").unwrap();
        assert_eq!(order()[0], place("v22.11.0"));
        for dir in [
            ".volta/bin",
            ".asdf/shims",
            ".local/share/mise/shims",
            ".bun/bin",
            ".local/share/pnpm",
            ".opencode/bin",
        ] {
            assert!(usual(home).contains(&home.join(dir)), "{dir}");
        }
        for dir in ["/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin"] {
            assert!(usual(home).contains(&dir.into()), "{dir}");
        }
    }

    #[test]
    fn npm_prefix_is_read_from_the_users_file() {
        let root = tempfile::tempdir().unwrap();
        let check = |text: &str, expect: Option<PathBuf>| {
            std::fs::write(root.path().join(".npmrc"), text).unwrap();
            assert_eq!(npm_prefix(root.path()), expect, "{text:?}");
        };
        assert_eq!(npm_prefix(root.path()), None);
        check("//r.test/:_authToken=x\nprefix = ~/own\n", Some(root.path().join("own/bin")));
        check("prefix=${HOME}/own", Some(root.path().join("own/bin")));
        check("prefix=\"/opt/npm\"", Some("/opt/npm/bin".into()));
        check("prefix=relative", None);
        check("save-prefix=~", None);
    }

    #[tokio::test]
    async fn login_shell_is_asked_once_and_never_when_the_directories_are_named() {
        let root = tempfile::tempdir().unwrap();
        let place = |name: &str| root.path().join(name).display().to_string();
        for dir in ["home", "config", "tools"] {
            std::fs::create_dir(root.path().join(dir)).unwrap();
        }
        let profile = format!("echo x >> {}\nPATH={}:relative:$PATH\n", place("asked"), place("tools"));
        std::fs::write(root.path().join("home/.profile"), profile).unwrap();
        let environment = Environment::of([
            ("HOME", place("home")),
            ("SHELL", "/bin/sh".to_owned()),
            ("PATH", "/usr/bin".to_owned()),
            ("SRVD_CONFIG_DIR", place("config")),
        ]);
        let search = || {
            let config = Config::load(&environment, &crate::config::Flags::default()).unwrap();
            SearchPath::new(&config, &environment, "probe-test")
        };
        let (one, two) = (search(), search());
        let found = one.clone().directories().await;
        assert!(found.contains(&root.path().join("tools")) && found.iter().all(|dir| dir.is_absolute()));
        assert_eq!(found[0], Path::new("/usr/bin"), "the daemon's own PATH comes first");
        assert_eq!(one.directories().await, found);
        assert_eq!(std::fs::read_to_string(root.path().join("asked")).unwrap(), "x\n");
        assert!(!two.known_now().contains(&root.path().join("tools")));
        std::fs::write(root.path().join("config/srvd.toml"), "[spawn]\nsearch_path = [\"/only\"]").unwrap();
        assert_eq!(search().directories().await, [PathBuf::from("/only")]);
        assert_eq!(std::fs::read_to_string(root.path().join("asked")).unwrap(), "x\n");
    }
}
