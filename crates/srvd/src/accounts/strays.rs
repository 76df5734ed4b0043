//! Logins in homes of a bundle that belong to no account. No launch uses one. A person keeps or discards it.

use std::sync::Arc;

use auth_spawner::{Cli, Credential, Proof, Provider, Registry};
use identity_store::{
    BundleId, DestinationBundle, Evidence, LoginCredential, PersonRule, ProviderId, SaveLogin, Store,
};

use super::removal::Remover;
use crate::base::clock::now;
use crate::disk::identity_dir::homes::HomeOwner;
use crate::disk::identity_dir::{AccountDir, DirReading, IdentityDirs};
use crate::wire::account::Account;
use crate::wire::convert;
use crate::wire::error::{ApiError, Kind};
use crate::wire::ids::{bundle_id, provider};
use crate::wire::stray::{DiscardStray, DiscardedStray, KeepStray, Stray, Strays};

/// A login that belongs to no account.
struct Found {
    id: ProviderId,
    dir: AccountDir,
    credential: Credential,
}

/// Lists the logins that belong to no account.
///
/// # Errors
/// An error of the store.
pub(crate) async fn list(store: &Store, remover: &Remover) -> Result<Strays, ApiError> {
    let bundles = store.bundles().await?.into_iter().map(|bundle| {
        let bound = bundle.bindings.iter().map(|binding| binding.provider.to_string());
        (bundle.id, bound.collect())
    });
    let mut strays = Vec::new();
    for login in remover.identities().unbound_logins(bundles.collect()).await? {
        // The account of a login that was unbound still has its directory.
        if store.directory_owner(&login.dir).await?.is_some() {
            continue;
        }
        strays.push(Stray {
            bundle_id: login.bundle.to_string(),
            provider_id: login.provider.id.clone(),
            person: login.credential.email.or(login.credential.subject),
            dir: login.dir.display().to_string(),
        });
    }
    Ok(Strays { strays })
}

/// Makes an account of a login that belongs to none, and binds it.
///
/// # Errors
/// `unknown_provider`, `invalid_input` or `not_found` for an id, or if there is no such login; `conflict` while a login
/// of the provider runs in the bundle, or if the bundle binds an account of it; an error of the store.
pub(crate) async fn keep(
    store: &Store,
    registry: &Registry,
    remover: &Remover,
    params: KeepStray,
) -> Result<Account, ApiError> {
    let (bundle, provider) = (bundle_id(&params.bundle_id)?, provider(registry, &params.provider_id)?);
    let found = stray(store, remover, &bundle, provider).await?;
    let saved = store
        .save_login(SaveLogin {
            session: None,
            target: DestinationBundle::Existing(bundle),
            provider: found.id,
            provider_name: provider.display_name.clone(),
            credential: LoginCredential::Directory(found.dir.path),
            email: found.credential.email,
            subject: found.credential.subject,
            base_url: None,
            expires_at: found.credential.expires_at,
            login_deadline_at: found.credential.login_deadline_at,
            evidence: Evidence::File,
            person: PersonRule::NotAnother,
            now: now(),
        })
        .await?;
    Ok(convert::account(store.account(&saved.account).await?))
}

/// Removes a login that belongs to no account. The conversations of its CLI are kept.
///
/// # Errors
/// As for [`keep`].
pub(crate) async fn discard(
    store: &Store,
    registry: &Registry,
    remover: &Remover,
    params: DiscardStray,
) -> Result<DiscardedStray, ApiError> {
    let (bundle, provider) = (bundle_id(&params.bundle_id)?, provider(registry, &params.provider_id)?);
    let found = stray(store, remover, &bundle, provider).await?;
    let history = provider.cli.as_ref().map(Cli::history_paths).unwrap_or_default();
    let cleanup = remover.identities().clean(&found.dir.path, history).await?;
    Ok(DiscardedStray { cleanup: vec![cleanup] })
}

/// Returns the login of a provider in a bundle that belongs to no account.
async fn stray(
    store: &Store,
    remover: &Remover,
    bundle: &BundleId,
    provider: &Arc<Provider>,
) -> Result<Found, ApiError> {
    let conflict = |text: String| Err(ApiError::new(Kind::Conflict, text).with("what", "login"));
    let id = &provider.id;
    // The running login writes into the same directory.
    if remover.is_logging_in(bundle, id) {
        return conflict(format!("a login of {id} is in progress in this bundle"));
    }
    let bound = store.bundle(bundle).await?.bindings;
    if bound.iter().any(|binding| binding.provider.as_str() == *id) {
        return conflict(format!("the bundle binds an account of {id}"));
    }
    find(store, remover.identities(), bundle, provider).await?.ok_or_else(|| {
        let text = format!("there is no login of {id} in this bundle that belongs to no account");
        ApiError::new(Kind::NotFound, text).with("what", "login").with("id", id.as_str())
    })
}

async fn find(
    store: &Store,
    identities: &IdentityDirs,
    bundle: &BundleId,
    provider: &Arc<Provider>,
) -> Result<Option<Found>, ApiError> {
    let Some(cli) = &provider.cli else { return Ok(None) };
    let id = convert::stored_id(provider)?;
    let path = identities.home(&HomeOwner::Bundle(bundle.clone()), cli);
    let dir = AccountDir { path, adopted: false };
    let DirReading::Read { proof: Proof::LoggedIn(credential), .. } = identities.read(provider, &dir).await?
    else {
        return Ok(None);
    };
    // The account of a login that was unbound still has its directory.
    if store.directory_owner(&dir.path).await?.is_some() {
        return Ok(None);
    }
    Ok(Some(Found { id, dir, credential }))
}
