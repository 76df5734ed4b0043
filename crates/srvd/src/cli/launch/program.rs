//! Finds a program, and replaces this process with it. A shim is never found, because it would start srvd again.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::Mode;

use super::shim;
use crate::base::environment::Environment;
use crate::base::trust::{self, Trust};
use crate::cli::failure::{Failure, code};
use crate::wire::launch::Launch;

/// Exit codes, as in `env` and the shells: the program exists but cannot be run, or it does not exist.
const CANNOT_RUN: u8 = 126;
const NOT_THERE: u8 = 127;
/// The search path if there is no `PATH`.
const USUAL_PATH: &str = "/usr/bin:/bin";

/// A program that was found, with its arguments.
pub(in crate::cli) struct Program {
    path: PathBuf,
    command: Vec<OsString>,
    depth: u32,
}

impl Program {
    /// Finds the program of a command line that is not empty.
    pub(super) fn find(command: Vec<OsString>, environment: &Environment) -> Result<Self, Failure> {
        let name = command.first().ok_or_else(|| Failure::new(code::USAGE, "there is no program to run"))?;
        let depth = shim::depth(environment)?;
        Ok(Self { path: find(name, search_path(environment), &trust(environment))?, command, depth })
    }

    /// Replaces this process with the program, without a change of the environment. Returns only if that failed.
    pub(super) fn become_plain(&self, mask: Mode) -> Failure {
        self.run(self.command(), mask)
    }

    /// Replaces this process with the program, with the launch's change of the environment and the file mode mask that
    /// this process was given. Returns only if that failed.
    pub(super) fn become_launched(&self, launch: &Launch, mask: Mode) -> Failure {
        let mut command = self.command();
        for name in launch.unset.iter() {
            command.env_remove(name);
        }
        for (name, value) in &launch.set {
            command.env(name, value.expose());
        }
        self.run(command, mask)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some((name, args)) = self.command.split_first() {
            command.arg0(name).args(args);
        }
        command.env_remove(shim::OPT_OUT_VAR).env(shim::DEPTH_VAR, (self.depth + 1).to_string());
        command
    }

    fn run(&self, mut command: Command, mask: Mode) -> Failure {
        rustix::process::umask(mask);
        let error = command.exec();
        let code = if error.kind() == io::ErrorKind::NotFound { NOT_THERE } else { CANNOT_RUN };
        Failure::new(code, format!("cannot run {}: {error}", self.path.display()))
    }
}

/// The search path of this process.
pub(in crate::cli) fn search_path(environment: &Environment) -> &OsStr {
    use std::os::unix::ffi::OsStrExt as _;
    environment.bytes("PATH").map_or(OsStr::new(USUAL_PATH), OsStr::from_bytes)
}

/// The check of what is found on the search path.
pub(in crate::cli) fn trust(environment: &Environment) -> Trust {
    Trust::of_process(environment.text(trust::VARIABLE))
}

/// Finds a program. A path is used as it is, unless it is a shim's, which is searched for by its name. A name is
/// searched for in the absolute directories of `path`, without the shims and without programs that another user can
/// change: the program receives credentials.
pub(in crate::cli) fn find(name: &OsStr, path: &OsStr, trust: &Trust) -> Result<PathBuf, Failure> {
    let named = Path::new(name);
    let is_path = named.components().count() > 1 || named.is_absolute();
    if is_path && !auth_spawner::is_shim(named) {
        return Ok(named.to_owned());
    }
    let name = named.file_name().unwrap_or(name);
    // The meaning of a relative directory depends on the current directory, and a program in it would receive
    // credentials.
    let dirs = std::env::split_paths(path).filter(|dir| dir.is_absolute());
    let name_text = name.to_string_lossy();
    let mut refused = None;
    for place in dirs.map(|dir| dir.join(name)).filter(|place| auth_spawner::is_program(place)) {
        match trust.program(&place) {
            Ok(_) => return Ok(place),
            Err(error) => refused = refused.or(Some((place, error))),
        }
    }
    Err(match refused {
        None => Failure::new(NOT_THERE, format!("cannot run {name_text}: it is not on the PATH")),
        Some((place, error)) => {
            let message = format!("cannot run {}: {}", place.display(), error.reason());
            let failure = Failure::new(CANNOT_RUN, message);
            match error.remedy() {
                Some(remedy) => failure.hint(remedy),
                None => failure,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn program_search_skips_shims_and_otherwise_works_like_a_shell() {
        let root = tempfile::tempdir().unwrap();
        let file = |dir: &str, mode: u32, text: &str| {
            let dir = root.path().join(dir);
            std::fs::DirBuilder::new().recursive(true).create(&dir).unwrap();
            std::fs::write(dir.join("codex"), text).unwrap();
            std::fs::set_permissions(dir.join("codex"), Permissions::from_mode(mode)).unwrap();
            dir
        };
        let shim = format!("{}codex\nexec srvd\n", auth_spawner::SHIM_HEAD);
        let dirs = [file("shims", 0o755, &shim), file("plain", 0o644, "x"), file("more", 0o755, &shim)];
        let real = file("real", 0o755, "#!/bin/sh\n");
        std::os::unix::fs::symlink(dirs[0].join("codex"), root.path().join("codex")).unwrap();
        let path = std::env::join_paths(dirs.iter().chain([&root.path().to_owned(), &real])).unwrap();
        let check = |name: &Path, path: &OsStr, expected: Option<&Path>| {
            let found =
                find(name.as_os_str(), path, &Trust::of_process(None)).map_err(|failure| failure.code());
            assert_eq!(found, expected.map(Path::to_owned).ok_or(NOT_THERE), "{name:?}");
        };
        let real = real.join("codex");
        check(Path::new("codex"), &path, Some(&real));
        check(&dirs[0].join("codex"), &path, Some(&real));
        check(&root.path().join("codex"), &path, Some(&real));
        check(&real, OsStr::new(""), Some(&real));
        check(Path::new("/no/such"), &path, Some(Path::new("/no/such")));
        check(Path::new("codex"), dirs[0].as_os_str(), None);
        check(Path::new("no-such"), &path, None);
    }

    #[test]
    fn program_search_skips_what_other_users_can_change() {
        let root = tempfile::tempdir().unwrap();
        let dir = |name: &str, mode: u32| {
            let dir = root.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("codex"), "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(dir.join("codex"), Permissions::from_mode(0o755)).unwrap();
            std::fs::set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
            dir
        };
        let (open, good) = (dir("open", 0o777), dir("good", 0o755));
        let path = |dirs: &[&PathBuf]| std::env::join_paths(dirs).unwrap();
        let trust = Trust::of_process(None);
        let found = find(OsStr::new("codex"), &path(&[&open, &good]), &trust);
        assert_eq!(found, Ok(good.join("codex")));
        let refused = find(OsStr::new("codex"), &path(&[&open]), &trust).unwrap_err();
        assert_eq!(refused.code(), CANNOT_RUN);
        let said = refused.render();
        assert!(said.contains("has mode 0777") && said.contains("chmod go-w"), "{said}");
        let accepted = find(OsStr::new("codex"), &path(&[&open]), &Trust::of_process(open.to_str()));
        assert_eq!(accepted, Ok(open.join("codex")));
    }
}
