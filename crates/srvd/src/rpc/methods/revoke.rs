//! `account.revoke`.

use rpc_engine::Call;

use super::account::delete;
use crate::rpc::app::App;
use crate::wire::account::{Delete, Revoke, Revoked};
use crate::wire::error::ApiError;
use crate::wire::ids::account_id;

/// `account.revoke`.
pub(crate) async fn revoke(app: App, call: Call, params: Revoke) -> Result<Revoked, ApiError> {
    let id = account_id(&params.account_id)?;
    let deletion = Box::pin(delete(app.clone(), call, Delete { account_id: params.account_id }));
    app.logins.revoke(&app.store, &id, deletion).await
}
