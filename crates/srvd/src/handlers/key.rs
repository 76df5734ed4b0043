//! `auth.submitapikey`: an API key becomes an account of a bundle.

use identity_store::{BundleId, Evidence, SaveApiKey, Status, Target};
use rpc_engine::Call;
use secrecy::ExposeSecret as _;

use super::convert;
use crate::api::auth::{KeyOutcome, SubmitApiKey};
use crate::api_key;
use crate::app::{App, now};
use crate::error::ApiError;
use crate::probe::{self, Verdict};

/// `auth.submitapikey`: validated, sealed, bound and announced; a rejected key is stored nowhere.
pub async fn submit(app: App, _: Call, params: SubmitApiKey) -> Result<KeyOutcome, ApiError> {
    let key = params.api_key.into_secret();
    if key.expose_secret().len() > api_key::LONGEST {
        return Err(ApiError::invalid_input("apiKey", format!("is longer than {} bytes", api_key::LONGEST)));
    }
    app.redactor.hide(&key);
    let provider = app.provider(&params.provider_id)?.clone();
    let service = provider.key.as_ref().ok_or_else(|| {
        ApiError::invalid_input("providerId", "this provider takes no API key").hint("use auth.start")
    })?;
    identity_store::check_name("accountName", &params.account_name)?;
    let into = app.target("intoBundleId", params.into_bundle_id.as_deref()).await?;
    let name = params.bundle_name.filter(|name| !name.trim().is_empty());
    if into.is_none()
        && let Some(name) = &name
    {
        super::auth::refuse_taken(&app, name).await?;
    }
    let key = api_key::usable(&key, service).map_err(|reason| ApiError::invalid_input("apiKey", reason))?;

    let verdict = match &service.probe {
        Some(probe) if params.validate != Some(false) => probe::ask(service, probe, &key).await,
        _ => Verdict::Unknown { reason: "the provider was not asked".to_owned() },
    };
    let (status, evidence, reason) = match verdict {
        Verdict::Accepted => (Status::Valid, Evidence::Live, None),
        Verdict::Unknown { reason } => (Status::Unknown, Evidence::None, Some(reason)),
        Verdict::Rejected { status } => {
            tracing::info!(provider = provider.id, status, "an API key was refused by its provider");
            return Ok(KeyOutcome {
                success: false,
                bundle_id: None,
                account_id: None,
                status: None,
                error: Some(format!("{} refused the key (HTTP status {status})", provider.display_name)),
                error_kind: Some("not_authenticated".to_owned()),
            });
        }
    };
    let saved = app
        .store
        .save_api_key(SaveApiKey {
            target: match into {
                Some(bundle) => Target::Existing(bundle),
                None => Target::New { id: BundleId::generate(), name },
            },
            provider: super::provider::stored_id(&provider)?,
            provider_name: provider.display_name.clone(),
            account_name: params.account_name,
            key,
            base_url: Some(service.base_url.clone()),
            email: None,
            status,
            status_reason: reason.clone(),
            evidence,
            checked_at: (evidence == Evidence::Live).then(now),
            now: now(),
        })
        .await?;
    tracing::info!(account = %saved.account, provider = provider.id, %status, "an API key was stored");
    Ok(KeyOutcome {
        success: true,
        bundle_id: Some(saved.bundle.to_string()),
        account_id: Some(saved.account.to_string()),
        status: Some(convert::status(status)),
        error: reason,
        error_kind: None,
    })
}
