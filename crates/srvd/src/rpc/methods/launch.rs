//! `launch.*`.

use rpc_engine::Call;

use crate::launch::Launcher;
use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::launch::{Launch, Readiness, Ready, Resolve};

/// `launch.resolve`. The audit log records the result, whether it succeeds or fails.
pub(crate) async fn resolve(app: App, _: Call, params: Resolve) -> Result<Launch, ApiError> {
    let launch = app.launcher.resolve(&app.store, &params).await;
    let (accounts, outcome) = match &launch {
        Ok(launch) => (launch.accounts.iter().map(|used| used.account_id.as_str()).collect(), "ok"),
        Err(error) => (Vec::new(), error.kind().as_str()),
    };
    let subject = [vec![Launcher::noted(&params).as_str()], accounts].concat().join(" ");
    let dry = params.dry_run.unwrap_or(false).then(|| "dry run".to_owned());
    app.note("launch.resolve", subject, outcome, dry);
    launch
}

/// `launch.ready`.
pub(crate) async fn ready(app: App, _: Call, params: Ready) -> Result<Readiness, ApiError> {
    app.launcher.ready(&app.store, &params).await
}
