//! `account.revoke`: ends a login with its CLI's own logout, verifies that it is gone, and only then deletes the
//! account.

use std::path::{Path, PathBuf};
use std::time::Duration;

use auth_spawner::{Logout, LogoutError, Provider};
use identity_store::{Account, AccountKind, SecretRef};
use rpc_engine::Call;

use crate::base::host;
use crate::rpc::app::App;
use crate::wire::account::{Delete, Outcome, Revoke, Revoked};
use crate::wire::error::{ApiError, Kind};
use crate::wire::ids::account_id;

/// Longest time that a CLI may take to log out, including its request to the provider.
const TIMEOUT: Duration = Duration::from_secs(30);

/// `account.revoke`.
pub async fn revoke(app: App, call: Call, params: Revoke) -> Result<Revoked, ApiError> {
    let id = account_id(&params.account_id)?;
    // The lock is taken before the account is read. Of two calls that revoke the same account, the second finds it
    // deleted.
    let _turn = app.logouts.lock().await;
    let account = app.store.account(&id).await?;
    let provider = host::provider_of(app.provider(account.provider.as_str())?, &account);
    let (dir, own) = directory(&account, &provider)?;
    if !own && (!app.identities.owns(dir) || app.identities.is_ambient(&app.registry, dir)) {
        return Err(ApiError::new(Kind::AmbientDirectory, "its directory is not one of the daemon's"));
    }
    refuse_running(&app, &account)?;
    let reach = match &provider.cli {
        Some(cli) => app.identities.reach(cli, dir, own),
        None => return Err(no_logout(&provider)),
    };
    let logout = Logout {
        provider: &provider,
        program: &program(&app, &provider).await?,
        environment: &crate::config::child::probe_env(&app.config, app.broker.epoch()),
        shared: &app.config.shared(),
        dir: dir.to_owned(),
        reach,
        timeout: TIMEOUT,
    };
    let ended = logout.run().await;
    tracing::info!(account = %id, provider = provider.id, outcome = ?ended, "a CLI's logout was run");
    let failed = |outcome, exit_code| Revoked { revoked: false, outcome, exit_code, cleanup: Vec::new() };
    match ended {
        Ok(()) => {}
        Err(LogoutError::Failed(code)) => return Ok(failed(Outcome::CliFailed, code)),
        Err(LogoutError::StillThere) => return Ok(failed(Outcome::StillLoggedIn, None)),
        Err(LogoutError::Doubtful(_)) => return Ok(failed(Outcome::Unknown, None)),
        Err(LogoutError::NoCommand) => return Err(no_logout(&provider)),
        Err(error @ LogoutError::NoLogin) => {
            return Err(
                refused(Kind::NoCredential, &error.to_string()).with("candidates", serde_json::json!([]))
            );
        }
        Err(error @ LogoutError::Unreadable(_)) => {
            return Err(refused(Kind::SecretUnavailable, &error.to_string()).with("reason", "unreadable"));
        }
    }
    let deleted =
        super::account::delete(app.clone(), call, Delete { account_id: params.account_id })
            .await
            .map_err(|error| error.hint("its login has been ended all the same; forget the account later"))?;
    let outcome = match &provider.cli {
        Some(cli) if cli.logout_revokes => Outcome::Revoked,
        _ => Outcome::LoggedOut,
    };
    Ok(Revoked { revoked: true, outcome, exit_code: None, cleanup: deleted.cleanup })
}

/// Returns the directory of the login, and whether it is the user's own.
fn directory<'a>(account: &'a Account, provider: &Provider) -> Result<(&'a Path, bool), ApiError> {
    match &account.secret_ref {
        SecretRef::ConfigDir { dir, adopted } => {
            let has_logout = provider.cli.as_ref().is_some_and(|cli| cli.logout.is_some());
            if has_logout { Ok((dir, *adopted)) } else { Err(no_logout(provider)) }
        }
        _ if account.kind == AccountKind::ApiKey => Err(ApiError::invalid_input(
            "accountId",
            "this is an API key; only its provider can revoke it, where it was made",
        )
        .hint(FORGET)),
        _ => Err(ApiError::invalid_input(
            "accountId",
            "no CLI can log out of a token that is kept in the database",
        )
        .hint(FORGET)),
    }
}

const FORGET: &str = "account.delete forgets it on this machine; the credential lives on at the provider";

fn no_logout(provider: &Provider) -> ApiError {
    ApiError::invalid_input(
        "accountId",
        format!("the CLI of {} has no logout command", provider.display_name),
    )
    .hint(FORGET)
}

fn refused(kind: Kind, reason: &str) -> ApiError {
    ApiError::new(kind, format!("nothing was run: {reason}")).hint(FORGET)
}

/// Refuses an account with a running login. The login would be interrupted, or it would finish after the logout and be
/// deleted.
fn refuse_running(app: &App, account: &Account) -> Result<(), ApiError> {
    let here = |bundle: &str| account.bound_to.iter().any(|bound| bound.as_str() == bundle);
    let running = app.spawner.snapshots().into_iter().find(|login| {
        !login.state.is_terminal() && login.provider == account.provider.as_str() && here(&login.scope)
    });
    match running {
        None => Ok(()),
        Some(login) => Err(ApiError::new(Kind::Conflict, "a login of this account is running")
            .with("what", "login")
            .with("sessionId", login.id.as_str())
            .hint("finish or cancel that login first")),
    }
}

/// Returns the provider's CLI, found as for a login.
async fn program(app: &App, provider: &Provider) -> Result<PathBuf, ApiError> {
    let found = match &provider.cli {
        Some(cli) => auth_spawner::locate(cli, &app.config.search_path)
            .ok_or_else(|| crate::login::policy::not_installed(provider, cli)),
        None => Err(no_logout(provider)),
    };
    super::provider::genuine(app, provider, found?).await
}
