//! `bundle.*`.

use auth_spawner::Snapshot;
use identity_store::{Bundle as Stored, BundleEdit, BundleId, History, Leftover, NewBundle, SecretRef};
use rpc_engine::Call;

use super::account::clean;
use crate::base::clock::now;
use crate::rpc::app::App;
use crate::wire::bundle::{Bind, Bundle, Bundles, Create, Delete, Deleted, Get, List, Unbind, Update};
use crate::wire::convert;
use crate::wire::error::ApiError;
use crate::wire::ids::{account_id, bundle_id};

/// `bundle.list`.
pub async fn list(app: App, _: Call, _: List) -> Result<Bundles, ApiError> {
    let bundles: Vec<Stored> = app.store.bundles().await?;
    Ok(Bundles { bundles: bundles.into_iter().map(convert::bundle).collect() })
}

/// `bundle.get`.
pub async fn get(app: App, _: Call, params: Get) -> Result<Bundle, ApiError> {
    Ok(convert::bundle(app.store.bundle(&bundle_id(&params.bundle_id)?).await?))
}

/// `bundle.create`.
pub async fn create(app: App, _: Call, params: Create) -> Result<Bundle, ApiError> {
    let new = NewBundle {
        id: BundleId::generate(),
        name: params.name,
        description: params.description.unwrap_or_default(),
    };
    Ok(convert::bundle(app.store.create_bundle(new, now()).await?))
}

/// `bundle.update`.
pub async fn update(app: App, _: Call, params: Update) -> Result<Bundle, ApiError> {
    let edit = BundleEdit { name: params.name, description: params.description };
    Ok(convert::bundle(app.store.update_bundle(&bundle_id(&params.bundle_id)?, edit, now()).await?))
}

/// `bundle.delete`.
pub async fn delete(app: App, _: Call, params: Delete) -> Result<Deleted, ApiError> {
    let id = bundle_id(&params.bundle_id)?;
    end_logins(&app, &id, None).await;
    let history = if params.keep_history.unwrap_or(true) { History::Keep } else { History::Remove };
    let gone = app.store.delete_bundle(&id, history, now()).await?;
    // A login that started in the meantime finds no bundle to be saved in. Its end removes its directory.
    end_logins(&app, &id, None).await;
    let mut cleanup = Vec::new();
    for account in &gone.accounts {
        let left = |leftover: &&Leftover| matches!(&account.secret_ref, SecretRef::ConfigDir { dir, .. } if *dir == leftover.dir);
        cleanup.extend(clean(&app, account, gone.leftovers.iter().find(left)).await);
    }
    Ok(Deleted {
        deleted: true,
        accounts_deleted: u64::try_from(gone.accounts.len()).unwrap_or(u64::MAX),
        instances_affected: gone.instances,
        cleanup,
    })
}

/// Ends the logins of a bundle, or of one provider in it. This includes logins whose CLI is still ending.
pub(super) async fn end_logins(app: &App, bundle: &BundleId, provider: Option<&str>) {
    let ours = |login: &Snapshot| {
        login.scope == bundle.as_str() && provider.is_none_or(|provider| login.provider == provider)
    };
    let logins = app.spawner.snapshots().into_iter().filter(ours);
    for login in logins {
        // A login that has already ended needs no cancellation.
        let _ = app.spawner.cancel(&login.id).await;
        if let Some(provider) = app.registry.provider(&login.provider) {
            app.spawner.settled(provider, &login.recipe, bundle.as_str()).await;
        }
    }
}

/// `bundle.bind`.
pub async fn bind(app: App, _: Call, params: Bind) -> Result<Bundle, ApiError> {
    let account = account_id(&params.account_id)?;
    Ok(convert::bundle(app.store.bind(&bundle_id(&params.bundle_id)?, &account, now()).await?))
}

/// `bundle.unbind`.
pub async fn unbind(app: App, _: Call, params: Unbind) -> Result<Bundle, ApiError> {
    let provider = convert::stored_id(app.provider(&params.provider_id)?)?;
    Ok(convert::bundle(app.store.unbind(&bundle_id(&params.bundle_id)?, &provider, now()).await?))
}
