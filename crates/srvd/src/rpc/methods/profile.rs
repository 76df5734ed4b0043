//! `profile.*`, `agent.delete` and `user.delete`, except the choice among profiles.

use auth_spawner::Provider;
use identity_store::{
    Authority, CommitProfile, Consumer, Credential, DeletedProfiles, Endpoint, Evidence, FlowId, Identity,
    Jitter, Profile as Stored, ProfileFilter, ProfileId, ProfileScope, Received, RefreshState,
    SaveProfileKey, Status, StoredTokens, UnsavedLogin,
};
use rpc_engine::Call;
use secrecy::SecretString;

use crate::agents::declared::{Agent, credential_id};
use crate::base::clock::now;
use crate::keys::api_key;
use crate::launch::resolution::{Model, Renewal, Secret, Source};
use crate::rpc::app::App;
use crate::wire;
use crate::wire::SecretInput;
use crate::wire::account::Corrupt;
use crate::wire::convert;
use crate::wire::error::{ApiError, with_causes};
use crate::wire::ids::{agent_id, one_agent, user_id};
use crate::wire::profile::{
    Delete, DeleteAgent, DeleteUser, Deleted, List, Profile, Profiles, Reorder, Tokens, Upsert,
};
use convert::stored_id;

/// `profile.upsert`.
pub async fn upsert(app: App, _: Call, params: Upsert) -> Result<Profile, ApiError> {
    let provider = app.provider(&params.provider_id)?.clone();
    let model = match Model::of(params.model.as_deref(), &provider, &app.registry) {
        Model::Any => None,
        Model::Only(model) => Some(model),
    };
    let scope = ProfileScope { user: user_id(&params.user_id)?, agent: agent_id(&params.agent_id)?, model };
    let place =
        Place { scope, label: params.label, email: params.email, first: params.make_primary.unwrap_or(true) };
    let stored = match (params.api_key, params.tokens) {
        (Some(key), None) => keep_key(&app, &provider, key.into_secret(), place).await?,
        (None, Some(tokens)) => Box::pin(keep_tokens(&app, &provider, tokens, place)).await?,
        _ => return Err(ApiError::invalid_input("apiKey", "give either an API key or tokens")),
    };
    tracing::info!(profile = %stored.id, provider = provider.id, "a profile was stored");
    Ok(shown(stored))
}

/// The purpose of a credential, and how it is shown.
struct Place {
    scope: ProfileScope,
    label: Option<String>,
    email: Option<String>,
    first: bool,
}

async fn keep_key(
    app: &App,
    provider: &Provider,
    key: SecretString,
    place: Place,
) -> Result<Stored, ApiError> {
    app.redactor.hide(&key);
    let service = provider
        .key
        .as_ref()
        .ok_or_else(|| ApiError::invalid_input("providerId", "this provider takes no API key"))?;
    let key = api_key::usable(&key, service).map_err(|reason| ApiError::invalid_input("apiKey", reason))?;
    let save = SaveProfileKey {
        scope: place.scope,
        provider: stored_id(provider)?,
        key,
        label: place.label,
        email: place.email,
        base_url: None,
        status: Status::Unknown,
        status_reason: Some("the provider was not asked".to_owned()),
        evidence: Evidence::None,
        make_primary: place.first,
        now: now(),
    };
    Ok(app.store.save_profile_key(save).await?)
}

async fn keep_tokens(
    app: &App,
    provider: &Provider,
    tokens: Tokens,
    place: Place,
) -> Result<Stored, ApiError> {
    let now = now();
    let identity = Identity { subject: tokens.subject.clone(), email: place.email, login: None };
    let authority = Authority { provider: stored_id(provider)?, base_url: None, client_id: None };
    let endpoint = Endpoint { auth_method: "none".to_owned(), ..Endpoint::default() };
    let login =
        UnsavedLogin::new(authority, endpoint, flow()?, received(app, tokens, now), Consumer::Access)?;
    let commit = CommitProfile {
        scope: place.scope,
        identity,
        label: place.label,
        make_primary: place.first,
        jitter: Jitter::new(getrandom::u32().unwrap_or_default()),
        now,
    };
    match app.store.commit_profile(login, commit).await {
        Ok((profile, _)) => Ok(profile),
        Err(unsaved) => {
            // The tokens still belong to the client. Only the client can revoke them.
            drop(unsaved.login.discard());
            Err(unsaved.error.into())
        }
    }
}

/// Returns a new flow id, because these tokens come from no login of the daemon.
fn flow() -> Result<FlowId, ApiError> {
    let id = format!("upsert-{}", uuid::Uuid::new_v4().simple());
    id.parse().map_err(|error| ApiError::bad_id("tokens", &error))
}

pub(super) fn received(app: &App, tokens: Tokens, now: i64) -> Received {
    let secret = |input: SecretInput| {
        let secret = input.into_secret();
        app.redactor.hide(&secret);
        secret
    };
    // The arrival is set so that the end is a whole number of seconds later, which keeps the end exact. This also holds
    // for an end in the past.
    let arrival = |end: i64| match end.saturating_sub(now) {
        left if left > 0 => now - (1000 - left % 1000) % 1000,
        _ => end.saturating_sub(1000),
    };
    let received_at = tokens.expires_at.map_or(now, arrival);
    let life = |end: i64| (end.saturating_sub(received_at) / 1000).max(1);
    Received {
        access: secret(tokens.access_token),
        refresh: tokens.refresh_token.map(secret),
        id: tokens.id_token.map(secret),
        expires_in: tokens.expires_at.map(life),
        refresh_expires_in: tokens.refresh_expires_at.map(life),
        scopes: tokens.scopes.map(|scopes| scopes.join(" ")),
        token_type: None,
        received_at,
    }
}

/// `profile.list`.
pub async fn list(app: App, _: Call, params: List) -> Result<Profiles, ApiError> {
    let filter = ProfileFilter {
        user: params.user_id.as_deref().map(user_id).transpose()?,
        agent: params.agent_id.as_deref().map(agent_id).transpose()?,
    };
    let wanted = filter.agent.clone();
    let users_only = filter.user.is_some() && filter.agent.is_none();
    let mut profiles = stored(&app, filter).await?;
    let current = app.declared.now();
    let agents = current.agents.iter().filter(|_| !users_only);
    let agents = agents.filter(|(id, _)| wanted.as_ref().is_none_or(|wanted| wanted.as_str() == *id));
    profiles.profiles.extend(agents.flat_map(|(id, agent)| declared(id, agent)));
    Ok(profiles)
}

async fn stored(app: &App, filter: ProfileFilter) -> Result<Profiles, ApiError> {
    let found = app.store.profiles(filter).await?;
    let corrupt = found.corrupt.into_iter().map(|row| Corrupt { id: row.id, reason: row.reason });
    Ok(Profiles { profiles: found.profiles.into_iter().map(shown).collect(), corrupt: corrupt.collect() })
}

/// `profile.delete`.
pub async fn delete(app: App, _: Call, params: Delete) -> Result<Deleted, ApiError> {
    app.declared.now().agents.refuse_credential(&params.profile_id)?;
    let gone = app.store.delete_profile(&profile_id("profileId", &params.profile_id)?, now()).await?;
    Ok(deleted(&gone))
}

/// `profile.reorder`.
pub async fn reorder(app: App, _: Call, params: Reorder) -> Result<Profiles, ApiError> {
    let agents = app.declared.now().agents;
    params.profile_ids.iter().try_for_each(|id| agents.refuse_credential(id))?;
    let provider = app.provider(&params.provider_id)?;
    let (user, agent) = (user_id(&params.user_id)?, agent_id(&params.agent_id)?);
    let order =
        params.profile_ids.iter().map(|id| profile_id("profileIds", id)).collect::<Result<Vec<_>, _>>()?;
    app.store.reorder_profiles((&user, &agent, &stored_id(provider)?), &order, now()).await?;
    let mut profiles = stored(&app, ProfileFilter { user: Some(user), agent: Some(agent) }).await?;
    profiles.profiles.retain(|profile| profile.provider_id == provider.id);
    Ok(profiles)
}

/// `agent.delete`.
pub async fn delete_agent(app: App, _: Call, params: DeleteAgent) -> Result<Deleted, ApiError> {
    app.declared.now().agents.refuse_agent(&params.agent_id)?;
    let agent = one_agent(&params.agent_id)?;
    let gone = app.store.delete_agent(&agent, now()).await?;
    app.ephemeral.clear(agent.as_str(), None);
    tracing::info!(%agent, profiles = gone.profiles, "an agent was deleted");
    Ok(deleted(&gone))
}

/// `user.delete`.
pub async fn delete_user(app: App, _: Call, params: DeleteUser) -> Result<Deleted, ApiError> {
    let user = user_id(&params.user_id)?;
    let gone = app.store.delete_user(&user, now()).await?;
    app.ephemeral.clear_user(user.as_str());
    tracing::info!(%user, profiles = gone.profiles, "a user was deleted");
    Ok(deleted(&gone))
}

fn profile_id(field: &str, id: &str) -> Result<ProfileId, ApiError> {
    id.parse().map_err(|error| ApiError::bad_id(field, &error))
}

fn deleted(gone: &DeletedProfiles) -> Deleted {
    Deleted { profiles_deleted: gone.profiles, secrets_deleted: gone.secrets }
}

fn shown(profile: Stored) -> Profile {
    Profile {
        id: profile.id.to_string(),
        user_id: Some(profile.user.to_string()),
        agent_id: profile.agent.to_string(),
        provider_id: profile.provider.to_string(),
        account_id: Some(profile.account.to_string()),
        model: profile.model.map_or(Model::Any, Model::Only).as_str().to_owned(),
        source: Source::User.as_str().to_owned(),
        kind: profile.kind.as_str().to_owned(),
        label: profile.label,
        email: profile.identity.email,
        primary: profile.primary,
        status: convert::status(profile.status),
        status_reason: profile.status_reason,
        expires_at: profile.expires_at,
        created_at: Some(profile.created_at),
        updated_at: Some(profile.updated_at),
    }
}

fn declared(id: &str, agent: &Agent) -> Vec<Profile> {
    let one = |provider: &String| Profile {
        id: credential_id(id, provider),
        user_id: None,
        agent_id: id.to_owned(),
        provider_id: provider.clone(),
        account_id: None,
        model: Model::Any.as_str().to_owned(),
        source: Source::Declared.as_str().to_owned(),
        kind: identity_store::AccountKind::ApiKey.as_str().to_owned(),
        label: Some(format!("{provider} (declared)")),
        email: None,
        primary: true,
        status: wire::Status::Unknown,
        status_reason: None,
        expires_at: None,
        created_at: None,
        updated_at: None,
    };
    agent.credentials.keys().map(one).collect()
}

/// Returns the state of a stored profile: whether its secret is present, when it expires and whether it can be renewed.
pub(super) fn standing(one: &identity_store::Candidate) -> (Secret, Option<i64>, Renewal) {
    let unavailable = |reason: &str| (Secret::Unavailable(reason.to_owned()), None, Renewal::None);
    match &one.credential {
        Credential::Key(_) => {
            let refused = matches!(one.profile.status, Status::Invalid | Status::NeedsReauth);
            let secret = if refused { Secret::Refused } else { Secret::Found };
            (secret, one.profile.expires_at, Renewal::None)
        }
        Credential::Tokens(tokens) => of_tokens(tokens),
        Credential::Broken(error) => {
            tracing::error!(error = with_causes(error), profile = %one.profile.id, "a secret does not open");
            unavailable("its stored secret could not be opened")
        }
        Credential::Elsewhere => unavailable("this kind of credential cannot be a profile's"),
        Credential::Corrupt(reason) => {
            tracing::error!(reason, profile = %one.profile.id, "an account of a profile cannot be read");
            unavailable("its account cannot be read")
        }
    }
}

/// Returns the state of a stored set of tokens.
pub(super) fn of_tokens(tokens: &StoredTokens) -> (Secret, Option<i64>, Renewal) {
    // A set that the service refused or that was given up is dead, regardless of its expiry times.
    let alive = tokens.life(i64::MIN, 0) != identity_store::Life::Dead;
    let secret = if alive { Secret::Found } else { Secret::Refused };
    let renewal = match (tokens.is_refreshable(), tokens.next_attempt_at) {
        (true, Some(until)) if tokens.failures > 0 => Renewal::Waiting { until },
        (true, _) => Renewal::Possible,
        (false, _) if matches!(tokens.state, RefreshState::NeedsReauth | RefreshState::Revoked) => {
            let reason = tokens.reason.map_or("needs_reauth", |reason| reason.as_str());
            Renewal::Dead(format!("it has to be logged in again ({reason})"))
        }
        (false, _) => Renewal::None,
    };
    (secret, tokens.tokens.expiry().at(), renewal)
}
