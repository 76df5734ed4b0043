//! Linked worktrees of git.
//!
//! A worktree has a file `.git` that names its git directory in the repository. Anybody can write such a file, so it counts
//! only if the git directory names the worktree in turn.

use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The longest pointer that is read, in bytes.
const LONGEST: u64 = 8192;

/// Returns the directory of the repository of a linked worktree; `None` if `dir` is not the root of one.
pub(super) fn repository(dir: &Path, me: u32) -> Option<PathBuf> {
    let pointer = dir.join(".git");
    let git = dir.join(line(&pointer, me)?.strip_prefix("gitdir: ")?).canonicalize().ok()?;
    let back = git.join(line(&git.join("gitdir"), me)?);
    if back.canonicalize().ok()? != pointer.canonicalize().ok()? {
        return None;
    }
    let common = git.join(line(&git.join("commondir"), me)?).canonicalize().ok()?;
    // A bare repository has no working directory of its own.
    let main = if common.file_name()? == ".git" { common.parent()? } else { &common };
    (main != dir).then(|| main.to_owned())
}

/// Reads the one line of a small file of this user.
fn line(path: &Path, me: u32) -> Option<String> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let found = file.metadata().ok()?;
    if !found.is_file() || found.uid() != me || found.len() > LONGEST {
        return None;
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    let line = text.trim_end_matches(['\n', '\r']);
    (!line.is_empty() && !line.contains('\n')).then(|| line.to_owned())
}
