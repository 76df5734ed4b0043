//! The text of a shim, and reads and writes of its file.

use std::io::{self, Write as _};
use std::path::Path;

use auth_spawner::SHIM_HEAD;

use crate::base::private;
use crate::cli::failure::{Failure, code};

/// The longest file that is compared with a new text, in bytes.
const LONGEST: u64 = 8 * 1024;

/// The state of the path of a shim.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing is there.
    Free,
    /// A shim of srvd is there.
    Ours,
    /// Something else is there, such as a link to a shim.
    Foreign,
}

/// The result of writing a shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Made,
    Renewed,
    Same,
    NotOurs,
}

impl Written {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Made => "created",
            Self::Renewed => "updated",
            Self::Same => "unchanged",
            Self::NotOurs => "! not overwritten",
        }
    }
}

/// Returns the script for a program of this name. `srvd` is the path of srvd.
pub(super) fn text(srvd: &Path, name: &str) -> Result<String, Failure> {
    let shown = srvd.display();
    let srvd = srvd.to_str().filter(|path| !path.contains(['\n', '\0'])).ok_or_else(|| {
        Failure::new(
            code::CANNOT_CREATE,
            format!("cannot write a shim that contains the path of srvd: {shown}"),
        )
    })?;
    Ok(format!(
        "{SHIM_HEAD}starts {name} with the bundle of the directory; `srvd shims remove` removes it.\n\
         exec {} exec --shim -- {} \"$@\"\n",
        quoted(srvd),
        quoted(name)
    ))
}

/// Quotes a text as one word of a shell.
pub(in crate::cli) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns the state of a path. A link is not followed.
pub(super) fn place(path: &Path) -> Place {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Place::Free,
        Ok(found) if found.is_file() && auth_spawner::is_shim(path) => Place::Ours,
        _ => Place::Foreign,
    }
}

/// Writes a shim completely or not at all. Only a shim is replaced.
pub(super) fn write(path: &Path, text: &str) -> io::Result<Written> {
    match place(path) {
        Place::Foreign => Ok(Written::NotOurs),
        Place::Ours if is_same(path, text) => Ok(Written::Same),
        Place::Ours => put(path, text, |fresh| std::fs::rename(fresh, path)).map(|()| Written::Renewed),
        // Unlike a rename, a link does not replace a file that was made there meanwhile.
        Place::Free => put(path, text, |fresh| std::fs::hard_link(fresh, path)).map(|()| Written::Made),
    }
}

fn is_same(path: &Path, text: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|found| found.len() < LONGEST && found.permissions().mode() & 0o100 != 0)
        && std::fs::read(path).is_ok_and(|bytes| bytes == text.as_bytes())
}

fn put(path: &Path, text: &str, place: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let fresh = path.with_file_name(format!(".srvd-{}.new", uuid::Uuid::new_v4().simple()));
    let written = private::new_file(&fresh, 0o700).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let placed = written.and_then(|()| place(&fresh));
    // After a rename this file is gone. The other error is the one that is returned.
    let _ = std::fs::remove_file(&fresh);
    placed
}

/// Returns the sorted names of the shims in a directory; none if the directory does not exist.
pub(super) fn shims_in(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if place(&entry.path()) == Place::Ours
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn shim_script_quotes_path_and_refuses_line_feed() {
        assert_eq!(
            text(Path::new("/opt/it's here/srvd"), "claude").unwrap(),
            "#!/bin/sh\n# srvd shim: starts claude with the bundle of the directory; `srvd shims remove` removes it.\n\
             exec '/opt/it'\\''s here/srvd' exec --shim -- 'claude' \"$@\"\n"
        );
        assert_eq!(text(Path::new("/a\nb"), "claude").unwrap_err().code(), code::CANNOT_CREATE);
    }

    #[test]
    fn shim_write_replaces_only_shims() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("claude");
        let shim = |srvd: &str| text(Path::new(srvd), "claude").unwrap();
        assert_eq!(write(&path, &shim("/a")).unwrap(), Written::Made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(write(&path, &shim("/a")).unwrap(), Written::Same);
        assert_eq!(write(&path, &shim("/b")).unwrap(), Written::Renewed);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), shim("/b"));
        let link = root.path().join("codex");
        symlink(&path, &link).unwrap();
        let foreign = root.path().join("kimi");
        std::fs::write(&foreign, "#!/bin/sh\nkimi\n").unwrap();
        for path in [&link, &foreign, &root.path().join(".")] {
            assert_eq!(write(path, &shim("/c")).unwrap(), Written::NotOurs, "{}", path.display());
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), shim("/b"));
        assert_eq!(shims_in(root.path()).unwrap(), ["claude"]);
        assert_eq!(shims_in(&root.path().join("absent")).unwrap(), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 3);
    }
}
