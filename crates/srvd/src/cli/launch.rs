//! `srvd exec` and `srvd env`: the environment of an identity, for a program or for a shell.

mod detached;
mod explain;
mod gather;
mod program;
mod render;
mod shim;
pub(super) mod verify;

use std::ffi::{OsStr, OsString};

use auth_spawner::Registry;
use rustix::fs::Mode;

use super::client::Connection;
use super::failure::Failure;
use super::quota;
use super::subject::{Subject, SubjectArgs};
use super::ui::{Ui, plain_line};
use crate::base::environment::Environment;
use crate::config::Config;
use crate::daemon;
use crate::hint::Step;
use crate::wire::launch::{Launch, Removed};
use gather::Wanted;
use render::Shell;

pub(super) use explain::policy;
pub(super) use program::{Program, find, search_path, trust};
pub(super) use shim::OPT_OUT_VAR;

/// The identity to use, and the part of it.
#[derive(Debug, clap::Args)]
pub(super) struct Identity {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Only the account of this provider; by default, all accounts of the identity
    #[arg(long)]
    provider: Option<String>,
    /// Do not report what is removed or left out
    #[arg(long, short)]
    quiet: bool,
}

/// Arguments of `srvd exec`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, clap::Args)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    identity: Identity,
    /// Start a provider's CLI even if the identity has no account for it; it is then logged out
    #[arg(long)]
    unbound: bool,
    /// Show accounts, homes and variables, and start nothing
    #[arg(long)]
    explain: bool,
    /// Use the bundle whose login of this provider has the most left (see: srvd best)
    #[arg(long, value_name = "PROVIDER", conflicts_with_all = ["bundle", "instance", "agent", "user"])]
    best: Option<String>,
    /// Ask the CLI first whose login it would use, and start nothing unless it confirms the account
    ///
    /// The question is asked in the environment and in the directory of the launch. It finds settings that srvd does not
    /// know. Another program than a CLI is started if every CLI of the bundle that can be asked confirms its account.
    #[arg(long)]
    verify: bool,
    /// Set the variables of the active forge, such as those of gh and glab, from the operator's account
    #[arg(long)]
    forge: bool,
    /// Set by the shims
    #[arg(long, hide = true)]
    shim: bool,
    /// The program and its arguments, after --
    #[arg(last = true, required_unless_present = "explain", value_name = "PROGRAM")]
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
    /// The daemon's answer; `None` for a program that runs without an identity.
    launch: Option<Launch>,
}

/// Replaces this process with the program of a shim that needs no identity: the user asked for that, or the program
/// only prints its version or help. Returns `Ok` for other calls. It needs neither a daemon nor a configuration.
pub(super) fn step_aside(args: &ExecArgs, environment: &Environment, mask: Mode) -> Result<(), Failure> {
    if !args.shim || !(shim::opted_out(environment)? || shim::asks_about_itself(&args.command)) {
        return Ok(());
    }
    Err(Program::find(args.command.clone(), environment)?.become_plain(mask))
}

/// Asks the daemon for the launch, unless the program needs no identity. Returns `None` if the launch was only to be
/// shown. An error means that no program is started.
pub(super) async fn prepare(
    args: ExecArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<Option<Prepared>, Failure> {
    let way_out = args.shim.then(|| args.command.first().map(|name| name.to_string_lossy().into_owned()));
    let prepared = launched(args, config, environment, ui).await;
    prepared.map_err(|failure| match way_out.flatten() {
        Some(name) => {
            failure.hint(Step::RunWithoutSrvd { variable: OPT_OUT_VAR.to_owned(), program: name.into() })
        }
        None => failure,
    })
}

async fn launched(
    args: ExecArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<Option<Prepared>, Failure> {
    let registry = daemon::registry(config)?;
    if args.shim && gather::is_plain(&registry, &args.command) {
        return Ok(Some(Prepared { program: Program::find(args.command, environment)?, launch: None }));
    }
    let Identity { subject, provider, quiet } = args.identity;
    let daemon = Connection::open(config).await?;
    let subject = match &args.best {
        None => subject.find(&daemon, environment, config, ui).await?,
        Some(provider) => {
            let (bundle, best) = quota::best_bundle(&daemon, provider).await?;
            if !quiet {
                ui.note(&format!("srvd: bundle {}: {}", plain_line(&bundle), plain_line(&best.reason)));
            }
            SubjectArgs::of_bundle(bundle).find(&daemon, environment, config, ui).await?
        }
    };
    let name = args.command.first().map(OsString::as_os_str);
    let wanted = Wanted {
        program: name,
        provider,
        // A launch that is only shown is shown for a program that would be refused, too.
        unbound: args.unbound || args.explain,
        explain: args.explain,
        exact: true,
        forge: args.forge && !args.explain,
    };
    let launch = gather::gather(&daemon, &subject, wanted, environment, config).await;
    let launch = launch.map_err(|failure| logged_out_hint(failure, name, &subject, &registry))?;
    if args.explain {
        ui.result(&explain::draw(&launch, &subject, &registry, ui))?;
        return Ok(None);
    }
    let mut notes = gather::project_warnings(&registry, name.unwrap_or_default(), &launch);
    if args.verify {
        let asked = verify::verify(&daemon, &registry, &launch, name.unwrap_or_default(), environment);
        notes.extend(Box::pin(asked).await?);
    }
    notes.extend(detached::note(&args.command, environment, &subject.label()));
    let program = Program::find(args.command, environment)?;
    if !quiet {
        report(&launch, &subject, environment, ui);
        for note in &notes {
            ui.note(&format!("srvd: {}", plain_line(note)));
        }
    }
    Ok(Some(Prepared { program, launch: Some(launch) }))
}

/// Reports what a launch leaves out, and the credentials of this environment that it removes.
fn report(launch: &Launch, subject: &Subject, environment: &Environment, ui: &Ui) {
    for warning in &launch.warnings {
        ui.note(&format!("srvd: {}", plain_line(&subject.named(warning))));
    }
    for Removed { name, reason, .. } in gather::removed_secrets(launch, environment) {
        ui.note(&format!("srvd: removed {name}: {}", plain_line(reason)));
    }
}

/// Adds the way to start a CLI logged out to the refusal of one that has no account.
fn logged_out_hint(
    failure: Failure,
    program: Option<&OsStr>,
    subject: &Subject,
    registry: &Registry,
) -> Failure {
    let Some(program) = program.filter(|program| gather::named(registry, program).next().is_some()) else {
        return failure;
    };
    if !failure.message().contains("was not started") {
        return failure;
    }
    // The launches of agents are started by frontends.
    let Subject::Bundle(bundle, _) = subject else { return failure };
    let (bundle, program) = ((&bundle.name).into(), program.to_string_lossy().into_owned().into());
    failure.hint(Step::StartLoggedOut { bundle, program })
}

/// Replaces this process with the program, with the file mode mask that this process was given. Returns only if that
/// failed.
pub(super) fn become_program(prepared: &Prepared, mask: Mode) -> Failure {
    match &prepared.launch {
        Some(launch) => prepared.program.become_launched(launch, mask),
        None => prepared.program.become_plain(mask),
    }
}

/// Runs `srvd env`.
pub(super) async fn env(
    args: EnvArgs,
    daemon: &Connection,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    let Identity { subject, provider, quiet } = args.identity;
    let subject = subject.find(daemon, environment, config, ui).await?;
    // A shell is no provider's CLI, so the variables of the person's tools stay.
    let wanted = Wanted { program: Some(OsStr::new("sh")), provider, exact: true, ..Wanted::default() };
    let launch = gather::gather(daemon, &subject, wanted, environment, config).await?;
    if !quiet {
        report(&launch, &subject, environment, ui);
    }
    ui.print(render::render(&launch, args.shell).as_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    use secrecy::SecretString;

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
                person: None,
                generation: None,
                unproven: None,
                reason: reason.map(str::to_owned),
                degraded_from: None,
            }],
            ..Launch::default()
        }
    }
}
