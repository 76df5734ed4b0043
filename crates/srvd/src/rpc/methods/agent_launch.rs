//! `launch.*` with `agentId`: a launch with an agent's credentials instead of a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use auth_spawner::Provider;
use secrecy::SecretString;

use super::agent::{Effort, Layers, Subject};
use crate::base::clock::now;
use crate::launch::Value;
use crate::launch::resolution::{Asked, Decision, Model, Verdict};
use crate::rpc::app::App;
use crate::wire::SecretOutput;
use crate::wire::error::{ApiError, Kind};
use crate::wire::launch::{Launch, ProviderReadiness, Readiness, Ready, Resolve, Trace, Used};

/// `launch.resolve` with `agentId`.
pub(super) async fn resolve(app: &App, params: Resolve) -> Result<Launch, ApiError> {
    let dry = params.dry_run.unwrap_or(false);
    let query = Query {
        other: params.bundle_id.or(params.instance_id),
        subject: Subject::of(params.user_id.as_deref(), params.agent_id.as_deref().unwrap_or_default())?,
        provider: params.provider_id,
        model: params.model,
        min_ttl: i64::from(params.min_ttl_ms.unwrap_or(0)),
        effort: if dry { Effort::Look } else { Effort::Refresh },
    };
    let plan = Plan::of(app, &query).await?;
    let set = plan.together()?;
    let launched: Vec<&str> = plan.parts.iter().map(|part| part.provider.id.as_str()).collect();
    let unset = app.shadows.beside(&set, &launched);
    tracing::debug!(agent = %query.subject.agent, accounts = plan.parts.len(), dry, "a launch was resolved");
    Ok(Launch {
        trace: params.explain.unwrap_or(false).then(|| plan.trace()),
        accounts: plan.parts.iter().filter_map(|part| part.used(&plan.layers)).collect(),
        set: set.into_iter().map(|(name, value)| (name, shown(value, dry))).collect(),
        unset,
    })
}

/// `launch.ready` with `agentId`.
pub(super) async fn ready(app: &App, params: Ready) -> Result<Readiness, ApiError> {
    let query = Query {
        other: params.bundle_id.or(params.instance_id),
        subject: Subject::of(params.user_id.as_deref(), params.agent_id.as_deref().unwrap_or_default())?,
        provider: params.provider_id,
        model: params.model,
        min_ttl: i64::from(params.min_ttl_ms.unwrap_or(0)),
        effort: Effort::Look,
    };
    let plan = Plan::of(app, &query).await?;
    Ok(Readiness {
        ready: plan.together().is_ok(),
        providers: plan.parts.iter().map(|part| part.readiness(&plan.layers)).collect(),
    })
}

fn shown(value: Value, dry: bool) -> SecretOutput {
    match value {
        Value::Plain(text) => SecretOutput::from(SecretString::from(text)),
        Value::Secret(_) if dry => SecretOutput::from(SecretString::default()),
        Value::Secret(secret) => SecretOutput::from(secret),
    }
}

/// The parameters of a launch by agent.
struct Query {
    /// The id of a bundle or an instance that was named as well, which is an error.
    other: Option<String>,
    subject: Subject,
    provider: Option<String>,
    model: Option<String>,
    min_ttl: i64,
    effort: Effort,
}

/// The credentials that an agent receives, for each provider.
struct Plan {
    layers: Layers,
    parts: Vec<Part>,
    /// True if one provider was selected. A credential of it is then required.
    one: bool,
}

/// The credential that an agent receives from one provider.
struct Part {
    provider: Arc<Provider>,
    decision: Decision,
    outcome: Result<BTreeMap<String, Value>, ApiError>,
}

impl Plan {
    async fn of(app: &App, query: &Query) -> Result<Self, ApiError> {
        if query.other.as_deref().is_some_and(|id| !id.is_empty()) {
            return Err(ApiError::invalid_input(
                "agentId",
                "name a bundle, an instance or an agent to launch",
            ));
        }
        let named = query.provider.as_deref().filter(|id| !id.is_empty());
        let named = named.map(|id| app.provider(id)).transpose()?;
        let mut layers = Layers::gather(app, &query.subject, named.map(Arc::as_ref)).await?;
        let by_model = || query.model.as_deref().and_then(|model| of_model(app, &layers, model));
        let meant = named.cloned().or_else(by_model);
        let one = meant.is_some();
        let providers = match meant {
            Some(provider) => vec![provider],
            None => present(app, &layers),
        };
        let mut parts = Vec::with_capacity(providers.len());
        for provider in providers {
            let asked = Asked {
                min_ttl: query.min_ttl,
                ..Asked::of(&provider, query.model.as_deref(), &app.registry, now())
            };
            let decision = layers.choose(app, &asked, query.effort).await;
            let outcome = variables(&layers, &decision, &provider);
            parts.push(Part { provider, decision, outcome });
        }
        Ok(Self { layers, parts, one })
    }

    /// Returns the variables of all parts. A login that cannot be used fails the launch. A key that cannot be used only
    /// leaves its variables unset, as long as another part can be used.
    fn together(&self) -> Result<BTreeMap<String, Value>, ApiError> {
        let refused = |part: &&Part| part.outcome.is_err() && (self.one || part.provider.key.is_none());
        let fit = self.parts.iter().filter_map(|part| part.outcome.as_ref().ok());
        let first = self.parts.iter().find(refused).or_else(|| {
            let nothing = self.parts.iter().all(|part| part.outcome.is_err());
            self.parts.first().filter(|_| nothing)
        });
        match first.map(|part| &part.outcome) {
            Some(Err(error)) => Err(error.clone()),
            _ if self.parts.is_empty() => {
                Err(ApiError::new(Kind::NoCredential, "the agent has no credential")
                    .with("candidates", serde_json::json!([]))
                    .with("reason", "no_stored_credentials")
                    .hint("store one with profile.upsert, or declare it in agents.toml"))
            }
            _ => Ok(fit
                .flat_map(|set| set.iter().map(|(name, value)| (name.clone(), value.clone())))
                .collect()),
        }
    }

    fn trace(&self) -> Vec<Trace> {
        let part = |part: &Part| -> Vec<Trace> {
            let verdicts = self.layers.candidates.iter().enumerate().zip(&part.decision.trace);
            verdicts
                .filter(|(_, verdict)| **verdict != Verdict::OtherProvider)
                .map(|((at, one), verdict)| Trace {
                    provider_id: one.provider.clone(),
                    account_id: self.layers.account(at),
                    source: one.source.as_str().to_owned(),
                    chosen: matches!(verdict, Verdict::Chosen | Verdict::RefreshedFirst),
                    reason: part.reason(verdict),
                })
                .collect()
        };
        self.parts.iter().flat_map(part).collect()
    }
}

impl Part {
    /// Returns the reason of a verdict. For the candidate that is used, it lists the variables that are set.
    fn reason(&self, verdict: &Verdict) -> String {
        match (&self.outcome, verdict) {
            (Ok(set), Verdict::Chosen) => {
                format!("sets {}", set.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            (Err(error), Verdict::Chosen) => error.message().to_owned(),
            _ => verdict.to_string(),
        }
    }

    /// Returns the candidate to report for this part: the chosen one, or else the first one of the provider.
    fn speaks_of(&self) -> Option<usize> {
        let trace = &self.decision.trace;
        let chosen = |verdict: &Verdict| matches!(verdict, Verdict::Chosen | Verdict::RefreshedFirst);
        let other = |verdict: &Verdict| *verdict != Verdict::OtherProvider;
        trace.iter().position(chosen).or_else(|| trace.iter().position(other))
    }

    fn used(&self, layers: &Layers) -> Option<Used> {
        let at = self.speaks_of()?;
        Some(Used {
            provider_id: self.provider.id.clone(),
            account_id: layers.account(at),
            source: layers.candidates[at].source.as_str().to_owned(),
            status: layers.status(at, &self.decision),
            generation: layers.held[at].generation,
            reason: self.outcome.as_ref().err().map(|error| error.message().to_owned()),
            degraded_from: layers.degraded(&self.decision),
        })
    }

    fn readiness(&self, layers: &Layers) -> ProviderReadiness {
        let degraded =
            || layers.degraded(&self.decision).map(|from| format!("{}: {}", from.profile_id, from.reason));
        let unfit = self.outcome.as_ref().err();
        ProviderReadiness {
            provider_id: self.provider.id.clone(),
            ready: unfit.is_none(),
            reason: unfit.map(|error| error.message().to_owned()).or_else(degraded),
            next_step: unfit.and_then(ApiError::next_step),
        }
    }
}

/// Returns the provider of a model: one with a credential for exactly this model, or else the one that its prefix
/// names.
fn of_model(app: &App, layers: &Layers, model: &str) -> Option<Arc<Provider>> {
    let exact = layers.candidates.iter().find(|one| one.model == Model::Only(model.trim().to_owned()));
    let exact = exact.and_then(|one| app.registry.provider(&one.provider));
    exact.or_else(|| Model::provider(model, &app.registry)).cloned()
}

/// Returns the providers for which the agent has a credential, ordered by id.
fn present(app: &App, layers: &Layers) -> Vec<Arc<Provider>> {
    let ids: BTreeSet<&str> = layers.candidates.iter().map(|one| one.provider.as_str()).collect();
    ids.into_iter().filter_map(|id| app.registry.provider(id).cloned()).collect()
}

fn variables(
    layers: &Layers,
    decision: &Decision,
    provider: &Provider,
) -> Result<BTreeMap<String, Value>, ApiError> {
    let at = layers.chosen(decision, &provider.id)?;
    let unusable = |reason: &str| {
        ApiError::new(Kind::SecretUnavailable, format!("{}: {reason}", provider.id))
            .with("providerId", provider.id.as_str())
            .with("reason", reason)
    };
    layers.variables(at, provider).map_err(unusable)
}
