//! The start of a login: first all checks, then the row, the directory and the CLI.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_spawner::{Cli, LoginRequest, Proof, Provider, Recipe, StartError};
use identity_store::{
    Account, AccountKind, NewSession, SecretRef, SessionEnd, SessionEnding, SessionId, Store,
};

use super::host;
use super::oauth::Way;
use super::policy;
use super::policy::Plan;
use super::service::{LoginResources, Logins};
use super::sink::ExpectedLogin;
use super::target::LoginTarget;
use crate::base::clock::now;
use crate::disk::identity_dir::homes::HomeOwner;
use crate::disk::identity_dir::{AccountDir, DirReading};
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

/// The command of a login, with the installed program.
struct LoginCommand {
    plan: Plan,
    /// The version reported by the program.
    version: Option<String>,
    /// The recipe variant that matches the version.
    recipe: Option<Recipe>,
}

impl LoginCommand {
    /// Returns whether the CLI only shows the credential and stores nothing.
    fn only_shows(&self) -> bool {
        self.recipe.as_ref().is_some_and(|recipe| !recipe.patterns.token.is_empty())
    }

    /// Returns the maximum duration of the login, in seconds.
    fn seconds(&self, longest: u64) -> u64 {
        self.recipe.as_ref().map_or(longest, |recipe| recipe.deadline.as_secs().min(longest))
    }
}

/// The directory of a login.
struct LoginDir {
    dir: PathBuf,
    /// True if the directory already contains a login, in which case the CLI logs in elsewhere.
    renews: bool,
    /// True if a failed login leaves the directory as it is: launches use it without a login.
    shared: bool,
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
        let id = stored_id(provider)?;
        let mut bound = target.account(store, &id, false).await?;
        let host::HostedProvider { provider, base_url, name: provider_name } =
            host::choose(provider, bound.as_ref(), request.host.as_deref())?;
        let command = self.command(&provider, &request).await?;
        let force = request.force.unwrap_or(false);
        self.refuse_running(&provider, &command.plan.recipe, &target.scope()).await?;
        if command.only_shows() && target.owner().is_some() {
            bound = target.account(store, &id, true).await?;
        }
        if let Some(bound) = bound.as_ref().filter(|_| !force) {
            self.refuse_logged_in(&provider, bound).await?;
        }
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
            ExpectedLogin { target, provider, provider_name, base_url, force, dir, renews, shared };
        Ok(PreparedLogin { id, command, expected, config_dir, started_at, expires_at })
    }

    /// Plans the command and locates its program.
    async fn command(&self, provider: &Arc<Provider>, request: &Start) -> Result<LoginCommand, ApiError> {
        let (policy, search) = (self.policy, self.programs.search().await?);
        let (planned, asked) = (Arc::clone(provider), request.clone());
        let plan = move || policy::plan(policy, &planned, &asked, &search);
        let mut plan = self.resources.blocking.run(plan).await??;
        let cli = login_cli(provider)?;
        if request.cli_path.as_deref().is_none_or(str::is_empty) {
            plan.program = self.programs.genuine(provider, cli, plan.program).await?;
        }
        let version = if cli.depends_on_version() {
            self.programs.reported_version(provider, &plan.program).await?
        } else {
            None
        };
        let recipe = provider.recipe(&plan.recipe, version.as_deref());
        Ok(LoginCommand { plan, version, recipe })
    }

    /// Rejects a scope with a running login for the provider, after waiting for one that is ending.
    async fn refuse_running(&self, provider: &Provider, recipe: &str, scope: &str) -> Result<(), ApiError> {
        self.spawner.settled(provider, recipe, scope).await;
        match self.running(&provider.id, |other| other == scope) {
            None => Ok(()),
            Some(login) => Err(running(&login.id)),
        }
    }

    /// Rejects an account that has a valid login.
    async fn refuse_logged_in(&self, provider: &Arc<Provider>, bound: &Account) -> Result<(), ApiError> {
        let now = now();
        let logged_in = match &bound.secret_ref {
            SecretRef::ConfigDir { dir, adopted } => {
                let dir = AccountDir { path: dir.clone(), adopted: *adopted };
                match self.resources.identities.read(provider, &dir).await? {
                    DirReading::Read { proof, .. } => matches!(proof.at(now), Proof::LoggedIn(_)),
                    // A launch would not use the login either.
                    DirReading::NoCli | DirReading::Forbidden(_) => false,
                }
            }
            SecretRef::Sealed if bound.kind == AccountKind::OAuth => {
                bound.expires_at.is_none_or(|end| end > now)
            }
            _ => false,
        };
        if !logged_in {
            return Ok(());
        }
        Err(ApiError::new(Kind::Conflict, "this bundle is already logged in")
            .with("what", "login")
            .with("accountId", bound.id.as_str())
            .hint(Step::UseForce))
    }

    /// Returns the directory for the login: that of the present login, or else the owner's home. Creates nothing.
    async fn directory(
        &self,
        store: &Store,
        provider: &Provider,
        owner: &HomeOwner,
        bound: Option<&Account>,
    ) -> Result<LoginDir, ApiError> {
        let identities = &self.resources.identities;
        let cli = login_cli(provider)?;
        let place = identities.home(owner, cli);
        let former = bound.and_then(AccountDir::of);
        if let Some((account, own)) = bound.zip(former.as_ref()).filter(|(_, dir)| dir.adopted) {
            return Err(self.own_login(account, cli, own));
        }
        // A directory outside the root is not used any more. The login gets the usual one, and the account stays.
        let former = former.map(|dir| dir.path).filter(|dir| identities.owns(dir));
        if former.is_none()
            && let Some(other) = store.directory_owner(&place).await?
        {
            return Err(ApiError::new(Kind::Conflict, "the directory contains the login of another account")
                .with("what", "login")
                .with("accountId", other.as_str())
                .hint(Step::BindOrDelete));
        }
        let renews = cli.can_move() && former.is_some();
        let shared = former.is_none() && identities.exists(&place).await?;
        let dir = former.unwrap_or(place);
        if renews {
            self.settle_earlier(store, &cli.config_dir.inside(&dir)).await?;
        }
        Ok(LoginDir { dir, renews, shared })
    }

    /// Returns the refusal for an account that uses the user's own directory. It names the command by which the user's own
    /// CLI logs in there; the account then follows the files.
    fn own_login(&self, account: &Account, cli: &Cli, dir: &AccountDir) -> ApiError {
        let reach = self.resources.identities.reach(cli, dir);
        let set = cli.config_dir.variables_for(reach, &dir.path, Path::new(""));
        let args = cli.recipes.first().map(|recipe| recipe.args.clone()).unwrap_or_default();
        let command: Vec<String> = cli.binaries.iter().take(1).cloned().chain(args).collect();
        // A variable that leads elsewhere must not be set, as in a launch of another identity.
        let unset: Vec<&String> =
            Some(&cli.config_dir.var).filter(|var| !set.contains_key(*var)).into_iter().collect();
        let assigned = set.iter().map(|(name, value)| format!("{name}={}", shell_words::quote(value)));
        let line: Vec<String> = assigned.chain([shell_words::join(&command)]).collect();
        let line = line.join(" ");
        ApiError::new(Kind::AmbientDirectory, "this account is the login of your own CLI")
            .with("accountId", account.id.as_str())
            .with("dir", dir.path.display().to_string())
            .with("command", command)
            .with("set", serde_json::json!(set))
            .with("unset", serde_json::json!(unset))
            .hint(Step::LogInThere { command: line })
    }

    /// Finishes what an earlier renewal of the same directory left behind. If it were undone later, it would damage the
    /// new login.
    async fn settle_earlier(&self, store: &Store, inside: &Path) -> Result<(), ApiError> {
        let live = |session: &SessionId| self.sink.is_live(session);
        let unsettled = self.resources.renewals.settle_all(store, live).await;
        if unsettled.iter().any(|dir| dir == inside) {
            return Err(ApiError::new(
                Kind::StoreUnavailable,
                "an earlier login in this directory could not be cleaned up",
            )
            .hint(Step::RetryLater));
        }
        Ok(())
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
        let Plan { program, recipe, args, env } = command.plan;
        let (provider, recipe_id) = (Arc::clone(&expected.provider), recipe.clone());
        let request = LoginRequest {
            id: id.to_string(),
            provider: expected.provider,
            recipe,
            program,
            version: command.version,
            args,
            extra_env: env,
            config_dir,
            destination: expected.renews.then_some(expected.dir),
            scope,
            expires_at,
            terminal: None,
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
        StartError::PortLeased { port, session } => {
            ApiError::new(Kind::Conflict, "another login is using the CLI's callback port")
                .with("sessionId", session.as_str())
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
            StartError::PortLeased { port: 1455, session: session() },
            Kind::Conflict,
            json!({"sessionId": "auth-1", "port": 1455}),
        );
        check(StartError::DuplicateId, Kind::Conflict, json!({"what": "session"}));
        check(StartError::Capacity, Kind::Capacity, json!({}));
        check(StartError::UnknownRecipe, Kind::UnknownRecipe, json!({"known": cli.recipe_ids()}));
        check(StartError::ShuttingDown, Kind::ShuttingDown, json!({}));
        assert_eq!(Kind::ShuttingDown.code(), RpcError::shutting_down().code);
    }
}
