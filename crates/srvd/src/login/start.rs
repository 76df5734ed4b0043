//! The start of a login: first all checks, then the row, the directory and the CLI.

use std::path::PathBuf;
use std::sync::Arc;

use auth_spawner::{Cli, LoginRequest, Provider, StartError};
use identity_store::{NewSession, PersonRule, SessionEnd, SessionEnding, SessionId, Store};

use super::command::{LoginCommand, superseded};
use super::host;
use super::oauth::Way;
use super::policy;
use super::policy::Plan;
use super::present::LoginDir;
use super::service::{LoginResources, Logins};
use super::sink::ExpectedLogin;
use super::target::LoginTarget;
use crate::base::clock::now;
use crate::hint::Step;
use crate::wire::auth::{SessionStatus, Start, Started};
use crate::wire::convert::{login_cli, stored_id};
use crate::wire::error::{ApiError, Kind};
use crate::wire::events;

/// A login that has passed every check.
struct PreparedLogin {
    id: SessionId,
    command: LoginCommand,
    expected: ExpectedLogin,
    /// The directory used by the CLI.
    config_dir: PathBuf,
    started_at: i64,
    expires_at: i64,
}

impl Logins {
    /// Starts a login. All checks are made before anything is started. `store` names the caller in the audit log.
    ///
    /// # Errors
    /// Errors from the checks, the store and the file system.
    pub(crate) async fn start(
        &self,
        store: &Store,
        provider: &Arc<Provider>,
        request: Start,
    ) -> Result<Started, ApiError> {
        if let Some(way) = Way::of(provider, request.recipe.as_deref(), self.oauth.listens())? {
            return self.start_without_cli(store, provider, &request, way).await;
        }
        let login = self.prepare(store, provider, request).await?;
        let id = login.id.clone();
        let started = Started {
            session_id: id.to_string(),
            auth_url: None,
            status: SessionStatus::Pending,
            expires_at: login.expires_at,
            recipe: login.command.plan.recipe.clone(),
            not_used: login.command.plan.not_used.clone(),
        };
        self.record(store, &login).await?;
        if let Err(refusal) = self.run(login).await {
            self.record_refusal(store, &id, &refusal).await?;
            return Err(refusal);
        }
        Ok(started)
    }

    /// Starts a login of a user at the provider's own OAuth endpoints.
    async fn start_without_cli(
        &self,
        store: &Store,
        provider: &Arc<Provider>,
        request: &Start,
        way: Way,
    ) -> Result<Started, ApiError> {
        match LoginTarget::of(store, request).await? {
            LoginTarget::User(owner) => self.oauth.start(store, provider, owner, way).await,
            LoginTarget::Bundle(_) => {
                let reason = "a login without a CLI belongs to a user; name the user";
                Err(ApiError::invalid_input("userId", reason)
                    .hint(Step::NameUser { provider: provider.id.as_str().into() }))
            }
        }
    }

    /// Makes all checks. The only change is that an earlier renewal of the same directory is cleaned up.
    async fn prepare(
        &self,
        store: &Store,
        provider: &Arc<Provider>,
        request: Start,
    ) -> Result<PreparedLogin, ApiError> {
        let target = LoginTarget::of(store, &request).await?;
        let named = provider;
        let provider = self.installed(named).await?;
        let id = stored_id(&provider)?;
        let mut bound = target.account(store, &id, false).await?;
        let host::HostedProvider { provider, base_url, name: provider_name } =
            host::choose(&provider, bound.as_ref(), request.host.as_deref())?;
        let mut command = self.command(&provider, &request).await?;
        command.plan.not_used.extend(superseded(named, &provider));
        self.refuse_running(&provider, &command.plan.recipe, &target.scope()).await?;
        if command.only_shows() && target.owner().is_some() {
            bound = target.account(store, &id, true).await?;
        }
        let person = match &bound {
            _ if request.force.unwrap_or(false) => PersonRule::Anyone,
            Some(bound) => self.renewable(&provider, bound, command.only_shows()).await?,
            None => PersonRule::NotAnother,
        };
        let LoginDir { dir, renews, shared } = if command.only_shows() {
            // A credential that the CLI only prints is encrypted and stored as a separate account. No directory is at
            // risk.
            let dir = self.resources.identities.home(&target.home(), login_cli(&provider)?);
            let shared = self.resources.identities.exists(&dir).await?;
            LoginDir { dir, renews: false, shared }
        } else {
            self.directory(store, &provider, &target.home(), bound.as_ref()).await?
        };
        let id = SessionId::generate();
        let config_dir = if renews { self.resources.renewals.home(&id) } else { dir.clone() };
        let started_at = now();
        let longest_ms = i64::try_from(command.seconds(self.longest_seconds) * 1000).unwrap_or(i64::MAX);
        let expires_at = started_at.saturating_add(longest_ms);
        let expected =
            ExpectedLogin { target, provider, provider_name, base_url, person, dir, renews, shared };
        Ok(PreparedLogin { id, command, expected, config_dir, started_at, expires_at })
    }

    /// Rejects a scope with a running login for the provider, after waiting for one that is ending.
    async fn refuse_running(&self, provider: &Provider, recipe: &str, scope: &str) -> Result<(), ApiError> {
        self.spawner.settled(provider, recipe, scope).await;
        match self.running(&provider.id, |other| other == scope) {
            None => Ok(()),
            Some(login) => Err(running(&login.id)),
        }
    }

    /// Writes the session's row, and tells the sink what the login is for.
    async fn record(&self, store: &Store, login: &PreparedLogin) -> Result<(), ApiError> {
        let PreparedLogin { id, expected, .. } = login;
        let row = NewSession {
            id: id.clone(),
            provider: stored_id(&expected.provider)?,
            recipe: login.command.plan.recipe.clone(),
            target_bundle: expected.target.bundle().cloned(),
            new_bundle: expected.target.is_new(),
            owner: expected.target.owner().cloned(),
            started_at: login.started_at,
            expires_at: login.expires_at,
        };
        store.insert_session(row).await?;
        self.sink.expect(id, expected.clone());
        Ok(())
    }

    /// Creates the directory and starts the CLI. The row is written before the directory, so that it explains the
    /// directory's purpose after a crash.
    async fn run(&self, login: PreparedLogin) -> Result<(), ApiError> {
        let PreparedLogin { id, command, expected, config_dir, expires_at, .. } = login;
        self.make_directory(&id, &expected).await?;
        let scope = expected.target.scope();
        let LoginCommand { plan, program, version, .. } = command;
        let Plan { recipe, args, check_args, terminal, env, .. } = plan;
        let (provider, recipe_id) = (Arc::clone(&expected.provider), recipe.clone());
        let request = LoginRequest {
            id: id.to_string(),
            provider: expected.provider,
            recipe,
            program,
            version,
            args,
            check_args,
            extra_env: env,
            config_dir,
            destination: expected.renews.then_some(expected.dir),
            scope,
            expires_at,
            terminal,
        };
        let cli = login_cli(&provider)?;
        self.spawner.start(request).map_err(|error| refusal(&error, cli))?;
        tracing::info!(session = %id, provider = provider.id, recipe = recipe_id, "a login started");
        Ok(())
    }

    async fn make_directory(&self, id: &SessionId, expected: &ExpectedLogin) -> Result<(), ApiError> {
        let LoginResources { identities, renewals, .. } = &self.resources;
        identities.make_dir(&expected.dir).await?;
        if expected.renews {
            renewals.make(id).await?;
        }
        Ok(())
    }

    /// Ends the row of a session that was not started.
    async fn record_refusal(
        &self,
        store: &Store,
        id: &SessionId,
        refusal: &ApiError,
    ) -> Result<(), ApiError> {
        self.sink.forget(id).await;
        let end = SessionEnd {
            state: SessionEnding::Failed,
            error: Some(refusal.message().to_owned()),
            error_kind: Some(refusal.kind().as_str().to_owned()),
            hint: None,
            exit_code: None,
            revision: 1,
            now: now(),
        };
        store.finish_session(id, end).await?;
        let data = serde_json::json!({ "sessionId": id.as_str(), "revision": 1 });
        self.resources.broker.publish(&events::session_changed(id.as_str()), now(), Some(data));
        Ok(())
    }
}

/// Returns the error for a login that the spawner did not start.
fn refusal(error: &StartError, cli: &Cli) -> ApiError {
    match error {
        StartError::Running { session } => running(session),
        StartError::PortLeased { port, session, provider } => {
            ApiError::new(Kind::Conflict, "another login is using the CLI's callback port")
                .with("sessionId", session.as_str())
                .with("providerId", provider.as_str())
                .with("port", *port)
                .hint(Step::FinishOrCancel)
        }
        StartError::DuplicateId => {
            ApiError::new(Kind::Conflict, "a login session with this id already exists")
                .with("what", "session")
                .hint(Step::StartAgain)
        }
        StartError::Capacity => {
            ApiError::new(Kind::Capacity, "too many logins are running").hint(Step::FinishOrCancelOne)
        }
        StartError::UnknownRecipe => policy::unknown_recipe(cli),
        StartError::ShuttingDown => {
            ApiError::new(Kind::ShuttingDown, "the daemon is shutting down").hint(Step::StartAgainLater)
        }
    }
}

/// Returns the error for a login when another one for the same provider and target is running.
fn running(session: &str) -> ApiError {
    let text = "a login with this provider is already running for the same bundle or user";
    ApiError::new(Kind::Conflict, text).with("sessionId", session)
}

#[cfg(test)]
mod tests {
    use auth_spawner::Registry;
    use rpc_engine::RpcError;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn start_error_has_its_own_kind_and_data() {
        let registry = Registry::builtin().unwrap();
        let cli = registry.provider("codex").unwrap().cli.as_ref().unwrap();
        let check = |error: StartError, kind: Kind, data: Value| {
            let wire = RpcError::from(refusal(&error, cli));
            assert_eq!((wire.code, wire.kind()), (kind.code(), Some(kind.as_str())));
            let found = wire.data.clone().unwrap();
            for (name, value) in data.as_object().unwrap() {
                assert_eq!(&found[name], value, "{error:?} {name}");
            }
        };
        let session = || "auth-1".to_owned();
        check(StartError::Running { session: session() }, Kind::Conflict, json!({"sessionId": "auth-1"}));
        check(
            StartError::PortLeased { port: 1455, session: session(), provider: "openclaw".to_owned() },
            Kind::Conflict,
            json!({"sessionId": "auth-1", "port": 1455, "providerId": "openclaw"}),
        );
        check(StartError::DuplicateId, Kind::Conflict, json!({"what": "session"}));
        check(StartError::Capacity, Kind::Capacity, json!({}));
        check(StartError::UnknownRecipe, Kind::UnknownRecipe, json!({"known": cli.recipe_ids()}));
        check(StartError::ShuttingDown, Kind::ShuttingDown, json!({}));
        assert_eq!(Kind::ShuttingDown.code(), RpcError::shutting_down().code);
    }
}
