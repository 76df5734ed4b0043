//! `bundle.*`.

use rpc_engine::Call;

use crate::accounts::bundles;
use crate::rpc::app::App;
use crate::wire::bundle::{Bind, Bundle, Bundles, Create, Delete, Deleted, Get, List, Unbind, Update};
use crate::wire::error::ApiError;

/// `bundle.list`.
pub(crate) async fn list(app: App, _: Call, _: List) -> Result<Bundles, ApiError> {
    bundles::list(&app.store).await
}

/// `bundle.get`.
pub(crate) async fn get(app: App, _: Call, params: Get) -> Result<Bundle, ApiError> {
    bundles::get(&app.store, params).await
}

/// `bundle.create`.
pub(crate) async fn create(app: App, _: Call, params: Create) -> Result<Bundle, ApiError> {
    bundles::create(&app.store, params).await
}

/// `bundle.update`.
pub(crate) async fn update(app: App, _: Call, params: Update) -> Result<Bundle, ApiError> {
    bundles::update(&app.store, &app.registry, params).await
}

/// `bundle.delete`.
pub(crate) async fn delete(app: App, _: Call, params: Delete) -> Result<Deleted, ApiError> {
    bundles::delete(&app.store, &app.remover, params).await
}

/// `bundle.bind`.
pub(crate) async fn bind(app: App, _: Call, params: Bind) -> Result<Bundle, ApiError> {
    bundles::bind(&app.store, params).await
}

/// `bundle.unbind`.
pub(crate) async fn unbind(app: App, _: Call, params: Unbind) -> Result<Bundle, ApiError> {
    bundles::unbind(&app.store, &app.registry, params).await
}
