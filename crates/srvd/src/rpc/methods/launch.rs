//! `launch.*`: finds the accounts and their credentials for `crate::launch`, which decides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_spawner::{Proof, Provider};
use identity_store::{Account, AccountKind, AgentId, AuditEntry, BundleId, Held, SecretRef};
use rpc_engine::Call;
use secrecy::SecretString;

use super::agent_launch;
use crate::base::clock::now;
use crate::base::host;
use crate::keys::external::{Unavailable, Why};
use crate::launch;
use crate::launch::{Candidate, Found, Request, Value, Verdict};
use crate::rpc::app::App;
use crate::wire::SecretOutput;
use crate::wire::convert;
use crate::wire::error::{ApiError, Kind, with_causes};
use crate::wire::launch::{Launch, ProviderReadiness, Readiness, Ready, Resolve, Trace, Used};

/// The `source` of an account that a bundle binds.
const SOURCE: &str = "bundle";

/// `launch.resolve`. The audit log records the result, whether it succeeds or fails.
pub async fn resolve(app: App, _: Call, params: Resolve) -> Result<Launch, ApiError> {
    let dry = params.dry_run.unwrap_or(false).then(|| "dry run".to_owned());
    let asked = asked(&params);
    let resolved = resolved(&app, params).await;
    let (given, outcome) = match &resolved {
        Ok(launch) => (launch.accounts.iter().map(|used| used.account_id.as_str()).collect(), AuditEntry::OK),
        Err(error) => (Vec::new(), error.kind().as_str()),
    };
    app.note("launch.resolve", [vec![asked.as_str()], given].concat().join(" "), outcome, dry);
    resolved
}

/// Returns the subject of the request for the audit log. Only texts that are valid ids are logged.
fn asked(params: &Resolve) -> String {
    let bundle = || Some(params.bundle_id.as_deref()?.parse::<BundleId>().ok()?.to_string());
    let instance =
        || Some(format!("instance {}", super::instance::instance_id(params.instance_id.as_deref()?).ok()?));
    let agent = || Some(format!("agent {}", params.agent_id.as_deref()?.parse::<AgentId>().ok()?));
    agent().or_else(bundle).or_else(instance).unwrap_or_default()
}

async fn resolved(app: &App, params: Resolve) -> Result<Launch, ApiError> {
    if params.agent_id.is_some() {
        // The rare paths are boxed. Otherwise the future of every call would be as large as the largest of them.
        return Box::pin(agent_launch::resolve(app, params)).await;
    }
    let bundle = subject(app, params.bundle_id.as_deref(), params.instance_id.as_deref()).await?;
    let provider = params.provider_id.as_deref().map(|id| app.provider(id).cloned()).transpose()?;
    let shared = app.config.shared();
    let request = request(&bundle, provider.as_ref(), &shared, params.min_ttl_ms);
    let verdicts = verdicts(app, &request, provider.as_ref()).await?;
    let launch = launch::resolve(&verdicts, (&app.registry, &app.shadows), &request)?;
    let dry = params.dry_run.unwrap_or(false);
    let shown = |value: Value| match value {
        Value::Plain(text) => SecretOutput::from(SecretString::from(text)),
        Value::Secret(_) if dry => SecretOutput::from(SecretString::default()),
        Value::Secret(secret) => SecretOutput::from(secret),
    };
    tracing::debug!(%bundle, accounts = verdicts.len(), dry, "a launch was resolved");
    Ok(Launch {
        trace: params.explain.unwrap_or(false).then(|| verdicts.iter().map(trace).collect()),
        accounts: verdicts.iter().map(used).collect(),
        set: launch.set.into_iter().map(|(name, value)| (name, shown(value))).collect(),
        unset: launch.unset,
    })
}

/// `launch.ready`.
pub async fn ready(app: App, _: Call, params: Ready) -> Result<Readiness, ApiError> {
    if params.agent_id.is_some() {
        return Box::pin(agent_launch::ready(&app, params)).await;
    }
    let bundle = subject(&app, params.bundle_id.as_deref(), params.instance_id.as_deref()).await?;
    let provider = params.provider_id.as_deref().map(|id| app.provider(id).cloned()).transpose()?;
    let shared = app.config.shared();
    let request = request(&bundle, provider.as_ref(), &shared, params.min_ttl_ms);
    let verdicts = verdicts(&app, &request, provider.as_ref()).await?;
    let ready = launch::resolve(&verdicts, (&app.registry, &app.shadows), &request).is_ok();
    let missing = provider.filter(|_| verdicts.is_empty()).map(|provider| ProviderReadiness {
        next_step: Some(format!("srvd login {} --bundle {bundle}", provider.id)),
        provider_id: provider.id.clone(),
        ready: false,
        reason: Some("the bundle binds no account of it".to_owned()),
    });
    let one = |verdict: Verdict| {
        let unfit = verdict.outcome.err();
        ProviderReadiness {
            provider_id: verdict.provider,
            ready: unfit.is_none(),
            reason: unfit.as_ref().map(|unfit| unfit.reason.clone()),
            next_step: unfit.and_then(|unfit| unfit.next_step),
        }
    };
    Ok(Readiness { ready, providers: verdicts.into_iter().map(one).chain(missing).collect() })
}

/// Returns the bundle of the request. An instance without a bundle uses `blank`, which has no identity.
async fn subject(app: &App, bundle: Option<&str>, instance: Option<&str>) -> Result<BundleId, ApiError> {
    match (bundle.filter(|id| !id.is_empty()), instance) {
        (Some(id), None) => id.parse().map_err(|error| ApiError::bad_id("bundleId", &error)),
        (None, Some(id)) => {
            let id = super::instance::instance_id(id)?;
            let instance = Box::pin(app.store.instance(&id)).await?;
            Ok(instance.bundle.unwrap_or_else(BundleId::blank))
        }
        _ => Err(ApiError::invalid_input("bundleId", "name a bundle, an instance or an agent to launch")),
    }
}

fn request<'a>(
    bundle: &'a BundleId,
    provider: Option<&'a Arc<Provider>>,
    shared: &'a Path,
    min_ttl_ms: Option<u32>,
) -> Request<'a> {
    Request {
        bundle,
        provider: provider.map(|provider| provider.id.as_str()),
        min_ttl: i64::from(min_ttl_ms.unwrap_or(0)),
        shared,
        now: now(),
    }
}

async fn verdicts(
    app: &App,
    request: &Request<'_>,
    provider: Option<&Arc<Provider>>,
) -> Result<Vec<Verdict>, ApiError> {
    let wanted = provider.map(|provider| convert::stored_id(provider)).transpose()?;
    let found = app.store.credentials(request.bundle, wanted.as_ref()).await?;
    // An account that cannot be read must not lead to a launch without it.
    if let Some(row) = found.corrupt.first() {
        tracing::error!(account = row.id, reason = row.reason, "an account of a launch cannot be read");
        return Err(ApiError::new(Kind::SecretUnavailable, "an account of it cannot be read")
            .with("accountId", row.id.as_str())
            .with("reason", "corrupt"));
    }
    if found.held.is_empty() {
        // An unknown bundle has an error of its own.
        Box::pin(app.store.bundle(request.bundle)).await?;
    }
    // The candidates are read concurrently, because the secret manager of each account may take time.
    let candidates = found.held.into_iter().map(|held| candidate(app, request, held));
    let candidates = futures_util::future::try_join_all(candidates).await?;
    Ok(launch::judge(candidates, request))
}

async fn candidate(app: &App, request: &Request<'_>, held: Held) -> Result<Candidate, ApiError> {
    let account = held.account;
    let provider = host::provider_of(app.provider(account.provider.as_str())?, &account);
    let own_dir = own_dir(app, request, &provider, &account).await?;
    let found = match (&account.secret_ref, held.secret) {
        (SecretRef::ConfigDir { dir, adopted }, _) => {
            directory(app, &provider, (dir, *adopted), request.now).await
        }
        (SecretRef::Sealed, Some(Ok(secret))) => Found::Secret(secret),
        (SecretRef::Sealed, failed) => {
            let error = failed.and_then(Result::err).map(|error| with_causes(&error));
            tracing::error!(error, account = %account.id, "a secret does not open");
            unavailable(Why::Undecryptable, "its stored secret could not be opened")
        }
        (SecretRef::Env { .. } | SecretRef::Command { .. }, _) => {
            match app.secrets.read(&provider.id, &account.secret_ref).await {
                Ok(secret) => Found::Secret(secret),
                Err(why) => Found::Unavailable(why),
            }
        }
        (SecretRef::Tokens, _) => {
            unavailable(Why::BackendFailed, "this kind of credential cannot be launched with")
        }
    };
    Ok(Candidate { provider, account, found, own_dir })
}

fn unavailable(why: Why, text: &str) -> Found {
    Found::Unavailable(Unavailable::new(why, text))
}

/// Returns the contents of a CLI's directory. A directory that an account may not use is not read.
async fn directory(app: &App, provider: &Arc<Provider>, (dir, adopted): (&Path, bool), now: i64) -> Found {
    let (app, provider, dir) = (app.clone(), provider.clone(), dir.to_owned());
    let look = move || {
        let Some(cli) = &provider.cli else {
            return unavailable(Why::BackendFailed, "the registry knows no CLI that could use it");
        };
        let allowed = app.identities.allows(&app.registry, cli, &dir, adopted);
        let reach = app.identities.reach(cli, &dir, adopted);
        let proof = if allowed { cli.prove(&dir, reach).at(now) } else { Proof::Absent };
        Found::Directory { dir, reach, allowed, proof }
    };
    let failed = |_| unavailable(Why::BackendFailed, "its directory could not be read");
    tokio::task::spawn_blocking(look).await.unwrap_or_else(failed)
}

/// Prepares the directory for a CLI that receives a token. It must not be the user's own, and it must contain the files
/// that the CLI expects.
async fn own_dir(
    app: &App,
    request: &Request<'_>,
    provider: &Arc<Provider>,
    account: &Account,
) -> Result<Option<PathBuf>, ApiError> {
    let takes_one = provider.cli.as_ref().is_some_and(|cli| cli.token.is_some());
    let token = account.secret_ref == SecretRef::Sealed && account.kind == AccountKind::OAuth && takes_one;
    if !token {
        return Ok(None);
    }
    let dir = app.identities.make_for(request.bundle, provider)?;
    let (provider, made) = (provider.clone(), dir.clone());
    let prepare = move || provider.cli.as_ref().map_or(Ok(()), |cli| auth_spawner::prepare(cli, &made));
    match tokio::task::spawn_blocking(prepare).await {
        Ok(Ok(())) => Ok(Some(dir)),
        failed => {
            tracing::error!(?failed, "a CLI's files cannot be written");
            Err(ApiError::new(Kind::StoreUnavailable, "the bundle's directory cannot be used"))
        }
    }
}

fn used(verdict: &Verdict) -> Used {
    Used {
        provider_id: verdict.provider.clone(),
        account_id: verdict.account.clone(),
        source: SOURCE.to_owned(),
        status: convert::status(verdict.status),
        generation: None,
        reason: verdict.outcome.as_ref().err().map(|unfit| unfit.reason.clone()),
        degraded_from: None,
    }
}

fn trace(verdict: &Verdict) -> Trace {
    let reason = match &verdict.outcome {
        Ok(set) => format!("sets {}", set.keys().cloned().collect::<Vec<_>>().join(", ")),
        Err(unfit) => unfit.reason.clone(),
    };
    Trace {
        provider_id: verdict.provider.clone(),
        account_id: verdict.account.clone(),
        source: SOURCE.to_owned(),
        chosen: verdict.outcome.is_ok(),
        reason,
    }
}
