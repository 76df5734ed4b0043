//! `instance.*`.

use identity_store::{BundleId, Instance as Stored, InstanceFilter, NewInstance};
use rpc_engine::Call;

use crate::base::clock::now;
use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::ids::{bundle_id, instance_id};
use crate::wire::instance::{Create, End, Ended, Instance, Instances, List, Update};

fn bundle(id: Option<&str>) -> Result<Option<BundleId>, ApiError> {
    let id = id.filter(|id| !id.is_empty());
    id.map(bundle_id).transpose()
}

/// `instance.create`.
pub async fn create(app: App, _: Call, params: Create) -> Result<Instance, ApiError> {
    let bundle = bundle(params.bundle_id.as_deref())?;
    let new = NewInstance { definition: params.definition_id, name: params.name, bundle };
    Ok(shown(app.store.create_instance(new, now()).await?))
}

/// `instance.list`.
pub async fn list(app: App, _: Call, params: List) -> Result<Instances, ApiError> {
    let bundle = bundle(params.bundle_id.as_deref())?;
    if let Some(bundle) = &bundle {
        // An unknown bundle is an error, not an empty list.
        app.store.bundle(bundle).await?;
    }
    let filter = InstanceFilter { bundle, ended: params.include_ended.unwrap_or(false) };
    let found = app.store.instances(filter).await?;
    Ok(Instances { instances: found.into_iter().map(shown).collect() })
}

/// `instance.update`.
pub async fn update(app: App, _: Call, params: Update) -> Result<Instance, ApiError> {
    let id = instance_id(&params.instance_id)?;
    let bundle = bundle(Some(&params.bundle_id))?;
    Ok(shown(app.store.move_instance(&id, bundle.as_ref(), now()).await?))
}

/// `instance.end`.
pub async fn end(app: App, _: Call, params: End) -> Result<Ended, ApiError> {
    Ok(Ended { ended: app.store.end_instance(&instance_id(&params.instance_id)?, now()).await? })
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
