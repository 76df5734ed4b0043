//! The choice of the accounts of a bundle that a program is launched with.
//!
//! A program that is no provider's CLI gets all accounts. It is refused if one of the logins cannot be used. A
//! provider's own CLI only needs the account of that provider. The others are added for the programs that it starts.
//! One that cannot be used, or that needs a variable of the CLI's own account, is left out and reported. Its variables
//! are removed from the environment, as if the bundle did not bind it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use auth_spawner::{Cli, Provider, Registry};
use rpc_engine::CallError;

use crate::cli::client::Connection;
use crate::cli::failure::{Failure, code, field};
use crate::wire::bundle::{Binding, Bundle};
use crate::wire::launch::{Launch, Resolve};
use crate::wire::suggestion::{SuggestedCommand, Suggestion};

/// The relation of a program to a bundle.
#[derive(Debug, PartialEq, Eq)]
enum Program<'a> {
    /// No provider's CLI, or that of several providers that the bundle binds.
    Any,
    /// The CLI of this provider, which the bundle binds.
    Cli(&'a str),
    /// The CLI of this provider, which the bundle does not bind.
    Unbound(&'a str),
}

/// A launch, and the notes about it for the user.
pub(super) struct Gathered {
    pub(super) launch: Launch,
    pub(super) notes: Vec<String>,
}

/// Asks the daemon for the launch of `program`.
pub(super) async fn gather(
    daemon: &Connection,
    registry: &Registry,
    bundle: &Bundle,
    program: &OsStr,
) -> Result<Gathered, Failure> {
    match Program::of(registry, program, &bundle.bindings) {
        Program::Unbound(provider) => Err(not_started(program, provider, bundle)),
        Program::Any => Ok(Gathered { launch: daemon.call(&all(bundle)).await?, notes: Vec::new() }),
        Program::Cli(provider) => match daemon.client.call(&all(bundle)).await {
            Ok(launch) => Ok(Gathered { launch, notes: Vec::new() }),
            // The next call asks for the program's own login alone, and fails if that login cannot be used.
            Err(CallError::Rpc(_)) => around(daemon, bundle, provider).await,
            Err(error) => Err(error.into()),
        },
    }
}

/// Returns the launch of one provider, with the accounts of the other providers that can be added.
async fn around(daemon: &Connection, bundle: &Bundle, provider: &str) -> Result<Gathered, Failure> {
    let mut launch = daemon.call(&only(bundle, provider)).await?;
    let mut notes = Vec::new();
    for binding in bundle.bindings.iter().filter(|binding| binding.provider_id != provider) {
        match daemon.client.call(&only(bundle, &binding.provider_id)).await {
            Ok(other) => {
                if let Err(name) = join(&mut launch, other) {
                    notes.push(format!("started without {}: {name} is already set", binding.provider_id));
                }
            }
            Err(CallError::Rpc(error)) => {
                let step = field(&error, "hint").map(|hint| format!(" ({hint})")).unwrap_or_default();
                notes.push(format!("started without {}{step}", error.message));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Gathered { launch, notes })
}

/// Adds another launch, completely or not at all. `Err` holds the variable that both would set differently.
fn join(launch: &mut Launch, other: Launch) -> Result<(), String> {
    let taken = other
        .set
        .iter()
        .find(|(name, value)| launch.set.get(*name).is_some_and(|ours| ours.expose() != value.expose()));
    if let Some((name, _)) = taken {
        return Err(name.clone());
    }
    launch.set.extend(other.set);
    launch.accounts.extend(other.accounts);
    let unset: BTreeSet<&String> = launch.unset.iter().chain(&*other.unset).collect();
    launch.unset = unset.into_iter().filter(|name| !launch.set.contains_key(*name)).cloned().collect();
    Ok(())
}

impl<'a> Program<'a> {
    fn of(registry: &'a Registry, program: &OsStr, bindings: &[Binding]) -> Self {
        let candidates: Vec<(&Arc<Provider>, &Cli)> = named(registry, program).collect();
        let Some((first, _)) = candidates.first() else { return Self::Any };
        let bound = |id: &str| bindings.iter().any(|binding| binding.provider_id == id);
        let mut bound = candidates.iter().map(|(provider, _)| provider.id.as_str()).filter(|id| bound(id));
        match (bound.next(), bound.next()) {
            (None, _) => Self::Unbound(&first.id),
            (Some(one), None) => Self::Cli(one),
            (Some(_), Some(_)) => Self::Any,
        }
    }
}

/// Returns whether the program is a provider's CLI that needs no login for this command.
pub(super) fn is_plain(registry: &Registry, command: &[OsString]) -> bool {
    let Some((program, args)) = command.split_first() else { return false };
    let needs_none = |cli: &Cli| {
        let words = |arg: &OsString| cli.plain_commands.iter().any(|word| arg == word.as_str());
        let asks_version = !cli.version_args.is_empty()
            && cli.version_args.len() <= args.len()
            && cli.version_args.iter().zip(args).all(|(known, arg)| arg == known.as_str());
        args.first().is_some_and(words) || asks_version
    };
    named(registry, program).any(|(_, cli)| needs_none(cli))
}

/// Returns the providers whose CLI has the program's name.
fn named<'a>(
    registry: &'a Registry,
    program: &OsStr,
) -> impl Iterator<Item = (&'a Arc<Provider>, &'a Cli)> + use<'a> {
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
    let clis = registry.iter().filter_map(|provider| Some((provider, provider.cli.as_ref()?)));
    clis.filter(move |(_, cli)| cli.binaries.contains(&name))
}

/// Adapts a launch to the program if that is a provider's CLI.
///
/// A CLI for which the launch holds no account would use the user's own login, so it is not started. A key of the same
/// bundle that this CLI would prefer to its login is removed: the key is for other programs.
pub(super) fn fit(
    registry: &Registry,
    program: &OsStr,
    launch: &mut Launch,
    bundle: &Bundle,
) -> Result<(), Failure> {
    let candidates: Vec<(&Arc<Provider>, &Cli)> = named(registry, program).collect();
    let Some((first, _)) = candidates.first() else { return Ok(()) };
    let held = |id: &str| {
        launch.accounts.iter().any(|account| account.provider_id == id && account.reason.is_none())
    };
    let Some((_, cli)) = candidates.iter().find(|(provider, _)| held(&provider.id)) else {
        return Err(not_started(program, &first.id, bundle));
    };
    // The directory, or the text of the login's file, is only set for a login, not for a key.
    let login = cli.credential_var.as_ref().unwrap_or(&cli.config_dir.var);
    if launch.set.contains_key(login) {
        let token = cli.token.as_ref().map(|token| &token.var);
        for name in cli.key_vars.iter().chain(&cli.scrub).filter(|name| Some(*name) != token) {
            if launch.set.remove(name).is_some() {
                launch.unset = launch.unset.iter().chain([name]).cloned().collect();
            }
        }
    }
    Ok(())
}

fn not_started(program: &OsStr, provider: &str, bundle: &Bundle) -> Failure {
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    let message = format!("{name} was not started: this launch has no login of {provider}");
    let command = SuggestedCommand::Login;
    let suggestion = Suggestion { command, provider: provider.to_owned(), bundle: bundle.id.clone() };
    Failure::new(code::FAILED, message).hint(suggestion.to_string())
}

fn all(bundle: &Bundle) -> Resolve {
    Resolve { bundle_id: Some(bundle.id.clone()), ..Resolve::default() }
}

/// Returns the request for the launch of one account of a bundle.
pub(super) fn only(bundle: &Bundle, provider: &str) -> Resolve {
    Resolve { provider_id: Some(provider.to_owned()), ..all(bundle) }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::super::tests::launch;
    use super::*;
    use crate::cli::list::tests::bundle;
    use crate::wire::Status;

    fn setting(provider: &str, set: &[(&str, &str)], unset: &[&str]) -> Launch {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value).into()));
        let unset = unset.iter().map(|name| (*name).to_owned()).collect();
        Launch { set: set.collect(), unset, ..launch(provider, None) }
    }

    #[test]
    fn program_is_a_cli_when_the_bundle_binds_its_provider() {
        let registry = Registry::builtin().unwrap();
        let check = |program: &str, bound: &[&str], expected: Program<'_>| {
            let binding = |id: &&str| bundle("Work", id, Status::Valid).bindings.remove(0);
            let bindings: Vec<Binding> = bound.iter().map(binding).collect();
            assert_eq!(Program::of(&registry, OsStr::new(program), &bindings), expected, "{program}");
        };
        check("codex", &["claude", "codex"], Program::Cli("codex"));
        check("/usr/bin/codex", &["codex"], Program::Cli("codex"));
        check("codex", &["claude"], Program::Unbound("codex"));
        check("codex", &[], Program::Unbound("codex"));
        check("make", &["claude"], Program::Any);
        // Two providers' CLIs have this name.
        check("kimi", &["kimi"], Program::Cli("kimi"));
        check("kimi", &["kimi-code"], Program::Cli("kimi-code"));
        check("kimi", &["kimi", "kimi-code"], Program::Any);
    }

    #[test]
    fn command_is_plain_when_the_registry_says_so_of_its_first_argument() {
        let registry = Registry::builtin().unwrap();
        let check = |line: &str, expected: bool| {
            let command: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(is_plain(&registry, &command), expected, "{line}");
        };
        check("claude update", true);
        check("claude install latest", true);
        check("/opt/bin/claude update", true);
        check("claude --version", true);
        check("claude", false);
        check("claude -p update", false);
        check("codex completion bash", true);
        check("gh completion -s bash", true);
        check("gh pr list", false);
        check("gemini -v", true);
        check("kimi upgrade", true);
        // These are prompts, which would be answered with the user's own login.
        check("claude completion", false);
        check("gemini help", false);
        check("pi help", false);
        check("make update", false);
        // An entry that lists none has the usual one.
        let text = "[providers.new]\ndisplay-name = 'New'\nclass = 'oauth'\n[providers.new.cli]\nbinaries = ['new']\n\
            install = 'x'\nconfig-dir = { var = 'NEW_HOME', name = 'new', ambient = '~/.new' }";
        let overlay = auth_spawner::Overlay { source: "new.toml".to_owned(), text: text.to_owned() };
        let registry = Registry::with_overlays(&[overlay]).unwrap();
        let command = ["new", "completion"].map(OsString::from);
        assert!(is_plain(&registry, &command) && !is_plain(&registry, &command[..1]));
    }

    #[test]
    fn launch_joins_another_whole_or_not_at_all() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let check = |other: Launch, expected: Result<(&[&str], &[&str]), &str>| {
            let mut ours =
                setting("amp", &[("XDG_DATA_HOME", "/b/amp")], &["AMP_API_KEY", "CODEX_HOME", "K"]);
            let joined = join(&mut ours, other);
            let set: Vec<&str> = ours.set.keys().map(String::as_str).collect();
            match expected {
                Ok(expected) => {
                    assert_eq!((joined, (&*set, &*ours.unset)), (Ok(()), (expected.0, &*owned(expected.1))));
                    assert_eq!(ours.accounts.len(), 2);
                }
                Err(name) => {
                    assert_eq!((joined, &*set), (Err(name.to_owned()), &["XDG_DATA_HOME"][..]));
                    assert_eq!(
                        (ours.unset.join(" ").as_str(), ours.accounts.len()),
                        ("AMP_API_KEY CODEX_HOME K", 1)
                    );
                }
            }
        };
        check(
            setting("codex", &[("CODEX_HOME", "/b/codex")], &["AMP_API_KEY", "XDG_DATA_HOME", "X"]),
            Ok((&["CODEX_HOME", "XDG_DATA_HOME"], &["AMP_API_KEY", "K", "X"])),
        );
        check(
            setting("opencode", &[("XDG_CACHE_HOME", "/c"), ("XDG_DATA_HOME", "/b/opencode")], &["Y"]),
            Err("XDG_DATA_HOME"),
        );
        check(
            setting("x", &[("XDG_DATA_HOME", "/b/amp")], &[]),
            Ok((&["XDG_DATA_HOME"], &["AMP_API_KEY", "CODEX_HOME", "K"])),
        );
    }

    #[test]
    fn cli_is_not_started_when_it_has_no_login_of_its_own() {
        let registry = Registry::builtin().unwrap();
        let work = bundle("Work", "claude", Status::Valid);
        let check = |program: &str, mut launch: Launch, started: bool| {
            let result = fit(&registry, OsStr::new(program), &mut launch, &work);
            assert_eq!(result.is_ok(), started, "{program}: {result:?}");
        };
        check("codex", launch("codex", None), true);
        check("/usr/bin/codex", launch("codex", None), true);
        check("codex", launch("claude", None), false);
        check("codex", launch("codex", Some("it has expired")), false);
        check("make", launch("claude", None), true);
        check("kimi", launch("kimi-code", None), true);
    }

    #[test]
    fn bundle_key_is_dropped_when_it_would_shadow_the_login_of_the_cli() {
        let registry = Registry::builtin().unwrap();
        let work = bundle("Work", "claude", Status::Valid);
        let check = |program: &str, directory: &str, kept: &[&str]| {
            let mut launch = launch("claude", None);
            for name in ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", directory] {
                launch.set.insert(name.to_owned(), SecretString::from("x").into());
            }
            fit(&registry, OsStr::new(program), &mut launch, &work).unwrap();
            let names: Vec<&str> = launch.set.keys().map(String::as_str).collect();
            assert_eq!(names, kept, "{program}");
        };
        check("claude", "CLAUDE_CONFIG_DIR", &["A", "B", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR"]);
        let all = ["A", "ANTHROPIC_API_KEY", "B", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR"];
        check("python3", "CLAUDE_CONFIG_DIR", &all);
    }
}
