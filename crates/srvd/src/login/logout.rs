//! Logging out with the CLI's own logout command, and proving that the login is gone.

use std::time::Duration;

use auth_spawner::{Logout, LogoutError, Provider};
use identity_store::{Account, AccountId, AccountKind, Store};
use tokio::sync::Mutex;

use super::service::Logins;
use crate::base::host::provider_of;
use crate::disk::identity_dir::AccountDir;
use crate::hint::Step;
use crate::wire::account::{Deleted, Outcome, Revoked};
use crate::wire::error::{ApiError, Kind};
use crate::wire::ids::provider;

/// The maximum time for a CLI to log out, including its request to the provider.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The next step for an account whose login cannot be revoked.
/// Runs one logout at a time, including the deletion of its account.
#[derive(Debug, Default)]
pub(super) struct LogoutTurns(Mutex<()>);

impl Logins {
    /// Logs out with the CLI's own logout command, verifies that the login is gone, and only then runs `delete`, which
    /// deletes the account.
    ///
    /// # Errors
    /// Errors for an account that no CLI can log out, store errors, and errors of `delete`. A logout that was run but
    /// failed is part of the result.
    pub(crate) async fn revoke(
        &self,
        store: &Store,
        id: &AccountId,
        delete: impl Future<Output = Result<Deleted, ApiError>>,
    ) -> Result<Revoked, ApiError> {
        // The lock is taken before the account is read. If two calls revoke the same account, the second one finds it
        // deleted.
        let _turn = self.logouts.0.lock().await;
        let account = store.account(id).await?;
        let registered = provider(&self.resources.registry, account.provider.as_str())?;
        let provider = provider_of(registered, &account);
        let ended = self.log_out(&provider, &account).await?;
        tracing::info!(account = %id, provider = provider.id, outcome = ?ended, "ran a CLI's logout");
        if let Err(error) = ended {
            return not_revoked(&provider, &error);
        }
        let deleted = delete.await.map_err(|error| error.hint(Step::DeleteLater))?;
        let outcome = match &provider.cli {
            Some(cli) if cli.logout_revokes => Outcome::Revoked,
            _ => Outcome::LoggedOut,
        };
        Ok(Revoked { revoked: true, outcome, exit_code: None, cleanup: deleted.cleanup })
    }

    /// Runs the CLI's logout command, after all checks.
    async fn log_out(
        &self,
        provider: &Provider,
        account: &Account,
    ) -> Result<Result<(), LogoutError>, ApiError> {
        let identities = &self.resources.identities;
        let dir = directory(account, provider)?;
        if !dir.adopted && !identities.owns(&dir.path) {
            return Err(ApiError::new(
                Kind::AmbientDirectory,
                "the account's directory does not belong to the daemon",
            ));
        }
        self.refuse_running_login(account, &dir)?;
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

    /// Rejects an account with a login in progress. Otherwise that login would be interrupted, or would finish after
    /// the logout and be deleted.
    fn refuse_running_login(&self, account: &Account, dir: &AccountDir) -> Result<(), ApiError> {
        let bound = |scope: &str| account.bound_to.iter().any(|bundle| bundle.as_str() == scope);
        let running = self.running(account.provider.as_str(), bound).map(|login| login.id);
        match running.or_else(|| self.sink.sessions_into(&dir.path).into_iter().next()) {
            None => Ok(()),
            Some(session) => Err(ApiError::new(Kind::Conflict, "a login for this account is in progress")
                .with("what", "login")
                .with("sessionId", session)
                .hint(Step::FinishOrCancel)),
        }
    }
}

/// Returns the result of a logout that did not end the login.
///
/// # Errors
/// Errors for which nothing was run.
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
            "this is an API key; revoke it at the provider, where it was created",
        )
        .hint(Step::UseDelete)),
        _ => Err(ApiError::invalid_input("accountId", "no CLI can log out a token stored in the database")
            .hint(Step::UseDelete)),
    }
}

fn no_logout(provider: &Provider) -> ApiError {
    ApiError::invalid_input(
        "accountId",
        format!("the CLI of {} has no logout command", provider.display_name),
    )
    .hint(Step::UseDelete)
}

fn refused(kind: Kind, error: &LogoutError) -> ApiError {
    ApiError::new(kind, format!("the logout was not run: {error}")).hint(Step::UseDelete)
}
