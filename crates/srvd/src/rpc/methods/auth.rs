//! `auth.*` except keys: logins through the providers' own CLIs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use auth_spawner::{Cli, LoginRequest, Proof, Provider, Snapshot, StartError};
use identity_store::{
    Account, AccountKind, BundleId, NewSession, SecretRef, SessionEnd, SessionEnding, SessionId, Target,
};
use rpc_engine::Call;
use secrecy::ExposeSecret as _;

use crate::base::clock::now;
use crate::base::private::PrivateError;
use crate::destination;
use crate::login;
use crate::login::host::{Chosen, chosen};
use crate::login::{policy, renewal};
use crate::rpc::app::App;
use crate::wire::auth::{
    Cancel, List, Outcome, Poll, Session, SessionStatus, Sessions, Start, Started, SubmitCallback,
};
use crate::wire::convert;
use crate::wire::error::{ApiError, Kind};

/// The longest wait of `auth.poll`, in milliseconds.
const LONGEST_WAIT_MS: u64 = 30_000;
/// The longest paste that any CLI accepts, in bytes: one line of a terminal.
const LONGEST_PASTE: usize = 4096;
/// The number of ended sessions that `auth.list` shows, and the longest time since their end in milliseconds.
const LISTED: u32 = 200;
const LISTED_FOR_MS: i64 = 24 * 60 * 60 * 1000;

/// `auth.start`. Every check is made before anything is started.
pub async fn start(app: App, _: Call, params: Start) -> Result<Started, ApiError> {
    let provider = app.provider(&params.provider_id)?;
    let target = destination::existing(&app.store, "intoBundleId", params.into_bundle_id.as_deref()).await?;
    let Chosen { provider, base_url, name: provider_name } =
        chosen(&app.store, provider, target.as_ref(), params.host.as_deref()).await?;
    let mut plan = policy::plan(app.config.spawn_policy, &provider, &params, &app.config.search_path)?;
    if params.cli_path.as_deref().is_none_or(str::is_empty) {
        plan.program = super::provider::genuine(&app, &provider, plan.program).await?;
    }
    let cli = login_cli(&provider)?;
    let version = if cli.depends_on_version() {
        super::provider::told_version(&app, &provider, &plan.program).await
    } else {
        None
    };
    let force = params.force.unwrap_or(false);
    let chosen_bundle = destination::target(&app.store, target.clone(), params.bundle_name).await?;
    let bundle = destination::bundle(&chosen_bundle).clone();
    let name = match chosen_bundle {
        Target::New { name, .. } => name,
        Target::Existing(_) => None,
    };
    app.spawner.settled(&provider, &plan.recipe, bundle.as_str()).await;
    refuse_running(&app, &bundle, &provider)?;
    let bound = app.store.bound_account(&bundle, &convert::stored_id(&provider)?).await?;
    if let Some(bound) = bound.as_ref().filter(|_| !force) {
        refuse_logged_in(&app, cli, bound)?;
    }
    let recipe = provider.recipe(&plan.recipe, version.as_deref());
    // A credential that the CLI only prints is sealed as an account of its own. No directory is at risk.
    let shown_only = recipe.as_ref().is_some_and(|recipe| !recipe.patterns.token.is_empty());
    let dir = if shown_only {
        app.identities.place(&bundle, &cli.config_dir.name)
    } else {
        directory(&app, &bundle, &provider, bound.as_ref()).await?
    };
    let renews = !shown_only && cli.can_move() && keeps_login(bound.as_ref());
    if renews {
        settle_earlier(&app, &cli.config_dir.inside(&dir)).await?;
    }

    let id = SessionId::generate();
    let config_dir = if renews { app.renewals.home(&id) } else { dir.clone() };
    let started_at = now();
    let seconds = recipe
        .map_or(app.config.login_seconds, |recipe| recipe.deadline.as_secs().min(app.config.login_seconds));
    let expires_at = started_at + i64::try_from(seconds * 1000).unwrap_or(i64::MAX);
    let row = NewSession {
        id: id.clone(),
        provider: convert::stored_id(&provider)?,
        recipe: plan.recipe.clone(),
        target_bundle: Some(bundle.clone()),
        new_bundle: target.is_none(),
        started_at,
        expires_at,
    };
    app.store.insert_session(row).await?;
    app.logins.expect(
        &id,
        login::Target {
            bundle: bundle.clone(),
            is_new: target.is_none(),
            name,
            force,
            provider: provider.clone(),
            provider_name,
            base_url,
            dir: dir.clone(),
            renews,
        },
    );
    // The directory is made after the row, so that the row explains its purpose after a crash.
    let made =
        if renews { own_renewal(&app, &id, &dir) } else { own_directory(&app, &bundle, &provider).map(drop) };
    if let Err(refusal) = made {
        not_started(&app, &id, refusal.message(), refusal.kind().as_str()).await?;
        return Err(refusal);
    }
    let request = LoginRequest {
        id: id.to_string(),
        provider,
        recipe: plan.recipe,
        program: plan.program,
        version,
        args: plan.args,
        extra_env: plan.env,
        config_dir,
        destination: renews.then_some(dir),
        scope: bundle.to_string(),
        expires_at,
        terminal: None,
    };
    let (provider_id, recipe) = (request.provider.id.clone(), request.recipe.clone());
    match app.spawner.start(request) {
        Ok(()) => tracing::info!(session = %id, provider = provider_id, recipe, "a login started"),
        Err(error) => {
            let refusal = refusal(&error);
            not_started(&app, &id, refusal.message(), refusal.kind().as_str()).await?;
            return Err(refusal);
        }
    }
    Ok(Started { session_id: id.to_string(), auth_url: None, status: SessionStatus::Pending, expires_at })
}

/// Ends the row of a session that the spawner did not start.
async fn not_started(app: &App, id: &SessionId, error: &str, kind: &str) -> Result<(), ApiError> {
    app.logins.forget(id).await;
    let end = SessionEnd {
        state: SessionEnding::Failed,
        error: Some(error.to_owned()),
        error_kind: Some(kind.to_owned()),
        hint: None,
        exit_code: None,
        revision: 1,
        now: now(),
    };
    app.store.finish_session(id, end).await?;
    let data = serde_json::json!({ "sessionId": id.as_str(), "revision": 1 });
    app.broker.publish(&crate::wire::events::session_changed(id.as_str()), now(), Some(data));
    Ok(())
}

fn refuse_running(app: &App, bundle: &BundleId, provider: &Provider) -> Result<(), ApiError> {
    let running = app.spawner.snapshots().into_iter().find(|login| {
        !login.state.is_terminal() && login.scope == bundle.as_str() && login.provider == provider.id
    });
    match running {
        None => Ok(()),
        Some(login) => Err(refusal(&StartError::Running { session: login.id })),
    }
}

/// Refuses a bundle whose account is a valid login.
fn refuse_logged_in(app: &App, cli: &Cli, bound: &Account) -> Result<(), ApiError> {
    let now = now();
    let logged_in = match &bound.secret_ref {
        SecretRef::ConfigDir { dir, adopted } => {
            let reach = app.identities.reach(cli, dir, *adopted);
            matches!(cli.prove(dir, reach).at(now), Proof::LoggedIn(_))
        }
        SecretRef::Sealed if bound.kind == AccountKind::OAuth => bound.expires_at.is_none_or(|end| end > now),
        _ => false,
    };
    if !logged_in {
        return Ok(());
    }
    Err(ApiError::new(Kind::Conflict, "this bundle is logged in already")
        .with("what", "login")
        .with("accountId", bound.id.as_str())
        .hint("log in again with force"))
}

/// Returns the directory for the login: that of the bound login, or else the bundle's. It creates nothing.
async fn directory(
    app: &App,
    bundle: &BundleId,
    provider: &Provider,
    bound: Option<&Account>,
) -> Result<PathBuf, ApiError> {
    let place = app.identities.place(bundle, &login_cli(provider)?.config_dir.name);
    let former = match bound.map(|account| &account.secret_ref) {
        Some(SecretRef::ConfigDir { dir, .. }) => Some(dir.clone()),
        _ => None,
    };
    if former.is_none()
        && let Some(other) = app.store.directory_owner(&convert::stored_id(provider)?, &place).await?
    {
        return Err(ApiError::new(
            Kind::Conflict,
            "another account keeps its login in this bundle's directory",
        )
        .with("what", "login")
        .with("accountId", other.as_str())
        .hint("bind that account again, or delete it first"));
    }
    let dir = former.unwrap_or(place);
    if !app.identities.owns(&dir) || app.identities.is_ambient(&app.registry, &dir) {
        return Err(ApiError::new(Kind::AmbientDirectory, "this account uses the user's own CLI directory")
            .hint("log in to another bundle"));
    }
    Ok(dir)
}

/// Creates the bundle's directory for this provider.
pub(super) fn own_directory(app: &App, bundle: &BundleId, provider: &Provider) -> Result<PathBuf, ApiError> {
    let name = &login_cli(provider)?.config_dir.name;
    app.identities.make(bundle, name).map_err(|error| unusable(&error))
}

/// Returns whether an account keeps a login in a directory, which a new login must not damage.
fn keeps_login(bound: Option<&Account>) -> bool {
    bound.is_some_and(|account| matches!(account.secret_ref, SecretRef::ConfigDir { .. }))
}

/// Finishes what an earlier renewal of the same directory left behind. If it were undone later, it would damage the new
/// login.
async fn settle_earlier(app: &App, inside: &Path) -> Result<(), ApiError> {
    let live = |session: &SessionId| app.logins.is_live(session);
    let unsettled = renewal::settle_all(&app.store, &app.renewals, live).await;
    if unsettled.iter().any(|dir| dir == inside) {
        return Err(ApiError::new(
            Kind::StoreUnavailable,
            "an earlier login into this directory could not be brought to its end",
        )
        .hint("try again later; the daemon's log says why"));
    }
    Ok(())
}

fn own_renewal(app: &App, session: &SessionId, dir: &Path) -> Result<(), ApiError> {
    let made = app.identities.make_dir(dir).and_then(|()| app.renewals.make(session));
    made.map_err(|error| unusable(&error))
}

fn unusable(error: &PrivateError) -> ApiError {
    tracing::error!(%error, "a login's directory cannot be used");
    ApiError::new(Kind::StoreUnavailable, "the login's directory cannot be used").hint(error.to_string())
}

fn login_cli(provider: &Provider) -> Result<&Cli, ApiError> {
    provider.cli.as_ref().ok_or_else(|| ApiError::invalid_input("providerId", "this provider has no login"))
}

fn refusal(error: &StartError) -> ApiError {
    let conflict = |message: &str| ApiError::new(Kind::Conflict, message);
    match error {
        StartError::Running { session } => {
            conflict("a login of this provider runs for this bundle").with("sessionId", session.as_str())
        }
        StartError::PortLeased { port, session } => conflict("another login holds the CLI's callback port")
            .with("sessionId", session.as_str())
            .with("port", *port)
            .hint("finish or cancel that login first"),
        other => conflict(&other.to_string()).hint("try again later"),
    }
}

/// `auth.poll`.
pub async fn poll(app: App, _: Call, params: Poll) -> Result<Session, ApiError> {
    let wait_ms = params.wait_ms.unwrap_or(0);
    if wait_ms > LONGEST_WAIT_MS {
        return Err(ApiError::invalid_input("waitMs", format!("must be at most {LONGEST_WAIT_MS}")));
    }
    let Some(mut watch) = app.spawner.watch(&params.session_id) else {
        return stored(&app, &params.session_id).await;
    };
    let after = params.after_revision.unwrap_or(0);
    let news = watch.wait_for(|snapshot| snapshot.revision > after || snapshot.state.is_terminal());
    // A timeout without news is a valid answer, and so is the end of the session's actor.
    let _ = tokio::time::timeout(Duration::from_millis(wait_ms), news).await;
    let snapshot = watch.borrow().clone();
    Ok(convert::session(snapshot))
}

/// Returns a session that is no longer in memory, from its row.
async fn stored(app: &App, id: &str) -> Result<Session, ApiError> {
    let unknown = || ApiError::not_found("session", id);
    let id: SessionId = id.parse().map_err(|_| unknown())?;
    Ok(login::from_row(app.store.session(&id).await?))
}

/// `auth.cancel`.
pub async fn cancel(app: App, _: Call, params: Cancel) -> Result<Outcome, ApiError> {
    Ok(match app.spawner.cancel(&params.session_id).await {
        Ok(()) => Outcome { success: true, error: None, error_kind: None },
        Err(_) => not_live(),
    })
}

fn not_live() -> Outcome {
    Outcome {
        success: false,
        error: Some("no login of this id is running".to_owned()),
        error_kind: Some(Kind::NotFound.as_str().to_owned()),
    }
}

/// `auth.submitcallback`.
pub async fn submit_callback(app: App, _: Call, params: SubmitCallback) -> Result<Outcome, ApiError> {
    use auth_spawner::SubmitError;
    let text = params.callback_url.into_secret();
    // The spawner refuses a longer text as a whole.
    if text.expose_secret().len() <= LONGEST_PASTE {
        app.redactor.hide(&text);
    }
    Ok(match app.spawner.submit(&params.session_id, text).await {
        Ok(()) => Outcome { success: true, error: None, error_kind: None },
        Err(SubmitError::NotLive) => not_live(),
        Err(error) => Outcome {
            success: false,
            error: Some(error.to_string()),
            error_kind: Some(Kind::InvalidInput.as_str().to_owned()),
        },
    })
}

/// `auth.list`.
pub async fn list(app: App, _: Call, _: List) -> Result<Sessions, ApiError> {
    let live: Vec<Snapshot> = app.spawner.snapshots();
    let rows = app.store.recent_sessions(now() - LISTED_FOR_MS, LISTED).await?;
    let mut sessions: Vec<Session> = live.into_iter().map(convert::session).collect();
    for row in rows {
        if !sessions.iter().any(|session| session.session_id == row.id.as_str()) {
            sessions.push(login::from_row(row));
        }
    }
    sessions.sort_by(|one, other| {
        other.started_at.cmp(&one.started_at).then_with(|| one.session_id.cmp(&other.session_id))
    });
    Ok(Sessions { sessions })
}
