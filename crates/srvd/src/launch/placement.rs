//! The placement of every provider in a launch: the account, the key, or the rule for a provider without either.
//!
//! There is no I/O. Every CLI of the registry gets a home of the launch's owner, unless its rule leaves the person's own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use auth_spawner::{Cli, KeyValues, Provider, Reach, Registry, VariableScope, key_tail};
use identity_store::{ProviderId, UnboundPolicy, UnboundRule};
use secrecy::ExposeSecret as _;

use super::candidate::{Candidate, Credential};
use super::environment::{Situation, Stance, Value, Variables};
use super::plan::{Part, Plan};
use crate::disk::identity_dir::homes::{Home, HomeRequest, HomeUse};
use crate::hint::Step;
use crate::wire::error::{ApiError, Kind};
use crate::wire::launch::HomeState;

/// A provider in a launch.
pub(super) struct Placed {
    /// The provider, adapted to the host of its account.
    pub(super) provider: Arc<Provider>,
    pub(super) state: HomeState,
    /// The home that its CLI needs.
    pub(super) request: Option<HomeRequest>,
    /// The provider of the key that its CLI runs with.
    pub(super) key_of: Option<String>,
}

/// The rules for the providers without an account in a launch.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) policy: UnboundPolicy,
    /// The providers that the bundle binds, also those that are not part of the launch.
    pub(super) bound: BTreeSet<ProviderId>,
}

/// Returns the placement of every provider, in the order of the registry.
pub(super) fn place(registry: &Registry, plan: &Plan, rules: &Rules) -> Vec<Placed> {
    registry.iter().map(|provider| place_one(provider, plan, rules)).collect()
}

fn place_one(provider: &Arc<Provider>, plan: &Plan, rules: &Rules) -> Placed {
    let part = plan.parts.iter().find(|part| part.provider.id == provider.id);
    let used = part.and_then(Part::used_candidate);
    let provider = used.map_or_else(|| Arc::clone(provider), |candidate| Arc::clone(&candidate.provider));
    let Some(cli) = &provider.cli else {
        let state = match part {
            Some(_) if used.is_some() => HomeState::Account,
            Some(_) => HomeState::LeftOut,
            None => without(&provider, rules),
        };
        return Placed { provider, state, request: None, key_of: None };
    };
    let placed = |state, purpose: Option<HomeUse>, key_of: Option<String>| {
        let request = purpose.map(|purpose| HomeRequest { provider: Arc::clone(&provider), purpose });
        Placed { provider: Arc::clone(&provider), state, request, key_of }
    };
    match used.map(|candidate| (candidate, &candidate.credential)) {
        Some((candidate, Credential::Directory)) => {
            if let Some(home) = &candidate.home {
                return placed(HomeState::Account, Some(HomeUse::Login(home.dir.clone(), home.reach)), None);
            }
        }
        // The CLI has no variable for its directory; its login is in one.
        Some((_, Credential::LoginFile(_))) => return placed(HomeState::Account, None, None),
        Some((_, Credential::LoginToken(_) | Credential::AccessToken(_))) => {
            return placed(HomeState::Account, Some(HomeUse::Token), None);
        }
        _ => {}
    }
    // A login of the bundle that cannot be used is not replaced by a key: the login comes first for its own CLI.
    let broken_login = part.is_some_and(|part| part.withheld.is_none()) && used.is_none();
    let fit = |part: &Part| {
        let home = cli.keys.get(&part.provider.id)?;
        Some((part.provider.id.clone(), HomeUse::Key(home.clone(), key_values(part.used_candidate()?)?)))
    };
    let mut keys: Vec<(String, HomeUse)> = plan.parts.iter().filter_map(fit).collect();
    keys.sort_by_key(|(id, _)| *id != provider.id);
    let key = keys.into_iter().next();
    if let Some((id, purpose)) = key.filter(|_| !broken_login) {
        return placed(HomeState::Key, Some(purpose), Some(id));
    }
    if part.is_some() {
        return placed(HomeState::LeftOut, Some(HomeUse::LeftOut), None);
    }
    match without(&provider, rules) {
        state @ HomeState::LeftOut => placed(state, Some(HomeUse::LeftOut), None),
        state @ HomeState::Unbound => placed(state, Some(HomeUse::Unbound), None),
        state => placed(state, None, None),
    }
}

/// Returns the state of a provider that has no part in the launch.
fn without(provider: &Provider, rules: &Rules) -> HomeState {
    if rules.bound.iter().any(|bound| bound.as_str() == provider.id) {
        return HomeState::LeftOut;
    }
    match rules.policy.rule_for(&provider.id) {
        UnboundRule::Own => HomeState::Own,
        UnboundRule::Tools if provider.tool => HomeState::Tool,
        UnboundRule::Tools | UnboundRule::Sealed => HomeState::Unbound,
    }
}

fn key_values(candidate: &Candidate) -> Option<KeyValues> {
    let Credential::Key(secret) = &candidate.credential else { return None };
    let usual = candidate.provider.key.as_ref().map_or("", |key| &key.base_url);
    let base_url = candidate.base_url.as_deref().unwrap_or(usual).to_owned();
    Some(KeyValues { base_url, tail: key_tail(secret.expose_secret()) })
}

/// Returns the situation for the removal of variables. `started` holds the ids of the providers whose CLI is started.
pub(super) fn situation(placed: &[Placed], rules: &Rules, started: &[&str]) -> Situation {
    let stance = |placed: &Placed| match placed.state {
        HomeState::Account | HomeState::Key | HomeState::LeftOut => Stance::Used,
        HomeState::Own | HomeState::Tool => Stance::Kept,
        HomeState::Unbound | HomeState::Other(_) => Stance::Sealed,
    };
    Situation {
        stances: placed.iter().map(stance).collect(),
        started: placed.iter().map(|placed| started.contains(&&*placed.provider.id)).collect(),
        sealed: rules.policy.rule == UnboundRule::Sealed,
    }
}

/// Adds the variables that lead the CLIs to their homes.
///
/// # Errors
/// `conflict`: two CLIs need different values of the same variable and cannot be launched together.
pub(super) fn lead(
    set: &mut Variables,
    homes: &[Home],
    placed: &[Placed],
    context: &LeadContext<'_>,
) -> Result<(), ApiError> {
    let mut own: BTreeMap<String, (&str, String, bool)> = BTreeMap::new();
    for home in homes {
        let Some(cli) = &home.provider.cli else { continue };
        let id = home.provider.id.as_str();
        let with_account = !matches!(home.purpose, HomeUse::Unbound | HomeUse::LeftOut);
        if !with_account && !context.started.contains(&id) {
            let kept = cli.logged_out.iter().map(|(name, value)| (name.clone(), Value::Plain(value.clone())));
            kept.for_each(|(name, value)| {
                set.entry(name).or_insert(value);
            });
        }
        if let (HomeUse::Key(key, values), Some(secret)) = (&home.purpose, context.key(placed, id)) {
            let env = cli.env.clone().into_iter().chain(key.env_at(&values.base_url));
            set.extend(env.map(|(name, value)| (name, Value::Plain(value))));
            set.extend(key.vars.iter().map(|name| (name.clone(), secret.clone())));
        }
        for (name, value) in variables(home, cli, &context.shared.join(id)) {
            if context.views.contains_key(&name) {
                continue;
            }
            if name != cli.config_dir.var {
                if context.sets(&home.provider, &name, with_account) {
                    set.entry(name).or_insert(Value::Plain(value));
                }
                continue;
            }
            match own.get(&name) {
                Some((other, its, true)) if with_account && *its != value => {
                    let both = format!("{other} and {id} need different values of {name}");
                    return Err(ApiError::new(Kind::Conflict, both)
                        .with("what", "variable")
                        .hint(Step::LaunchSingly));
                }
                Some((_, _, true)) => {}
                _ => {
                    own.insert(name, (id, value, with_account));
                }
            }
        }
    }
    set.extend(own.into_iter().map(|(name, (_, value, _))| (name, Value::Plain(value))));
    let views = context.views.iter();
    set.extend(views.map(|(name, dir)| (name.clone(), Value::Plain(dir.to_string_lossy().into_owned()))));
    Ok(())
}

/// Returns the variables that lead a CLI to its home.
fn variables(home: &Home, cli: &Cli, shared: &Path) -> BTreeMap<String, String> {
    match home.reach {
        Reach::Usual => BTreeMap::new(),
        reach => cli.config_dir.variables_for(reach, &home.dir, shared),
    }
}

/// The parts of a launch that [`lead`] needs.
pub(super) struct LeadContext<'a> {
    pub(super) registry: &'a Registry,
    pub(super) plan: &'a Plan,
    pub(super) shared: &'a Path,
    pub(super) views: &'a BTreeMap<String, std::path::PathBuf>,
    /// The ids of the providers whose CLI is started.
    pub(super) started: &'a [&'a str],
}

impl LeadContext<'_> {
    /// Returns the key with which the CLI of a provider runs.
    fn key(&self, placed: &[Placed], provider: &str) -> Option<Value> {
        let key_of = placed.iter().find(|placed| placed.provider.id == provider)?.key_of.as_ref()?;
        let part = self.plan.parts.iter().find(|part| part.provider.id == *key_of)?;
        match &part.used_candidate()?.credential {
            Credential::Key(secret) => Some(Value::Secret(secret.clone())),
            _ => None,
        }
    }

    /// Returns whether a further variable of a CLI is set. One that other programs use is set only for the CLI itself.
    fn sets(&self, provider: &Provider, name: &str, with_account: bool) -> bool {
        let variables = provider.variables();
        let scope = variables.get(name).map_or(VariableScope::Tree, |variable| variable.scope);
        if scope == VariableScope::Tree {
            return true;
        }
        let is_directory = |other: &Arc<Provider>| {
            other.cli.as_ref().is_some_and(|cli| other.id != provider.id && cli.config_dir.var == name)
        };
        // With an account of its own, the CLI does not look into the other program's directory.
        let foreign = with_account && self.registry.iter().any(is_directory);
        self.started.contains(&&*provider.id) && !foreign
    }
}
