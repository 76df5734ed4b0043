//! Checks whether a login exists: first the CLI's credential file, then its check command.
//!
//! The credential's fingerprint must differ from the one taken before the start. If the user was already logged in,
//! another process may refresh that login at any time, so a new fingerprint is not enough: the CLI must also report the
//! login or exit successfully.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::spawner::Clock;
use crate::findings::{Token, explanation_in};
use crate::process::{BoundedCommand, ChildEnv, CommandError, CommandOutput};
use crate::proof::{Credential, Fingerprint, Proof, fingerprint, prove};
use crate::registry::{Check, Cli, Provider};

/// The maximum wait for a file that is written just after the CLI exits.
const LATE: Duration = Duration::from_secs(1);
/// The maximum wait for the account's name once the login exists.
const NAME: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_millis(50);
/// The maximum length of the output of a check command, in bytes, on each stream.
const CHECK_BYTES: usize = 256 * 1024;

/// The data needed for one check, which runs alongside the session.
#[derive(Clone)]
pub(crate) struct LoginCheck {
    pub(crate) provider: std::sync::Arc<Provider>,
    pub(crate) program: PathBuf,
    pub(crate) env: ChildEnv,
    pub(crate) dir: PathBuf,
    /// The fingerprint of the credential file before the login.
    pub(crate) baseline: Fingerprint,
    /// True if the user was logged in before. Another process may then refresh that login at any time, so a changed
    /// file alone proves nothing.
    pub(crate) logged_in_before: bool,
    /// True if the CLI exited with an error.
    pub(crate) failed: bool,
    /// Set for a recipe whose CLI shows its credential and stores nothing.
    pub(crate) screen: Option<ShownCredential>,
    /// The spawner's task tracker. It also covers file reads that the session no longer waits for.
    pub(crate) tracker: TaskTracker,
    pub(crate) check_timeout: Duration,
    /// Arguments to use instead of those of the CLI's check; an empty list means no check command.
    pub(crate) check_args: Option<Vec<String>>,
    pub(crate) clock: Clock,
}

/// The proof of a login that leaves no file behind.
#[derive(Debug, Clone)]
pub(crate) struct ShownCredential {
    /// The lifetime of such a credential, in milliseconds.
    pub(crate) lifetime: i64,
    /// The credential, once the CLI has shown it.
    pub(crate) token: Option<Token>,
}

/// The result of a [`LoginCheck`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckResult {
    Confirmed {
        credential: Credential,
        checked: bool,
    },
    NotConfirmed {
        reason: String,
        /// True if the reason explains a failure to the user. False if there is simply no login yet.
        telling: bool,
    },
    /// The CLI's check command did not end in time or printed too much, so the login is neither confirmed nor refused.
    NoAnswer {
        reason: String,
    },
    /// The CLI has stored its login in a place that only the CLI can read.
    InKeyring {
        reason: String,
        hint: String,
    },
}

impl LoginCheck {
    /// Checks for the login. `last` is true if the CLI has exited; the file then gets a moment to appear.
    pub(crate) async fn run(self, last: bool) -> CheckResult {
        if let Some(screen) = &self.screen {
            return screen.judge((self.clock)());
        }
        let Some(cli) = self.provider.cli.clone() else {
            return missing("the provider has no CLI");
        };
        let names = cli.credential.iter().any(|file| file.email.is_some());
        let mut waited = Duration::ZERO;
        let credential = loop {
            let result = match self.look(&cli).await {
                // The account's name may be in a file that is written after the tokens.
                Ok(credential) if credential.email.is_none() && names && waited < NAME => {
                    waited += AGAIN;
                    sleep(AGAIN).await;
                    continue;
                }
                Ok(credential) => break credential,
                Err(result) => result,
            };
            if !last || waited >= LATE {
                return result;
            }
            waited += AGAIN;
            sleep(AGAIN).await;
        };
        let Some(check) = self.command(&cli) else {
            return CheckResult::Confirmed { credential, checked: false };
        };
        match self.run_command(&cli, &check).await {
            Ok(ended) if ended.code.is_some_and(|code| check.ok.contains(&code)) => {
                CheckResult::Confirmed { credential, checked: true }
            }
            Err(CommandError::TimedOut) => CheckResult::NoAnswer {
                reason: format!(
                    "the CLI's check command ({}) did not end within {} seconds",
                    check.args.join(" "),
                    self.check_timeout.as_secs_f64().ceil()
                ),
            },
            Err(error @ CommandError::TooLong) => CheckResult::NoAnswer { reason: no_result(&check, &error) },
            Err(error @ CommandError::Io(_)) => telling(no_result(&check, &error)),
            Ok(ended) => not_confirmed(&check, &ended),
        }
    }

    /// Returns the check command: the caller's, or else the registry's.
    fn command(&self, cli: &Cli) -> Option<Check> {
        match &self.check_args {
            Some(args) if args.is_empty() => None,
            Some(args) => Some(Check { args: args.clone(), ok: vec![0] }),
            None => cli.check.clone(),
        }
    }

    /// Reads the login from the files, on a blocking thread.
    async fn look(&self, cli: &Cli) -> Result<Credential, CheckResult> {
        let (cli, dir) = (cli.clone(), self.dir.clone());
        let read = move || (fingerprint(&cli, &dir), prove(&cli, &dir));
        let (now, proof) = match self.tracker.spawn_blocking(read).await {
            Ok(read) => read,
            Err(error) => return Err(missing(&error.to_string())),
        };
        match proof.at((self.clock)()) {
            Proof::LoggedIn(_) if now == self.baseline => {
                Err(missing("the credential has not changed since the start of the login"))
            }
            Proof::LoggedIn(_) if self.logged_in_before && self.failed => {
                Err(missing("the CLI failed, and the credential may be from an earlier login"))
            }
            Proof::LoggedIn(credential) => Ok(credential),
            Proof::Absent => Err(missing("it stored no login")),
            // A file from before the login does not explain how the login went.
            Proof::Incomplete { reason } | Proof::Unreadable { reason } if now == self.baseline => {
                Err(missing(&reason))
            }
            Proof::Incomplete { reason } | Proof::Unreadable { reason } => Err(telling(reason)),
            Proof::InKeyring { reason, hint } => Err(CheckResult::InKeyring { reason, hint }),
        }
    }

    async fn run_command(&self, cli: &Cli, check: &Check) -> Result<CommandOutput, CommandError> {
        let args = cli.config_dir.arguments(&check.args, &self.dir);
        let limit = self.check_timeout;
        let command = BoundedCommand {
            program: &self.program,
            args: &args,
            env: &self.env,
            dir: &self.dir,
            limit,
            out: CHECK_BYTES,
            err: CHECK_BYTES,
        };
        command.run().await
    }
}

fn missing(reason: &str) -> CheckResult {
    CheckResult::NotConfirmed { reason: reason.to_owned(), telling: false }
}

fn telling(reason: String) -> CheckResult {
    CheckResult::NotConfirmed { reason, telling: true }
}

/// Returns the result of a check command that did not confirm the login, with the command's own explanation.
fn not_confirmed(check: &Check, ended: &CommandOutput) -> CheckResult {
    let words = [&ended.err, &ended.out].into_iter().find_map(|bytes| explanation_in(bytes));
    let said = words.map_or_else(
        || {
            ended
                .code
                .map_or_else(|| "it was ended by a signal".to_owned(), |code| format!("exit code {code}"))
        },
        |words| format!("\"{words}\""),
    );
    telling(format!("the CLI's check command ({}) did not confirm the login: {said}", check.args.join(" ")))
}

impl ShownCredential {
    /// Judges a credential that the CLI has shown. No file or check command can confirm it, so the fact that it was
    /// shown is the only proof.
    fn judge(&self, now: i64) -> CheckResult {
        if self.token.is_none() {
            return missing("it has not shown a credential");
        }
        let end = now.checked_add(self.lifetime);
        let credential = Credential {
            expires_at: end,
            login_deadline_at: end,
            refreshable: false,
            ..Credential::default()
        };
        CheckResult::Confirmed { credential, checked: false }
    }
}
fn no_result(check: &Check, error: &CommandError) -> String {
    format!("the CLI's check command ({}) has no result: {error}", check.args.join(" "))
}
