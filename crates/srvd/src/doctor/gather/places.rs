//! The state of srvd's own paths.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::base::endpoint::Endpoint;
use crate::base::trust::Trust;
use crate::config::{Config, LONGEST_FILE};
use crate::doctor::facts::{Distrust, Node, NodeKind, PathState, ProtectedPath, RequiredAccess};

/// Examines a path. If `follow` is true, a link is replaced by its target.
pub(super) fn seen(path: &Path, follow: bool) -> PathState {
    let found = if follow { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
    match found {
        Ok(found) => PathState::Is(node(&found)),
        Err(error) if error.kind() == ErrorKind::NotFound => PathState::Nothing,
        Err(error) => PathState::Hidden(error.to_string()),
    }
}

pub(super) fn node(found: &std::fs::Metadata) -> Node {
    let kind = match found.file_type() {
        kind if kind.is_dir() => NodeKind::Directory,
        kind if kind.is_file() => NodeKind::File,
        kind if kind.is_symlink() => NodeKind::Link,
        _ => NodeKind::Other,
    };
    Node { kind, uid: found.uid(), mode: found.permissions().mode() & 0o7777 }
}

/// Returns the reason why another user can change the place or a directory above it.
fn distrust(trust: &Trust, path: &Path, wanted: RequiredAccess) -> Option<Distrust> {
    let error = match wanted {
        RequiredAccess::GuardedDirectory => trust.directory(path).err(),
        RequiredAccess::GuardedFile => trust.read(path, LONGEST_FILE).err(),
        RequiredAccess::PrivateDirectory => trust.above(path.parent()?).err(),
        RequiredAccess::PrivateFile => None,
    }?;
    error.untrusted().map(|_| Distrust { reason: error.reason(), remedy: error.remedy() })
}

/// Returns all places whose mode and owner matter, the directories first.
pub(super) fn look(config: &Config) -> Vec<ProtectedPath> {
    let place = |id, what, path: std::path::PathBuf, wanted| {
        // Users keep their configuration elsewhere and link to it. The daemon's own directories are no links.
        let follow = matches!(wanted, RequiredAccess::GuardedDirectory | RequiredAccess::GuardedFile);
        let untrusted = distrust(&config.trust, &path, wanted);
        ProtectedPath { id, what, seen: seen(&path, follow), path, wanted, untrusted }
    };
    let mut places = vec![
        place(
            "config.dir",
            "The configuration directory",
            config.config_dir.clone(),
            RequiredAccess::GuardedDirectory,
        ),
        place("data.dir", "The data directory", config.data_dir.clone(), RequiredAccess::PrivateDirectory),
        place(
            "runtime.dir",
            "The runtime directory",
            config.runtime_dir.clone(),
            RequiredAccess::PrivateDirectory,
        ),
        place(
            "config.file",
            "The file srvd.toml",
            config.config_dir.join("srvd.toml"),
            RequiredAccess::GuardedFile,
        ),
        place(
            "endpoint.file",
            "The file endpoint.json",
            Endpoint::path(&config.runtime_dir),
            RequiredAccess::PrivateFile,
        ),
        place(
            "token.file",
            "The file with the daemon's token",
            config.runtime_dir.join("token"),
            RequiredAccess::PrivateFile,
        ),
    ];
    let providers = config.config_dir.join("providers.d");
    if providers.exists() {
        places.push(place(
            "config.providers",
            "The directory providers.d",
            providers,
            RequiredAccess::GuardedDirectory,
        ));
    }
    if let Some(path) = config.database.path() {
        let beside = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            name.into()
        };
        let files = [
            ("database.file", "The database's file", ""),
            ("database.wal", "The database's log", "-wal"),
            ("database.shm", "The database's shared memory", "-shm"),
        ];
        places.extend(
            files.map(|(id, what, ending)| place(id, what, beside(ending), RequiredAccess::PrivateFile)),
        );
    }
    places
}
