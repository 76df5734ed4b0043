//! The engine: one way from a request to an answer for bundles, instances and agents.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth_spawner::{Provider, Registry};
use futures_util::future::join_all;
use identity_store::{AccountFilter, SecretRef, Store};
use tokio::time::Instant;

use super::candidate::{Candidate, Credential, KeyCommand, State};
use super::decide::Request;
use super::environment;
use super::environment::RemovalRules;
use super::gather::{Needed, renewed};
use super::plan::{Part, PartContext, Plan};
use super::settle::{Action, Attempt, settle};
use super::subject::{Agent, Named, Subject};
use crate::agents::declared::Declared;
use crate::agents::ephemeral::Ephemeral;
use crate::agents::model::Model;
use crate::base::clock::now;
use crate::disk::identity_dir::IdentityDirs;
use crate::keeper::Keeper;
use crate::keys::external::ExternalKeys;
use crate::refresh::Refresher;
use crate::share::Sharing;
use crate::wire::error::ApiError;
use crate::wire::launch::{Launch, Readiness, Ready, Resolve};
use crate::wire::profile::{Best, Resolution};
use crate::wire::{convert, ids};

/// Longest time that the refreshes for one answer may take together.
const REFRESHING: Duration = Duration::from_secs(10);

/// The launch engine. A clone is a handle to the same one.
#[derive(Clone)]
pub(crate) struct Launcher(Arc<LauncherConfig>);

/// The parts that a [`Launcher`] uses.
pub(crate) struct LauncherConfig {
    /// The registry of providers.
    pub registry: Registry,
    /// The directories of the identities.
    pub identities: IdentityDirs,
    /// The directory of the caches that the bundles share.
    pub shared: PathBuf,
    /// The keys that are kept outside the store, and the runner of commands that print keys.
    pub keys: ExternalKeys,
    /// The credentials that files declare for agents.
    pub declared: Declared,
    /// The credentials that clients lend to agents.
    pub ephemeral: Ephemeral,
    /// Refreshes tokens.
    pub refresher: Refresher,
    /// Renews CLI logins that are about to end.
    pub keeper: Keeper,
    /// The rules for the variables that a launch removes.
    pub removal_rules: RemovalRules,
    /// The person's own setup in the homes of bundles.
    pub sharing: Sharing,
    /// The variables for the way out of this machine, which every launch sets.
    pub network: Vec<(String, String)>,
}

impl std::ops::Deref for Launcher {
    type Target = LauncherConfig;

    fn deref(&self) -> &LauncherConfig {
        &self.0
    }
}

/// The parameters that all three methods share.
struct Query<'a> {
    subject: Subject,
    provider: Option<&'a str>,
    model: Option<&'a str>,
    any_model: bool,
    min_ttl: i64,
    refresh: bool,
    /// True if the caller launches nothing, and gives the token of a service to a program by its own means.
    launches_nothing: bool,
}

/// The use of a part of the answer.
struct PartUse<'a> {
    subject: &'a Subject,
    /// True if a program is launched with the credential.
    launches: bool,
}

impl Launcher {
    /// Creates the engine.
    pub(crate) fn new(config: LauncherConfig) -> Self {
        Self(Arc::new(config))
    }

    /// Returns the provider with this id or alias.
    ///
    /// # Errors
    /// `unknown_provider` with the known ids.
    pub(super) fn provider(&self, id: &str) -> Result<&Arc<Provider>, ApiError> {
        ids::provider(&self.registry, id)
    }

    /// Answers `launch.resolve`.
    ///
    /// # Errors
    /// A login that cannot be used fails the launch; `data.candidates` names the reason of each credential. A key that
    /// cannot be used is left out and reported. `no_credential` when there is none, also for the started CLI.
    pub(crate) async fn resolve(&self, store: &Store, params: &Resolve) -> Result<Launch, ApiError> {
        let query = Query {
            subject: Subject::of(store, params.into()).await?,
            provider: params.provider_id.as_deref(),
            model: params.model.as_deref(),
            any_model: false,
            min_ttl: i64::from(params.min_ttl_ms.unwrap_or(0)),
            refresh: !params.dry_run.unwrap_or(false),
            launches_nothing: false,
        };
        let notes = if query.refresh { self.renew_first(store, &query).await? } else { Vec::new() };
        let plan = self.plan(store, query).await?;
        let mut launch = self.start(store, plan, params).await?;
        launch.warnings.extend(notes);
        Ok(launch)
    }

    /// Renews the CLI logins of a bundle that are about to end, so that agents that start together do not do it at the
    /// same time. Returns notes for the person about those that could not be renewed.
    async fn renew_first(&self, store: &Store, query: &Query<'_>) -> Result<Vec<String>, ApiError> {
        let Subject::Bundle(bundle) = &query.subject else { return Ok(Vec::new()) };
        let provider = query.provider.filter(|id| !id.is_empty()).map(|id| self.provider(id)).transpose()?;
        let provider = provider.map(|provider| convert::stored_id(provider)).transpose()?;
        let filter = AccountFilter { bundle: Some(bundle.clone()), provider };
        let accounts = store.accounts(filter).await?.accounts;
        let logins = accounts.iter().filter(|one| matches!(one.secret_ref, SecretRef::ConfigDir { .. }));
        let logins = logins.inspect(|account| self.keeper.launched(&account.id));
        let renewals = logins.map(|account| async move {
            let note = self.keeper.before_launch(&account.id).await?;
            Some(format!("the login of {}: {note}", account.provider))
        });
        Ok(join_all(renewals).await.into_iter().flatten().collect())
    }

    /// Returns the subject of a launch for the audit log.
    pub(crate) fn noted(params: &Resolve) -> String {
        Subject::noted(params.into())
    }

    /// Answers `launch.ready`.
    ///
    /// # Errors
    /// Errors of the request and the store. A credential that cannot be used is no error here.
    pub(crate) async fn ready(&self, store: &Store, params: &Ready) -> Result<Readiness, ApiError> {
        let query = Query {
            subject: Subject::of(store, params.into()).await?,
            provider: params.provider_id.as_deref(),
            model: params.model.as_deref(),
            any_model: false,
            min_ttl: i64::from(params.min_ttl_ms.unwrap_or(0)),
            refresh: false,
            launches_nothing: false,
        };
        let mut plan = self.plan(store, query).await?;
        plan.withhold_keys(&self.registry, &[]);
        let providers = plan.parts.iter().map(Part::readiness).collect();
        // A token that no program takes stands in the way of nothing else.
        let unusable = plan.parts.iter().any(|part| part.outcome.is_err() && !part.is_not_taken());
        Ok(Readiness { ready: plan.check(&[], false).is_ok() && !unusable, providers })
    }

    /// Answers `profile.best`.
    ///
    /// # Errors
    /// `unknown_provider`, also for an empty id; the reason why no credential can be used, with `data.candidates`.
    pub(crate) async fn best(&self, store: &Store, params: &Best) -> Result<Resolution, ApiError> {
        let provider = self.provider(&params.provider_id)?;
        let query = Query {
            subject: Subject::Agent(Agent::of(params.user_id.as_deref(), &params.agent_id)?),
            provider: Some(&provider.id),
            model: params.model.as_deref(),
            any_model: params.any_model.unwrap_or(false),
            min_ttl: i64::from(params.min_ttl_ms.unwrap_or(0)),
            refresh: !params.dry_run.unwrap_or(false),
            launches_nothing: true,
        };
        let plan = self.plan(store, query).await?;
        let part = plan.parts.first().ok_or_else(|| plan.missing())?;
        match (part.decision.outcome.chosen(), &part.outcome) {
            (Some(at), _) => Ok(part.resolution(at, params.explain.unwrap_or(false))),
            (None, Err(refusal)) => Err(refusal.error(Some(part), plan.parts.iter())),
            (None, Ok(_)) => Err(plan.missing()),
        }
    }

    async fn plan(&self, store: &Store, query: Query<'_>) -> Result<Plan, ApiError> {
        let deadline = Instant::now() + REFRESHING;
        let now = now();
        let named = query.provider.filter(|id| !id.is_empty()).map(|id| self.provider(id)).transpose()?;
        let mut candidates = self.gather(store, &query.subject, named.map(Arc::as_ref), now).await?;
        if query.launches_nothing {
            let services = candidates.iter_mut().filter(|candidate| candidate.provider.cli.is_none());
            services.for_each(|candidate| candidate.not_taken = None);
        }
        // A model selects among an agent's credentials only. A bundle has one account for each provider.
        let model = query.model.filter(|_| matches!(query.subject, Subject::Agent(_)));
        let selected = named.cloned().or_else(|| self.of_model(&candidates, model?));
        let mut groups: Vec<(Arc<Provider>, Vec<Candidate>)> = Vec::new();
        for candidate in candidates {
            match groups.iter_mut().find(|(provider, _)| provider.id == candidate.provider.id) {
                Some((_, group)) => group.push(candidate),
                None => groups.push((Arc::clone(&candidate.provider), vec![candidate])),
            }
        }
        if let Some(selected) = &selected {
            groups.retain(|(provider, _)| provider.id == selected.id);
            if groups.is_empty() {
                groups.push((Arc::clone(selected), Vec::new()));
            }
        }
        let parts = groups.into_iter().map(|(provider, candidates)| {
            let request = Request {
                model: model.and_then(|model| Model::of(Some(model), &provider, &self.registry).only()),
                any_model: query.any_model,
                min_ttl: query.min_ttl,
                now,
            };
            let attempt = Attempt { request, refresh: query.refresh, deadline };
            let launches = !query.launches_nothing || provider.cli.is_some();
            let use_of = PartUse { subject: &query.subject, launches };
            self.part(store, use_of, provider, candidates, attempt)
        });
        let parts = join_all(parts).await;
        Ok(Plan { parts, selected: selected.is_some(), subject: query.subject })
    }

    async fn part(
        &self,
        store: &Store,
        use_of: PartUse<'_>,
        provider: Arc<Provider>,
        mut candidates: Vec<Candidate>,
        attempt: Attempt,
    ) -> Part {
        let PartUse { subject, launches } = use_of;
        let decision = loop {
            let act = |action, before| self.act(store, action, before, &attempt);
            let decision = settle(&mut candidates, &attempt, act).await;
            let chosen = decision.outcome.chosen().filter(|_| launches && subject.is_agent());
            let useless = chosen
                .filter(|at| candidates[*at].not_taken.is_none())
                .and_then(|at| Some((at, environment::variables(&candidates[at], &self.shared).err()?)));
            // A credential that no program can be given must not stand in front of a good one.
            let Some((at, reason)) = useless else { break decision };
            candidates[at].not_taken = Some(reason);
        };
        Part::new(provider, candidates, decision, &PartContext { subject, shared: &self.shared })
    }

    /// Does what a decision needs, and returns the candidate in its new state.
    async fn act(&self, store: &Store, action: Action, before: Candidate, attempt: &Attempt) -> Candidate {
        match (action, before.grant.clone(), before.credential.clone()) {
            (Action::Refresh, Some(grant), _) => {
                let budget = attempt.deadline.saturating_duration_since(Instant::now());
                let needed = Needed { min_ttl: attempt.request.min_ttl, budget };
                renewed(&self.refresher, store, &grant, needed, before).await
            }
            (Action::ReadKey, _, Credential::Command(command)) => {
                let read = match &command {
                    KeyCommand::Configured(reference) => self.keys.read(&before.provider, reference).await,
                    KeyCommand::Declared(argv) => self.keys.printed(&before.provider, argv).await,
                };
                match read {
                    Ok(secret) => Candidate { credential: Credential::Key(secret), ..before },
                    Err(unavailable) => Candidate {
                        state: State::Unavailable(unavailable),
                        credential: Credential::Absent,
                        ..before
                    },
                }
            }
            _ => before,
        }
    }

    /// Returns the provider of a model: one with a credential for exactly this model, or else the one that its prefix
    /// names.
    fn of_model(&self, candidates: &[Candidate], model: &str) -> Option<Arc<Provider>> {
        let exact = candidates.iter().find(|one| one.model == Model::Only(model.trim().to_owned()));
        let exact = exact.map(|one| &one.provider);
        exact.or_else(|| Model::provider(model, &self.registry)).cloned()
    }
}

impl<'a> From<&'a Resolve> for Named<'a> {
    fn from(params: &'a Resolve) -> Self {
        let (bundle, instance) = (params.bundle_id.as_deref(), params.instance_id.as_deref());
        Self { bundle, instance, agent: params.agent_id.as_deref(), user: params.user_id.as_deref() }
    }
}

impl<'a> From<&'a Ready> for Named<'a> {
    fn from(params: &'a Ready) -> Self {
        let (bundle, instance) = (params.bundle_id.as_deref(), params.instance_id.as_deref());
        Self { bundle, instance, agent: params.agent_id.as_deref(), user: params.user_id.as_deref() }
    }
}
