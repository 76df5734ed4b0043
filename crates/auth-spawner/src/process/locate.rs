//! Locates a CLI and reads its version.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::zeroize::Zeroizing;

use super::bounded::BoundedCommand;
use super::directory::private_directory;
use super::environment::{ChildEnv, asking_env};
use crate::registry::{Cli, Provider};

/// Returns the first of [`programs`].
pub fn locate(cli: &Cli, search_path: &[PathBuf]) -> Option<PathBuf> {
    programs(cli, search_path).next()
}

/// Returns every executable regular file that has one of the CLI's names, ordered by `search_path` and then by name.
/// Relative directories are skipped, because their meaning depends on the daemon's working directory.
pub fn programs(cli: &Cli, search_path: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    search_path
        .iter()
        .filter(|folder| folder.is_absolute())
        .flat_map(|folder| cli.binaries.iter().map(move |name| folder.join(name)))
        .filter(|path| is_program(path))
}

/// The first bytes of a shim: a script named like a CLI that locates the real CLI and starts it. A shim never counts as
/// a CLI here, because running it would lead back to its caller.
pub const SHIM_HEAD: &str = "#!/bin/sh\n# srvd shim: ";

/// Returns whether the path is a regular file that starts like a shim, whatever its name.
pub fn is_shim(path: &Path) -> bool {
    // Opening any other kind of file, such as a FIFO, could block.
    if !std::fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
        return false;
    }
    let mut head = [0; SHIM_HEAD.len()];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
        && head == *SHIM_HEAD.as_bytes()
}

/// Returns whether the path points to an executable regular file that is not a shim.
pub fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        && !is_shim(path)
}

/// A program's answer when asked for its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The program is the CLI. Contains the version it prints, or its first line of output if nothing in it looks like
    /// a version.
    Is(String),
    /// The program answers, but not like this CLI: it is a different program with the same name. Contains its first
    /// line of output.
    Other(String),
    /// The program cannot be run, fails, prints nothing, or takes too long.
    Silent,
}

/// A version query to a program.
#[derive(Debug)]
pub struct VersionQuestion<'a> {
    /// The provider whose CLI the program is expected to be.
    pub provider: &'a Provider,
    /// The path of the program.
    pub program: &'a Path,
    /// The child's environment, without the provider's variables.
    pub environment: &'a ChildEnv,
    /// The parent of the directories shared by all logins with a provider, as in
    /// [`SpawnerConfig`](crate::SpawnerConfig).
    pub shared: &'a Path,
    /// The maximum run time. After that, the process group is ended.
    pub timeout: Duration,
}

impl VersionQuestion<'_> {
    /// Runs the program. Output larger than 16 KiB counts as no answer.
    pub async fn ask(self) -> Version {
        let Some(cli) = &self.provider.cli else { return Version::Silent };
        // The output of a program that fails is not a version.
        let Some((Some(0), [out, err])) = self.run(cli, &cli.version_args).await else {
            return Version::Silent;
        };
        // Some CLIs print their version on standard error.
        let texts = [&out, &err].map(|bytes| String::from_utf8_lossy(bytes));
        judge(cli, &[&texts[0], &texts[1]])
    }

    /// Runs the program with other arguments, and returns everything that it prints, whatever its exit code is. `None`
    /// if it cannot be run, takes too long or prints more than 16 KiB on one stream.
    pub async fn output(&self, args: &[String]) -> Option<String> {
        let (_, texts) = self.run(self.provider.cli.as_ref()?, args).await?;
        Some(texts.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect())
    }

    async fn run(&self, cli: &Cli, args: &[String]) -> Option<(Option<i32>, [Zeroizing<Vec<u8>>; 2])> {
        let shared = self.shared.join(&self.provider.id);
        // The query is not about a login and must not touch the user's own directory.
        let dir = shared.join(NO_LOGIN);
        let made = dir.clone();
        tokio::task::spawn_blocking(move || private_directory(&made)).await.ok()?.ok()?;
        let env = asking_env(self.environment, cli, &dir, &shared);
        let command = BoundedCommand {
            program: self.program,
            args,
            env: &env,
            dir: &dir,
            limit: self.timeout,
            out: MOST_BYTES,
            err: MOST_BYTES,
        };
        let ended = command.run().await.ok()?;
        Some((ended.code, [ended.out, ended.err]))
    }
}

/// The maximum number of bytes that a program may print when asked for its version.
const MOST_BYTES: usize = 16 * 1024;
/// The name of the directory for running a CLI that must not see any login.
const NO_LOGIN: &str = "no-login";

fn judge(cli: &Cli, texts: &[&str]) -> Version {
    let Some(pattern) = &cli.version_pattern else {
        return texts.iter().find_map(|text| version_in(text)).map_or(Version::Silent, Version::Is);
    };
    let lines = || texts.iter().flat_map(|text| text.lines()).map(str::trim).filter(|line| !line.is_empty());
    let said = lines().find_map(|line| {
        let found = pattern.captures(line.as_bytes())?;
        let named = found.name("version").map(|part| String::from_utf8_lossy(part.as_bytes()).into_owned());
        named.or_else(|| version_in(line))
    });
    match (said, lines().next()) {
        (Some(version), _) => Version::Is(version.chars().take(100).collect()),
        (None, Some(line)) => Version::Other(line.chars().take(100).collect()),
        (None, None) => Version::Silent,
    }
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
    fn version_is_extracted_from_real_cli_outputs() {
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

    fn provider(cli: &str) -> std::sync::Arc<Provider> {
        let text = format!("[providers.codex.cli]\n{cli}");
        let overlay = crate::Overlay { source: "own.toml".to_owned(), text };
        crate::Registry::with_overlays(&[overlay]).unwrap().provider("codex").unwrap().clone()
    }

    #[test]
    fn version_output_identifies_a_different_program_when_the_pattern_does_not_match() {
        let provider = provider("version-pattern = '^(?:codex-cli |v)(?P<version>[0-9]\\S+)$'");
        let cli = provider.cli.as_ref().unwrap();
        let check = |out: &str, err: &str, expect: Version| {
            assert_eq!(judge(cli, &[out, err]), expect, "{out:?} {err:?}");
        };
        let is = |version: &str| Version::Is(version.to_owned());
        check("codex-cli 0.169.0\n", "", is("0.169.0"));
        check("", "a warning\n v0.169.0-beta.1 \n", is("0.169.0-beta.1"));
        check("kimi-cli is no longer maintained.\n", "", {
            Version::Other("kimi-cli is no longer maintained.".to_owned())
        });
        check(" \n", "", Version::Silent);
    }

    #[tokio::test]
    async fn version_query_is_silent_on_failure_and_passes_only_listed_variables() {
        let shared = tempfile::tempdir().unwrap();
        let asked = async |script: &str| {
            let args = format!(
                "version-args = ['-c', '{script}']\nversion-pattern = '^(?:cli )?(?P<version>\\S+)$'\nenv = {{ WORD = \"1.2.3\" }}"
            );
            let environment = [("OPENAI_API_KEY", "sk-no")].into_iter().collect();
            let question = VersionQuestion {
                provider: &provider(&args),
                program: Path::new("/bin/sh"),
                environment: &environment,
                shared: shared.path(),
                timeout: Duration::from_mins(1),
            };
            question.ask().await
        };
        let is = |version: &str| Version::Is(version.to_owned());
        assert_eq!(asked("echo cli 1.2.3").await, is("1.2.3"));
        assert_eq!(asked("echo cli 1.2.3 >&2").await, is("1.2.3"));
        assert_eq!(asked("echo error 1.2.3; exit 1").await, Version::Silent);
        assert_eq!(asked("echo cli $WORD$OPENAI_API_KEY$SRVD_SESSION").await, is("1.2.3"));
        let dir = shared.path().join("codex/no-login");
        assert_eq!(asked("echo $CODEX_HOME").await, is(dir.to_str().unwrap()));
    }

    #[test]
    fn locate_finds_only_executable_regular_files_other_than_shims() {
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
        let shims = folder("e");
        std::fs::write(shims.join("codex"), format!("{SHIM_HEAD}x\nexec true\n")).unwrap();
        std::fs::set_permissions(shims.join("codex"), PermissionsExt::from_mode(0o755)).unwrap();
        assert!(is_shim(&shims.join("codex")) && !is_shim(&good.join("codex")) && !is_shim(&shims));
        assert_eq!(locate(cli, &[shims, good.clone()]), Some(good.join("codex")));
        let twice = [good.clone(), good.clone()];
        assert_eq!(programs(cli, &twice).count(), 2);
    }
}
