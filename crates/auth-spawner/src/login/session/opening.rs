//! The start of a login: files, baseline and process.

use std::path::Path;
use std::sync::Arc;

use crate::login::check::{LoginCheck, ShownCredential};
use crate::login::machine::Input;
use crate::login::request::LoginRequest;
use crate::login::snapshot::FailureKind;
use crate::login::spawner::SpawnerState;
use crate::process;
use crate::process::{
    ChildCommand, ChildEnv, ChildEnvSources, OpenError, StartedChild, child_env, ports, prepare,
    private_directory,
};
use crate::proof::{Proof, fingerprint, prove};
use crate::registry::{Cli, Recipe, ScreenToken};

/// A login whose CLI has been started.
pub(crate) struct Opened {
    pub(crate) child: StartedChild,
    /// The check for the login.
    pub(crate) check: LoginCheck,
}

/// The reason why no child was started for a login.
pub(crate) struct Unopened {
    /// The input that ends the login.
    pub(crate) input: Input,
    /// The text to display, if it differs from the default.
    pub(crate) message: Option<String>,
}

/// Writes the files that the CLI expects, records the state before the login, and starts the CLI.
pub(crate) async fn open(
    shared: &SpawnerState,
    request: &LoginRequest,
    recipe: &Recipe,
) -> Result<Opened, Unopened> {
    let Some(cli) = request.provider.cli.clone() else {
        return Err(failed(FailureKind::SpawnFailed, &"the provider has no CLI"));
    };
    let terminal = request.terminal.unwrap_or(recipe.terminal);
    let screen = screen(cli.token.as_ref(), recipe);
    let common = shared.config.shared.join(&request.provider.id);
    let env = environment(shared, request, recipe, &cli, &common);
    let dir = request.config_dir.clone();
    let callback_ports = recipe.callback_ports.clone();
    let args = request.args.as_ref().unwrap_or(&recipe.args);
    let args = cli.config_dir.arguments(args, &request.config_dir);
    let before = move || {
        // The lease keeps other logins away, but any other program may have taken the port.
        if let Some(held) = ports::first_held(&callback_ports) {
            return Err(failed(FailureKind::PortInUse, &held));
        }
        if cli.config_dir.shares() {
            private_directory(&common).map_err(|error| failed(FailureKind::SpawnFailed, &error))?;
        }
        prepare(&cli, &dir).map_err(|error| failed(FailureKind::SpawnFailed, &error))?;
        let logged_in = matches!(prove(&cli, &dir), Proof::LoggedIn(_));
        Ok((fingerprint(&cli, &dir), logged_in))
    };
    let (baseline, logged_in_before) = shared
        .tracker
        .spawn_blocking(before)
        .await
        .map_err(|error| failed(FailureKind::SpawnFailed, &error))??;
    let command = ChildCommand {
        program: request.program.clone(),
        args,
        env: env.clone(),
        // A neutral directory, because CLIs read configuration from their working directory.
        dir: request.config_dir.clone(),
        terminal,
    };
    if let Some(guard) = &shared.config.guard {
        guard.announce(&request.id).await;
    }
    let child = process::open(command).await.map_err(|error| match error {
        OpenError::Program(reason) => failed(FailureKind::SpawnFailed, &reason),
        OpenError::Terminal(reason) => failed(FailureKind::TtyUnavailable, &reason),
    })?;
    let check = LoginCheck {
        provider: Arc::clone(&request.provider),
        program: request.program.clone(),
        env,
        dir: request.config_dir.clone(),
        baseline,
        logged_in_before,
        failed: false,
        screen,
        tracker: shared.tracker.clone(),
        check_timeout: shared.config.limits.check_timeout,
        check_args: request.check_args.clone(),
        clock: Arc::clone(&shared.config.clock),
    };
    Ok(Opened { child, check })
}

fn failed(kind: FailureKind, reason: &dyn std::fmt::Display) -> Unopened {
    Unopened { input: Input::SpawnFailed(kind), message: Some(reason.to_string()) }
}

/// Returns a slot for the credential if the recipe's CLI shows its credential and stores nothing.
fn screen(token: Option<&ScreenToken>, recipe: &Recipe) -> Option<ShownCredential> {
    let token = token.filter(|_| !recipe.patterns.token.is_empty())?;
    let lifetime = token.lifetime_s.checked_mul(1000)?;
    Some(ShownCredential { lifetime: i64::try_from(lifetime).ok()?, token: None })
}

fn environment(
    shared: &SpawnerState,
    request: &LoginRequest,
    recipe: &Recipe,
    cli: &Cli,
    common: &Path,
) -> ChildEnv {
    child_env(
        &shared.config.environment,
        &ChildEnvSources {
            cli,
            recipe,
            terminal: request.terminal.unwrap_or(recipe.terminal),
            extra: &request.extra_env,
            config_dir: &request.config_dir,
            shared: common,
            browser: shared.config.browser.as_deref(),
            session: &request.id,
        },
    )
}
