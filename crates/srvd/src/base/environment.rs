//! The process environment, read once. All other code receives it as a value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// A copy of the environment. Tests can pass their own.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    vars: BTreeMap<OsString, OsString>,
}

/// The daemon's default directories, before command line flags are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directories {
    /// The directory of `srvd.toml`, `providers.d/` and `encryption.key`.
    pub config: PathBuf,
    /// The directory of the database and the identities.
    pub data: PathBuf,
    /// The directory of the socket and `endpoint.json`.
    pub runtime: PathBuf,
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn of_process() -> Self {
        Self { vars: std::env::vars_os().collect() }
    }

    /// An environment with exactly these variables.
    #[cfg(test)]
    pub(crate) fn of(vars: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self { vars: vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// The variable as text. An empty variable, or one that is not UTF-8, counts as unset.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.vars
            .get(std::ffi::OsStr::new(name))
            .and_then(|value| value.to_str())
            .filter(|value| !value.is_empty())
    }

    /// The variable's bytes, unchanged; `None` only if it is unset.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.vars.get(std::ffi::OsStr::new(name)).map(|value| value.as_bytes())
    }

    /// All variables whose names and values are text, in order of name.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)))
    }

    /// The names of all variables that start with `prefix`.
    pub(crate) fn names_with(&self, prefix: &str) -> Vec<String> {
        self.vars
            .keys()
            .filter_map(|name| name.to_str())
            .filter(|name| name.starts_with(prefix))
            .map(str::to_owned)
            .collect()
    }

    /// The variables for a program of the user's, such as a browser: all but the encryption key and srvd's own, which
    /// may hold secrets.
    pub(crate) fn for_programs(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        let withheld = |name: &OsString| {
            let name = name.as_bytes();
            name.starts_with(b"SRVD_")
                || name.starts_with(b"OAUTH_ENCRYPTION_KEY")
                || name == b"CREDENTIALS_DIRECTORY"
        };
        self.vars.iter().filter(move |(name, _)| !withheld(name))
    }

    /// The user's home directory, as an absolute path.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.path("HOME")
    }

    /// The variable as an absolute path. A relative path is ignored, as required by the XDG rules.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// The user's own directories of the XDG variables that are set, by variable.
    pub(crate) fn xdg_homes(&self) -> BTreeMap<String, PathBuf> {
        let names = ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];
        names.into_iter().filter_map(|name| Some((name.to_owned(), self.path(name)?))).collect()
    }

    /// The three directories: from `SRVD_*_DIR`, else from XDG, or in Application Support on macOS. `None` without a
    /// home.
    pub(crate) fn directories(&self) -> Option<Directories> {
        let home = self.home();
        let under_home = |rest: &str| home.as_ref().map(|home| home.join(rest));
        let (config, data) = if cfg!(target_os = "macos") {
            let support = under_home("Library/Application Support/srvd");
            (support.clone(), support)
        } else {
            let xdg = |name: &str, rest: &str| {
                self.path(name).or_else(|| under_home(rest)).map(|base| base.join("srvd"))
            };
            (xdg("XDG_CONFIG_HOME", ".config"), xdg("XDG_DATA_HOME", ".local/share"))
        };
        let data = self.path("SRVD_DATA_DIR").or(data)?;
        let runtime = self
            .path("SRVD_RUNTIME_DIR")
            .or_else(|| {
                self.path("XDG_RUNTIME_DIR")
                    .filter(|_| !cfg!(target_os = "macos"))
                    .map(|base| base.join("srvd"))
            })
            .unwrap_or_else(|| data.join("run"));
        Some(Directories { config: self.path("SRVD_CONFIG_DIR").or(config)?, data, runtime })
    }
}

/// Returns whether a name matches `^[A-Z_][A-Z0-9_]{0,63}$`, the pattern for names of a child's variables.
pub(crate) fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_uppercase() || byte == b'_');
    first
        && name.len() <= 64
        && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_name_is_upper_case_and_at_most_64_characters_long() {
        let longest = "A".repeat(64);
        for (name, good) in [
            ("A", true),
            ("_A9", true),
            ("9A", false),
            ("a", false),
            ("", false),
            ("A-B", false),
            (&longest, true),
        ] {
            assert_eq!(is_variable_name(name), good, "{name:?}");
        }
        assert!(!is_variable_name(&"A".repeat(65)));
    }

    fn check(vars: &[(&'static str, &str)], expect: Option<[&str; 3]>) {
        let environment = Environment::of(vars.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let expect = expect.map(|[config, data, runtime]| Directories {
            config: config.into(),
            data: data.into(),
            runtime: runtime.into(),
        });
        assert_eq!(environment.directories(), expect, "{vars:?}");
    }

    #[test]
    #[cfg(not(target_os = "macos"))]
    fn directories_follow_the_xdg_rules() {
        check(&[], None);
        check(&[("HOME", "relative")], None);
        check(
            &[("HOME", "/h")],
            Some(["/h/.config/srvd", "/h/.local/share/srvd", "/h/.local/share/srvd/run"]),
        );
        check(
            &[
                ("HOME", "/h"),
                ("XDG_RUNTIME_DIR", "/run/user/1"),
                ("XDG_DATA_HOME", "d"),
                ("XDG_CONFIG_HOME", "/c"),
            ],
            Some(["/c/srvd", "/h/.local/share/srvd", "/run/user/1/srvd"]),
        );
        check(
            &[("SRVD_CONFIG_DIR", "/1"), ("SRVD_DATA_DIR", "/2"), ("SRVD_RUNTIME_DIR", "/3")],
            Some(["/1", "/2", "/3"]),
        );
    }
}
