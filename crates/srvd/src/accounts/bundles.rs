//! Bundles and their bindings.

use auth_spawner::Registry;
use identity_store::{BundleEdit, BundleId, DeletedBundle, History, Leftover, NewBundle, SecretRef, Store};

use super::removal::Remover;
use crate::base::clock::now;
use crate::wire::bundle::{Bind, Bundle, Bundles, Cleanup, Create, Delete, Deleted, Get, Unbind, Update};
use crate::wire::convert;
use crate::wire::error::ApiError;
use crate::wire::ids::{account_id, bundle_id, provider};

/// Lists all bundles.
///
/// # Errors
/// An error of the store.
pub(crate) async fn list(store: &Store) -> Result<Bundles, ApiError> {
    let bundles = store.bundles().await?;
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

/// Changes the name or the description of a bundle.
///
/// # Errors
/// `invalid_input`, `not_found` or `conflict`, and an error of the store.
pub(crate) async fn update(store: &Store, params: Update) -> Result<Bundle, ApiError> {
    let edit = BundleEdit { name: params.name, description: params.description };
    Ok(convert::bundle(store.update_bundle(&bundle_id(&params.bundle_id)?, edit, now()).await?))
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
    let gone = store.delete_bundle(&id, history, now()).await?;
    // A login that started in the meantime finds no bundle to be saved in. Its end removes its directory.
    ended.extend(remover.end_logins(&id, None).await);
    let cleanup = clean(store, remover, &gone).await;
    remover.clean_logins(store, &id, &ended).await;
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
