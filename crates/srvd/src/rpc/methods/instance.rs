//! `instance.*`.

use rpc_engine::Call;

use crate::accounts::instances;
use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::instance::{Create, End, Ended, Instance, Instances, List, Update};

/// `instance.create`.
pub(crate) async fn create(app: App, _: Call, params: Create) -> Result<Instance, ApiError> {
    instances::create(&app.store, params).await
}

/// `instance.list`.
pub(crate) async fn list(app: App, _: Call, params: List) -> Result<Instances, ApiError> {
    instances::list(&app.store, params).await
}

/// `instance.update`.
pub(crate) async fn update(app: App, _: Call, params: Update) -> Result<Instance, ApiError> {
    instances::update(&app.store, params).await
}

/// `instance.end`.
pub(crate) async fn end(app: App, _: Call, params: End) -> Result<Ended, ApiError> {
    instances::end(&app.store, params).await
}
