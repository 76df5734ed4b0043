//! Profiles, which are credentials that users supply for agents, and the deletion of agents and users.

use auth_spawner::{Provider, Registry};
use futures_util::future::BoxFuture;
use identity_store::{
    AccountKind, AgentId, Authority, CommitProfile, Consumer, DeletedProfiles, Endpoint, Evidence, FlowId,
    Identity, Jitter, Profile as Stored, ProfileFilter, ProfileId, ProfileOrder, ProfileScope,
    SaveProfileKey, Status, Store, UnsavedLogin, UserId,
};
use secrecy::SecretString;

use crate::agents::declared::{Agent, Declared, credential_id};
use crate::agents::ephemeral::Ephemeral;
use crate::agents::model::Model;
use crate::base::clock::now;
use crate::base::redact::Redactor;
use crate::disk::identity_dir::homes::HomeOwner;
use crate::disk::leftovers::LeftoverCleaner;
use crate::keys::api_key;
use crate::wire;
use crate::wire::account::Corrupt;
use crate::wire::convert;
use crate::wire::convert::stored_id;
use crate::wire::error::ApiError;
use crate::wire::ids::{agent_id, one_agent, parse, provider, user_id};
use crate::wire::login_scope::OwnerFilter;
use crate::wire::profile::{
    Delete, DeleteAgent, DeleteUser, Deleted, List, Profile, Profiles, Reorder, Tokens, Upsert,
};
use crate::wire::{CredentialKind, Source};

/// Keeps the credentials that users supply for agents. A clone is a handle to the same ones.
#[derive(Clone)]
pub(crate) struct ProfileService {
    registry: Registry,
    redactor: Redactor,
    /// The credentials that files declare. They are listed too, and cannot be changed.
    declared: Declared,
    /// The credentials that clients lend. They end with their agent or user.
    ephemeral: Ephemeral,
    /// Removes the directories of users' logins. The homes of an agent or user end with it.
    leftovers: LeftoverCleaner,
}

/// The purpose of a credential, and how it is shown.
struct Purpose {
    scope: ProfileScope,
    label: Option<String>,
    email: Option<String>,
    make_primary: bool,
}

impl ProfileService {
    /// Creates a keeper that hides every secret from the log.
    pub(crate) fn new(
        registry: &Registry,
        redactor: &Redactor,
        declared: &Declared,
        ephemeral: &Ephemeral,
        leftovers: &LeftoverCleaner,
    ) -> Self {
        Self {
            registry: registry.clone(),
            redactor: redactor.clone(),
            declared: declared.clone(),
            ephemeral: ephemeral.clone(),
            leftovers: leftovers.clone(),
        }
    }

    /// Stores a user's credential for an agent.
    ///
    /// # Errors
    /// `unknown_provider`, `invalid_input` for a field, and an error of the store.
    pub(crate) async fn upsert(&self, store: &Store, params: Upsert) -> Result<Profile, ApiError> {
        let provider = provider(&self.registry, &params.provider_id)?;
        let model = match Model::of(params.model.as_deref(), provider, &self.registry) {
            Model::Any => None,
            Model::Only(model) => Some(model),
        };
        let scope =
            ProfileScope { user: user_id(&params.user_id)?, agent: agent_id(&params.agent_id)?, model };
        let make_primary = params.make_primary.unwrap_or(true);
        let purpose = Purpose { scope, label: params.label, email: params.email, make_primary };
        let stored = match (params.api_key, params.tokens) {
            (Some(key), None) => self.keep_key(store, provider, key.into_secret(), purpose).await?,
            (None, Some(tokens)) => Box::pin(self.keep_tokens(store, provider, tokens, purpose)).await?,
            _ => return Err(ApiError::invalid_input("apiKey", "give either an API key or tokens")),
        };
        self.clear_replaced(store, provider, &stored).await;
        tracing::info!(profile = %stored.id, provider = provider.id, "a profile was stored");
        let login = stored.kind == AccountKind::OAuth;
        let warning = provider.takes_access_token().err().filter(|_| login).map(str::to_owned);
        Ok(Profile { warning, ..shown(stored) })
    }

    async fn keep_key(
        &self,
        store: &Store,
        provider: &Provider,
        key: SecretString,
        purpose: Purpose,
    ) -> Result<Stored, ApiError> {
        self.redactor.hide(&key);
        let service = provider
            .key
            .as_ref()
            .ok_or_else(|| ApiError::invalid_input("providerId", "this provider does not accept API keys"))?;
        let key =
            api_key::usable(&key, service).map_err(|reason| ApiError::invalid_input("apiKey", reason))?;
        let save = SaveProfileKey {
            scope: purpose.scope,
            provider: stored_id(provider)?,
            key,
            label: purpose.label,
            email: purpose.email,
            base_url: None,
            status: Status::Unknown,
            status_reason: Some("the provider was not asked".to_owned()),
            evidence: Evidence::None,
            make_primary: purpose.make_primary,
            now: now(),
        };
        Ok(store.save_profile_key(save).await?)
    }

    async fn keep_tokens(
        &self,
        store: &Store,
        provider: &Provider,
        tokens: Tokens,
        purpose: Purpose,
    ) -> Result<Stored, ApiError> {
        let now = now();
        let identity = Identity { subject: tokens.subject.clone(), email: purpose.email, login: None };
        let authority = Authority { provider: stored_id(provider)?, base_url: None, client_id: None };
        let endpoint = Endpoint { auth_method: "none".to_owned(), ..Endpoint::default() };
        let received = convert::received(tokens, now);
        self.redactor.hide_received(&received);
        let login = UnsavedLogin::new(authority, endpoint, flow()?, received, Consumer::Access)?;
        let commit = CommitProfile {
            scope: purpose.scope,
            identity,
            label: purpose.label,
            make_primary: purpose.make_primary,
            session: None,
            jitter: Jitter::new(getrandom::u32().unwrap_or_default()),
            now,
        };
        match store.commit_profile(login, commit).await {
            Ok((profile, _)) => Ok(profile),
            Err(unsaved) => {
                // The tokens still belong to the client. Only the client can revoke them.
                drop(unsaved.login.discard());
                Err(unsaved.error.into())
            }
        }
    }

    /// Lists the stored profiles, and then the credentials that files declare.
    ///
    /// # Errors
    /// `invalid_input` for an id, and an error of the store.
    pub(crate) async fn list(&self, store: &Store, params: List) -> Result<Profiles, ApiError> {
        let filter = ProfileFilter {
            user: params.user_id.as_deref().map(user_id).transpose()?,
            agent: params.agent_id.as_deref().map(agent_id).transpose()?,
        };
        let wanted = filter.agent.clone();
        let users_only = filter.user.is_some() && filter.agent.is_none();
        let mut profiles = stored(store, filter).await?;
        let current = self.declared.now();
        let agents = current.agents.iter().filter(|_| !users_only);
        let agents = agents.filter(|(id, _)| wanted.as_ref().is_none_or(|wanted| wanted.as_str() == *id));
        profiles.profiles.extend(agents.flat_map(|(id, agent)| declared(id, agent)));
        Ok(profiles)
    }

    /// Deletes a profile, its secrets and the directory of its login. `end` ends the running logins that a filter matches:
    /// one that started meanwhile would run in a directory that is about to be removed.
    ///
    /// # Errors
    /// `declared_immutable` for a declared credential, `invalid_input` or `not_found` for the id, and an error of the
    /// store.
    pub(crate) async fn delete(
        &self,
        store: &Store,
        params: Delete,
        end: impl Fn(OwnerFilter) -> BoxFuture<'static, ()>,
    ) -> Result<Deleted, ApiError> {
        self.declared.now().agents.refuse_credential(&params.profile_id)?;
        let id = profile_id("profileId", &params.profile_id)?;
        // A row that cannot be read can be deleted all the same.
        let filter = store.profile(&id).await.ok().map(|found| OwnerFilter {
            user: Some(found.user),
            agent: Some(found.agent),
            provider: Some(found.provider.to_string()),
        });
        if let Some(filter) = &filter {
            end(filter.clone()).await;
        }
        let gone = store.delete_profile(&id, now()).await?;
        if let Some(filter) = filter.filter(|_| !gone.leftovers.is_empty()) {
            end(filter).await;
        }
        Ok(self.cleared(store, gone).await)
    }

    /// Sets the order of a user's profiles of one provider, and returns them.
    ///
    /// # Errors
    /// `declared_immutable` for a declared credential, `unknown_provider`, `invalid_input` for a field, and an error of
    /// the store.
    pub(crate) async fn reorder(&self, store: &Store, params: Reorder) -> Result<Profiles, ApiError> {
        let agents = self.declared.now().agents;
        params.profile_ids.iter().try_for_each(|id| agents.refuse_credential(id))?;
        let provider = provider(&self.registry, &params.provider_id)?;
        let (user, agent) = (user_id(&params.user_id)?, agent_id(&params.agent_id)?);
        let ids = params.profile_ids.iter();
        let order = ids.map(|id| profile_id("profileIds", id)).collect::<Result<Vec<_>, _>>()?;
        let stored_provider = stored_id(provider)?;
        let order = ProfileOrder { user: &user, agent: &agent, provider: &stored_provider, profiles: &order };
        store.reorder_profiles(order, now()).await?;
        let mut profiles = stored(store, ProfileFilter { user: Some(user), agent: Some(agent) }).await?;
        profiles.profiles.retain(|profile| profile.provider_id == provider.id);
        Ok(profiles)
    }

    /// Deletes the profiles of an agent, of all users, and the credentials that were lent to the agent. Those that a file
    /// declares stay.
    ///
    /// # Errors
    /// `invalid_input` for the id, and an error of the store.
    pub(crate) async fn delete_agent(
        &self,
        store: &Store,
        params: DeleteAgent,
        end: impl Fn(OwnerFilter) -> BoxFuture<'static, ()>,
    ) -> Result<Deleted, ApiError> {
        let agent = one_agent(&params.agent_id)?;
        let filter = OwnerFilter { agent: Some(agent.clone()), ..OwnerFilter::default() };
        end(filter.clone()).await;
        let gone = store.delete_agent(&agent, now()).await?;
        end(filter).await;
        self.ephemeral.clear(agent.as_str(), None);
        let gone = self.cleared(store, gone).await;
        self.forget_homes(None, Some(&agent)).await;
        tracing::info!(%agent, profiles = gone.profiles_deleted, "the users' credentials of an agent were deleted");
        Ok(gone)
    }

    /// Deletes the profiles of a user, for all agents, and the credentials that were lent for the user.
    ///
    /// # Errors
    /// `invalid_input` for the id, and an error of the store.
    pub(crate) async fn delete_user(
        &self,
        store: &Store,
        params: DeleteUser,
        end: impl Fn(OwnerFilter) -> BoxFuture<'static, ()>,
    ) -> Result<Deleted, ApiError> {
        let user = user_id(&params.user_id)?;
        let filter = OwnerFilter { user: Some(user.clone()), ..OwnerFilter::default() };
        end(filter.clone()).await;
        let gone = store.delete_user(&user, now()).await?;
        end(filter).await;
        self.ephemeral.clear_user(user.as_str());
        let gone = self.cleared(store, gone).await;
        self.forget_homes(Some(&user), None).await;
        tracing::info!(%user, profiles = gone.profiles_deleted, "a user was deleted");
        Ok(gone)
    }
}

impl ProfileService {
    /// Removes the directories of deleted logins. What cannot be removed is retried at the next start.
    async fn cleared(&self, store: &Store, gone: DeletedProfiles) -> Deleted {
        for leftover in &gone.leftovers {
            self.leftovers.clear(store, leftover).await;
        }
        Deleted { profiles_deleted: gone.profiles, secrets_deleted: gone.secrets }
    }

    /// Removes the directory of a login whose profile now has another credential.
    async fn clear_replaced(&self, store: &Store, provider: &Provider, stored: &Stored) {
        let Some(cli) = &provider.cli else { return };
        let identities = self.leftovers.identities();
        let owner = HomeOwner::Agent(Some(stored.user.clone()), stored.agent.clone());
        if identities.exists(&identities.home(&owner, cli)).await.unwrap_or(true) {
            self.leftovers.clear_all(store).await;
        }
    }

    /// Removes the homes of an agent or a user. A home that stays holds no credential of srvd's.
    async fn forget_homes(&self, user: Option<&UserId>, agent: Option<&AgentId>) {
        if let Err(error) = self.leftovers.identities().forget_agents(user, agent).await {
            tracing::warn!(%error, "the homes of an agent could not be removed");
        }
    }
}

/// Returns a new flow id, because these tokens come from no login of the daemon.
fn flow() -> Result<FlowId, ApiError> {
    parse("tokens", &format!("upsert-{}", uuid::Uuid::new_v4().simple()))
}

async fn stored(store: &Store, filter: ProfileFilter) -> Result<Profiles, ApiError> {
    let found = store.profiles(filter).await?;
    let corrupt = found.corrupt.into_iter().map(|row| Corrupt { id: row.id, reason: row.reason });
    Ok(Profiles { profiles: found.profiles.into_iter().map(shown).collect(), corrupt: corrupt.collect() })
}

fn profile_id(field: &str, id: &str) -> Result<ProfileId, ApiError> {
    parse(field, id)
}

fn shown(profile: Stored) -> Profile {
    let status = profile.status_at(now());
    let over = status != profile.status;
    let status_reason = profile.status_reason.or_else(|| over.then(|| "it has expired".to_owned()));
    Profile {
        id: profile.id.to_string(),
        user_id: Some(profile.user.to_string()),
        agent_id: profile.agent.to_string(),
        provider_id: profile.provider.to_string(),
        account_id: Some(profile.account.to_string()),
        model: profile.model.map_or(Model::Any, Model::Only).as_str().to_owned(),
        source: Source::User,
        kind: convert::kind(profile.kind),
        label: profile.label,
        email: profile.identity.email,
        primary: profile.primary,
        status: convert::status(status),
        status_reason,
        expires_at: profile.expires_at,
        warning: None,
        created_at: Some(profile.created_at),
        updated_at: Some(profile.updated_at),
    }
}

/// Returns the credentials that a file declares for an agent.
fn declared(id: &str, agent: &Agent) -> Vec<Profile> {
    let one = |provider: &String| Profile {
        id: credential_id(id, provider),
        user_id: None,
        agent_id: id.to_owned(),
        provider_id: provider.clone(),
        account_id: None,
        model: Model::Any.as_str().to_owned(),
        source: Source::Declared,
        kind: CredentialKind::ApiKey,
        label: Some(format!("{provider} (declared)")),
        email: None,
        primary: true,
        status: wire::Status::Unknown,
        status_reason: None,
        expires_at: None,
        warning: None,
        created_at: None,
        updated_at: None,
    };
    agent.credentials.keys().map(one).collect()
}
