//! `audit.*`.

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::audit::{AuditRows, List};
use crate::wire::error::ApiError;

/// `audit.list`.
pub(crate) async fn list(app: App, _: Call, params: List) -> Result<AuditRows, ApiError> {
    crate::audit::list(&app.store, params).await
}
