//! The last steps of a launch: the homes, the variables, and the answer.

use std::collections::{BTreeMap, BTreeSet};

use auth_spawner::Registry;
use identity_store::{BundleId, Store};

use super::candidate::Credential;
use super::environment::{self, RemovalRules, Situation};
use super::launcher::Launcher;
use super::placement::{self, LeadContext, Placed, Rules};
use super::plan::{Part, Plan};
use super::refusal::missing_of;
use super::report;
use super::subject::Subject;
use crate::disk::identity_dir::homes::{Home, HomeOwner};
use crate::hint::Step;
use crate::wire::error::{ApiError, Kind};
use crate::wire::launch::{HomeState, Launch, LaunchHome, Removed, Resolve};
use crate::wire::{Names, unfit};

/// The longest list of names of an environment that is read.
const MOST_NAMES: usize = 10_000;

impl Launcher {
    /// Returns the rules for the providers without an account in a launch.
    pub(super) async fn rules(&self, store: &Store, subject: &Subject) -> Result<Rules, ApiError> {
        match subject {
            Subject::Bundle(bundle) => {
                let (policy, bound) = store.launch_policy(bundle).await?;
                Ok(Rules { policy, bound })
            }
            Subject::Agent(_) => {
                let policy = identity_store::UnboundPolicy::of(identity_store::UnboundRule::Sealed);
                Ok(Rules { policy, bound: BTreeSet::new() })
            }
        }
    }

    /// Makes the homes of a plan and returns the change of the environment.
    ///
    /// # Errors
    /// `no_credential` for a provider's CLI without a credential, `store_unavailable` for a home that cannot be used,
    /// and `conflict` when two CLIs need different values of a variable.
    pub(super) async fn start(
        &self,
        store: &Store,
        mut plan: Plan,
        params: &Resolve,
    ) -> Result<Launch, ApiError> {
        let dry = params.dry_run.unwrap_or(false);
        let allow_unbound = params.allow_unbound.unwrap_or(false);
        let program = params.program.as_deref().filter(|program| !program.is_empty());
        let started = started(&self.registry, program);
        let allow_none = if started.is_empty() { params.allow_empty.unwrap_or(false) } else { allow_unbound };
        plan.check(&started, allow_none)?;
        plan.withhold_keys(&self.registry, &started);
        let rules = self.rules(store, &plan.subject).await?;
        let placed = placement::place(&self.registry, &plan, &rules);
        if let Some(program) = program.filter(|_| !allow_unbound) {
            has_credential(program, &started, &placed, &plan)?;
        }
        let owner = plan.subject.owner();
        let requests = placed.iter().filter_map(|placed| placed.request.clone()).collect();
        let homes = self.identities.homes(&owner, requests, self.shared.clone(), !dry).await?;
        let shadowed = shadowed_keys(&homes.homes, &placed, &started)?;
        let shares = if dry { Vec::new() } else { self.furnish(store, &plan, &placed, &homes.homes).await };
        let readers = readers(&started, program, &plan);
        let context = LeadContext {
            registry: &self.registry,
            plan: &plan,
            shared: &self.shared,
            views: &homes.views,
            started: &readers,
        };
        let mut set = plan.credentials();
        placement::lead(&mut set, &homes.homes, &placed, &context)?;
        environment::add_network(&mut set, &self.network);
        let situation = placement::situation(&placed, &rules, &readers);
        let removal = self.removal(params, &set, &situation, &placed, &plan)?;
        let explain = params.explain.unwrap_or(false);
        let mut warnings: Vec<String> = plan.parts.iter().filter_map(Part::warning).collect();
        warnings.extend(shadowed);
        warnings.extend(self.strays(store, &plan.subject, &homes.homes).await?);
        tracing::debug!(subject = ?plan.subject, accounts = plan.parts.len(), dry, "a launch was resolved");
        Ok(Launch {
            trace: explain.then(|| plan.parts.iter().flat_map(Part::trace).collect()),
            shares: explain.then_some(shares),
            homes: explain.then(|| shown(&placed, &homes.homes)),
            accounts: plan.parts.iter().filter_map(Part::used).collect(),
            set: report::set(set, dry),
            warnings,
            ..removal
        })
    }

    /// Returns a launch with only the variables to remove.
    fn removal<V>(
        &self,
        params: &Resolve,
        set: &BTreeMap<String, V>,
        situation: &Situation,
        placed: &[Placed],
        plan: &Plan,
    ) -> Result<Launch, ApiError> {
        let rules: &RemovalRules = &self.removal_rules;
        let Some(names) = &params.environment_names else {
            let unset = rules.beside(set, situation);
            let unset_rules = Some(rules.rules(set, situation));
            return Ok(Launch { unset, unset_rules, ..Launch::default() });
        };
        if names.len() > MOST_NAMES {
            let reason = format!("holds more than {MOST_NAMES} names");
            return Err(ApiError::invalid_input("environmentNames", &reason));
        }
        let names: BTreeSet<&String> = names.iter().filter(|name| !set.contains_key(*name)).collect();
        let removed: Vec<Removed> = names
            .into_iter()
            .filter_map(|name| {
                let removal = rules.removal(name, situation)?;
                Some(Removed {
                    name: name.clone(),
                    class: removal.class.as_str().to_owned(),
                    provider_id: removal.provider.map(|at| placed[at].provider.id.clone()),
                    reason: reason(removal.provider.map(|at| &placed[at]), plan),
                })
            })
            .collect();
        let unset: Names = removed.iter().map(|removed| removed.name.clone()).collect();
        Ok(Launch { unset, removed: Some(removed), ..Launch::default() })
    }

    /// Returns the warnings for logins that belong to no account.
    async fn strays(
        &self,
        store: &Store,
        subject: &Subject,
        homes: &[Home],
    ) -> Result<Vec<String>, ApiError> {
        let mut warnings = Vec::new();
        for home in homes {
            let Some(dir) = &home.stray else { continue };
            // The account of a login that was unbound still has its directory.
            if store.directory_owner(dir).await?.is_some() {
                continue;
            }
            let id = &home.provider.id;
            let steps = match subject {
                Subject::Bundle(bundle) => format!(
                    " (keep it with: srvd account keep {id} --bundle {bundle}; remove it with: srvd account discard {id} --bundle {bundle})"
                ),
                Subject::Agent(agent) => match agent.owner() {
                    Some(_) => format!(" (log in again with: {})", missing_of(agent, Some(id))),
                    None => String::new(),
                },
            };
            warnings.push(format!("a login of {id} that belongs to no account is not used{steps}"));
        }
        Ok(warnings)
    }
}

impl Subject {
    /// Returns the owner of the homes.
    fn owner(&self) -> HomeOwner {
        match self {
            Self::Bundle(bundle) => HomeOwner::Bundle(bundle.clone()),
            Self::Agent(agent) => HomeOwner::Agent(agent.user.clone(), agent.agent.clone()),
        }
    }
}

/// Returns the ids of the providers whose CLI has the program's name.
fn started<'a>(registry: &'a Registry, program: Option<&str>) -> Vec<&'a str> {
    let Some(program) = program else { return Vec::new() };
    let is_cli = |cli: &auth_spawner::Cli| cli.binaries.iter().any(|binary| binary == program);
    let clis = registry.iter().filter(|provider| provider.cli.as_ref().is_some_and(is_cli));
    clis.map(|provider| provider.id.as_str()).collect()
}

/// Returns the ids of the providers whose CLI may be the program: those of the program and the selected provider, or all
/// of the launch if the caller named neither.
fn readers<'a>(started: &[&'a str], program: Option<&str>, plan: &'a Plan) -> Vec<&'a str> {
    let parts = plan.parts.iter().map(|part| part.provider.id.as_str());
    match program {
        Some(_) if !plan.selected => started.to_vec(),
        _ => started.iter().copied().chain(parts).collect(),
    }
}

/// Refuses a provider's CLI that would be logged out.
fn has_credential(program: &str, started: &[&str], placed: &[Placed], plan: &Plan) -> Result<(), ApiError> {
    let mine = || placed.iter().filter(|placed| started.contains(&&*placed.provider.id));
    let fit = |placed: &Placed| {
        matches!(placed.state, HomeState::Account | HomeState::Key | HomeState::Own | HomeState::Tool)
    };
    let Some(first) = mine().next().filter(|_| !mine().any(fit)) else { return Ok(()) };
    let keys = |part: &Part| {
        mine().any(|placed| {
            placed.provider.cli.as_ref().is_some_and(|cli| cli.keys.contains_key(&part.provider.id))
        })
    };
    let serves = |part: &&Part| started.contains(&&*part.provider.id) || keys(part);
    for part in plan.parts.iter().filter(serves) {
        if let Err(refusal) = &part.outcome {
            return Err(refusal.error(Some(part), plan.parts.iter()));
        }
    }
    let id = &first.provider.id;
    let message = format!("{program} was not started: this launch has no login of {id}");
    let error = ApiError::new(Kind::NoCredential, message)
        .with("candidates", serde_json::Value::Array(Vec::new()))
        .with("reason", "no_stored_credentials")
        .with("providerId", id.as_str());
    Err(match &plan.subject {
        Subject::Bundle(bundle) => error.hint(way_in(first, bundle)),
        Subject::Agent(agent) => error.hint(missing_of(agent, Some(id))),
    })
}

/// Returns the warnings for CLIs that would use another credential than the key of the launch.
///
/// # Errors
/// `shadowed` if the started CLI is one of them.
fn shadowed_keys(homes: &[Home], placed: &[Placed], started: &[&str]) -> Result<Vec<String>, ApiError> {
    let mut warnings = Vec::new();
    for home in homes {
        let (id, Some(shadow)) = (home.provider.id.as_str(), &home.shadow) else { continue };
        let key =
            placed.iter().find(|placed| placed.provider.id == id).and_then(|placed| placed.key_of.as_deref());
        let reason = unfit::reason_for_key(shadow);
        let message = format!("{id} would not use the key of {}: {reason}", key.unwrap_or(id));
        if !started.contains(&id) {
            warnings.push(message);
            continue;
        }
        let error = ApiError::new(Kind::Shadowed, message)
            .with("candidates", serde_json::Value::Array(Vec::new()))
            .with("reason", reason.as_str())
            .with("providerId", id);
        return Err(match unfit::next_step(&reason) {
            Some(step) => error.hint(step),
            None => error,
        });
    }
    Ok(warnings)
}

/// Returns the command that gives a CLI a credential of a bundle.
fn way_in(placed: &Placed, bundle: &BundleId) -> Step {
    if bundle.is_blank() {
        return Step::UseAnotherBundle;
    }
    let cli = placed.provider.cli.as_ref();
    let key = cli.filter(|cli| cli.recipes.is_empty()).and_then(|cli| cli.keys.keys().next());
    match key {
        Some(key) => Step::AddKey { provider: key.into(), bundle: bundle.as_str().into() },
        None => Step::LogIn { provider: (&placed.provider.id).into(), bundle: bundle.as_str().into() },
    }
}

/// Returns the reason why a variable is removed, for people.
fn reason(placed: Option<&Placed>, plan: &Plan) -> String {
    let Some(placed) = placed else { return "it is a secret of the daemon".to_owned() };
    let part = plan.parts.iter().find(|part| part.provider.id == placed.provider.id);
    let candidate = part.and_then(Part::used_candidate);
    let name = &placed.provider.display_name;
    match (candidate, &placed.state) {
        (Some(candidate), _) if matches!(candidate.credential, Credential::Key(_)) => {
            format!("it would override the key of {name}")
        }
        (Some(candidate), _) => match &candidate.person {
            Some(person) => format!("it would override the login of {person}"),
            None => format!("it would override the login of {name}"),
        },
        (None, HomeState::Key) => format!("it would override the key of {name}"),
        (None, _) => format!("{name} would use it, and has no account in this launch"),
    }
}

/// Returns the homes on the wire.
fn shown(placed: &[Placed], homes: &[Home]) -> Vec<LaunchHome> {
    let one = |placed: &Placed| {
        let home = homes.iter().find(|home| home.provider.id == placed.provider.id);
        let text = |dir: &std::path::PathBuf| dir.display().to_string();
        LaunchHome {
            provider_id: placed.provider.id.clone(),
            state: placed.state.clone(),
            dir: home.map(|home| text(&home.dir)),
            key_provider_id: placed.key_of.clone(),
            stray_dir: home.and_then(|home| home.stray.as_ref()).map(text),
        }
    };
    placed.iter().map(one).collect()
}
