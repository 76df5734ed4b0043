//! Programs that prevent a CLI from opening a browser. The client opens it instead, once, on the user's machine.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use auth_spawner::ChildEnv;

use crate::base::private;

/// The names of browser launchers that CLIs run.
const NAMES: &[&str] = &["xdg-open", "x-www-browser", "www-browser", "sensible-browser", "open", "wslview"];

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
                file.write_all(b"#!/bin/sh\n# srvd opens no browser; the client does.\nexit 0\n")?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
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
