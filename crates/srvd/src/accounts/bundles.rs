//! Bundles and their bindings.

use auth_spawner::Registry;
use identity_store::{
    BundleEdit, BundleId, DeletedBundle, History, Leftover, NewBundle, SecretRef, Store, UnboundPolicy,
    UnboundRule,
};

use super::removal::Remover;
use crate::base::clock::now;
use crate::wire::bundle::{Bind, Bundle, Bundles, Cleanup, Create, Delete, Deleted, Get, Unbind, Update};
use crate::wire::error::ApiError;
use crate::wire::ids::{account_id, bundle_id, provider};
use crate::wire::{self, convert};

/// Lists all bundles.
///
/// # Errors
/// An error of the store.
pub(crate) async fn list(store: &Store) -> Result<Bundles, ApiError> {
    let mut bundles = store.bundles().await?;
    bundles.sort_by_cached_key(|bundle| (identity_store::name_key(&bundle.name), bundle.id.to_string()));
    Ok(Bundles { bundles: bundles.into_iter().map(convert::bundle).collect() })
}

/// Reads one bundle.
///
/// # Errors
/// `invalid_input` or `not_found` for the id, and an error of the store.
pub(crate) async fn get(store: &Store, params: Get) -> Result<Bundle, ApiError> {
    Ok(convert::bundle(store.bundle(&bundle_id(&params.bundle_id)?).await?))
}

/// Creates an empty bundle.
///
/// # Errors
/// `invalid_input` or `conflict` for the name, and an error of the store.
pub(crate) async fn create(store: &Store, params: Create) -> Result<Bundle, ApiError> {
    let new = NewBundle {
        id: BundleId::generate(),
        name: params.name,
        description: params.description.unwrap_or_default(),
    };
    Ok(convert::bundle(store.create_bundle(new, now()).await?))
}

/// Changes the name, the description or the policy of a bundle.
///
/// # Errors
/// `invalid_input`, `unknown_provider`, `not_found` or `conflict`, and an error of the store.
pub(crate) async fn update(store: &Store, registry: &Registry, params: Update) -> Result<Bundle, ApiError> {
    let id = bundle_id(&params.bundle_id)?;
    let unbound = policy(store, registry, &id, &params).await?;
    let edit = BundleEdit { name: params.name, description: params.description, unbound };
    Ok(convert::bundle(store.update_bundle(&id, edit, now()).await?))
}

/// Returns the policy of a bundle after a change, or `None` if it does not change.
async fn policy(
    store: &Store,
    registry: &Registry,
    bundle: &BundleId,
    params: &Update,
) -> Result<Option<UnboundPolicy>, ApiError> {
    let named = [&params.own, &params.seal, &params.by_rule];
    if params.unbound.is_none() && named.iter().all(|list| list.is_empty()) {
        return Ok(None);
    }
    let mut policy = store.bundle(bundle).await?.unbound;
    policy.rule = match &params.unbound {
        None => policy.rule,
        Some(wire::bundle::UnboundRule::Sealed) => UnboundRule::Sealed,
        Some(wire::bundle::UnboundRule::Tools) => UnboundRule::Tools,
        Some(wire::bundle::UnboundRule::Own) => UnboundRule::Own,
        Some(wire::bundle::UnboundRule::Other(word)) => {
            let reason = format!("{word:?} is not one of: sealed, tools, own");
            return Err(ApiError::invalid_input("unbound", reason));
        }
    };
    let id = |name: &String| convert::stored_id(provider(registry, name)?);
    for name in &params.by_rule {
        policy.forget(&id(name)?);
    }
    for (names, own) in [(&params.own, true), (&params.seal, false)] {
        for name in names {
            policy.decide(id(name)?, own);
        }
    }
    Ok(Some(policy))
}

/// Deletes a bundle with the accounts that only it binds, their running logins and their directories.
///
/// # Errors
/// `invalid_input` or `not_found` for the id, and an error of the store. A directory that cannot be removed is part of
/// the result.
pub(crate) async fn delete(store: &Store, remover: &Remover, params: Delete) -> Result<Deleted, ApiError> {
    let id = bundle_id(&params.bundle_id)?;
    let mut ended = remover.end_logins(&id, None).await;
    let history = if params.keep_history.unwrap_or(true) { History::Keep } else { History::Remove };
    // A launch that has begun must not make the homes again after they were removed.
    remover.retire(&id, true).await?;
    let gone = match remover.with_space(|| store.delete_bundle(&id, history, now())).await {
        Ok(gone) => gone,
        Err(error) => {
            remover.retire(&id, false).await?;
            return Err(error.into());
        }
    };
    // A login that started in the meantime finds no bundle to be saved in. Its end removes its directory.
    ended.extend(remover.end_logins(&id, None).await);
    let mut cleanup = clean(store, remover, &gone).await;
    cleanup.extend(remover.clean_homes(store, &id, history).await);
    remover.clean_logins(store, &id, &ended).await;
    remover.keep_space();
    Ok(Deleted {
        deleted: true,
        accounts_deleted: u64::try_from(gone.accounts.len()).unwrap_or(u64::MAX),
        instances_affected: gone.instances,
        cleanup,
    })
}

/// Removes the directories of the accounts that were deleted with a bundle.
async fn clean(store: &Store, remover: &Remover, gone: &DeletedBundle) -> Vec<Cleanup> {
    let mut cleanup = Vec::new();
    for account in &gone.accounts {
        let left = |leftover: &&Leftover| matches!(&account.secret_ref, SecretRef::ConfigDir { dir, .. } if *dir == leftover.dir);
        cleanup.extend(remover.clean(store, Some(account), gone.leftovers.iter().find(left)).await);
    }
    cleanup
}

/// Binds an account in a bundle. It replaces the provider's account that was bound before.
///
/// # Errors
/// `invalid_input` or `not_found` for an id, and an error of the store.
pub(crate) async fn bind(store: &Store, params: Bind) -> Result<Bundle, ApiError> {
    let account = account_id(&params.account_id)?;
    Ok(convert::bundle(store.bind(&bundle_id(&params.bundle_id)?, &account, now()).await?))
}

/// Removes the binding of a provider. The account stays.
///
/// # Errors
/// `unknown_provider`, `invalid_input` or `not_found` for an id, and an error of the store.
pub(crate) async fn unbind(store: &Store, registry: &Registry, params: Unbind) -> Result<Bundle, ApiError> {
    let provider = convert::stored_id(provider(registry, &params.provider_id)?)?;
    Ok(convert::bundle(store.unbind(&bundle_id(&params.bundle_id)?, &provider, now()).await?))
}
