//! `auth.submitapikey`.

use rpc_engine::Call;

use crate::keys::submit::KeyIntake;
use crate::keys::takers;
use crate::rpc::app::App;
use crate::wire::auth::{KeyOutcome, SubmitApiKey};
use crate::wire::error::ApiError;

/// `auth.submitapikey`.
pub(crate) async fn submit(app: App, _: Call, params: SubmitApiKey) -> Result<KeyOutcome, ApiError> {
    let provider = takers::provider(&app.registry, &params.provider_id)?;
    let intake = KeyIntake {
        store: &app.store,
        external_keys: &app.external_keys,
        redactor: &app.redactor,
        registry: &app.registry,
    };
    intake.submit(provider, params).await
}
