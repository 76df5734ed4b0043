//! The end of a login with its CLI's own logout, and the proof that it is gone.

use std::time::Duration;

use auth_spawner::{Logout, LogoutError, Provider};
use identity_store::{Account, AccountId, AccountKind, Store};
use tokio::sync::Mutex;

use super::service::Logins;
use crate::base::host::provider_of;
use crate::disk::identity_dir::AccountDir;
use crate::wire::account::{Deleted, Outcome, Revoked};
use crate::wire::error::{ApiError, Kind};
use crate::wire::ids::provider;

/// Longest time that a CLI may take to log out, including its request to the provider.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The next step for an account that cannot be revoked.
const FORGET: &str =
    "account.delete deletes the account on this machine; the credential stays valid at the provider";

/// Runs one logout at a time, with the deletion of its account.
#[derive(Debug, Default)]
pub(super) struct LogoutTurns(Mutex<()>);

impl Logins {
    /// Ends a login with its CLI's own logout, verifies that it is gone, and only then runs `delete`, which deletes the
    /// account.
    ///
    /// # Errors
    /// The refusals of an account that no CLI can log out of, and the errors of the store and of `delete`. A logout that
    /// was run and failed is part of the result.
    pub(crate) async fn revoke(
        &self,
        store: &Store,
        id: &AccountId,
        delete: impl Future<Output = Result<Deleted, ApiError>>,
    ) -> Result<Revoked, ApiError> {
        // The lock is taken before the account is read. Of two calls that revoke the same account, the second finds it
        // deleted.
        let _turn = self.logouts.0.lock().await;
        let account = store.account(id).await?;
        let registered = provider(&self.resources.registry, account.provider.as_str())?;
        let provider = provider_of(registered, &account);
        let ended = self.log_out(&provider, &account).await?;
        tracing::info!(account = %id, provider = provider.id, outcome = ?ended, "a CLI's logout was run");
        if let Err(error) = ended {
            return not_revoked(&provider, &error);
        }
        let deleted = delete.await.map_err(|error| {
            error.hint("the login has ended, but the account still exists; delete the account later")
        })?;
        let outcome = match &provider.cli {
            Some(cli) if cli.logout_revokes => Outcome::Revoked,
            _ => Outcome::LoggedOut,
        };
        Ok(Revoked { revoked: true, outcome, exit_code: None, cleanup: deleted.cleanup })
    }

    /// Runs the CLI's logout. Every check is made before.
    async fn log_out(
        &self,
        provider: &Provider,
        account: &Account,
    ) -> Result<Result<(), LogoutError>, ApiError> {
        let identities = &self.resources.identities;
        let dir = directory(account, provider)?;
        if !dir.adopted && !identities.owns(&dir.path) {
            return Err(ApiError::new(Kind::AmbientDirectory, "its directory does not belong to the daemon"));
        }
        self.refuse_running_login(account)?;
        let cli = provider.cli.as_ref().ok_or_else(|| no_logout(provider))?;
        let logout = Logout {
            provider,
            program: &self.programs.installed_cli(provider, cli).await?,
            environment: &self.programs.environment,
            shared: &self.programs.shared,
            reach: identities.reach(cli, &dir),
            dir: dir.path,
            timeout: TIMEOUT,
        };
        Ok(logout.run().await)
    }

    /// Refuses an account with a running login. The login would be interrupted, or it would finish after the logout and
    /// be deleted.
    fn refuse_running_login(&self, account: &Account) -> Result<(), ApiError> {
        let bound = |scope: &str| account.bound_to.iter().any(|bundle| bundle.as_str() == scope);
        match self.running(account.provider.as_str(), bound) {
            None => Ok(()),
            Some(login) => Err(ApiError::new(Kind::Conflict, "a login of this account is running")
                .with("what", "login")
                .with("sessionId", login.id.as_str())
                .hint("finish or cancel that login first")),
        }
    }
}

/// Returns the result of a logout that did not end the login.
///
/// # Errors
/// The refusals after which nothing was run.
fn not_revoked(provider: &Provider, error: &LogoutError) -> Result<Revoked, ApiError> {
    let failed = |outcome, exit_code| Revoked { revoked: false, outcome, exit_code, cleanup: Vec::new() };
    match error {
        LogoutError::Failed(code) => Ok(failed(Outcome::CliFailed, *code)),
        LogoutError::StillThere => Ok(failed(Outcome::StillLoggedIn, None)),
        LogoutError::Doubtful(_) => Ok(failed(Outcome::Unknown, None)),
        LogoutError::NoCommand => Err(no_logout(provider)),
        LogoutError::NoLogin => {
            Err(refused(Kind::NoCredential, error).with("candidates", serde_json::json!([])))
        }
        LogoutError::Unreadable(_) => {
            Err(refused(Kind::SecretUnavailable, error).with("reason", "unreadable"))
        }
    }
}

fn directory(account: &Account, provider: &Provider) -> Result<AccountDir, ApiError> {
    match AccountDir::of(account) {
        Some(dir) => {
            let has_logout = provider.cli.as_ref().is_some_and(|cli| cli.logout.is_some());
            if !has_logout {
                return Err(no_logout(provider));
            }
            Ok(dir)
        }
        _ if account.kind == AccountKind::ApiKey => Err(ApiError::invalid_input(
            "accountId",
            "this is an API key; only its provider can revoke it, where the key was created",
        )
        .hint(FORGET)),
        _ => Err(ApiError::invalid_input(
            "accountId",
            "no CLI can log out a token that is stored in the database",
        )
        .hint(FORGET)),
    }
}

fn no_logout(provider: &Provider) -> ApiError {
    ApiError::invalid_input(
        "accountId",
        format!("the CLI of {} has no logout command", provider.display_name),
    )
    .hint(FORGET)
}

fn refused(kind: Kind, error: &LogoutError) -> ApiError {
    ApiError::new(kind, format!("the logout was not run: {error}")).hint(FORGET)
}
