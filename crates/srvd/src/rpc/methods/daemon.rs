//! `srvd.*`.

use std::sync::atomic::Ordering;

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::rpc::routes;
use crate::wire::convert;
use crate::wire::daemon::{Daemon, Info, Limits, Ping, Pong};
use crate::wire::error::ApiError;

/// `srvd.info`.
pub(crate) async fn info(app: App, _: Call, _: Info) -> Result<Daemon, ApiError> {
    let counts = app.store.counts().await?;
    let searched = app.logins.programs().known_search_path();
    Ok(Daemon {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: app.broker.epoch().to_owned(),
        uptime_ms: u64::try_from(app.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        database_kind: convert::database_kind(app.store.kind()),
        schema_version: app.store.schema_version().await?,
        limits: Limits::from(&routes::limits()),
        search_path: searched.iter().map(|dir| dir.display().to_string()).collect(),
        counts: convert::counts(&counts, app.connections.load(Ordering::Relaxed)),
    })
}

/// `srvd.ping`. Reads and changes nothing.
pub(crate) async fn ping(_: App, _: Call, Ping { text }: Ping) -> Result<Pong, ApiError> {
    Ok(Pong { text })
}
