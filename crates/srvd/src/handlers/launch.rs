//! `launch.*`: finds the accounts and their credentials; `crate::launch` decides.

use std::path::Path;
use std::sync::Arc;

use auth_spawner::Provider;
use identity_store::{Account, AccountFilter, BundleId, SecretRef};
use rpc_engine::Call;
use secrecy::SecretString;

use super::{agent_launch, convert};
use crate::api::SecretOutput;
use crate::api::launch::{Launch, ProviderReadiness, Readiness, Ready, Resolve, Trace, Used};
use crate::app::{App, now};
use crate::error::{ApiError, with_causes};
use crate::launch::{self, Candidate, Found, Request, Value, Verdict};

/// What names an account that a bundle binds.
const SOURCE: &str = "bundle";

/// `launch.resolve`.
pub async fn resolve(app: App, _: Call, params: Resolve) -> Result<Launch, ApiError> {
    if params.agent_id.is_some() {
        return agent_launch::resolve(&app, params).await;
    }
    let bundle = subject(&app, params.bundle_id.as_deref(), params.instance_id.as_deref()).await?;
    let provider = params.provider_id.as_deref().map(|id| app.provider(id).cloned()).transpose()?;
    let shared = app.config.shared();
    let request = request(&bundle, provider.as_ref(), &shared, params.min_ttl_ms);
    let verdicts = verdicts(&app, &request, provider.as_ref()).await?;
    let launch = launch::resolve(&verdicts, &app.registry, &request)?;
    let dry = params.dry_run.unwrap_or(false);
    let shown = |value: Value| match value {
        Value::Plain(text) => SecretOutput::from(SecretString::from(text)),
        Value::Secret(_) if dry => SecretOutput::from(SecretString::default()),
        Value::Secret(secret) => SecretOutput::from(secret),
    };
    tracing::info!(%bundle, accounts = verdicts.len(), dry, "a launch was resolved");
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
        return agent_launch::ready(&app, params).await;
    }
    let bundle = subject(&app, params.bundle_id.as_deref(), params.instance_id.as_deref()).await?;
    let provider = params.provider_id.as_deref().map(|id| app.provider(id).cloned()).transpose()?;
    let shared = app.config.shared();
    let request = request(&bundle, provider.as_ref(), &shared, params.min_ttl_ms);
    let verdicts = verdicts(&app, &request, provider.as_ref()).await?;
    let ready = launch::resolve(&verdicts, &app.registry, &request).is_ok();
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

/// The bundle that is meant; an instance under none runs as `blank`, as nobody.
async fn subject(app: &App, bundle: Option<&str>, instance: Option<&str>) -> Result<BundleId, ApiError> {
    match (bundle.filter(|id| !id.is_empty()), instance) {
        (Some(id), None) => id.parse().map_err(|error| ApiError::bad_id("bundleId", &error)),
        (None, Some(id)) => {
            let instance = app.store.instance(&super::instance::instance_id(id)?).await?;
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
    let wanted = provider.map(|provider| super::provider::stored_id(provider)).transpose()?;
    let filter = AccountFilter { provider: wanted, bundle: Some(request.bundle.clone()) };
    let accounts = app.store.accounts(filter).await?;
    // An account that cannot be read must not turn into a launch without it.
    if let Some(row) = accounts.corrupt.first() {
        tracing::error!(account = row.id, reason = row.reason, "an account of a launch cannot be read");
        return Err(ApiError::new(crate::error::Kind::SecretUnavailable, "an account of it cannot be read")
            .with("accountId", row.id.as_str())
            .with("reason", "corrupt"));
    }
    if accounts.accounts.is_empty() {
        // An unknown bundle is an error of its own.
        app.store.bundle(request.bundle).await?;
    }
    let mut candidates = Vec::with_capacity(accounts.accounts.len());
    for account in accounts.accounts {
        candidates.push(candidate(app, request, account).await?);
    }
    Ok(launch::judge(candidates, request))
}

async fn candidate(app: &App, request: &Request<'_>, account: Account) -> Result<Candidate, ApiError> {
    let provider = app.provider(account.provider.as_str())?.clone();
    let own_dir = own_dir(app, request.bundle, &provider, &account)?;
    let found = match &account.secret_ref {
        SecretRef::ConfigDir { dir, adopted } => {
            let allowed =
                *adopted || (app.identities.owns(dir) && !app.identities.is_ambient(&app.registry, dir));
            let (cli, at, here) = (provider.cli.clone(), request.now, dir.clone());
            let prove = if *adopted { auth_spawner::prove_own } else { auth_spawner::prove };
            let proof = match cli {
                Some(cli) => tokio::task::spawn_blocking(move || prove(&cli, &here).at(at)).await.ok(),
                None => None,
            };
            match proof {
                Some(proof) => Found::Directory { dir: dir.clone(), adopted: *adopted, allowed, proof },
                None => Found::Unavailable("the registry knows no CLI that could use it".to_owned()),
            }
        }
        SecretRef::Sealed => match app.store.open_secret(&account.id).await {
            Ok(secret) => Found::Secret(secret),
            Err(error) => {
                tracing::error!(error = with_causes(&error), account = %account.id, "a secret does not open");
                Found::Unavailable("its stored secret could not be opened".to_owned())
            }
        },
        SecretRef::Tokens | SecretRef::Env { .. } | SecretRef::Command { .. } => {
            Found::Unavailable("this kind of credential cannot be launched with".to_owned())
        }
    };
    Ok(Candidate { provider, account, found, own_dir })
}

/// A CLI that is given a token still needs a directory that is not the user's own.
fn own_dir(
    app: &App,
    bundle: &BundleId,
    provider: &Provider,
    account: &Account,
) -> Result<Option<std::path::PathBuf>, ApiError> {
    let token = account.secret_ref == SecretRef::Sealed
        && account.kind == identity_store::AccountKind::OAuth
        && provider.cli.is_some();
    if token { super::auth::own_directory(app, bundle, provider).map(Some) } else { Ok(None) }
}

fn used(verdict: &Verdict) -> Used {
    Used {
        provider_id: verdict.provider.clone(),
        account_id: verdict.account.clone(),
        source: SOURCE.to_owned(),
        status: convert::status(verdict.status),
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
