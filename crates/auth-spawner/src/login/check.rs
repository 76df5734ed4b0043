//! Checks that a login exists: the CLI's credential file first, then its check command.
//!
//! The fingerprint of the credential must differ from the one before the start. If there was a login before, another
//! process may refresh it at any time, so a different fingerprint is not enough: the CLI must report the login or end
//! without an error.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::spawner::Clock;
use crate::findings::Token;
use crate::process::{BoundedCommand, ChildEnv};
use crate::proof::{Credential, Fingerprint, Proof, fingerprint, prove};
use crate::registry::{Check, Cli, Provider};

/// Longest wait for a file that is written just after the CLI has ended.
const LATE: Duration = Duration::from_secs(1);
/// Longest wait for the account's name once the login exists.
const NAME: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_millis(50);

/// The data that one confirmation needs. It runs beside the session.
#[derive(Clone)]
pub(crate) struct LoginCheck {
    pub(crate) provider: std::sync::Arc<Provider>,
    pub(crate) program: PathBuf,
    pub(crate) env: ChildEnv,
    pub(crate) dir: PathBuf,
    /// Fingerprint of the credential file before the login.
    pub(crate) baseline: Fingerprint,
    /// True if there was a login before. Another process may then refresh it at any time, so a change of the file alone
    /// proves nothing.
    pub(crate) logged_in_before: bool,
    /// True if the CLI ended with an error.
    pub(crate) failed: bool,
    /// Present for a recipe whose CLI shows its credential and stores nothing.
    pub(crate) screen: Option<ShownCredential>,
    /// The spawner's tasks. A read of the files that the session no longer waits for belongs to them.
    pub(crate) tracker: TaskTracker,
    pub(crate) check_timeout: Duration,
    pub(crate) clock: Clock,
}

/// The proof of a login that leaves no file.
#[derive(Debug, Clone)]
pub(crate) struct ShownCredential {
    /// Lifetime of such a credential, in milliseconds.
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
    },
    /// The CLI has stored its login in a place that only the CLI can read.
    InKeyring {
        reason: String,
        hint: String,
    },
}

impl LoginCheck {
    /// Checks for the login. `last` is true when the CLI has ended; the file then gets a moment to appear.
    pub(crate) async fn run(self, last: bool) -> CheckResult {
        if let Some(screen) = &self.screen {
            return screen.judge((self.clock)());
        }
        let Some(cli) = self.provider.cli.clone() else {
            return CheckResult::NotConfirmed { reason: "the provider has no CLI".to_owned() };
        };
        let names = cli.credential.iter().any(|file| file.email.is_some());
        let mut waited = Duration::ZERO;
        let credential = loop {
            let result = match self.look(&cli).await {
                // The account's name may be in a file that is written later than the tokens.
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
        match &cli.check {
            None => CheckResult::Confirmed { credential, checked: false },
            Some(check) if self.run_command(&cli, check).await => {
                CheckResult::Confirmed { credential, checked: true }
            }
            Some(_) => CheckResult::NotConfirmed {
                reason: "the CLI's check command did not confirm the login".to_owned(),
            },
        }
    }

    /// Reads the login from the files, off the runtime's threads.
    async fn look(&self, cli: &Cli) -> Result<Credential, CheckResult> {
        let no = |reason: String| Err(CheckResult::NotConfirmed { reason });
        let (cli, dir) = (cli.clone(), self.dir.clone());
        let read = move || (fingerprint(&cli, &dir), prove(&cli, &dir));
        let (now, proof) = match self.tracker.spawn_blocking(read).await {
            Ok(read) => read,
            Err(error) => return no(error.to_string()),
        };
        match proof.at((self.clock)()) {
            Proof::LoggedIn(_) if now == self.baseline => {
                no("the credential has not changed since the start of the login".to_owned())
            }
            Proof::LoggedIn(_) if self.logged_in_before && self.failed => {
                no("the CLI failed, and the credential may be from an earlier login".to_owned())
            }
            Proof::LoggedIn(credential) => Ok(credential),
            Proof::Absent => no("there is no login".to_owned()),
            Proof::Incomplete { reason } | Proof::Unreadable { reason } => no(reason),
            Proof::InKeyring { reason, hint } => Err(CheckResult::InKeyring { reason, hint }),
        }
    }

    async fn run_command(&self, cli: &Cli, check: &Check) -> bool {
        let args = cli.config_dir.arguments(&check.args, &self.dir);
        let command = BoundedCommand::silent(&self.program, &args, &self.env, &self.dir, self.check_timeout);
        command.code().await.is_some_and(|code| check.ok.contains(&code))
    }
}

impl ShownCredential {
    /// Judges a credential that the CLI has shown. No file and no check command knows of it, so its appearance is the
    /// only proof.
    fn judge(&self, now: i64) -> CheckResult {
        if self.token.is_none() {
            return CheckResult::NotConfirmed { reason: "the CLI has shown no credential".to_owned() };
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
