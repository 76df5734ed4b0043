//! `srvd exec` and `srvd env`: the environment of an identity, for a program or for a shell.

mod gather;
mod program;
mod render;
mod shim;

use std::ffi::OsString;

use rustix::fs::Mode;
use secrecy::SecretString;

use super::client::Connection;
use super::failure::Failure;
use super::here::{self, BUNDLE_VAR};
use super::ui::Ui;
use crate::base::environment::Environment;
use crate::config::Config;
use crate::daemon;
use crate::wire::launch::{Launch, Resolve};
use gather::Gathered;
use render::Shell;

pub(super) use program::{Program, find, search_path, trust};
pub(super) use shim::OPT_OUT_VAR;

/// The identity to use.
#[derive(Debug, clap::Args)]
pub(super) struct Identity {
    /// The bundle, by id or name; by default, the one that this directory is bound to (see: srvd use)
    #[arg(long, short)]
    bundle: Option<String>,
    /// Only the account of this provider; by default, all accounts of the bundle
    #[arg(long)]
    provider: Option<String>,
}

/// Arguments of `srvd exec`.
#[derive(Debug, clap::Args)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    identity: Identity,
    /// Set by the shims
    #[arg(long, hide = true)]
    shim: bool,
    /// The program and its arguments, after --
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// Arguments of `srvd env`.
#[derive(Debug, clap::Args)]
pub(super) struct EnvArgs {
    #[command(flatten)]
    identity: Identity,
    /// The syntax of the output
    #[arg(long, value_enum, default_value_t = Shell::Sh)]
    shell: Shell,
}

/// A program that is ready to run. No process has been started.
pub(super) struct Prepared {
    program: Program,
    /// The daemon's answer and the bundle's id; `None` for a program that runs without an identity.
    identity: Option<(Launch, String)>,
}

/// Replaces this process with the program of a shim that needs no identity: the user asked for that, or the program
/// only prints its version or help. Returns `Ok` for other calls. It needs neither a daemon nor a configuration.
pub(super) fn step_aside(args: &ExecArgs, environment: &Environment, mask: Mode) -> Result<(), Failure> {
    if !args.shim || !(shim::opted_out(environment)? || shim::asks_about_itself(&args.command)) {
        return Ok(());
    }
    Err(Program::find(args.command.clone(), environment)?.become_plain(mask))
}

/// Asks the daemon for the launch, unless the program needs no identity. An error means that no program is started.
pub(super) async fn prepare(
    args: ExecArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<Prepared, Failure> {
    let way_out = args.shim.then(|| args.command.first().map(|name| name.to_string_lossy().into_owned()));
    let prepared = launched(args, config, environment, ui).await;
    prepared.map_err(|failure| match way_out.flatten() {
        Some(name) => failure.hint(format!("to run it once without srvd: {OPT_OUT_VAR}=off {name}")),
        None => failure,
    })
}

async fn launched(
    args: ExecArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<Prepared, Failure> {
    let registry = daemon::registry(config)?;
    if args.shim && gather::is_plain(&registry, &args.command) {
        return Ok(Prepared { program: Program::find(args.command, environment)?, identity: None });
    }
    let choice = here::choose(args.identity.bundle.as_deref(), environment)?;
    let daemon = Connection::open(config).await?;
    let bundle = choice.find(&daemon).await?;
    let name = args.command.first().map(OsString::as_os_str).unwrap_or_default();
    let in_words = |failure: Failure| failure.naming(&bundle);
    let Gathered { mut launch, notes } = match &args.identity.provider {
        Some(provider) => {
            let launch = daemon.call(&gather::only(&bundle, provider)).await.map_err(in_words)?;
            Gathered { launch, notes: Vec::new() }
        }
        None => gather::gather(&daemon, &registry, &bundle, name).await.map_err(in_words)?,
    };
    gather::fit(&registry, name, &mut launch, &bundle).map_err(in_words)?;
    let program = Program::find(args.command, environment)?;
    for note in notes {
        ui.note(&format!("srvd: {}", super::ui::plain_line(&note)));
    }
    Ok(Prepared { program, identity: Some((launch, bundle.id)) })
}

/// Replaces this process with the program, with the file mode mask that this process was given. Returns only if that
/// failed.
pub(super) fn become_program(prepared: &Prepared, mask: Mode) -> Failure {
    match &prepared.identity {
        Some((launch, bundle)) => prepared.program.become_launched(launch, bundle, mask),
        None => prepared.program.become_plain(mask),
    }
}

/// Runs `srvd env`.
pub(super) async fn env(
    args: EnvArgs,
    daemon: &Connection,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    let bundle = here::choose(args.identity.bundle.as_deref(), environment)?.find(daemon).await?;
    let provider_id = args.identity.provider;
    let wanted = Resolve { bundle_id: Some(bundle.id.clone()), provider_id, ..Resolve::default() };
    let mut launch = daemon.call(&wanted).await.map_err(|failure: Failure| failure.naming(&bundle))?;
    launch.set.insert(BUNDLE_VAR.to_owned(), SecretString::from(bundle.id).into());
    ui.print(render::render(&launch, args.shell).as_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::wire::Status;
    use crate::wire::launch::Used;

    /// A launch with an account of this provider.
    pub(super) fn launch(provider: &str, reason: Option<&str>) -> Launch {
        let set = [("A", "it's"), ("B", r"back\slash")];
        let value = |value: &str| SecretString::from(value).into();
        Launch {
            set: set.into_iter().map(|(name, text)| (name.to_owned(), value(text))).collect(),
            unset: ["C", "D"].map(str::to_owned).into_iter().collect(),
            accounts: vec![Used {
                provider_id: provider.to_owned(),
                account_id: "a".to_owned(),
                source: crate::wire::Source::Bundle,
                status: Status::Valid,
                generation: None,
                reason: reason.map(str::to_owned),
                degraded_from: None,
            }],
            trace: None,
        }
    }
}
