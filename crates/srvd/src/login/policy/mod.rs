//! The spawn policy: which parts of a login's command a client may set.
//!
//! A client names a provider; the daemon knows the command. Under `registered`, the other fields say what the client
//! means, and the daemon reports the fields that it does not use. Only a program that could be another one is refused.
//! Under `checked`, which an operator has to choose, every field is obeyed or refused by name.

mod arguments;
mod environment;
mod program;

use std::path::PathBuf;

use auth_spawner::{Cli, Provider, Recipe, Terminal};

use crate::base::programs::Skipped;
use crate::config::SpawnPolicy;
use crate::hint::Step;
use crate::wire::auth::Start;
use crate::wire::error::{ApiError, Kind};
use crate::wire::not_used::NotUsed;
use environment::ClientVariables;
pub(super) use program::{UnusedProgram, named};

/// The command of a login, apart from its program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The id of the recipe.
    pub(super) recipe: String,
    /// Arguments that replace the recipe's; only with the `checked` policy.
    pub(super) args: Option<Vec<String>>,
    /// Arguments that replace those of the CLI's check, or none for no check; only with the `checked` policy.
    pub(super) check_args: Option<Vec<String>>,
    /// The terminal that replaces the recipe's; only with the `checked` policy.
    pub(super) terminal: Option<Terminal>,
    /// Variables added to the registry's.
    pub(super) env: Vec<(String, String)>,
    /// The fields of the request that are not used.
    pub(super) not_used: Vec<NotUsed>,
}

/// The recipe of a login, and what the client's arguments add to it.
struct ChosenRecipe<'a> {
    recipe: &'a Recipe,
    args: Option<Vec<String>>,
    not_used: Option<NotUsed>,
}

/// Decides which command a request may run, apart from the program.
///
/// # Errors
/// `not_allowed`, naming the field that could mean another login or cannot be obeyed; `invalid_input` for a provider
/// without a login, or for an unknown recipe.
pub(super) fn plan(policy: SpawnPolicy, provider: &Provider, request: &Start) -> Result<Plan, ApiError> {
    let cli = provider.cli.as_ref().ok_or_else(|| {
        ApiError::invalid_input("providerId", "this provider has no login, only API keys")
            .hint(Step::UseSubmitKey)
    })?;
    let ChosenRecipe { recipe, args, not_used } = recipe(policy, cli, request)?;
    let ClientVariables { set, not_used: variables } =
        environment::sort(policy, cli, request.auth_env.as_ref())?;
    let mut plan = Plan { recipe: recipe.id.clone(), args, env: set, ..Plan::default() };
    plan.not_used.extend(not_used);
    match policy {
        SpawnPolicy::Registered => plan.not_used.extend(advice(cli, recipe, request)),
        SpawnPolicy::Checked => {
            plan.check_args = check_args(cli, recipe, request)?;
            plan.terminal = terminal(cli, recipe, request);
        }
    }
    plan.not_used.extend(variables);
    Ok(plan)
}

/// Returns the advice of a client that differs from the registry.
fn advice(cli: &Cli, recipe: &Recipe, request: &Start) -> impl Iterator<Item = NotUsed> {
    let registered = cli.check.as_ref().map_or(&[][..], |check| check.args.as_slice());
    let check = request.auth_check_args.as_ref().filter(|args| *args != registered).map(|_| {
        let reason = match &cli.check {
            Some(check) => {
                format!("the daemon checks this login by its files and by: {}", check.args.join(" "))
            }
            None => "the daemon checks this login by its files".to_owned(),
        };
        NotUsed { field: "authCheckArgs".to_owned(), reason }
    });
    let agrees = |wanted: bool| variants(cli, recipe).any(|variant| wanted == on_terminal(variant));
    let terminal = request.requires_tty.filter(|wanted| !agrees(*wanted)).map(|wanted| {
        let runs = if wanted { "without a terminal" } else { "on a terminal" };
        NotUsed { field: "requiresTty".to_owned(), reason: format!("this login runs {runs}") }
    });
    check.into_iter().chain(terminal)
}

/// Returns the variants of a recipe. The program's version decides which one is used.
fn variants<'a>(cli: &'a Cli, recipe: &'a Recipe) -> impl Iterator<Item = &'a Recipe> {
    cli.recipes.iter().filter(|variant| variant.id == recipe.id)
}

fn on_terminal(recipe: &Recipe) -> bool {
    recipe.terminal != Terminal::Pipe
}

/// Returns the terminal that a client asks for, if the registry's is another one.
fn terminal(cli: &Cli, recipe: &Recipe, request: &Start) -> Option<Terminal> {
    let wanted = request.requires_tty?;
    if variants(cli, recipe).all(|variant| on_terminal(variant) == wanted) {
        return None;
    }
    Some(if wanted { Terminal::WIDE } else { Terminal::Pipe })
}

/// Returns the check arguments of a client, if they are not the registry's.
fn check_args(cli: &Cli, recipe: &Recipe, request: &Start) -> Result<Option<Vec<String>>, ApiError> {
    let Some(args) = &request.auth_check_args else { return Ok(None) };
    if cli.check.as_ref().map_or(args.is_empty(), |check| check.args == *args) {
        return Ok(None);
    }
    let shows = variants(cli, recipe).any(|variant| !variant.patterns.token.is_empty());
    if shows && !args.is_empty() {
        let reason = "the CLI only shows this credential, so no command can check it";
        return Err(refused("authCheckArgs", &args.join(" ")).with("reason", reason));
    }
    sound("authCheckArgs", args).map(Some)
}

/// Returns the error for a login whose CLI was not found. A program of its name that is not run is named with the reason.
/// Otherwise it names the directories that were searched and exist: a CLI may be installed, but in a place that only the
/// user's shell knows.
pub(super) fn not_installed(
    provider: &Provider,
    cli: &Cli,
    refused: &[Skipped],
    searched: &[PathBuf],
) -> ApiError {
    let searched: Vec<String> =
        searched.iter().filter(|dir| dir.is_dir()).map(|dir| dir.display().to_string()).collect();
    let (message, hint) = if let Some(Skipped { path, reason, remedy }) = refused.first() {
        (format!("{} is not used: {reason}", path.display()), remedy.clone())
    } else {
        let step = Step::InstallCli { command: cli.install.clone(), searched: searched.join(", ") };
        (format!("{} is not installed", cli.binaries.join(" or ")), Some(step.into()))
    };
    let error = ApiError::new(Kind::NotFound, message)
        .with("what", "cli")
        .with("id", provider.id.as_str())
        .with("searched", searched);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Returns the error for a recipe that the provider does not have.
pub(super) fn unknown_recipe(cli: &Cli) -> ApiError {
    let known = cli.recipe_ids();
    ApiError::new(Kind::UnknownRecipe, "the provider has no such login recipe")
        .hint(Step::UseRecipe { known: known.join(", ") })
        .with("field", "recipe")
        .with("known", known)
}

fn refused(field: &str, value: &str) -> ApiError {
    ApiError::new(Kind::NotAllowed, format!("{field} cannot be used for this login"))
        .with("field", field)
        .with("value", value)
        .hint(Step::OmitField)
}

fn recipe<'a>(policy: SpawnPolicy, cli: &'a Cli, request: &Start) -> Result<ChosenRecipe<'a>, ApiError> {
    let first = cli
        .recipes
        .first()
        .ok_or_else(|| ApiError::invalid_input("providerId", "this provider has no login"))?;
    let named = match &request.recipe {
        Some(id) => {
            Some(cli.recipes.iter().find(|recipe| recipe.id == *id).ok_or_else(|| unknown_recipe(cli))?)
        }
        None => None,
    };
    let Some(args) = &request.auth_login_args else {
        return Ok(ChosenRecipe { recipe: named.unwrap_or(first), args: None, not_used: None });
    };
    let meant = arguments::meant(cli, named.unwrap_or(first), args);
    if policy == SpawnPolicy::Checked {
        let recipe = named.or(meant.ok().map(|meant| meant.recipe)).unwrap_or(first);
        let own = variants(cli, recipe).any(|variant| variant.args == *args);
        let args = if own { None } else { Some(sound("authLoginArgs", args)?) };
        return Ok(ChosenRecipe { recipe, args, not_used: None });
    }
    let unused = |reason: String| Some(NotUsed { field: "authLoginArgs".to_owned(), reason });
    match (named, meant) {
        // The recipe is the clearer choice of the two.
        (Some(recipe), Ok(meant)) if meant.named && meant.recipe.id == recipe.id => {
            Ok(ChosenRecipe { recipe, args: None, not_used: None })
        }
        (Some(recipe), _) => {
            let not_used = unused("the field recipe names the login".to_owned());
            Ok(ChosenRecipe { recipe, args: None, not_used })
        }
        (None, Ok(meant)) => {
            let no_recipe = || unused(format!("they name no login of this provider; {} is used", first.id));
            let not_used = if meant.named { None } else { no_recipe() };
            Ok(ChosenRecipe { recipe: meant.recipe, args: None, not_used })
        }
        (None, Err(word)) => Err(other_login(cli, &args.join(" "), &word)),
    }
}

/// Returns the error for arguments that may mean a login that the registry does not have.
fn other_login(cli: &Cli, args: &str, word: &str) -> ApiError {
    let known = cli.recipe_ids();
    let message = format!("authLoginArgs may mean another login than the provider's: {word}");
    ApiError::new(Kind::NotAllowed, message)
        .with("field", "authLoginArgs")
        .with("value", args)
        .hint(Step::ChooseRecipe { known: known.join(", ") })
        .with("known", known)
}

fn sound(field: &str, args: &[String]) -> Result<Vec<String>, ApiError> {
    if args.len() <= 32 && args.iter().all(|arg| arg.len() <= 4096 && !arg.contains('\0')) {
        return Ok(args.to_vec());
    }
    Err(refused(field, &args.join(" ")))
}

#[cfg(test)]
mod tests;
