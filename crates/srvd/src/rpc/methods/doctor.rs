//! `doctor.run`.

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::doctor::{Findings, Run};
use crate::wire::error::ApiError;

/// `doctor.run`.
pub(crate) async fn run(app: App, _: Call, _: Run) -> Result<Findings, ApiError> {
    Ok(app.checkup.run().await)
}
