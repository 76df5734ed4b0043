//! `srvd up`, `down`, `restart` and `logs`: the daemon in the background, or as the user's service where one is installed.

mod background;
mod first_key;
mod service;

use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

pub(super) use first_key::ensure as ensure_key;

use super::client::Connection;
use super::failure::{Failure, code};
use super::ui::Ui;
use crate::base::endpoint::Endpoint;
use crate::base::environment::Environment;
use crate::config::{Config, Flags};
use crate::hint::{Hint, Step, Word};
use crate::wire::{account, provider};
use service::Service;

/// The time between two looks at a daemon that starts or stops.
const INTERVAL: Duration = Duration::from_millis(25);
/// The time that a shutdown may take in addition to the grace time of the logins.
const SLACK: Duration = Duration::from_secs(10);

/// Arguments of `srvd up`.
#[derive(Debug, Default, clap::Args)]
pub(super) struct UpArgs {
    /// Start it in the background, even if a service is installed
    #[arg(long)]
    no_service: bool,
    /// Longest time to wait until the daemon answers
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Arguments of `srvd logs`.
#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    /// Keep printing what is added
    #[arg(long, short)]
    follow: bool,
    /// The number of lines from the end
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 100)]
    lines: u32,
}

/// Runs `srvd up`.
pub(super) async fn up(
    args: &UpArgs,
    flags: &Flags,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    match Connection::open(config).await {
        Ok(daemon) => {
            ui.note(&format!("srvd is already running (pid {}).", daemon.endpoint.pid));
            return welcome(&daemon, ui).await;
        }
        Err(failure) if failure.is_no_daemon() => {}
        Err(failure) => return Err(failure),
    }
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let service = Service::installed(environment).filter(|_| !args.no_service);
    let (daemon, log) = if let Some(service) = service {
        service.start().await?;
        (service.answers(config, deadline).await?, "srvd logs".to_owned())
    } else {
        ensure_key(config, environment, ui)?;
        let started = background::start(flags, config)?;
        (started.answers(config, deadline, ui).await?, background::log_file(config).display().to_string())
    };
    let Endpoint { pid, url, socket, .. } = &daemon.endpoint;
    let mut places = vec![socket.display().to_string()];
    places.extend(url.clone());
    ui.note(&format!("srvd is running (pid {pid}) at {}. Its log: {log}", places.join(" and ")));
    welcome(&daemon, ui).await
}

/// Prints the next step of a user whose daemon has just started.
async fn welcome(daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let accounts = daemon.call(&account::List { limit: Some(1), ..account::List::default() }).await?.accounts;
    let step = if accounts.is_empty() {
        let providers = daemon.call(&provider::List::default()).await?.providers;
        let installed = providers.iter().find(|known| known.cli.found && !known.logins.is_empty());
        match installed {
            Some(known) => Step::LogInFirst { provider: Word::from(&known.id) },
            None => Step::SeeProviders,
        }
    } else {
        Step::SeeLogins
    };
    ui.note(&format!("Next: {}", Hint::from(step).as_str()));
    Ok(())
}

/// Runs `srvd down`. It is no error if no daemon runs.
pub(super) async fn down(config: &Config, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let pid = match Connection::open(config).await {
        Ok(daemon) => daemon.endpoint.pid,
        Err(failure) if failure.is_no_daemon() => {
            ui.note("No daemon is running.");
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    let service = match Service::installed(environment) {
        Some(service) if service.main_pid().await == Some(pid) => Some(service),
        _ => None,
    };
    match service {
        Some(service) => service.stop().await?,
        None => terminate(pid)?,
    }
    let patience = Duration::from_secs(config.shutdown_seconds) + SLACK;
    let deadline = Instant::now() + patience;
    while is_there(pid) {
        if Instant::now() >= deadline {
            let text =
                format!("the daemon (pid {pid}) is still shutting down after {} s", patience.as_secs());
            return Err(Failure::new(code::UNAVAILABLE, text).hint(Step::SeeItsLog));
        }
        tokio::time::sleep(INTERVAL).await;
    }
    ui.note(&format!("Stopped the daemon (pid {pid})."));
    Ok(())
}

/// Runs `srvd restart`.
pub(super) async fn restart(
    args: &UpArgs,
    flags: &Flags,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    down(config, environment, ui).await?;
    up(args, flags, config, environment, ui).await
}

/// Runs `srvd logs`: this process becomes the program that shows the log.
pub(super) fn logs(args: &LogsArgs, config: &Config, environment: &Environment) -> Failure {
    let lines = args.lines.to_string();
    let file = background::log_file(config);
    let mut command = match Service::installed(environment) {
        Some(service) => service.log(&lines, args.follow),
        None if file.exists() => tail(&file, &lines, args.follow),
        None => {
            let text = format!("there is no log at {}", file.display());
            return Failure::new(code::UNAVAILABLE, text).hint(Step::LogToTerminal);
        }
    };
    command.env_clear().envs(environment.for_programs());
    let program = command.get_program().to_string_lossy().into_owned();
    Failure::new(code::UNAVAILABLE, format!("cannot run {program}: {}", command.exec()))
}

fn tail(file: &std::path::Path, lines: &str, follow: bool) -> std::process::Command {
    let mut command = std::process::Command::new("tail");
    command.args(["-n", lines]).args(follow.then_some("-F")).arg(file);
    command
}

fn terminate(pid: u32) -> Result<(), Failure> {
    match process(pid).map(|pid| kill_process(pid, Signal::TERM)) {
        None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
        Some(Err(error)) => {
            Err(Failure::new(code::PERMISSION, format!("cannot stop the daemon (pid {pid}): {error}")))
        }
    }
}

/// Returns whether a process runs. One of another user's runs, too.
fn is_there(pid: u32) -> bool {
    let exists = process(pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH));
    exists && !has_exited(pid)
}

/// Returns whether a process has exited, and its parent has not yet asked for its exit code.
fn has_exited(pid: u32) -> bool {
    // The state follows the name, which is in parentheses and may contain some. Other systems have no such file.
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

fn process(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}
