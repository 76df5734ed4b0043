//! The spawn policy: which parts of a login's command a client may set.
//!
//! A client names a provider; the daemon knows the command. Fields sent by older clients must match the registry,
//! unless the operator has widened the policy to `checked`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use auth_spawner::{Cli, Provider, Recipe, Terminal};

use crate::base::environment::is_variable_name;
use crate::base::programs::{Installed, Search, Skipped};
use crate::base::trust::Trust;
use crate::config::SpawnPolicy;
use crate::hint::Step;
use crate::wire::auth::Start;
use crate::wire::error::{ApiError, Kind};

/// The command of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The path of the program.
    pub(super) program: PathBuf,
    /// The id of the recipe.
    pub(super) recipe: String,
    /// Arguments that replace the recipe's; only with the `checked` policy.
    pub(super) args: Option<Vec<String>>,
    /// Variables added to the registry's; only with the `checked` policy.
    pub(super) env: Vec<(String, String)>,
}

/// Decides which command a request may run.
///
/// # Errors
/// `not_allowed`, naming the field that does not match; `not_found` for a CLI that is not installed; `invalid_input`
/// for a provider without a login, or for an unknown recipe.
pub(super) fn plan(
    policy: SpawnPolicy,
    provider: &Provider,
    request: &Start,
    search: &Search,
) -> Result<Plan, ApiError> {
    let cli = provider.cli.as_ref().ok_or_else(|| {
        ApiError::invalid_input("providerId", "this provider has no login, only API keys")
            .hint(Step::UseSubmitKey)
    })?;
    let recipe = recipe(policy, cli, request)?;
    // Which variant of the recipe is used depends on the program's version.
    let variants = || cli.recipes.iter().filter(|variant| variant.id == recipe.id);
    let args = match &request.auth_login_args {
        Some(args) if variants().all(|variant| *args != variant.args) => {
            Some(checked_args(policy, "authLoginArgs", args)?)
        }
        _ => None,
    };
    if let Some(args) = &request.auth_check_args {
        let registered = cli.check.as_ref().is_some_and(|check| check.args == *args);
        if !registered {
            checked_args(policy, "authCheckArgs", args)?;
        }
    }
    let agrees = |wanted: bool| variants().any(|variant| wanted != (variant.terminal == Terminal::Pipe));
    if request.requires_tty.is_some_and(|wanted| !agrees(wanted)) && policy == SpawnPolicy::Registered {
        return Err(refused("requiresTty", &request.requires_tty.unwrap_or_default().to_string()));
    }
    let env = environment(policy, cli, request.auth_env.as_ref())?;
    let program = program(policy, provider, cli, request, search)?;
    Ok(Plan { program, recipe: recipe.id.clone(), args, env })
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
    ApiError::new(Kind::NotAllowed, format!("{field} does not match the provider registry"))
        .with("field", field)
        .with("value", value)
        .hint(Step::OmitField)
}

fn recipe<'a>(policy: SpawnPolicy, cli: &'a Cli, request: &Start) -> Result<&'a Recipe, ApiError> {
    let first = cli
        .recipes
        .first()
        .ok_or_else(|| ApiError::invalid_input("providerId", "this provider has no login"))?;
    if let Some(id) = &request.recipe {
        return cli.recipes.iter().find(|recipe| recipe.id == *id).ok_or_else(|| unknown_recipe(cli));
    }
    match &request.auth_login_args {
        None => Ok(first),
        Some(args) => match cli.recipes.iter().find(|recipe| recipe.args == *args) {
            Some(recipe) => Ok(recipe),
            None if policy == SpawnPolicy::Checked => Ok(first),
            None => Err(refused("authLoginArgs", &args.join(" "))),
        },
    }
}

fn checked_args(policy: SpawnPolicy, field: &str, args: &[String]) -> Result<Vec<String>, ApiError> {
    let sound = args.len() <= 32 && args.iter().all(|arg| arg.len() <= 4096 && !arg.contains('\0'));
    if policy == SpawnPolicy::Checked && sound {
        return Ok(args.to_vec());
    }
    Err(refused(field, &args.join(" ")))
}

fn program(
    policy: SpawnPolicy,
    provider: &Provider,
    cli: &Cli,
    request: &Start,
    search: &Search,
) -> Result<PathBuf, ApiError> {
    let Some(path) = request.cli_path.as_deref().filter(|path| !path.is_empty()) else {
        let Installed { usable, refused } = search.installed(cli);
        let first = usable.into_iter().next();
        return first.ok_or_else(|| not_installed(provider, cli, &refused, search.dirs()));
    };
    let named = Path::new(path);
    let canonical = named_program(named, search.trust())
        .map_err(|reason| refused("cliPath", path).with("reason", reason))?;
    let registered = named
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| cli.binaries.iter().any(|known| known == name))
        && named.parent().is_some_and(|dir| search.has(dir));
    match policy {
        SpawnPolicy::Registered if !registered => Err(refused("cliPath", path)),
        SpawnPolicy::Registered => Ok(named.to_owned()),
        SpawnPolicy::Checked => Ok(canonical),
    }
}

/// Returns the canonical path of a program that a client names, if only root and this user can change it.
fn named_program(path: &Path, trust: &Trust) -> Result<PathBuf, String> {
    if !path.is_absolute() {
        return Err("not an absolute path".to_owned());
    }
    if path.components().any(|part| matches!(part, std::path::Component::ParentDir)) {
        return Err("contains a .. component".to_owned());
    }
    trust.program(path).map_err(|error| error.to_string())
}

fn environment(
    policy: SpawnPolicy,
    cli: &Cli,
    asked: Option<&BTreeMap<String, String>>,
) -> Result<Vec<(String, String)>, ApiError> {
    let mut env = Vec::new();
    for (name, value) in asked.into_iter().flatten() {
        // The bundle's directory is set last and overrides this variable, so it is accepted and ignored.
        if *name == cli.config_dir.var {
            continue;
        }
        let field = format!("authEnv.{name}");
        let widened = policy == SpawnPolicy::Checked && is_variable_name(name) && !is_denied(name);
        if !widened || value.len() > 4096 || value.contains('\0') {
            // The value may be a secret, so the error contains only the name.
            return Err(ApiError::new(
                Kind::NotAllowed,
                format!("{field} is not a variable that a client may set"),
            )
            .with("field", field));
        }
        env.push((name.clone(), value.clone()));
    }
    Ok(env)
}

/// Names of variables that make a program load code, trust other certificates, connect to other hosts, or see the
/// daemon's own secrets. `*` matches any text.
#[rustfmt::skip] // one compact list
const DENIED: &[&str] = &[
    "LD_*", "DYLD_*", "GLIBC_TUNABLES", "GCONV_PATH", "NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS",
    "NODE_TLS_REJECT_UNAUTHORIZED", "NODE_V8_COVERAGE", "ELECTRON_*", "BUN_*", "DENO_*", "PYTHON*", "PERL5*",
    "PERLLIB", "RUBY*", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "BASH_ENV", "ENV", "SHELLOPTS",
    "BASHOPTS", "PS4", "PROMPT_COMMAND", "IFS", "CDPATH", "PATH", "HOME", "SHELL", "EDITOR", "VISUAL", "PAGER",
    "BROWSER", "GIT_*", "SSH_ASKPASS", "SSH_AUTH_SOCK", "SSL_CERT_*", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
    "*_PROXY", "*_BASE_URL", "*_API_URL", "OAUTH_ENCRYPTION_KEY*", "SRVD_*", "NOTIFY_SOCKET", "LISTEN_*",
    "CREDENTIALS_DIRECTORY", "DBUS_SESSION_BUS_ADDRESS", "TMPDIR", "MALLOC_*", "BASH_FUNC_*", "TERM",
];

fn is_denied(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    DENIED.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => name == *pattern,
    })
}

#[cfg(test)]
mod tests;
