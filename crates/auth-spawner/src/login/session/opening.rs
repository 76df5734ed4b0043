//! The start of a login: files, baseline, process.

use std::path::Path;
use std::sync::Arc;

use crate::login::check::{Question, Screen};
use crate::login::machine::Input;
use crate::login::snapshot::FailureKind;
use crate::login::spawner::{LoginRequest, Shared};
use crate::process;
use crate::process::{
    ChildEnv, ChildEnvParts, Launch, OpenError, Parts, child_env, ports, prepare, private_directory,
};
use crate::proof::{Proof, fingerprint, prove};
use crate::registry::{Cli, Recipe, ScreenToken};

/// A started child, and the check for its login.
type Opened = (Parts, Question);

/// The reason why there is no child: the input for the machine, and the text for display.
type Unopened = (Input, Option<String>);

/// Writes the files that the CLI expects, records the state before the login, and starts the CLI.
pub(crate) async fn open(
    shared: &Shared,
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
    let before = move || {
        // The lease keeps other logins away, but another program may have taken the port at any time.
        if let Some(taken) = ports::first_taken(&callback_ports) {
            return Err(failed(FailureKind::PortInUse, &taken));
        }
        if cli.config_dir.shares() {
            private_directory(&common).map_err(|error| failed(FailureKind::SpawnFailed, &error))?;
        }
        prepare(&cli, &dir).map_err(|error| failed(FailureKind::SpawnFailed, &error))?;
        let logged_in = matches!(prove(&cli, &dir), Proof::LoggedIn(_));
        Ok((fingerprint(&cli, &dir), logged_in))
    };
    let (baseline, logged_in_before) = tokio::task::spawn_blocking(before)
        .await
        .map_err(|error| failed(FailureKind::SpawnFailed, &error))??;
    let launch = Launch {
        program: request.program.clone(),
        args: request.args.clone().unwrap_or_else(|| recipe.args.clone()),
        env: env.clone(),
        // A neutral directory: CLIs read configuration from their working directory.
        dir: request.config_dir.clone(),
        terminal,
    };
    if let Some(guard) = &shared.config.guard {
        guard.announce(&request.id).await;
    }
    let parts = process::open(launch).await.map_err(|error| match error {
        OpenError::Program(reason) => failed(FailureKind::SpawnFailed, &reason),
        OpenError::Terminal(reason) => failed(FailureKind::TtyUnavailable, &reason),
    })?;
    let question = Question {
        provider: Arc::clone(&request.provider),
        program: request.program.clone(),
        env,
        dir: request.config_dir.clone(),
        baseline,
        logged_in_before,
        failed: false,
        screen,
        check_timeout: shared.config.limits.check_timeout,
        clock: Arc::clone(&shared.config.clock),
    };
    Ok((parts, question))
}

fn failed(kind: FailureKind, reason: &dyn std::fmt::Display) -> Unopened {
    (Input::SpawnFailed(kind), Some(reason.to_string()))
}

/// Returns the place for the credential, if the recipe's CLI shows its credential and stores nothing.
fn screen(token: Option<&ScreenToken>, recipe: &Recipe) -> Option<Screen> {
    let token = token.filter(|_| !recipe.patterns.token.is_empty())?;
    let lifetime = token.lifetime_s.checked_mul(1000)?;
    Some(Screen { lifetime: i64::try_from(lifetime).ok()?, token: None })
}

fn environment(
    shared: &Shared,
    request: &LoginRequest,
    recipe: &Recipe,
    cli: &Cli,
    common: &Path,
) -> ChildEnv {
    child_env(
        &shared.config.environment,
        &ChildEnvParts {
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
