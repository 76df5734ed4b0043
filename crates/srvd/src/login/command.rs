//! The command of a login, with the installed program that runs it.

use std::path::PathBuf;
use std::sync::Arc;

use auth_spawner::{Cli, Provider, Recipe};

use super::policy;
use super::policy::{Plan, UnusedProgram};
use super::service::Logins;
use crate::config::SpawnPolicy;
use crate::wire::auth::Start;
use crate::wire::convert::login_cli;
use crate::wire::error::{ApiError, Kind};
use crate::wire::not_used::NotUsed;

/// The command of a login, with the installed program.
pub(super) struct LoginCommand {
    pub(super) plan: Plan,
    /// The path of the program.
    pub(super) program: PathBuf,
    /// The version reported by the program.
    pub(super) version: Option<String>,
    /// The recipe variant that matches the version.
    recipe: Option<Recipe>,
}

impl LoginCommand {
    /// Returns whether the CLI only shows the credential and stores nothing.
    pub(super) fn only_shows(&self) -> bool {
        self.recipe.as_ref().is_some_and(|recipe| !recipe.patterns.token.is_empty())
    }

    /// Returns the maximum duration of the login, in seconds.
    pub(super) fn seconds(&self, longest: u64) -> u64 {
        self.recipe.as_ref().map_or(longest, |recipe| recipe.deadline.as_secs().min(longest))
    }
}

impl Logins {
    /// Returns the provider, or its successor if only the CLI of that one is installed.
    pub(super) async fn installed(&self, provider: &Arc<Provider>) -> Result<Arc<Provider>, ApiError> {
        let successor = provider.superseded_by.as_ref().and_then(|id| self.resources.registry.provider(id));
        let Some(successor) = successor else { return Ok(Arc::clone(provider)) };
        let only =
            !self.programs.is_identified(provider).await? && self.programs.is_identified(successor).await?;
        Ok(Arc::clone(if only { successor } else { provider }))
    }

    /// Plans the command and locates its program.
    pub(super) async fn command(
        &self,
        provider: &Arc<Provider>,
        request: &Start,
    ) -> Result<LoginCommand, ApiError> {
        let mut plan = policy::plan(self.policy, provider, request)?;
        let cli = login_cli(provider)?;
        let program = match request.cli_path.as_deref().filter(|path| !path.is_empty()) {
            None => self.programs.installed_cli(provider, cli).await?,
            Some(path) => match self.programs.named_by_client(self.policy, provider, cli, path).await? {
                Ok(program) => program,
                Err(unused) => {
                    let program = self.in_place_of(provider, cli, &unused).await?;
                    let reason = format!("{}; {} is used", unused.reason, program.display());
                    plan.not_used.insert(0, NotUsed { field: "cliPath".to_owned(), reason });
                    program
                }
            },
        };
        let version = if cli.depends_on_version() {
            self.programs.reported_version(provider, &program).await?
        } else {
            None
        };
        let recipe = provider.recipe(&plan.recipe, version.as_deref());
        Ok(LoginCommand { plan, program, version, recipe })
    }

    /// Returns the installed CLI to run in place of a client's program.
    async fn in_place_of(
        &self,
        provider: &Provider,
        cli: &Cli,
        unused: &UnusedProgram,
    ) -> Result<PathBuf, ApiError> {
        if self.policy == SpawnPolicy::Checked || !unused.is_the_cli {
            return Err(unused.refusal());
        }
        match self.programs.installed_cli(provider, cli).await {
            Err(missing) if missing.kind() == Kind::NotFound => Err(unused.refusal()),
            found => found,
        }
    }
}

/// Returns the note for a provider whose successor is used.
pub(super) fn superseded(named: &Provider, used: &Provider) -> Option<NotUsed> {
    let reason = format!(
        "{} is not installed; its successor {} ({}) is used",
        named.display_name, used.display_name, used.id
    );
    (named.id != used.id).then(|| NotUsed { field: "providerId".to_owned(), reason })
}
