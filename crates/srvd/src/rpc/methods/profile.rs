//! `profile.*`, `agent.delete` and `user.delete`, except for choosing between profiles.

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::profile::{
    Delete, DeleteAgent, DeleteUser, Deleted, List, Profile, Profiles, Reorder, Upsert,
};

/// `profile.upsert`.
pub(crate) async fn upsert(app: App, _: Call, params: Upsert) -> Result<Profile, ApiError> {
    app.profiles.upsert(&app.store, params).await
}

/// `profile.list`.
pub(crate) async fn list(app: App, _: Call, params: List) -> Result<Profiles, ApiError> {
    app.profiles.list(&app.store, params).await
}

/// `profile.delete`.
pub(crate) async fn delete(app: App, _: Call, params: Delete) -> Result<Deleted, ApiError> {
    app.profiles.delete(&app.store, params).await
}

/// `profile.reorder`.
pub(crate) async fn reorder(app: App, _: Call, params: Reorder) -> Result<Profiles, ApiError> {
    app.profiles.reorder(&app.store, params).await
}

/// `agent.delete`.
pub(crate) async fn delete_agent(app: App, _: Call, params: DeleteAgent) -> Result<Deleted, ApiError> {
    app.profiles.delete_agent(&app.store, params).await
}

/// `user.delete`.
pub(crate) async fn delete_user(app: App, _: Call, params: DeleteUser) -> Result<Deleted, ApiError> {
    app.profiles.delete_user(&app.store, params).await
}
