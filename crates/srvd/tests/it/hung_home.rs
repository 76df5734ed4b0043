//! A FUSE file system that is mounted and whose requests are never read.

use std::process::Command;

/// Mounts the file system at `$1`. Each access to it waits until the shell ends.
const MOUNT: &str =
    "exec 3<>/dev/fuse && mount -i -t fuse.hang -o fd=3,rootmode=40000,user_id=0,group_id=0 none \"$1\"";

/// Returns the beginning of a shell line that runs its last word with a directory that hangs; `None` if this machine has
/// no FUSE or no namespaces, which a test of the project's own must have.
pub(crate) fn shell_with_a_hanging_directory(dir: &str) -> Option<String> {
    let line = |dir: &str| format!("unshare --mount sh -c '{MOUNT} && eval \"$2\"' sh \"{dir}\"");
    let tried = tempfile::tempdir().unwrap();
    let probe = format!("{} true", line(&tried.path().display().to_string()));
    let works = Command::new("sh").args(["-c", &probe]).output().is_ok_and(|done| done.status.success());
    let in_ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(works || !in_ci, "these tests need /dev/fuse and the right to mount");
    works.then(|| line(dir))
}
