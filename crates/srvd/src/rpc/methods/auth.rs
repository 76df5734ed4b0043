//! `auth.*`, except for API keys.

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::auth::{Cancel, List, Outcome, Poll, Session, Sessions, Start, Started, SubmitCallback};
use crate::wire::error::ApiError;
use crate::wire::not_used::NotUsed;

/// `auth.start`.
pub(crate) async fn start(app: App, call: Call, params: Start) -> Result<Started, ApiError> {
    let mut started = app.logins.start(&app.store, app.provider(&params.provider_id)?, params).await?;
    started.not_used.extend(call.unknown.iter().cloned().map(NotUsed::unknown));
    if let Some(closed) = call.closed() {
        app.logins.end_when_left(&started.session_id, closed);
    }
    Ok(started)
}

/// `auth.poll`.
pub(crate) async fn poll(app: App, _: Call, params: Poll) -> Result<Session, ApiError> {
    app.logins.poll(&app.store, params).await
}

/// `auth.cancel`.
pub(crate) async fn cancel(app: App, _: Call, params: Cancel) -> Result<Outcome, ApiError> {
    app.logins.cancel(&app.registry, &params).await
}

/// `auth.submitcallback`.
pub(crate) async fn submit_callback(app: App, _: Call, params: SubmitCallback) -> Result<Outcome, ApiError> {
    Ok(app.logins.submit_callback(params).await)
}

/// `auth.list`.
pub(crate) async fn list(app: App, _: Call, params: List) -> Result<Sessions, ApiError> {
    app.logins.sessions(&app.store, &app.registry, params).await
}
