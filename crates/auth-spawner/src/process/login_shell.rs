//! The question to the user's login shell for its `PATH`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bounded::BoundedCommand;
use super::environment::ChildEnv;

/// Most bytes that a login shell may print. Profiles print greetings.
const MOST_BYTES: usize = 64 * 1024;
/// Most directories that are accepted.
const MOST_DIRECTORIES: usize = 256;

/// Asks a login shell for the directories of its `PATH`: `<shell> -lc <script>`, with exactly this environment, an empty
/// standard input and a process group of its own. Returns an empty list if the shell does not answer within `limit`.
///
/// The profile may print anything, so the answer is taken from a line that begins with `mark`, a text that no profile
/// knows. Only absolute paths are taken.
pub async fn login_path(shell: &Path, environment: &ChildEnv, mark: &str, limit: Duration) -> Vec<PathBuf> {
    let args = ["-lc".to_owned(), format!("printf '\\n%s%s\\n' {mark}= \"$PATH\"")];
    let command = BoundedCommand {
        program: shell,
        args: &args,
        env: environment,
        dir: Path::new("/"),
        limit,
        out: MOST_BYTES,
        err: 0,
    };
    match command.run().await {
        Ok(ended) => directories(&ended.out, mark),
        Err(error) => {
            tracing::debug!(?error, "the login shell did not tell its PATH");
            Vec::new()
        }
    }
}

fn directories(printed: &[u8], mark: &str) -> Vec<PathBuf> {
    let text = String::from_utf8_lossy(printed);
    let answer = text.lines().find_map(|line| line.strip_prefix(mark)?.strip_prefix('='));
    let listed = std::env::split_paths(answer.unwrap_or_default());
    let usable = |dir: &PathBuf| dir.is_absolute() && !dir.to_string_lossy().contains(char::is_control);
    listed.filter(usable).take(MOST_DIRECTORIES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_taken_from_the_marked_line_only() {
        let check = |printed: &str, expect: &[&str]| {
            let expect: Vec<PathBuf> = expect.iter().map(PathBuf::from).collect();
            assert_eq!(directories(printed.as_bytes(), "M1"), expect, "{printed:?}");
        };
        check("Welcome!\nPATH=/evil\n\nM1=/a:/b/c\nM1=/later\n", &["/a", "/b/c"]);
        check("M1=rel:/a::./b:~/c\n", &["/a"]);
        check("M1=/a\t:/b\n", &["/b"]);
        check("M2=/a\n", &[]);
        check("", &[]);
    }

    #[tokio::test]
    async fn login_shell_answers_from_its_profile_and_a_slow_one_is_given_up() {
        let home = tempfile::tempdir().unwrap();
        let profile = home.path().join(".profile");
        let environment: ChildEnv =
            [("HOME", home.path().to_str().unwrap()), ("PATH", "/usr/bin:/bin")].into_iter().collect();
        let minute = Duration::from_mins(1);
        std::fs::write(&profile, "echo hello\nPATH=/opt/tools/bin:$PATH\n").unwrap();
        let path = login_path(Path::new("/bin/sh"), &environment, "M_1", minute).await;
        // The machine's own profile may add directories.
        assert_eq!(path.first().map(PathBuf::as_path), Some(Path::new("/opt/tools/bin")));
        assert!(path.iter().all(|dir| dir.is_absolute()));
        std::fs::write(&profile, "sleep 600\n").unwrap();
        let none = login_path(Path::new("/bin/sh"), &environment, "M_1", Duration::from_millis(100)).await;
        assert_eq!(none, Vec::<PathBuf>::new());
        let none = login_path(Path::new("/no/such/shell"), &environment, "M_1", minute).await;
        assert_eq!(none, Vec::<PathBuf>::new());
    }
}
