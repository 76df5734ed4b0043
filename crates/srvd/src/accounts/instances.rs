//! Instances: agents that run under a bundle, or under none.

use identity_store::{BundleId, Instance as Stored, InstanceFilter, NewInstance, Store};

use crate::base::clock::now;
use crate::wire::error::ApiError;
use crate::wire::ids::{bundle_id, instance_id};
use crate::wire::instance::{Create, End, Ended, Instance, Instances, List, Update};

/// Creates an instance.
///
/// # Errors
/// `invalid_input` for a field, `not_found` for the bundle, and an error of the store.
pub(crate) async fn create(store: &Store, params: Create) -> Result<Instance, ApiError> {
    let bundle = bundle(params.bundle_id.as_deref())?;
    let new = NewInstance { definition: params.definition_id, name: params.name, bundle };
    Ok(shown(store.create_instance(new, now()).await?))
}

/// Lists instances, oldest first.
///
/// # Errors
/// `invalid_input` or `not_found` for the bundle, and an error of the store.
pub(crate) async fn list(store: &Store, params: List) -> Result<Instances, ApiError> {
    let bundle = bundle(params.bundle_id.as_deref())?;
    if let Some(bundle) = &bundle {
        // An unknown bundle is an error, not an empty list.
        store.bundle(bundle).await?;
    }
    let filter = InstanceFilter { bundle, ended: params.include_ended.unwrap_or(false) };
    let found = store.instances(filter).await?;
    Ok(Instances { instances: found.into_iter().map(shown).collect() })
}

/// Moves an instance to another bundle.
///
/// # Errors
/// `invalid_input` or `not_found` for an id, and an error of the store.
pub(crate) async fn update(store: &Store, params: Update) -> Result<Instance, ApiError> {
    let id = instance_id(&params.instance_id)?;
    let bundle = bundle(Some(&params.bundle_id))?;
    Ok(shown(store.move_instance(&id, bundle.as_ref(), now()).await?))
}

/// Ends an instance.
///
/// # Errors
/// `invalid_input` or `not_found` for the id, and an error of the store.
pub(crate) async fn end(store: &Store, params: End) -> Result<Ended, ApiError> {
    Ok(Ended { ended: store.end_instance(&instance_id(&params.instance_id)?, now()).await? })
}

/// Returns the bundle in a request; `None` when the id is absent or empty.
fn bundle(id: Option<&str>) -> Result<Option<BundleId>, ApiError> {
    id.filter(|id| !id.is_empty()).map(bundle_id).transpose()
}

fn shown(instance: Stored) -> Instance {
    Instance {
        id: instance.id.to_string(),
        definition_id: instance.definition,
        name: instance.name,
        bundle_id: instance.bundle.map(|id| id.to_string()),
        created_at: instance.created_at,
        updated_at: instance.updated_at,
        ended_at: instance.ended_at,
    }
}
