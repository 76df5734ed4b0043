//! `profile.*`, `agent.delete` and `user.delete`, except for choosing between profiles.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::login_scope::OwnerFilter;
use crate::wire::profile::{
    Delete, DeleteAgent, DeleteUser, Deleted, List, Profile, Profiles, Reorder, Upsert,
};

/// The reason in the session of a login that ends with its profile.
const DELETED: &str = "its profile was deleted";

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
    app.profiles.delete(&app.store, params, ending(&app)).await
}

/// `profile.reorder`.
pub(crate) async fn reorder(app: App, _: Call, params: Reorder) -> Result<Profiles, ApiError> {
    app.profiles.reorder(&app.store, params).await
}

/// `agent.delete`.
pub(crate) async fn delete_agent(app: App, _: Call, params: DeleteAgent) -> Result<Deleted, ApiError> {
    app.profiles.delete_agent(&app.store, params, ending(&app)).await
}

/// `user.delete`.
pub(crate) async fn delete_user(app: App, _: Call, params: DeleteUser) -> Result<Deleted, ApiError> {
    app.profiles.delete_user(&app.store, params, ending(&app)).await
}

/// Returns the way to end the running logins that a filter matches.
fn ending(app: &App) -> impl Fn(OwnerFilter) -> BoxFuture<'static, ()> + use<> {
    let logins = app.logins.clone();
    move |filter| {
        let logins = logins.clone();
        async move { logins.end_of_users(&filter, DELETED).await }.boxed()
    }
}
