//! `auth.submitapikey`: storing an API key as an account of a bundle.

use auth_spawner::Provider;
use identity_store::{BundleId, DestinationBundle, Evidence, KeyPlace, SaveApiKey, Status};
use rpc_engine::Call;
use secrecy::{ExposeSecret as _, SecretString};

use crate::base::clock::now;
use crate::keys::probe::Verdict;
use crate::keys::{api_key, probe};
use crate::rpc::app::App;
use crate::wire::auth::{KeyOutcome, SubmitApiKey};
use crate::wire::error::{ApiError, Kind};
use crate::wire::{SecretInput, convert};

/// `auth.submitapikey`. The key is validated, sealed, bound and announced. A rejected key is not stored.
pub async fn submit(app: App, _: Call, params: SubmitApiKey) -> Result<KeyOutcome, ApiError> {
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
    let submitted =
        submitted(&app, &provider, params.secret_name.as_deref(), params.api_key, params.base_url).await?;
    let service = &service.at(submitted.base_url.as_deref());
    let key = api_key::usable(&submitted.key, service)
        .map_err(|reason| ApiError::invalid_input("apiKey", reason))?;

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
                Some(bundle) => DestinationBundle::Existing(bundle),
                None => DestinationBundle::New { id: BundleId::generate(), name },
            },
            provider: convert::stored_id(&provider)?,
            provider_name: provider.display_name.clone(),
            account_name: params.account_name,
            // The white space that a paste added around the key is not stored.
            key: submitted.place.unwrap_or(KeyPlace::Sealed(key)),
            base_url: submitted.base_url,
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

/// A key that was submitted, or that the operator keeps elsewhere.
struct Submitted {
    key: SecretString,
    /// The place of a key that is kept elsewhere; `None` for a key that is to be sealed.
    place: Option<KeyPlace>,
    /// The service's address, when it is not the default one.
    base_url: Option<String>,
}

async fn submitted(
    app: &App,
    provider: &Provider,
    name: Option<&str>,
    key: Option<SecretInput>,
    base_url: Option<String>,
) -> Result<Submitted, ApiError> {
    let submitted = match (key, name) {
        (Some(key), None) => {
            let base_url = base_url.as_deref().map(auth_spawner::base_url).transpose();
            let base_url = base_url.map_err(|reason| ApiError::invalid_input("baseUrl", reason))?;
            Submitted { key: key.into_secret(), place: None, base_url: base_url.map(str::to_owned) }
        }
        (None, Some(name)) => {
            // With a free choice of the address, a client could have the operator's key sent anywhere.
            if base_url.is_some() {
                return Err(ApiError::invalid_input(
                    "baseUrl",
                    "the address of a named key stands in srvd.toml",
                ));
            }
            let (place, base_url) = app.external_keys.named(&provider.id, name).ok_or_else(|| {
                ApiError::invalid_input("secretName", "srvd.toml names no such key of this provider")
                    .with("known", app.external_keys.names(&provider.id))
            })?;
            let key =
                app.external_keys.read(&provider.id, &place.reference()).await.map_err(|unavailable| {
                    ApiError::new(Kind::SecretUnavailable, unavailable.text)
                        .with("reason", unavailable.why.as_str())
                })?;
            Submitted { key, place: Some(place), base_url: base_url.map(str::to_owned) }
        }
        _ => {
            return Err(ApiError::invalid_input(
                "apiKey",
                "give either a key or the name of one in srvd.toml",
            ));
        }
    };
    if submitted.key.expose_secret().len() > api_key::LONGEST {
        return Err(ApiError::invalid_input("apiKey", format!("is longer than {} bytes", api_key::LONGEST)));
    }
    app.redactor.hide(&submitted.key);
    Ok(submitted)
}
