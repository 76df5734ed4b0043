//! The place that a setup comes from, and the rules for its files. Every file belongs to this user or root, and no other
//! user can change it or put another one in its place.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use auth_spawner::{Cli, ShareRule};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::disk::own_dir::OwnDir;

/// The user that stands for those that a container does not know.
const OVERFLOW: u32 = 65534;

/// The place that a setup comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// There is none.
    Nothing,
    /// The person's own directories.
    Own {
        /// The directory of the CLI, in the form in which its variable names it.
        dir: OwnDir,
        /// The person's home.
        home: PathBuf,
        /// The daemon's directory. Nothing in it belongs to a person's own setup.
        data: PathBuf,
    },
    /// The home of another bundle.
    Home(PathBuf),
}

/// A file or directory of a setup.
#[derive(Debug)]
pub(super) enum Found {
    /// There is none.
    Absent,
    /// The file or directory behind all links.
    At(PathBuf),
    /// The file must not be used, for this reason.
    Refused(String),
}

/// The expected kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    File,
    Directory,
}

impl Origin {
    /// Returns the directory that the paths of a rule are below.
    pub(super) fn place(&self, cli: &Cli, rule: &ShareRule, path: &str) -> Option<PathBuf> {
        let config = &cli.config_dir;
        match self {
            Self::Nothing => None,
            Self::Home(dir) => Some(below_home(cli, rule, dir).join(path)),
            Self::Own { dir, home, .. } => {
                let beside = |place: &String| Some(home.join(place.strip_prefix("~/")?));
                let moved = dir.variable.is_none().then(|| config.ambient_files.get(path)).flatten();
                let named = rule.own.as_ref().and_then(beside).map(|own| own.join(path));
                Some(
                    named
                        .or_else(|| moved.and_then(beside))
                        .unwrap_or_else(|| config.inside(&dir.dir).join(path)),
                )
            }
        }
    }

    /// The directory of the setup, for people.
    pub(super) fn shown(&self, cli: &Cli) -> Option<PathBuf> {
        match self {
            Self::Nothing => None,
            Self::Own { dir, .. } => Some(cli.config_dir.inside(&dir.dir)),
            Self::Home(dir) => Some(cli.config_dir.inside(dir)),
        }
    }

    /// Finds a file or directory of the setup, and checks that only this user or root can change it. Blocking.
    pub(super) fn find(&self, path: &Path, expected: Expected) -> Found {
        let real = match std::fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return match std::fs::symlink_metadata(path) {
                    Ok(_) => Found::Refused("it is a symbolic link that leads nowhere".to_owned()),
                    Err(_) => Found::Absent,
                };
            }
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                return Found::Refused("it is a symbolic link in a loop".to_owned());
            }
            Err(error) => return Found::Refused(format!("it cannot be read: {error}")),
        };
        match self.refusal(&real, expected) {
            Ok(None) => Found::At(real),
            Ok(Some(reason)) => Found::Refused(reason),
            Err(error) => Found::Refused(format!("it cannot be read: {error}")),
        }
    }

    fn refusal(&self, real: &Path, expected: Expected) -> std::io::Result<Option<String>> {
        if let Self::Own { data, .. } = self {
            let data = std::fs::canonicalize(data).unwrap_or_else(|_| data.clone());
            if real.starts_with(&data) {
                return Ok(Some("it leads into srvd's own directory".to_owned()));
            }
        }
        let found = std::fs::metadata(real)?;
        if let Some(reason) = kind(&found, expected).or_else(|| owner(&found)).or_else(|| mode(real, &found))
        {
            return Ok(Some(reason));
        }
        for above in real.ancestors().skip(1) {
            let found = std::fs::metadata(above)?;
            let known = found.uid() == OVERFLOW || owner(&found).is_none();
            // In a directory with the sticky bit, only the owner of an entry can replace it.
            if !known || (found.mode() & 0o1000 == 0 && mode(above, &found).is_some()) {
                return Ok(Some(format!("other users can change {}", above.display())));
            }
        }
        Ok(None)
    }
}

/// Returns the directory in a home that the paths of a rule are below.
pub(super) fn below_home(cli: &Cli, rule: &ShareRule, dir: &Path) -> PathBuf {
    match &rule.home {
        Some(place) => dir.join(place),
        None => cli.config_dir.inside(dir),
    }
}

fn kind(found: &Metadata, expected: Expected) -> Option<String> {
    match expected {
        Expected::File => (!found.is_file()).then(|| "it is not a regular file".to_owned()),
        Expected::Directory => (!found.is_dir()).then(|| "it is not a directory".to_owned()),
    }
}

fn owner(found: &Metadata) -> Option<String> {
    let ours = found.uid() == 0 || found.uid() == rustix::process::geteuid().as_raw();
    (!ours).then(|| format!("it belongs to another user (uid {})", found.uid()))
}

fn mode(path: &Path, found: &Metadata) -> Option<String> {
    // Many systems give each user a group of the same number, which has no other member.
    let group = found.mode() & 0o020 != 0 && found.gid() != found.uid();
    let others = found.mode() & 0o002 != 0;
    let quoted = || shell_words::quote(&path.to_string_lossy()).into_owned();
    (group || others).then(|| format!("other users can change it; run: chmod go-w {}", quoted()))
}

/// Reads a regular file of at most `limit` bytes that belongs to this user or root; `Ok(None)` if there is none. A link
/// is not followed. Blocking, but never for longer than the disk takes.
///
/// # Errors
/// The reason, for people.
pub(super) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    // NONBLOCK prevents a FIFO at this path from blocking the reader.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::LOOP) => return Err("it is a symbolic link".to_owned()),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    let found = file.metadata().map_err(|error| format!("it cannot be read: {error}"))?;
    if let Some(reason) = kind(&found, Expected::File).or_else(|| owner(&found)) {
        return Err(reason);
    }
    let large = || format!("it is larger than {} MiB", limit / 1024 / 1024);
    if found.len() > limit {
        return Err(large());
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| format!("it cannot be read: {error}"))?;
    if bytes.len() as u64 > limit { Err(large()) } else { Ok(Some(bytes)) }
}
