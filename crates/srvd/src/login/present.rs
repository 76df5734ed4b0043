//! The present login of a target: who may renew it, and the directory that it is in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_spawner::{Cli, Proof, Provider};
use identity_store::{Account, AccountKind, PersonRule, SecretRef, SessionId, Store};

use super::service::Logins;
use crate::base::clock::now;
use crate::disk::identity_dir::homes::HomeOwner;
use crate::disk::identity_dir::{AccountDir, DirReading};
use crate::hint::Step;
use crate::wire::convert::login_cli;
use crate::wire::error::{ApiError, Kind};

/// The directory of a login.
pub(super) struct LoginDir {
    pub(super) dir: PathBuf,
    /// True if the directory already contains a login, in which case the CLI logs in elsewhere.
    pub(super) renews: bool,
    /// True if a failed login leaves the directory as it is: launches use it without a login.
    pub(super) shared: bool,
}

impl Logins {
    /// Returns the persons who may renew the login of an account. A valid login is renewed only by its own
    /// person, and only if it stays until then.
    ///
    /// # Errors
    /// `conflict` for a valid login whose person is not known, or that the CLI would overwrite at once.
    pub(super) async fn renewable(
        &self,
        provider: &Arc<Provider>,
        bound: &Account,
        only_shows: bool,
    ) -> Result<PersonRule, ApiError> {
        // The user's own directory is refused for a reason of its own.
        let adopted = AccountDir::of(bound).is_some_and(|dir| dir.adopted);
        if adopted && !only_shows || !self.is_logged_in(provider, bound).await? {
            return Ok(PersonRule::NotAnother);
        }
        let unknown = bound.email.is_none() && bound.subject.is_none();
        let in_place = !login_cli(provider)?.can_move();
        let reason = if only_shows || bound.secret_ref == SecretRef::Sealed {
            "there is a valid login already, and the CLI does not say whose the new login is"
        } else if unknown {
            "there is a valid login already, and the person of its login is not known"
        } else if in_place {
            "there is a valid login already, and the CLI would overwrite its login at once"
        } else {
            return Ok(PersonRule::Same);
        };
        Err(ApiError::new(Kind::Conflict, reason)
            .with("what", "login")
            .with("accountId", bound.id.as_str())
            .hint(Step::SetForce))
    }

    async fn is_logged_in(&self, provider: &Arc<Provider>, bound: &Account) -> Result<bool, ApiError> {
        let now = now();
        Ok(match &bound.secret_ref {
            SecretRef::ConfigDir { dir, adopted } => {
                let dir = AccountDir { path: dir.clone(), adopted: *adopted };
                match self.resources.identities.read(provider, &dir).await? {
                    DirReading::Read { proof, .. } => matches!(proof.at(now), Proof::LoggedIn(_)),
                    // A launch would not use the login either.
                    DirReading::NoCli | DirReading::Forbidden(_) => false,
                }
            }
            SecretRef::Sealed if bound.kind == AccountKind::OAuth => {
                bound.expires_at.is_none_or(|end| end > now)
            }
            _ => false,
        })
    }

    /// Returns the directory for the login: that of the present login, or else the owner's home. Creates nothing.
    pub(super) async fn directory(
        &self,
        store: &Store,
        provider: &Provider,
        owner: &HomeOwner,
        bound: Option<&Account>,
    ) -> Result<LoginDir, ApiError> {
        let identities = &self.resources.identities;
        let cli = login_cli(provider)?;
        let place = identities.home(owner, cli);
        let former = bound.and_then(AccountDir::of);
        if let Some((account, own)) = bound.zip(former.as_ref()).filter(|(_, dir)| dir.adopted) {
            return Err(self.own_login(account, cli, own));
        }
        // A directory outside the root is not used any more. The login gets the usual one, and the account stays.
        let former = former.map(|dir| dir.path).filter(|dir| identities.owns(dir));
        if former.is_none()
            && let Some(other) = store.directory_owner(&place).await?
        {
            return Err(ApiError::new(Kind::Conflict, "the directory contains the login of another account")
                .with("what", "login")
                .with("accountId", other.as_str())
                .hint(Step::BindOrDelete));
        }
        let renews = cli.can_move() && former.is_some();
        let shared = former.is_none() && identities.exists(&place).await?;
        let dir = former.unwrap_or(place);
        if renews {
            self.settle_earlier(store, &cli.config_dir.inside(&dir)).await?;
        }
        Ok(LoginDir { dir, renews, shared })
    }

    /// Returns the refusal for an account that uses the user's own directory. It names the command by which the user's own
    /// CLI logs in there; the account then follows the files.
    fn own_login(&self, account: &Account, cli: &Cli, dir: &AccountDir) -> ApiError {
        let reach = self.resources.identities.reach(cli, dir);
        let set = cli.config_dir.variables_for(reach, &dir.path, Path::new(""));
        let args = cli.recipes.first().map(|recipe| recipe.args.clone()).unwrap_or_default();
        let command: Vec<String> = cli.binaries.iter().take(1).cloned().chain(args).collect();
        // A variable that leads elsewhere must not be set, as in a launch of another identity.
        let unset: Vec<&String> =
            Some(&cli.config_dir.var).filter(|var| !set.contains_key(*var)).into_iter().collect();
        let assigned = set.iter().map(|(name, value)| format!("{name}={}", shell_words::quote(value)));
        let removed = unset.iter().map(|name| format!("env -u {name}"));
        let line: Vec<String> = removed.chain(assigned).chain([shell_words::join(&command)]).collect();
        let line = line.join(" ");
        ApiError::new(Kind::AmbientDirectory, "this account is the login of your own CLI")
            .with("accountId", account.id.as_str())
            .with("dir", dir.path.display().to_string())
            .with("command", command)
            .with("set", serde_json::json!(set))
            .with("unset", serde_json::json!(unset))
            .hint(Step::LogInThere { command: line })
    }

    /// Finishes what an earlier renewal of the same directory left behind. If it were undone later, it would damage the
    /// new login.
    async fn settle_earlier(&self, store: &Store, inside: &Path) -> Result<(), ApiError> {
        let live = |session: &SessionId| self.sink.is_live(session);
        let unsettled = self.resources.renewals.settle_all(store, live).await;
        if unsettled.iter().any(|dir| dir == inside) {
            return Err(ApiError::new(
                Kind::StoreUnavailable,
                "an earlier login in this directory could not be cleaned up",
            )
            .hint(Step::RetryLater));
        }
        Ok(())
    }
}
