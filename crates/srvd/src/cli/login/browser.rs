//! Opens the user's browser. Only commands do this; the daemon never does.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::oneshot;

use super::super::ui::Seat;
use crate::base::environment::Environment;

#[cfg(target_os = "macos")]
const DESKTOP_OPENER: &str = "open";
#[cfg(not(target_os = "macos"))]
const DESKTOP_OPENER: &str = "xdg-open";

/// The variable with the user's browsers, in the format of xdg-open and Python's `webbrowser`.
const BROWSER_VAR: &str = "BROWSER";
/// The placeholder for the address in a command.
const ADDRESS: &str = "%s";
/// The time in which a failure of an opener is noticed. Some openers run as long as their browser is open.
const PATIENCE: Duration = Duration::from_secs(3);

/// The commands that can open an address for the user, in the order in which they are tried.
#[derive(Debug, Clone)]
pub(in super::super) struct Opener {
    commands: Vec<Vec<String>>,
    /// The environment of the commands.
    environment: Vec<(OsString, OsString)>,
    patience: Duration,
}

impl Opener {
    /// Returns the commands for the environment and the user's seat.
    pub(in super::super) fn of(environment: &Environment, seat: Seat) -> Self {
        Self {
            commands: commands(environment.text(BROWSER_VAR), seat, |path| Path::new(path).is_file()),
            environment: environment
                .for_programs()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            patience: PATIENCE,
        }
    }

    /// Starts to open the address and returns at once. Does nothing if there is no command, or if the address is not a
    /// web address.
    pub(in super::super) fn start(&self, url: &str) -> Opening {
        if self.commands.is_empty() || !is_web_address(url) {
            return Opening(None);
        }
        let (report, outcome) = oneshot::channel();
        let (this, url) = (self.clone(), url.to_owned());
        tokio::spawn(async move {
            // The login may have ended meanwhile, so that the receiver is gone.
            let _ = report.send(this.open(&url).await);
        });
        Opening(Some(outcome))
    }

    async fn open(&self, url: &str) -> bool {
        for command in &self.commands {
            if self.run(command, url).await {
                return true;
            }
        }
        false
    }

    /// Runs one command. Returns true if it ends with 0, or still runs after the time limit.
    async fn run(&self, words: &[String], url: &str) -> bool {
        let Some((program, args)) = words.split_first() else { return false };
        let mut command = Command::new(program);
        // The command has no terminal and a process group of its own. It cannot write to the login's screen, and the
        // Ctrl-C that ends the login does not end it.
        command
            .args(args.iter().map(|arg| arg.replace(ADDRESS, url)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        let Ok(mut child) = command.spawn() else { return false };
        match tokio::time::timeout(self.patience, child.wait()).await {
            Ok(ended) => ended.is_ok_and(|status| status.success()),
            Err(_) => true,
        }
    }
}

/// The pending result of an [`Opener`]. Holds nothing if no address is being opened.
#[derive(Debug)]
pub(in super::super) struct Opening(Option<oneshot::Receiver<bool>>);

impl Opening {
    /// Waits until it is known whether a browser was opened.
    pub(in super::super) async fn succeeded(self) -> bool {
        match self.0 {
            Some(outcome) => outcome.await.unwrap_or(false),
            None => false,
        }
    }

    /// Returns a value for which no address is being opened.
    pub(in super::super) fn none() -> Self {
        Self(None)
    }

    /// Waits until it is known whether a browser was opened, and returns the message for the user, once. Never ends if
    /// no address is being opened. The wait may be cancelled and started again.
    pub(in super::super) async fn news(&mut self) -> &'static str {
        let Some(outcome) = &mut self.0 else { return std::future::pending().await };
        let opened = outcome.await.unwrap_or(false);
        self.0 = None;
        if opened {
            "Opened in your browser."
        } else {
            "No browser could be opened. Open the address above yourself."
        }
    }
}

/// Returns the commands for a value of `BROWSER`, each with a placeholder for the address. The variable counts on a
/// remote terminal as well, because tools set it there to reach the browser of the user's own machine.
fn commands(browser: Option<&str>, seat: Seat, is_file: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let entries: Vec<&str> = match browser {
        Some(list) => list.split(':').map(str::trim).filter(|entry| !entry.is_empty()).collect(),
        None if seat == Seat::Desktop => vec![DESKTOP_OPENER],
        None => Vec::new(),
    };
    let command = |entry: &str| {
        // A path may hold spaces, such as that of a Windows program under WSL.
        let mut words = if is_file(entry) { vec![entry.to_owned()] } else { split(entry) };
        // Some users write a shell's `&` after a browser that keeps running.
        words.pop_if(|last| last == "&");
        if !words.iter().any(|word| word.contains(ADDRESS)) {
            words.push(ADDRESS.to_owned());
        }
        words
    };
    entries.into_iter().map(command).filter(|words| words.len() > 1).collect()
}

/// Splits a command into words, as a shell would. No shell runs it.
fn split(command: &str) -> Vec<String> {
    shell_words::split(command).unwrap_or_else(|_| command.split_whitespace().map(str::to_owned).collect())
}

/// Returns whether a text is a web address, which an opener cannot mistake for a file or for an option.
fn is_web_address(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const URL: &str = "https://auth.example/authorize?a=1&b=%20";

    #[test]
    fn web_address_check_accepts_only_http_and_https() {
        let check = |url: &str, expect: bool| assert_eq!(is_web_address(url), expect, "{url}");
        check("https://auth.example/authorize?a=1", true);
        check("http://127.0.0.1:1455/", true);
        check("file:///etc/passwd", false);
        check("--help", false);
        check("/bin/sh", false);
        check("javascript:alert(1)", false);
        check("", false);
    }

    #[test]
    fn browser_variable_names_commands_in_order_at_every_seat() {
        let spaced = "/mnt/c/Program Files/b.exe";
        let check = |browser: Option<&str>, seat: Seat, expect: &[&[&str]]| {
            assert_eq!(commands(browser, seat, |path| path == spaced), expect, "{browser:?} {seat:?}");
        };
        for seat in [Seat::Desktop, Seat::Console, Seat::Remote] {
            check(Some("wslview"), seat, &[&["wslview", "%s"]]);
            check(Some("one: two -n %s :"), seat, &[&["one", "%s"], &["two", "-n", "%s"]]);
            check(Some("b --url='%s' 'a b'"), seat, &[&["b", "--url=%s", "a b"]]);
            check(Some("b %s &"), seat, &[&["b", "%s"]]);
            check(Some("it's"), seat, &[&["it's", "%s"]]);
            check(Some(spaced), seat, &[&[spaced, "%s"]]);
            check(Some(":"), seat, &[]);
        }
        check(None, Seat::Desktop, &[&[DESKTOP_OPENER, "%s"]]);
        check(None, Seat::Console, &[]);
        check(None, Seat::Remote, &[]);
    }

    /// A directory of openers: scripts that record their argument and then run a given command.
    struct Openers(tempfile::TempDir);

    impl Openers {
        fn new(scripts: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (name, end) in scripts {
                let path = dir.path().join(name);
                let text =
                    format!("#!/bin/sh\ncd '{}'\necho \"$1\" > {name}.ran\n{end}\n", dir.path().display());
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            Self(dir)
        }

        fn opener(&self, names: &[&str]) -> Opener {
            let paths = names.iter().map(|name| self.0.path().join(name).display().to_string());
            let list = paths.collect::<Vec<_>>().join(":");
            Opener::of(&Environment::of([(BROWSER_VAR, list)]), Seat::Console)
        }

        fn ran(&self, name: &str) -> Option<String> {
            std::fs::read_to_string(self.0.path().join(format!("{name}.ran"))).ok()
        }
    }

    #[tokio::test]
    async fn next_command_is_tried_when_one_fails() {
        let openers = Openers::new(&[("bad", "exit 3"), ("good", "exit 0"), ("spare", "exit 0")]);
        let opener = openers.opener(&["absent", "bad", "good", "spare"]);
        assert_eq!(opener.start(URL).news().await, "Opened in your browser.");
        let ran = ["bad", "good", "spare"].map(|name| openers.ran(name));
        assert_eq!(ran, [Some(format!("{URL}\n")), Some(format!("{URL}\n")), None]);
        let said = openers.opener(&["absent", "bad"]).start(URL).news().await;
        assert_eq!(said, "No browser could be opened. Open the address above yourself.");
    }

    #[tokio::test]
    async fn command_gets_the_environment_without_key_and_own_variables() {
        let openers = Openers::new(&[("prints", "env > environment")]);
        let list = openers.0.path().join("prints").display().to_string();
        let environment = Environment::of([
            (BROWSER_VAR, list),
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("DISPLAY", ":7".to_owned()),
            ("OAUTH_ENCRYPTION_KEY", "planted".to_owned()),
            ("OAUTH_ENCRYPTION_KEYS_OLD_FILE", "planted".to_owned()),
            ("CREDENTIALS_DIRECTORY", "planted".to_owned()),
            ("SRVD_TOKEN", "planted".to_owned()),
        ]);
        assert_eq!(
            Opener::of(&environment, Seat::Console).start(URL).news().await,
            "Opened in your browser."
        );
        let got = std::fs::read_to_string(openers.0.path().join("environment")).unwrap();
        assert!(got.contains("DISPLAY=:7") && !got.contains("planted"), "{got}");
    }

    #[tokio::test]
    async fn command_that_stays_counts_as_opened() {
        // It ends when the test removes its directory.
        let openers = Openers::new(&[("stays", "while [ -e \"$0\" ]; do sleep 0.1; done; exit 1")]);
        let mut opener = openers.opener(&["stays"]);
        opener.patience = Duration::from_millis(10);
        assert_eq!(opener.start(URL).news().await, "Opened in your browser.");
    }
}
