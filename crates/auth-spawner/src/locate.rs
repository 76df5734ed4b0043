//! Finding a CLI and asking it for its version.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::environment::ChildEnv;
use crate::process::Leash;
use crate::provider::Cli;

/// The first executable regular file with one of the CLI's names, in the order of `search_path`, then of the
/// names. Relative directories are skipped, because what they mean depends on where the daemon stands.
pub fn locate(cli: &Cli, search_path: &[PathBuf]) -> Option<PathBuf> {
    search_path
        .iter()
        .filter(|folder| folder.is_absolute())
        .flat_map(|folder| cli.binaries.iter().map(move |name| folder.join(name)))
        .find(|path| is_executable(path))
}

/// Whether the path leads to a regular file that somebody may execute.
pub(crate) fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The version that the CLI prints: its first token that looks like one, else its first line.
///
/// At most 16 KiB of output are read. `None` when the program cannot be run, fails, prints nothing, or needs longer
/// than `timeout`, after which its process group is ended.
pub async fn version(path: &Path, args: &[String], env: &ChildEnv, timeout: Duration) -> Option<String> {
    let mut child = Command::new(path)
        .args(args)
        .env_clear()
        .envs(env.iter())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let leash = Leash::new(child.id());
    let (mut stdout, mut stderr) =
        (child.stdout.take()?.take(16 * 1024), child.stderr.take()?.take(16 * 1024));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let read = async {
        let _ = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
        child.wait().await
    };
    let ended = tokio::time::timeout(timeout, read).await;
    drop(leash);
    // What a program says when it fails is no version.
    ended.ok()?.ok().filter(ExitStatus::success)?;
    // Some CLIs print their version on standard error.
    [out, err].iter().find_map(|bytes| version_in(&String::from_utf8_lossy(bytes)))
}

fn version_in(text: &str) -> Option<String> {
    let token = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let number = word.strip_prefix('v').unwrap_or(word);
        let numeric = number.split('.').take(2).all(|part| part.starts_with(|c: char| c.is_ascii_digit()));
        (numeric && number.contains('.')).then(|| number.to_owned())
    };
    let line = || text.lines().map(str::trim).find(|line| !line.is_empty());
    text.split_whitespace().find_map(token).or_else(|| Some(line()?.chars().take(100).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_found_in_real_outputs() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(version_in(text).as_deref(), expected, "{text:?}");
        };
        check("codex-cli 0.169.0\n", Some("0.169.0"));
        check("2.1.329 (Claude Code)\n", Some("2.1.329"));
        check("gh version 2.23.0 (2023-02-27)\n", Some("2.23.0"));
        check("\nOpenClaw v2026.9.6-beta.1\n", Some("2026.9.6-beta.1"));
        check("kimi, no number\n", Some("kimi, no number"));
        check(" \n", None);
    }

    #[tokio::test]
    async fn a_program_that_fails_has_no_version() {
        let asked = async |script: &str| {
            let args = ["-c".to_owned(), script.to_owned()];
            version(Path::new("/bin/sh"), &args, &ChildEnv::default(), Duration::from_mins(1)).await
        };
        assert_eq!(asked("echo cli 1.2.3").await.as_deref(), Some("1.2.3"));
        assert_eq!(asked("echo cli 1.2.3 >&2").await.as_deref(), Some("1.2.3"));
        assert_eq!(asked("echo error 1.2.3; exit 1").await, None);
    }

    #[test]
    fn only_executable_regular_files_are_found() {
        let registry = crate::Registry::builtin().unwrap();
        let cli = registry.provider("codex").unwrap().cli.as_ref().unwrap();
        let home = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let folder = home.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let (empty, plain, nested, good) = (folder("a"), folder("b"), folder("c"), folder("d"));
        std::fs::write(plain.join("codex"), "x").unwrap();
        std::fs::set_permissions(plain.join("codex"), PermissionsExt::from_mode(0o644)).unwrap();
        std::fs::create_dir(nested.join("codex")).unwrap();
        std::fs::write(good.join("codex"), "x").unwrap();
        std::fs::set_permissions(good.join("codex"), PermissionsExt::from_mode(0o755)).unwrap();
        let path = [PathBuf::from("."), empty, plain, nested, good.clone()];
        assert_eq!(locate(cli, &path), Some(good.join("codex")));
        assert_eq!(locate(cli, &path[..4]), None);
    }
}
