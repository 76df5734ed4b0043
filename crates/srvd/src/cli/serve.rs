//! `srvd serve`: the daemon in the foreground.

use std::num::NonZeroUsize;
use std::time::Duration;

use identity_store::DatabaseKind;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::doctor;
use super::failure::{Failure, code};
use super::ui::Ui;
use crate::base::environment::Environment;
use crate::base::redact::Redactor;
use crate::config::{Config, Flags, LogFormat};
use crate::daemon;
use crate::daemon::{BootError, logging};
use crate::wire::error::with_causes;

/// Arguments of `srvd serve`.
#[derive(Debug, Default, Clone, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten, next_help_heading = "Settings")]
    pub(super) flags: Flags,
    /// Print the effective configuration, without secrets, and exit
    #[arg(long)]
    pub(super) print_config: bool,
    /// Migrate the database to the newest schema and exit
    #[arg(long, conflicts_with = "print_config")]
    pub(super) migrate_only: bool,
    /// Leave the session of the terminal, as `srvd up` asks
    #[arg(long, hide = true)]
    pub(super) detached: bool,
}

impl ServeArgs {
    /// Merges the flags after `serve` with those before it. The ones after it take precedence.
    pub(super) fn overlaid(self, own: Self) -> Self {
        Self {
            flags: Flags {
                config_dir: own.flags.config_dir.or(self.flags.config_dir),
                data_dir: own.flags.data_dir.or(self.flags.data_dir),
                runtime_dir: own.flags.runtime_dir.or(self.flags.runtime_dir),
                database_url: own.flags.database_url.or(self.flags.database_url),
                listen: own.flags.listen.or(self.flags.listen),
                log: own.flags.log.or(self.flags.log),
                log_format: own.flags.log_format.or(self.flags.log_format),
            },
            print_config: own.print_config || self.print_config,
            migrate_only: own.migrate_only || self.migrate_only,
            detached: own.detached || self.detached,
        }
    }
}

/// The number of worker threads on more than one processor. The daemon waits more than it computes. On one processor it
/// has one worker: with two, the system would schedule them, and a client would wait for the time slice of another
/// client's flood.
const WORKERS: usize = 2;
/// The number of threads for blocking work: files, forks and queries about processes. Nearly all of it is short, so a
/// few threads are enough; they are started when they are needed. The others are for file systems that hang, which take
/// one thread for each place.
const BLOCKING: usize = 32;
/// The size of a thread's stack. It is half of tokio's default, and twice the need that was measured for the deepest
/// future in a debug build.
const STACK_BYTES: usize = 1024 * 1024;
/// The longest time that a start goes on after the signal to stop.
const START_PATIENCE: Duration = Duration::from_secs(2);
/// The time that a shutdown may take in addition to the grace time, for what follows the end of the calls.
const SHUTDOWN_SLACK: Duration = Duration::from_secs(5);
/// The longest time that the end of the program waits for threads that still work.
const ABANDON: Duration = Duration::from_millis(500);

/// Runs the daemon, or the action that a flag asks for instead. A failure is a line of the log if the log is JSON.
pub(super) fn run(args: &ServeArgs, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let config = Config::load(environment, &args.flags);
    let format = match &config {
        Ok(config) => config.log_format,
        // The file cannot be used, so only the flag and the variable say which format is expected.
        Err(_) => LogFormat::asked_for(environment, &args.flags),
    };
    let ended = config.map_err(Failure::from).and_then(|config| act(args, config, environment, ui));
    ended.map_err(|failure| {
        if format != LogFormat::Json || args.print_config || failure.message().is_empty() {
            return failure;
        }
        logging::start_failed(failure.message(), &failure.hint_text(), failure.code());
        Failure::silent(failure.code())
    })
}

fn act(args: &ServeArgs, config: Config, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    if args.print_config {
        return ui.print(config.print().as_bytes());
    }
    if args.detached {
        // It fails only for the leader of a process group, which is in no terminal's way.
        let _ = rustix::process::setsid();
    }
    keep_memory_private()?;
    allow_many_connections();
    let redactor = Redactor::default();
    logging::start(&config, &redactor).map_err(BootError::from)?;
    let runtime = runtime()?;
    let result = if args.migrate_only {
        let kind = kind(&config);
        let migrated = runtime.block_on(daemon::migrate(&config, environment)).map_err(Failure::from);
        migrated.and_then(|version| ui.result(&format!("database {kind} migrated to schema {version}")))
    } else {
        runtime.block_on(until_stopped(config, environment, redactor))
    };
    runtime.shutdown_timeout(ABANDON);
    result
}

async fn until_stopped(config: Config, environment: &Environment, redactor: Redactor) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let insisted = signals(stop.clone())?;
    let grace = Duration::from_secs(config.shutdown_seconds) + SHUTDOWN_SLACK;
    let checkup = doctor::for_clients(config.clone(), environment.clone());
    let daemon = async {
        let started = tokio::select! {
            started = daemon::start(config, environment, redactor, checkup, stop.clone()) => started,
            () = abandoned(&stop) => {
                tracing::warn!("stopped during the start, which did not end in time; the next start cleans up");
                return Ok(());
            }
        };
        let daemon = match started {
            Ok(daemon) => daemon,
            Err(error) if stop.is_cancelled() => {
                tracing::warn!(error = with_causes(&error), "stopped during the start, which failed");
                return Ok(());
            }
            Err(error) => return Err(Failure::of_start(error)),
        };
        tokio::select! {
            () = daemon.run(stop.cancelled()) => {}
            () = overdue(&stop, grace) => {
                tracing::warn!("the shutdown did not end in time; the next start cleans up");
            }
        }
        Ok(())
    };
    tokio::select! {
        result = daemon => result,
        () = insisted => Err(Failure::silent(code::INTERRUPTED)),
    }
}

/// Waits for the stop, and then as long as a start may go on that has begun. A start that waits for a database or a lock
/// is given up after that; everything that it does can be interrupted.
async fn abandoned(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(START_PATIENCE).await;
}

/// Waits for the stop, and then for the longest time of a shutdown, whatever hangs.
async fn overdue(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// Cancels `stop` at the first signal. The returned future ends at the second one.
fn signals(stop: CancellationToken) -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::io)?;
    Ok(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                tracing::warn!("received a second signal; exiting immediately");
            }
            stop.cancel();
        }
    })
}

/// Does a part of the daemon's work while no daemon runs. It uses the same memory protection, log and kind of runtime.
pub(super) fn in_its_place<T>(config: &Config, work: impl AsyncFnOnce() -> T) -> Result<T, Failure> {
    keep_memory_private()?;
    logging::start(config, &Redactor::default()).map_err(BootError::from)?;
    let runtime = runtime()?;
    let result = runtime.block_on(work());
    runtime.shutdown_timeout(ABANDON);
    Ok(result)
}

fn runtime() -> Result<Runtime, Failure> {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Builder::new_multi_thread()
        .worker_threads(WORKERS.min(processors))
        .max_blocking_threads(BLOCKING)
        .thread_stack_size(STACK_BYTES)
        .thread_name("srvd")
        .enable_all()
        .build()
        .map_err(Failure::io)
}

fn kind(config: &Config) -> &'static str {
    match config.database.kind() {
        DatabaseKind::Sqlite => "sqlite",
        DatabaseKind::Postgres => "postgres",
    }
}

/// Number of files and connections that the daemon needs when all of its places are taken. The usual limit of a shell is
/// 1024.
const FILES: u64 = 4096;

/// Raises the limit of open files as far as it is needed and allowed. A lower one is not an error, because it is enough
/// in usual times.
fn allow_many_connections() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(FILES, |maximum| maximum.min(FILES));
    if limit.current.is_some_and(|current| current < wanted) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
}

/// Keeps the keys in the process's memory private. The process leaves no core file, and on Linux other processes of the
/// user cannot read its memory.
pub(super) fn keep_memory_private() -> Result<(), Failure> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let failed = |error: rustix::io::Errno| Failure::io(error.into());
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(failed)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    /// The signal handlers are installed before the first signal is sent, so the signal does not end the tests.
    #[tokio::test]
    async fn serve_stops_on_the_first_signal_and_insists_on_the_second() {
        let deadline = Duration::from_secs(10);
        let stop = CancellationToken::new();
        let insisted = tokio::spawn(signals(stop.clone()).unwrap());
        kill_process(getpid(), Signal::TERM).unwrap();
        tokio::time::timeout(deadline, stop.cancelled()).await.unwrap();
        assert!(!insisted.is_finished());
        kill_process(getpid(), Signal::INT).unwrap();
        tokio::time::timeout(deadline, insisted).await.unwrap().unwrap();
    }
}
