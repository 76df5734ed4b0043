//! Stores an API key as an account in a bundle.

use auth_spawner::{KeyService, Provider, Registry};
use identity_store::{
    AccountId, AccountKind, DestinationBundle, Evidence, KeyPlace, LoginOwner, ProfileFilter, ProfileScope,
    SaveApiKey, SaveProfileKey, Status, Store,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::base::clock::now;
use crate::base::redact::Redactor;
use crate::destination;
use crate::keys::external::ExternalKeys;
use crate::keys::probe::ProbeAnswer;
use crate::keys::{api_key, probe, takers};
use crate::wire::auth::{KeyOutcome, SubmitApiKey};
use crate::wire::error::{ApiError, ErrorKind, Kind};
use crate::wire::{SecretInput, convert, ids};

/// The parts used when storing a key.
#[derive(Clone, Copy)]
pub(crate) struct KeyIntake<'a> {
    /// Stores the key. The handle names the caller in the audit log.
    pub store: &'a Store,
    /// The keys that the operator stores elsewhere.
    pub external_keys: &'a ExternalKeys,
    /// Keeps the key out of the log.
    pub redactor: &'a Redactor,
    /// The registry of providers.
    pub registry: &'a Registry,
}

/// The target of a key.
enum KeyTarget {
    /// The key becomes an account of this bundle.
    Bundle(DestinationBundle),
    /// The key becomes a profile of this user, for this agent.
    User(LoginOwner),
}

/// The key from a request, and its service's URL.
struct ReceivedKey {
    key: SecretString,
    /// The location of a key that is stored elsewhere; `None` for a key that is to be encrypted.
    place: Option<KeyPlace>,
    /// The service's URL, if it is not the default one.
    base_url: Option<String>,
}

/// The status of a key that may be stored.
struct KeyStatus {
    status: Status,
    evidence: Evidence,
    /// The reason why the status is unknown.
    reason: Option<String>,
}

impl KeyIntake<'_> {
    /// Validates a key, encrypts and binds it, and announces it. A key that its provider rejects is not stored.
    ///
    /// # Errors
    /// `invalid_input` for an unusable key, name or URL, `secret_unavailable` for an operator's key that cannot be
    /// read, and store errors.
    pub(crate) async fn submit(
        self,
        provider: &Provider,
        request: SubmitApiKey,
    ) -> Result<KeyOutcome, ApiError> {
        let service = provider.key.as_ref().ok_or_else(|| takers::no_keys(self.registry, provider))?;
        identity_store::check_name("accountName", &request.account_name)?;
        let target = self.target(&request).await?;
        let received = match (request.api_key, request.secret_name) {
            (Some(key), None) => in_request(key, request.base_url.as_deref())?,
            (None, Some(_)) if matches!(target, KeyTarget::User(_)) => {
                let reason = "a user's key is kept in the database; a secret of srvd.toml is for bundles";
                return Err(ApiError::invalid_input("secretName", reason));
            }
            (None, Some(name)) => self.in_configuration(provider, &name, request.base_url.as_deref()).await?,
            _ => {
                let reason = "specify either a key or the name of one in srvd.toml";
                return Err(ApiError::invalid_input("apiKey", reason));
            }
        };
        let service = service.at(received.base_url.as_deref());
        let key = self.usable(&received.key, &service)?;
        let asks = request.validate != Some(false);
        let status = match checked(&service, &key, asks).await {
            Ok(status) => status,
            Err(http_status) => return Ok(refused(provider, http_status)),
        };
        if asks
            && let Some(reason) = &status.reason
            && service.probe.is_some()
            && self.has_working_key(provider, &target).await?
        {
            return Ok(kept(provider, reason));
        }
        let received = ReceivedKey { key, ..received };
        match target {
            KeyTarget::Bundle(target) => {
                self.save(provider, target, request.account_name, received, status).await
            }
            KeyTarget::User(owner) => {
                self.save_profile(provider, owner, request.account_name, received, status).await
            }
        }
    }

    /// Returns the target that a request names.
    async fn target(self, request: &SubmitApiKey) -> Result<KeyTarget, ApiError> {
        let bundle = [&request.into_bundle_id, &request.bundle_name];
        match ids::login_owner(request.user_id.as_deref(), request.agent_id.as_deref())? {
            Some(_) if bundle.iter().any(|field| field.as_ref().is_some_and(|text| !text.is_empty())) => {
                let reason = "a key is for a bundle or for a user, not for both";
                Err(ApiError::invalid_input("userId", reason))
            }
            Some(owner) => Ok(KeyTarget::User(owner)),
            None => {
                let into = request.into_bundle_id.as_deref();
                let into = destination::existing(self.store, "intoBundleId", into).await?;
                let name = request.bundle_name.clone();
                Ok(KeyTarget::Bundle(destination::target(self.store, into, name).await?))
            }
        }
    }

    /// Returns whether the bundle or the user has a key of the provider that the provider has accepted.
    async fn has_working_key(self, provider: &Provider, target: &KeyTarget) -> Result<bool, ApiError> {
        let provider = convert::stored_id(provider)?;
        let works = |kind, status| kind == AccountKind::ApiKey && status == Status::Valid;
        Ok(match target {
            KeyTarget::Bundle(target) => {
                let bound = self.store.bound_account(destination::bundle(target), &provider).await?;
                bound.is_some_and(|bound| works(bound.kind, bound.status))
            }
            KeyTarget::User(LoginOwner { user, agent }) => {
                let filter = ProfileFilter { user: Some(user.clone()), agent: Some(agent.clone()) };
                let found = self.store.profiles(filter).await?.profiles;
                found.iter().any(|found| found.provider == provider && works(found.kind, found.status))
            }
        })
    }

    /// Reads the key to which the operator gave this name.
    async fn in_configuration(
        self,
        provider: &Provider,
        name: &str,
        base_url: Option<&str>,
    ) -> Result<ReceivedKey, ApiError> {
        // If clients could choose the URL freely, they could have the operator's key sent anywhere.
        if base_url.is_some() {
            let reason = "the URL for a named key is set in srvd.toml; omit it here";
            return Err(ApiError::invalid_input("baseUrl", reason));
        }
        let (place, base_url) = self.external_keys.named(&provider.id, name).ok_or_else(|| {
            ApiError::invalid_input("secretName", "srvd.toml has no key with that name for this provider")
                .with("known", self.external_keys.names(&provider.id))
        })?;
        let key = self.external_keys.read(provider, &place.reference()).await.map_err(|unavailable| {
            ApiError::new(Kind::SecretUnavailable, unavailable.text).with("reason", unavailable.why.as_str())
        })?;
        Ok(ReceivedKey { key, place: Some(place), base_url: base_url.map(str::to_owned) })
    }

    /// Returns the key without surrounding white space, which pasting may have added.
    fn usable(self, key: &SecretString, service: &KeyService) -> Result<SecretString, ApiError> {
        if key.expose_secret().len() > api_key::LONGEST {
            let reason = format!("is longer than {} bytes", api_key::LONGEST);
            return Err(ApiError::invalid_input("apiKey", reason));
        }
        self.redactor.hide(key);
        api_key::usable(key, service).map_err(|reason| ApiError::invalid_input("apiKey", reason))
    }

    async fn save(
        self,
        provider: &Provider,
        target: DestinationBundle,
        account_name: String,
        received: ReceivedKey,
        KeyStatus { status, evidence, reason }: KeyStatus,
    ) -> Result<KeyOutcome, ApiError> {
        let save = SaveApiKey {
            target,
            provider: convert::stored_id(provider)?,
            provider_name: provider.display_name.clone(),
            account_name,
            key: received.place.unwrap_or(KeyPlace::Sealed(received.key)),
            base_url: received.base_url,
            email: None,
            status,
            status_reason: reason.clone(),
            evidence,
            checked_at: (evidence == Evidence::Live).then(now),
            now: now(),
        };
        let saved = self.store.save_api_key(save).await?;
        tracing::info!(account = %saved.account, provider = provider.id, %status, "an API key was stored");
        let bundle_id = Some(saved.bundle.to_string());
        Ok(KeyOutcome { bundle_id, ..stored(&saved.account, status, reason) })
    }

    /// Stores a key as a profile of a user.
    async fn save_profile(
        self,
        provider: &Provider,
        LoginOwner { user, agent }: LoginOwner,
        label: String,
        received: ReceivedKey,
        KeyStatus { status, evidence, reason }: KeyStatus,
    ) -> Result<KeyOutcome, ApiError> {
        let save = SaveProfileKey {
            scope: ProfileScope { user, agent, model: None },
            provider: convert::stored_id(provider)?,
            key: received.key,
            label: Some(label),
            email: None,
            base_url: received.base_url,
            status,
            status_reason: reason.clone(),
            evidence,
            make_primary: true,
            now: now(),
        };
        let saved = self.store.save_profile_key(save).await?;
        tracing::info!(profile = %saved.id, provider = provider.id, %status, "an API key of a user was stored");
        let profile_id = Some(saved.id.to_string());
        Ok(KeyOutcome { profile_id, ..stored(&saved.account, status, reason) })
    }
}

/// Returns the result for a key that was stored.
fn stored(account: &AccountId, status: Status, reason: Option<String>) -> KeyOutcome {
    KeyOutcome {
        success: true,
        bundle_id: None,
        account_id: Some(account.to_string()),
        profile_id: None,
        status: Some(convert::status(status)),
        status_reason: reason,
        error: None,
        error_kind: None,
    }
}

fn in_request(key: SecretInput, base_url: Option<&str>) -> Result<ReceivedKey, ApiError> {
    let base_url = base_url.map(auth_spawner::base_url).transpose();
    let base_url = base_url.map_err(|reason| ApiError::invalid_input("baseUrl", reason))?;
    Ok(ReceivedKey { key: key.into_secret(), place: None, base_url: base_url.map(str::to_owned) })
}

/// Asks the provider about the key if `asks` is true.
///
/// # Errors
/// The HTTP status with which the provider rejected the key.
async fn checked(service: &KeyService, key: &SecretString, asks: bool) -> Result<KeyStatus, u16> {
    let unknown =
        |reason| KeyStatus { status: Status::Unknown, evidence: Evidence::None, reason: Some(reason) };
    let Some(probe) = service.probe.as_ref().filter(|_| asks) else {
        return Ok(unknown("the provider was not asked".to_owned()));
    };
    match probe::ask(service, probe, key).await {
        ProbeAnswer::Accepted => {
            Ok(KeyStatus { status: Status::Valid, evidence: Evidence::Live, reason: None })
        }
        ProbeAnswer::Unknown { reason } => Ok(unknown(reason)),
        ProbeAnswer::Rejected { status } => Err(status),
    }
}

/// Returns the outcome for a key that its provider could not check and that would replace one that works.
fn kept(provider: &Provider, reason: &str) -> KeyOutcome {
    tracing::info!(provider = provider.id, "an API key was not checked and replaced none");
    KeyOutcome {
        success: false,
        bundle_id: None,
        account_id: None,
        profile_id: None,
        status: None,
        status_reason: None,
        error: Some(format!(
            "{} could not check the key ({reason}), so the working key was kept; try again later, or store the key without a check",
            provider.display_name
        )),
        error_kind: Some(ErrorKind::Conflict),
    }
}

fn refused(provider: &Provider, status: u16) -> KeyOutcome {
    tracing::info!(provider = provider.id, status, "an API key was rejected by its provider");
    KeyOutcome {
        success: false,
        bundle_id: None,
        account_id: None,
        profile_id: None,
        status: None,
        status_reason: None,
        error: Some(format!("{} rejected the key (HTTP status {status})", provider.display_name)),
        error_kind: Some(ErrorKind::NotAuthenticated),
    }
}
