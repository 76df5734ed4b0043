//! The environment of a child: an explicit list, independent of this process's environment.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::locate::is_program;
use crate::registry::{Cli, Reach, Recipe, Terminal};

/// The variable that marks every process of a login with its session id.
pub(crate) const SESSION_VAR: &str = "SRVD_SESSION";

/// The variable through which a desktop program finds the keyring. Several programs search for the session bus
/// themselves if it is not set.
const SESSION_BUS: &str = "DBUS_SESSION_BUS_ADDRESS";
/// An address that every D-Bus library rejects.
const NO_BUS: &str = "disabled:";

/// The complete environment of a child, from name to value.
///
/// `Debug` shows only names, because values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChildEnv(BTreeMap<String, String>);

impl ChildEnv {
    /// Sets a variable, replacing any earlier value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Marks every process with this environment, and all of its descendants, as belonging to `session`.
    pub fn mark(&mut self, session: &str) {
        self.set(SESSION_VAR, session);
    }

    /// Removes a variable.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Returns the value of a variable.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Returns the environment for a program that is a script. If its first line asks `env` for an interpreter that is beside
/// the program, as with CLIs that a version manager of Node installed, that interpreter must be found first. This reads
/// the head of the file, which blocks.
pub(crate) fn beside_interpreter(env: &ChildEnv, program: &Path) -> ChildEnv {
    let mut env = env.clone();
    let found = interpreter(program).zip(program.parent()).filter(|(name, dir)| is_program(&dir.join(name)));
    if let Some((name, dir)) = found {
        let path = env.value("PATH").unwrap_or_default().to_owned();
        let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).filter(|other| other != dir).collect();
        // Directories without the interpreter, such as that of the programs that open no browser, keep their place.
        let at = dirs.iter().position(|other| is_program(&other.join(&name))).unwrap_or(dirs.len());
        dirs.insert(at, dir.to_owned());
        if let Ok(path) = std::env::join_paths(dirs) {
            env.set("PATH", path.to_string_lossy());
        }
    }
    env
}

/// Returns the interpreter that a script asks `env` for.
fn interpreter(program: &Path) -> Option<String> {
    let mut head = Vec::new();
    std::fs::File::open(program).ok()?.take(256).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let words = head.lines().next()?.strip_prefix("#!")?.trim().strip_prefix("/usr/bin/env")?.to_owned();
    let name = words.split_whitespace().find(|word| !word.starts_with('-') && !word.contains('='))?;
    (!name.contains('/')).then(|| name.to_owned())
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for ChildEnv {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl std::fmt::Debug for ChildEnv {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// The inputs for a child's environment, apart from the base list.
pub(crate) struct ChildEnvSources<'a> {
    pub(crate) cli: &'a Cli,
    pub(crate) recipe: &'a Recipe,
    pub(crate) terminal: Terminal,
    pub(crate) extra: &'a [(String, String)],
    pub(crate) config_dir: &'a Path,
    /// The directory shared by all bundles for this provider.
    pub(crate) shared: &'a Path,
    pub(crate) browser: Option<&'a Path>,
    pub(crate) session: &'a str,
}

/// Builds a child's environment. Later steps take precedence, so the config directory can never be redirected.
pub(crate) fn child_env(base: &ChildEnv, parts: &ChildEnvSources<'_>) -> ChildEnv {
    let mut env = base.clone();
    for (name, value) in parts.extra {
        env.set(name, value);
    }
    let cli = parts.cli;
    scrub(&mut env, cli);
    for (name, value) in cli.env.iter().chain(&parts.recipe.env) {
        env.set(name, value);
    }
    env.set("TERM", if parts.terminal == Terminal::Pipe { "dumb" } else { "xterm-256color" });
    if env.value("SHELL").is_none() {
        // The pseudo-terminal library always sets SHELL from the user database. An explicit value makes both kinds of
        // child behave the same on every machine.
        env.set("SHELL", "/bin/sh");
    }
    env.remove("BROWSER");
    if let Some(browser) = parts.browser.filter(|_| parts.recipe.browser) {
        env.set("BROWSER", text(browser.as_os_str()));
    }
    keep_from_keyring(&mut env);
    directories(&mut env, cli, parts.config_dir, parts.shared);
    env.mark(parts.session);
    env
}

/// Builds the environment for a CLI query that is not about a login, such as its version.
pub(crate) fn asking_env(base: &ChildEnv, cli: &Cli, dir: &Path, shared: &Path) -> ChildEnv {
    let mut env = base.clone();
    scrub(&mut env, cli);
    for (name, value) in &cli.env {
        env.set(name, value);
    }
    env.set("TERM", "dumb");
    env.remove("BROWSER");
    keep_from_keyring(&mut env);
    directories(&mut env, cli, dir, shared);
    env
}

/// Builds the environment in which a CLI uses one of the user's own directories and everything that belongs to it.
pub(crate) fn own_env(base: &ChildEnv, cli: &Cli, dir: &Path, reach: Reach) -> ChildEnv {
    let mut env = asking_env(base, cli, Path::new(""), Path::new(""));
    for name in cli.config_dir.extra_vars.keys().chain([&cli.config_dir.var]) {
        env.remove(name);
    }
    if env.value(SESSION_BUS) == Some(NO_BUS) {
        env.remove(SESSION_BUS);
    }
    for (name, value) in cli.config_dir.variables_for(reach, dir, Path::new("")) {
        env.set(name, value);
    }
    env
}

/// Prevents a CLI that runs for a bundle from using the user's keyring. In the keyring, gh has a single entry per host
/// regardless of its directory, so logging in or out would change the user's own login. macOS has no variable for this.
fn keep_from_keyring(env: &mut ChildEnv) {
    if env.value(SESSION_BUS).is_none() {
        env.set(SESSION_BUS, NO_BUS);
    }
}

fn scrub(env: &mut ChildEnv, cli: &Cli) {
    for name in cli.scrub.iter().chain(&cli.key_vars) {
        env.remove(name);
    }
}

fn directories(env: &mut ChildEnv, cli: &Cli, dir: &Path, shared: &Path) {
    for (name, value) in cli.config_dir.variables(dir, shared) {
        env.set(name, value);
    }
}

fn text(path: &OsStr) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn interpreter_beside_a_script_is_found_before_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let path = root.path().join(name);
            super::super::private_directory(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let dir = |name: &str| root.path().join(name).display().to_string();
        program("old/node", "");
        program("nvm/node", "");
        program("shims/xdg-open", "");
        let base: ChildEnv = [("PATH", [dir("shims"), dir("old")].join(":"))].into_iter().collect();
        let check = |path: &Path, expect: &[&str]| {
            let expect: Vec<String> = expect.iter().map(|name| dir(name)).collect();
            let env = beside_interpreter(&base, path);
            assert_eq!(env.value("PATH"), Some(&*expect.join(":")), "{path:?}");
        };
        check(&program("nvm/codex", "#!/usr/bin/env node\nx"), &["shims", "nvm", "old"]);
        check(&program("nvm/amp", "#!/usr/bin/env -S A=1 node --x\n"), &["shims", "nvm", "old"]);
        check(&program("nvm/sh-cli", "#!/bin/sh\n"), &["shims", "old"]);
        check(&program("nvm/binary", "\u{7f}ELF"), &["shims", "old"]);
        check(&program("alone/codex", "#!/usr/bin/env node\n"), &["shims", "old"]);
        check(&root.path().join("absent"), &["shims", "old"]);
    }

    #[test]
    fn child_env_contains_exactly_the_listed_variables() {
        let registry = Registry::builtin().unwrap();
        let provider = registry.provider("codex").unwrap();
        let base: ChildEnv =
            [("PATH", "/bin"), ("HOME", "/home/u"), ("OPENAI_API_KEY", "sk-no"), ("BROWSER", "firefox")]
                .into_iter()
                .collect();
        let extra = [("CODEX_HOME".to_owned(), "/elsewhere".to_owned()), ("LANG".to_owned(), "C".to_owned())];
        let env = child_env(
            &base,
            &ChildEnvSources {
                cli: provider.cli.as_ref().unwrap(),
                recipe: &provider.recipe("", None).unwrap(),
                terminal: Terminal::Pipe,
                extra: &extra,
                config_dir: Path::new("/data/codex"),
                shared: Path::new("/shared/codex"),
                browser: Some(Path::new("/libexec/browser")),
                session: "auth-1",
            },
        );
        let expected: ChildEnv = [
            ("BROWSER", "/libexec/browser"),
            ("CODEX_HOME", "/data/codex"),
            ("DBUS_SESSION_BUS_ADDRESS", "disabled:"),
            ("HOME", "/home/u"),
            ("LANG", "C"),
            ("PATH", "/bin"),
            ("SHELL", "/bin/sh"),
            ("SRVD_SESSION", "auth-1"),
            ("TERM", "dumb"),
        ]
        .into_iter()
        .collect();
        assert_eq!(env.iter().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
        assert!(!format!("{env:?}").contains("/data/codex"));
    }

    #[test]
    fn asking_env_replaces_dir_and_shared_placeholders_once() {
        let text = "[providers.codex.cli]\nenv = { A = \"1\" }\n[providers.codex.cli.config-dir.extra-vars]\n\
            CACHE = \"{shared}/c\"\nBOTH = \"{dir}:{shared}:{dir}\"";
        let overlay = crate::Overlay { source: "own.toml".to_owned(), text: text.to_owned() };
        let registry = Registry::with_overlays(&[overlay]).unwrap();
        let cli = registry.provider("codex").unwrap().cli.as_ref().unwrap();
        assert!(cli.config_dir.shares());
        let base =
            [("PATH", "/bin"), ("OPENAI_API_KEY", "sk-no"), ("BROWSER", "firefox")].into_iter().collect();
        let env = asking_env(&base, cli, Path::new("/d/{shared}"), Path::new("/s/{dir}"));
        let expected = [
            ("A", "1"),
            ("BOTH", "/d/{shared}:/s/{dir}:/d/{shared}"),
            ("CACHE", "/s/{dir}/c"),
            ("CODEX_HOME", "/d/{shared}"),
            ("DBUS_SESSION_BUS_ADDRESS", "disabled:"),
            ("PATH", "/bin"),
            ("TERM", "dumb"),
        ];
        assert_eq!(env.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn env_disables_the_keyring_bus_for_a_bundle_directory() {
        let registry = Registry::builtin().unwrap();
        let cli = registry.provider("codex").unwrap().cli.as_ref().unwrap();
        let dir = Path::new("/work/codex");
        let bus = |env: &ChildEnv| env.value("DBUS_SESSION_BUS_ADDRESS").map(str::to_owned);
        let check = |base: &ChildEnv, bundle: Option<&str>, own: Option<&str>| {
            assert_eq!(bus(&asking_env(base, cli, dir, dir)).as_deref(), bundle);
            assert_eq!(bus(&own_env(base, cli, dir, Reach::Usual)).as_deref(), own);
        };
        check(&ChildEnv::default(), Some("disabled:"), None);
        // A value set in the operator's `[spawn.environment]`.
        let told = [("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/bus")].into_iter().collect();
        check(&told, Some("unix:path=/run/bus"), Some("unix:path=/run/bus"));
        let named = own_env(&ChildEnv::default(), cli, dir, Reach::Variable);
        assert_eq!(named.value("CODEX_HOME"), Some("/work/codex"));
        assert_eq!(own_env(&ChildEnv::default(), cli, dir, Reach::Usual).value("CODEX_HOME"), None);
    }
}
