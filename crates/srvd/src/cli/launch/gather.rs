//! The request for a launch, and its answer with what only the command line knows.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use auth_spawner::{Cli, Provider, Registry};
use secrecy::SecretString;

use crate::base::environment::Environment;
use crate::cli::client::Connection;
use crate::cli::failure::Failure;
use crate::cli::git_credential::own_account;
use crate::cli::subject::{MARKS, Subject};
use crate::config::Config;
use crate::wire::forge_credential::GetCredential;
use crate::wire::launch::{Launch, Removed, Resolve};

/// The variable with the names of the variables that the outer launch set.
const LAUNCHED_VAR: &str = "SRVD_LAUNCHED";
/// The variables with the directories of configuration, data and the running daemon, by which the programs of the
/// launch find srvd.
const DIRS: [&str; 3] = ["SRVD_CONFIG_DIR", "SRVD_DATA_DIR", "SRVD_RUNTIME_DIR"];
/// The longest name that is sent to the daemon. No variable of a CLI is longer.
const LONGEST_NAME: usize = 256;

/// The parts of a request that the arguments decide.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The program to start.
    pub(super) program: Option<&'a OsStr>,
    /// The only provider to use.
    pub(super) provider: Option<String>,
    /// True to start a CLI that is logged out.
    pub(super) unbound: bool,
    /// True to describe the launch in place of starting it.
    pub(super) explain: bool,
    /// True to ask for the variables that are set here only.
    pub(super) exact: bool,
    /// True to set the variables of the active forge.
    pub(super) forge: bool,
}

/// Asks the daemon for the launch.
pub(super) async fn gather(
    daemon: &Connection,
    subject: &Subject,
    wanted: Wanted<'_>,
    environment: &Environment,
    config: &Config,
) -> Result<Launch, Failure> {
    let yes = |flag: bool| flag.then_some(true);
    let request = Resolve {
        provider_id: wanted.provider,
        program: wanted.program.map(name),
        allow_unbound: yes(wanted.unbound),
        allow_empty: yes(wanted.forge),
        explain: yes(wanted.explain),
        dry_run: yes(wanted.explain),
        environment_names: wanted.exact.then(|| names(environment)),
        ..subject.resolve()
    };
    let mut launch = daemon.call(&request).await.map_err(|failure: Failure| subject.naming(failure))?;
    if wanted.forge {
        add_forge(&mut launch, daemon).await?;
    }
    // The daemon may run in another place than the one that this environment leads to.
    let runtime = daemon.endpoint.socket.parent().unwrap_or(&config.runtime_dir);
    complete(&mut launch, subject, environment, &[&config.config_dir, &config.data_dir, runtime]);
    Ok(launch)
}

/// Adds the variables of the active forge. An account of the identity's own takes precedence, so it is refused.
async fn add_forge(launch: &mut Launch, daemon: &Connection) -> Result<(), Failure> {
    let answer = daemon.call(&GetCredential::default()).await?;
    let Some(credential) = answer.credential else { return Ok(()) };
    let kind = credential.forge_type.to_string();
    if launch.accounts.iter().any(|account| account.provider_id == kind && account.reason.is_none()) {
        return Err(own_account(&kind));
    }
    let set = credential.environment;
    launch.unset = launch.unset.iter().filter(|name| !set.contains_key(*name)).cloned().collect();
    if let Some(removed) = &mut launch.removed {
        removed.retain(|removed| !set.contains_key(&removed.name));
    }
    launch.set.extend(set);
    Ok(())
}

/// Adds the variables by which the programs of the launch find srvd and their identity, and removes those of an outer
/// launch.
fn complete(launch: &mut Launch, subject: &Subject, environment: &Environment, dirs: &[&Path; 3]) {
    let outer = environment.text(LAUNCHED_VAR).unwrap_or_default().split(' ').filter(|name| !name.is_empty());
    let unset: BTreeSet<String> = launch
        .unset
        .iter()
        .map(String::as_str)
        .chain(outer)
        .chain(MARKS)
        .filter(|name| !launch.set.contains_key(*name))
        .map(str::to_owned)
        .collect();
    let launched = launch.set.keys().cloned().collect::<Vec<_>>().join(" ");
    let plain = |text: String| SecretString::from(text).into();
    for (name, dir) in DIRS.into_iter().zip(dirs) {
        launch.set.insert(name.to_owned(), plain(dir.to_string_lossy().into_owned()));
    }
    launch.set.insert(LAUNCHED_VAR.to_owned(), plain(launched));
    launch.set.extend(subject.marks().into_iter().map(|(name, value)| (name.to_owned(), value)));
    launch.unset = unset.into_iter().filter(|name| !launch.set.contains_key(name)).collect();
}

/// Returns the credentials that are set here and that the launch removes.
pub(super) fn removed_secrets<'a>(
    launch: &'a Launch,
    environment: &'a Environment,
) -> impl Iterator<Item = &'a Removed> {
    let removed = launch.removed.iter().flatten();
    removed.filter(|removed| removed.class == "secret" && environment.text(&removed.name).is_some())
}

/// Returns the names of the variables that are set.
fn names(environment: &Environment) -> Vec<String> {
    let mut names = environment.names_with("");
    names.retain(|name| name.len() <= LONGEST_NAME);
    names
}

/// Returns the file name of a program.
fn name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
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
pub(super) fn named<'a>(
    registry: &'a Registry,
    program: &OsStr,
) -> impl Iterator<Item = (&'a Arc<Provider>, &'a Cli)> + use<'a> {
    let name = name(program);
    let clis = registry.iter().filter_map(|provider| Some((provider, provider.cli.as_ref()?)));
    clis.filter(move |(_, cli)| cli.binaries.contains(&name))
}

/// Returns a warning for each setting of the current project that takes the place of the login of the started CLI. The
/// project's author decides about them, so they do not keep the CLI from being started.
pub(super) fn project_warnings(registry: &Registry, program: &OsStr, launch: &Launch) -> Vec<String> {
    let Ok(dir) = std::env::current_dir() else { return Vec::new() };
    let used = |id: &str| {
        launch.accounts.iter().any(|account| account.provider_id == id && account.reason.is_none())
    };
    let launched = named(registry, program).filter(|(provider, _)| used(&provider.id));
    let warning = |(provider, cli): (&Arc<Provider>, &Cli)| {
        let name = provider.display_name.clone();
        cli.project_shadows(&dir).into_iter().map(move |shadow| {
            format!("warning: in this project, {name} may use another credential: {shadow}")
        })
    };
    launched.flat_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::tests::launch;
    use super::*;
    use crate::cli::here::Source;
    use crate::cli::list::tests::bundle;
    use crate::config::Flags;
    use crate::wire::Status;

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
    fn inner_launch_removes_the_variables_of_the_outer_one_and_finds_the_daemon() {
        let outer = [
            ("HOME", "/h"),
            ("SRVD_LAUNCHED", "A GH_TOKEN GH_CONFIG_DIR"),
            ("SRVD_AGENT", "coder"),
            ("GH_TOKEN", "outer"),
            ("SRVD_DATA_DIR", "/d"),
        ];
        let environment = Environment::of(outer.map(|(name, value)| (name, value.to_owned())));
        let config = Config::load(&environment, &Flags::default()).unwrap();
        let subject = Subject::Bundle(Box::new(bundle("Work", "claude", Status::Valid)), Source::Flag);
        let mut launch = launch("claude", None);
        let dirs = [&config.config_dir, &config.data_dir, &config.runtime_dir].map(PathBuf::as_path);
        complete(&mut launch, &subject, &environment, &dirs);
        let set: Vec<(&str, &str)> =
            launch.set.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(
            set[2..],
            [
                ("SRVD_BUNDLE", "b1"),
                ("SRVD_CONFIG_DIR", "/h/.config/srvd"),
                ("SRVD_DATA_DIR", "/d"),
                ("SRVD_LAUNCHED", "A B"),
                ("SRVD_RUNTIME_DIR", "/d/run"),
            ]
        );
        let unset = ["C", "D", "GH_CONFIG_DIR", "GH_TOKEN", "SRVD_AGENT", "SRVD_INSTANCE", "SRVD_USER"];
        assert_eq!(*launch.unset, unset.map(str::to_owned));
    }
}
