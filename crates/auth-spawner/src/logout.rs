//! Runs a CLI's own logout command, and verifies from its files that it worked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::{BoundedCommand, ChildEnv, asking_env, own_env, private_directory};
use crate::proof::{Proof, Slot, prove_slot};
use crate::registry::{Cli, Provider, Reach};

/// The maximum wait for a file that is removed just after the CLI exits. The file is checked every [`AGAIN`].
const LATE: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(50);

/// A login to end with its CLI's own logout command, which may also end it at the provider and for every copy.
#[derive(Debug)]
pub struct Logout<'a> {
    /// The provider of the login.
    pub provider: &'a Provider,
    /// The path of its CLI.
    pub program: &'a Path,
    /// The child's environment, without the provider's variables.
    pub environment: &'a ChildEnv,
    /// The parent of the directories shared by all logins with a provider, as in
    /// [`SpawnerConfig`](crate::SpawnerConfig).
    pub shared: &'a Path,
    /// The directory that contains the login: the one that the CLI's variable points to, or would point to.
    pub dir: PathBuf,
    /// The way in which the CLI locates the directory.
    pub reach: Reach,
    /// The maximum run time. After that, the process group is ended.
    pub timeout: Duration,
}

/// The reason why a logout could not be verified. srvd itself has changed nothing; the CLI's files show what the CLI
/// changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoutError {
    /// The registry defines no logout command for this CLI; nothing was run.
    #[error("the provider's CLI has no logout command")]
    NoCommand,
    /// The files contain no login to end; nothing was run.
    #[error("there is no login")]
    NoLogin,
    /// The files do not show whether there is a login; nothing was run.
    #[error("the login cannot be read: {0}")]
    Unreadable(String),
    /// The command exited with this code, or `None` if it could not be run, was killed by a signal or took too long.
    #[error("the CLI's logout command failed")]
    Failed(Option<i32>),
    /// The command succeeded but the login still exists.
    #[error("the CLI's logout command succeeded, but the login still exists")]
    StillThere,
    /// The command succeeded but the remaining files cannot be read.
    #[error("the CLI's logout command succeeded, but the remaining files cannot be read: {0}")]
    Doubtful(String),
}

impl Logout<'_> {
    /// Runs the command. `Ok` means that it exited with code 0 and that the files no longer contain the login that was
    /// there before.
    ///
    /// # Errors
    /// Returns a [`LogoutError`].
    pub async fn run(self) -> Result<(), LogoutError> {
        let cli = self.provider.cli.as_ref().ok_or(LogoutError::NoCommand)?;
        let args = cli.logout.as_ref().ok_or(LogoutError::NoCommand)?;
        // A login whose access token has expired still counts, because its refresh token may be valid.
        let slot = match self.look(cli).await {
            (Proof::LoggedIn(_), slot) => slot,
            (Proof::Absent | Proof::Incomplete { .. }, _) => return Err(LogoutError::NoLogin),
            (Proof::Unreadable { reason } | Proof::InKeyring { reason, .. }, _) => {
                return Err(LogoutError::Unreadable(reason));
            }
        };
        let common = self.shared.join(&self.provider.id);
        let env = match self.reach {
            Reach::Bundle => asking_env(self.environment, cli, &self.dir, &common),
            Reach::Variable | Reach::Usual => own_env(self.environment, cli, &self.dir, self.reach),
        };
        if cli.config_dir.shares() && self.reach == Reach::Bundle {
            let made = tokio::task::spawn_blocking(move || private_directory(&common)).await;
            made.ok().and_then(Result::ok).ok_or(LogoutError::Failed(None))?;
        }
        let args = match self.reach {
            Reach::Bundle | Reach::Variable => cli.config_dir.arguments(args, &self.dir),
            Reach::Usual => args.clone(),
        };
        match BoundedCommand::silent(self.program, &args, &env, &self.dir, self.timeout).code().await {
            Some(0) => self.gone(cli, &slot).await,
            other => Err(LogoutError::Failed(other)),
        }
    }

    /// Waits until the login is gone. A different login in the same file does not count as this one.
    async fn gone(&self, cli: &Cli, slot: &Slot) -> Result<(), LogoutError> {
        let path =
            |slot: &Slot| slot.as_ref().and_then(|(number, _)| Some(&cli.credential.get(*number)?.path));
        let mut waited = Duration::ZERO;
        loop {
            let doubt = match self.look(cli).await {
                (Proof::Absent | Proof::Incomplete { .. }, _) => return Ok(()),
                (Proof::LoggedIn(_), left) if left != *slot && path(&left) == path(slot) => return Ok(()),
                (Proof::LoggedIn(_), _) => LogoutError::StillThere,
                (Proof::Unreadable { reason } | Proof::InKeyring { reason, .. }, _) => {
                    LogoutError::Doubtful(reason)
                }
            };
            if waited >= LATE {
                return Err(doubt);
            }
            waited += AGAIN;
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Reads the login from the files, on a blocking thread. Expiry times are not checked.
    async fn look(&self, cli: &Cli) -> (Proof, Slot) {
        let (cli, dir, reach) = (cli.clone(), self.dir.clone(), self.reach);
        let read = tokio::task::spawn_blocking(move || prove_slot(&cli, &dir, reach)).await;
        read.unwrap_or_else(|error| (Proof::Unreadable { reason: error.to_string() }, None))
    }
}
