//! Programs that prevent a CLI from opening a browser. The client opens it instead, once, on the user's machine.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use auth_spawner::ChildEnv;

use crate::base::private;

/// The names of browser launchers that CLIs run.
const NAMES: &[&str] = &["xdg-open", "x-www-browser", "www-browser", "sensible-browser", "open", "wslview"];

/// The text of each launcher. Some CLIs print their address only after the launcher has failed. The recipe of such a CLI
/// sets the variable.
const OPENER: &str = "\
#!/bin/sh
# srvd opens no browser; the client does.
[ \"${SRVD_OPENER:-}\" = fails ] && exit 3
exit 0
";

/// A directory of programs without effect that comes first on the children's `PATH`.
pub(crate) struct Shims {
    dir: PathBuf,
}

/// Writes the programs to the directory `browser` in the runtime directory.
///
/// # Errors
/// The I/O error of the first file that cannot be written.
pub(crate) fn install(runtime_dir: &Path) -> io::Result<Shims> {
    let dir = runtime_dir.join("browser");
    private::directory(&dir).map_err(io::Error::other)?;
    for name in NAMES {
        let path = dir.join(name);
        match private::new_file(&path, 0o700) {
            Ok(mut file) => {
                file.write_all(OPENER.as_bytes())?;
            }
            // It may be that of an earlier version.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if std::fs::read(&path)? != OPENER.as_bytes() {
                    std::fs::remove_file(&path)?;
                    private::new_file(&path, 0o700)?.write_all(OPENER.as_bytes())?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Shims { dir })
}

impl Shims {
    /// Returns the value of `BROWSER`.
    pub(crate) fn browser(&self) -> PathBuf {
        self.dir.join("x-www-browser")
    }

    /// Returns the environment with the directory first on its `PATH`.
    pub(crate) fn apply(&self, env: ChildEnv) -> ChildEnv {
        let mut env = env;
        let path = env.value("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.dir.display());
        env.set("PATH", path);
        env
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn opener_succeeds_unless_the_recipe_wants_it_to_fail() {
        let dir = tempfile::tempdir().unwrap();
        let shims = install(dir.path()).unwrap();
        let code = |value: Option<&str>| {
            // Read by a shell, because a file that was just written may not be started beside other threads.
            let mut command = Command::new("sh");
            command.arg(shims.browser());
            command.env_remove("SRVD_OPENER").envs(value.map(|value| ("SRVD_OPENER", value)));
            command.status().unwrap().code()
        };
        assert_eq!(
            [None, Some(""), Some("other"), Some("fails")].map(code),
            [Some(0), Some(0), Some(0), Some(3)]
        );
    }

    #[test]
    fn opener_of_an_earlier_version_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let browser = install(dir.path()).unwrap().browser();
        std::fs::write(&browser, "#!/bin/sh\nexit 0\n").unwrap();
        assert_eq!(install(dir.path()).unwrap().browser(), browser);
        assert_eq!(std::fs::read_to_string(&browser).unwrap(), OPENER);
    }
}
