//! `srvd exec` and `srvd env`: an identity's environment, for a program and for a shell.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use auth_spawner::{Cli, Provider, Registry};
use rustix::fs::Mode;

use super::client::Connection;
use super::failure::{Failure, code};
use super::resolve;
use super::ui::Ui;
use crate::api::launch::{Launch, Resolve};
use crate::boot;
use crate::config::Config;

/// As `env` and the shells have it: the program is there but cannot be run, or is not there.
const CANNOT_RUN: u8 = 126;
const NOT_THERE: u8 = 127;

/// Whose environment.
#[derive(Debug, clap::Args)]
pub(super) struct Identity {
    /// The bundle, by id or name
    #[arg(long, short)]
    bundle: String,
    /// Only this provider's account; without it all that the bundle binds
    #[arg(long)]
    provider: Option<String>,
}

/// Arguments of `srvd exec`.
#[derive(Debug, clap::Args)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    identity: Identity,
    /// The program and its arguments, after --
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// Arguments of `srvd env`.
#[derive(Debug, clap::Args)]
pub(super) struct EnvArgs {
    #[command(flatten)]
    identity: Identity,
    /// How the lines are written
    #[arg(long, value_enum, default_value_t = Shell::Sh)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    /// For sh, bash and zsh: eval "$(srvd env --bundle work)"
    Sh,
    /// For fish: srvd env --bundle work --shell fish | source
    Fish,
    /// One JSON object
    Json,
}

/// What the program is to become, decided by the daemon; nothing has been started.
pub(super) struct Prepared {
    launch: Launch,
    command: Vec<OsString>,
}

/// Asks the daemon; a refusal starts nothing.
pub(super) async fn prepare(args: ExecArgs, config: &Config) -> Result<Prepared, Failure> {
    let registry = boot::registry(config)?;
    let daemon = Connection::open(config).await?;
    let mut launch = ask(&daemon, &args.identity).await?;
    let name = args.command.first().map(OsString::as_os_str).unwrap_or_default();
    fit(&registry, name, &mut launch, &args.identity.bundle)?;
    Ok(Prepared { launch, command: args.command })
}

/// Becomes the program, with the file mode mask that this process was given. Only returns when that failed.
pub(super) fn become_program(prepared: &Prepared, mask: Mode) -> Failure {
    let Some((program, args)) = prepared.command.split_first() else {
        return Failure::new(code::USAGE, "there is no program to run");
    };
    let mut command = Command::new(program);
    command.args(args);
    for name in &prepared.launch.unset {
        command.env_remove(name);
    }
    for (name, value) in &prepared.launch.set {
        command.env(name, value.expose());
    }
    rustix::process::umask(mask);
    let error = command.exec();
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_THERE } else { CANNOT_RUN };
    Failure::new(code, format!("cannot run {}: {error}", program.to_string_lossy()))
}

/// `srvd env`.
pub(super) async fn env(args: EnvArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let launch = ask(daemon, &args.identity).await?;
    ui.print(render(&launch, args.shell).as_bytes())
}

async fn ask(daemon: &Connection, identity: &Identity) -> Result<Launch, Failure> {
    let bundle_id = Some(resolve::existing(daemon, &identity.bundle).await?);
    daemon.call(&Resolve { bundle_id, provider_id: identity.provider.clone(), ..Resolve::default() }).await
}

/// Fits a launch to the program, when that is a provider's CLI.
///
/// A CLI that the launch holds nothing for would fall back to the user's own login, so it is not started. And a key
/// of the same bundle that this CLI would prefer to its login is left out: the key is for other programs.
fn fit(registry: &Registry, program: &OsStr, launch: &mut Launch, bundle: &str) -> Result<(), Failure> {
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is_it = |cli: &Cli| cli.binaries.iter().any(|known| known == name);
    let clis = registry.iter().filter_map(|provider| Some((provider, provider.cli.as_ref()?)));
    let candidates: Vec<(&Arc<Provider>, &Cli)> = clis.filter(|(_, cli)| is_it(cli)).collect();
    let Some((first, _)) = candidates.first() else { return Ok(()) };
    let held = |id: &str| {
        launch.accounts.iter().any(|account| account.provider_id == id && account.reason.is_none())
    };
    let Some((_, cli)) = candidates.iter().find(|(provider, _)| held(&provider.id)) else {
        let message = format!("{name} is not started: this launch holds no login of {}", first.id);
        return Err(
            Failure::new(code::FAILED, message).hint(format!("srvd login {} --bundle {bundle}", first.id))
        );
    };
    // By a login, not by a key: then the directory is set.
    if launch.set.contains_key(&cli.config_dir.var) {
        let token = cli.token.as_ref().map(|token| &token.var);
        for name in cli.key_vars.iter().chain(&cli.scrub).filter(|name| Some(*name) != token) {
            if launch.set.remove(name).is_some() {
                launch.unset.push(name.clone());
            }
        }
    }
    Ok(())
}

fn render(launch: &Launch, shell: Shell) -> String {
    let mut text = String::new();
    match shell {
        Shell::Sh => {
            for name in &launch.unset {
                // Writing to a String cannot fail, here and below.
                let _ = writeln!(text, "unset {name}");
            }
            for (name, value) in &launch.set {
                let _ = writeln!(text, "export {name}='{}'", value.expose().replace('\'', r"'\''"));
            }
        }
        Shell::Fish => {
            for name in &launch.unset {
                let _ = writeln!(text, "set --erase {name}");
            }
            for (name, value) in &launch.set {
                let value = value.expose().replace('\\', r"\\").replace('\'', r"\'");
                let _ = writeln!(text, "set --global --export {name} '{value}'");
            }
        }
        Shell::Json => {
            let set: serde_json::Map<String, serde_json::Value> =
                launch.set.iter().map(|(name, value)| (name.clone(), value.expose().into())).collect();
            let _ = writeln!(text, "{}", serde_json::json!({ "set": set, "unset": launch.unset }));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::api::Status;
    use crate::api::launch::Used;

    fn launch(provider: &str, reason: Option<&str>) -> Launch {
        let set = [("A", "it's"), ("B", r"back\slash")];
        let value = |value: &str| SecretString::from(value).into();
        Launch {
            set: set.into_iter().map(|(name, text)| (name.to_owned(), value(text))).collect(),
            unset: vec!["C".to_owned(), "D".to_owned()],
            accounts: vec![Used {
                provider_id: provider.to_owned(),
                account_id: "a".to_owned(),
                source: "bundle".to_owned(),
                status: Status::Valid,
                reason: reason.map(str::to_owned),
                degraded_from: None,
            }],
            trace: None,
        }
    }

    #[test]
    fn each_shell_reads_it_as_it_is() {
        let launch = launch("codex", None);
        let check = |shell, expected: &str| assert_eq!(render(&launch, shell), expected);
        check(Shell::Sh, "unset C\nunset D\nexport A='it'\\''s'\nexport B='back\\slash'\n");
        check(
            Shell::Fish,
            "set --erase C\nset --erase D\nset --global --export A 'it\\'s'\nset --global --export B 'back\\\\slash'\n",
        );
        check(Shell::Json, "{\"set\":{\"A\":\"it's\",\"B\":\"back\\\\slash\"},\"unset\":[\"C\",\"D\"]}\n");
    }

    #[test]
    fn a_cli_without_a_login_of_its_own_is_not_started() {
        let registry = Registry::builtin().unwrap();
        let check = |program: &str, mut launch: Launch, started: bool| {
            let result = fit(&registry, OsStr::new(program), &mut launch, "work");
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
    fn a_key_of_the_bundle_does_not_shadow_the_login_of_the_cli() {
        let registry = Registry::builtin().unwrap();
        let check = |program: &str, directory: &str, kept: &[&str]| {
            let mut launch = launch("claude", None);
            for name in ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", directory] {
                launch.set.insert(name.to_owned(), SecretString::from("x").into());
            }
            fit(&registry, OsStr::new(program), &mut launch, "work").unwrap();
            let names: Vec<&str> = launch.set.keys().map(String::as_str).collect();
            assert_eq!(names, kept, "{program}");
        };
        check("claude", "CLAUDE_CONFIG_DIR", &["A", "B", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR"]);
        let all = ["A", "ANTHROPIC_API_KEY", "B", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR"];
        check("python3", "CLAUDE_CONFIG_DIR", &all);
    }
}
