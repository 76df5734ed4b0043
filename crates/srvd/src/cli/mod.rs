//! The command line: the daemon, and its first client.
//!
//! Results go to standard output. Progress, prompts, hints and errors go to standard error. Code that decides how
//! output looks has no side effects and is given a `Ui`. Only `ui` and `prompt` use the process's own streams.
//!
//! It uses `wire`, `base`, `config`, `adopt`, `daemon` and `doctor`; everything else it asks the daemon for, over the
//! wire. It must not read the store while a daemon holds it.

mod account;
mod audit;
mod backup;
mod binding;
mod bundle;
mod client;
mod console;
mod converse;
mod cswap;
mod doctor;
mod export;
mod failure;
mod git_credential;
mod guard;
mod help;
mod here;
mod import;
mod interrupt;
mod key;
mod key_add;
mod key_generate;
mod launch;
mod lifecycle;
mod list;
mod login;
mod man;
mod migrate;
mod offline;
mod operator;
mod owner;
mod pair;
mod passphrase;
mod portable;
mod profiles;
mod prompt;
mod providers;
mod quota;
mod refresh;
mod removal;
mod resolve;
mod restore;
mod rotate;
mod serve;
mod share;
mod shims;
mod status;
mod subject;
mod table;
mod ui;
mod vocabulary;
mod wait;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use rustix::fs::Mode;

use crate::base::environment::Environment;
use crate::config::Config;
use crate::daemon::BootError;

use failure::{Failure, code};
use providers::{Action, ProvidersArgs};
use serve::ServeArgs;
use ui::Ui;

/// The identity daemon for AI coding agents: log in once, and start every agent with the right account
///
/// Without a command, srvd runs the daemon in the foreground. Most other commands need a running daemon.
#[derive(Debug, Parser)]
#[command(
    name = "srvd",
    version,
    after_help = "\
First steps:
  srvd up                  start the daemon
  srvd login codex         log in
  srvd status              show which account is logged in where"
)]
struct Cli {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground (the default)
    Serve(ServeArgs),
    /// Start the daemon in the background, or through its service if one is installed
    ///
    /// It creates the encryption key and the directories of a new installation, waits until the daemon answers, and shows
    /// the next step. If a daemon runs already, nothing changes.
    Up(lifecycle::UpArgs),
    /// Stop the daemon
    ///
    /// Running logins are cancelled; agents that were started keep running.
    Down,
    /// Stop the daemon and start it again
    Restart(lifecycle::UpArgs),
    /// Show the daemon's log
    Logs(lifecycle::LogsArgs),
    /// Log in to a provider with the provider's own CLI
    ///
    /// The CLI must be installed (see: srvd providers). srvd runs it, shows you the address or the code to use, and
    /// stores the login in a bundle. Your own login with that CLI is not changed.
    Login(login::LoginArgs),
    /// Store an API key from a hidden prompt or from standard input
    ///
    /// On a terminal, srvd asks for the key and hides the input. Otherwise, it reads the first line of standard
    /// input, as in: srvd add-key openai < key.txt
    AddKey(key_add::AddKeyArgs),
    /// Start a program with the accounts of one bundle and no others
    ///
    /// srvd replaces itself with the program. It sets the variables of the identity's accounts, gives every known CLI a
    /// home of this identity, and removes variables that would select another credential. If a login cannot be used,
    /// the program is not started and the reason is printed.
    ///
    /// A provider's own CLI, such as codex, needs only that provider's login. Another login that cannot be used is left
    /// out and reported. Every program that inherits the environment runs under the same identity. Programs that do not,
    /// such as sudo, a running tmux server or a container, are reported.
    Exec(launch::ExecArgs),
    /// Print the environment of an identity for a shell
    ///
    /// The output contains credentials: use it with eval "$(srvd env --bundle work)", and do not display it.
    Env(launch::EnvArgs),
    /// Bind this directory, and all directories below it, to a bundle
    ///
    /// srvd writes the file .srvd in this directory, and records that you did so. The file holds only the bundle's name,
    /// so it can be shared; on another machine it has no effect until it is allowed there (--allow). srvd searches for
    /// it from the current directory upward, in directories that belong to you or root and are not world-writable, and
    /// for a linked worktree of git also from its repository upward. Programs that srvd exec or a shim starts there use
    /// that bundle.
    Use(here::UseArgs),
    /// Show the bundle that applies here, and whether it is ready for a launch
    #[command(visible_alias = "whoami")]
    Which(here::WhichArgs),
    /// Start the CLIs on your PATH with the bundle of the directory
    #[command(subcommand)]
    Shims(shims::ShimsCommand),
    /// List the bundles
    Bundles(list::BundlesArgs),
    /// Create, rename, change or delete a bundle
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    /// Share your own settings, skills and MCP servers with the CLIs of a bundle
    ///
    /// Files that a CLI only reads are linked, files that it also writes are copied. Credentials, programs that print
    /// them, and settings that choose a login or an address are left out and named. Your own files are only read.
    /// Without an action, the command shows what is shared.
    Share(share::ShareArgs),
    /// List the accounts
    Accounts(list::AccountsArgs),
    /// List, remove or reorder the credentials that users provided for agents
    ///
    /// A user's own credential takes precedence over one that a file declares for the agent.
    Profiles(profiles::ProfilesArgs),
    /// End a login everywhere, as srvd account revoke does
    Logout(account::AccountArgs),
    /// List the accounts, forget one, or end its login everywhere
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Show what is left of each subscription's limits, as the official CLIs tell it
    ///
    /// A CLI is asked at most once in three minutes, by a command that costs nothing. What cannot be read is unknown. The
    /// exit code is 2 if a login is spent, and 3 if nothing is known.
    Quota(quota::QuotaArgs),
    /// Show which login of a provider has the most left, and why
    ///
    /// The result is advice: srvd switches nothing while an agent runs. To start an agent with it: srvd exec --best PROVIDER
    Best(quota::BestArgs),
    /// Print the logins in the form of another program
    #[command(hide = true)]
    Cswap(cswap::CswapArgs),
    /// Let the CLIs renew their logins now, and show when they do so next
    ///
    /// srvd does this before a login ends, with the official CLI of its provider, so that agents that run at the same time
    /// do not lose it. Without an account, all logins that are kept alive are renewed, as far as their CLIs can. The exit
    /// code is 1 if a login is dead or could not be renewed. To switch it off for an account: srvd account keepalive.
    Refresh(refresh::RefreshArgs),
    /// Sign in to GitHub, GitLab, Forgejo or Gitea, and choose the account to use there
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Give a web page or a program a token of its own
    ///
    /// srvd shows a code, which the page or program exchanges once, within a minute. It then shows who has entered the
    /// code and asks. The token stays valid until it is revoked (srvd tokens).
    Pair(pair::PairArgs),
    /// Open the console in the browser, or list and end its sessions
    Console(console::ConsoleArgs),
    /// List the tokens of paired clients, or revoke one
    Tokens(pair::TokensArgs),
    GitCredential(git_credential::GitCredentialArgs),
    /// List the providers and their CLIs, or check that these behave as expected
    Providers(ProvidersArgs),
    /// Show the state of the daemon, and which account is logged in where
    Status(status::StatusArgs),
    /// Check for problems that keep srvd from working, and suggest how to fix them
    ///
    /// It checks the key, directories, database, daemon, ports, CLIs, variables and your own logins, and changes
    /// nothing unless --fix is given. If a daemon runs, the CLI of each account is asked whose login it would use; it may
    /// update its own files then. The exit code is 0 if there is no error, and 1 otherwise.
    Doctor(doctor::DoctorArgs),
    /// Take over the logins of your own CLIs into the bundle `default`
    ///
    /// The daemon does this at every start, so this command is for installers and for a preview. The daemon must not be
    /// running. The accounts point to your own directories; nothing is copied, and your files are not changed.
    Migrate(migrate::MigrateArgs),
    /// Show the audit log, and verify that it was not changed
    ///
    /// It reads the database, whether or not the daemon is running, and needs the encryption key.
    Audit(audit::AuditArgs),
    /// Copy the database into a file, whether or not the daemon is running
    ///
    /// The copy holds the secrets in encrypted form, as the database does, and never the key: keep the key elsewhere.
    /// The CLIs' own directories are not included.
    Backup(backup::BackupArgs),
    /// Replace the database with a backup; the daemon must not be running
    ///
    /// The whole backup is checked before anything changes, and the old database is kept beside the new one.
    Restore(restore::RestoreArgs),
    /// Write a bundle's API keys and tokens to a file that is encrypted with a passphrase
    ///
    /// The file is in the age format. Logins that a CLI keeps and renews in its own directory cannot exist in two
    /// places: they are listed, and you must log in again on the other machine.
    Export(export::ExportArgs),
    /// Create a bundle from a file that srvd export made; the daemon must not be running
    ///
    /// Existing bundles and accounts are not changed: a name or an id that is already in use is replaced by a new one.
    Import(import::ImportArgs),
    /// Wait until the daemon answers
    ///
    /// For scripts: exits with 0 as soon as the daemon answers, or with 69 if it does not answer in time.
    Wait(wait::WaitArgs),
    /// Manage the encryption key
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man(man::ManArgs),
    /// Print the protocol's reference in Markdown
    #[command(hide = true)]
    Protocol {
        /// Print the document that clients are generated from
        #[arg(long)]
        openrpc: bool,
    },
    /// End the processes of the logins after the daemon at the other end of standard input has ended
    #[command(name = crate::base::guard::GUARD, hide = true)]
    Guard,
}

/// Runs the command line of this process, and returns an exit code after `sysexits.h`.
pub fn main() -> ExitCode {
    // Files that any command creates from here on are never open to other users.
    let inherited = rustix::process::umask(Mode::from_raw_mode(0o077));
    match std::panic::catch_unwind(|| run(inherited)) {
        Ok(exit) => exit,
        Err(_) => ExitCode::from(code::BUG),
    }
}

fn run(mask: Mode) -> ExitCode {
    let matches = help::grouped(Cli::command()).try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let environment = Environment::of_process();
    let ui = Ui::of_process(&environment);
    match dispatch(cli, &environment, &ui, mask) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            ui.note(&failure.render());
            ExitCode::from(failure.code())
        }
    }
}

/// Prints an error of clap. `--help` and `--version` arrive here as well, and clap knows which stream each text belongs
/// to.
fn refuse(error: &clap::Error) -> ExitCode {
    // If the stream is closed, the error cannot be reported.
    let _ = error.print();
    ExitCode::from(usage_code(error))
}

fn usage_code(error: &clap::Error) -> u8 {
    if error.exit_code() == 0 { 0 } else { code::USAGE }
}

fn dispatch(cli: Cli, environment: &Environment, ui: &Ui, mask: Mode) -> Result<(), Failure> {
    let flags = cli.serve.flags.clone();
    let config = || Config::load(environment, &flags).map_err(Failure::from);
    match cli.command {
        None => serve::run(&cli.serve, environment, ui),
        Some(Command::Serve(own)) => serve::run(&cli.serve.overlaid(own), environment, ui),
        Some(Command::Key(command)) => key::run(&command, &config()?, environment, ui),
        Some(Command::Migrate(args)) => migrate::run(&args, &config()?, environment, ui),
        Some(Command::Doctor(args)) => {
            let config = Config::load(environment, &flags);
            block_on(async || doctor::run(&args, config, environment, ui).await)
        }
        Some(Command::Audit(args)) => {
            let config = config()?;
            block_on(async || audit::run(&args, &config, environment, ui).await)
        }
        Some(Command::Backup(args)) => {
            let config = config()?;
            block_on(async || backup::run(&args, &config, environment, ui).await)
        }
        Some(Command::Restore(args)) => restore::run(&args, &config()?, environment, ui),
        Some(Command::Export(args)) => {
            let config = config()?;
            block_on(async || export::run(&args, &config, environment, ui).await)
        }
        Some(Command::Import(args)) => {
            let config = config()?;
            block_on(async || import::run(&args, &config, environment, ui).await)
        }
        Some(Command::Up(args)) => {
            let config = config()?;
            block_on(async || lifecycle::up(&args, &flags, &config, environment, ui).await)
        }
        Some(Command::Down) => {
            let config = config()?;
            block_on(async || lifecycle::down(&config, environment, ui).await)
        }
        Some(Command::Restart(args)) => {
            let config = config()?;
            block_on(async || lifecycle::restart(&args, &flags, &config, environment, ui).await)
        }
        Some(Command::Logs(args)) => Err(lifecycle::logs(&args, &config()?, environment)),
        Some(Command::Version) => ui.result(concat!("srvd ", env!("CARGO_PKG_VERSION"))),
        Some(Command::Completions { shell }) => completions(shell, ui),
        Some(Command::Man(args)) => man::run(&args),
        Some(Command::Guard) => guard::run(),
        Some(Command::Protocol { openrpc }) => ui.print(&crate::rpc::reference::document(openrpc)),
        Some(Command::Exec(args)) => {
            launch::step_aside(&args, environment, mask)?;
            let config = config()?;
            match block_on(async || launch::prepare(args, &config, environment, ui).await)? {
                Some(prepared) => Err(launch::become_program(&prepared, mask)),
                None => Ok(()),
            }
        }
        Some(Command::Use(here::UseArgs { remove: true, .. })) => here::remove(&config()?, ui),
        Some(Command::Use(here::UseArgs { allow: true, .. })) => here::allow(&config()?, ui),
        Some(Command::Shims(command)) => shims::run(&command, &config()?, environment, ui),
        Some(Command::Providers(ProvidersArgs { action: Some(Action::Check(args)), .. })) => {
            providers::check(&args, &config()?, environment, ui)
        }
        Some(Command::Providers(ProvidersArgs { action: Some(Action::Add(args)), .. })) => {
            providers::add(&args, &config()?, ui)
        }
        Some(Command::Providers(ProvidersArgs { action: Some(Action::Doc), .. })) => {
            let text = crate::rpc::reference::providers_markdown().map_err(BootError::from)?;
            ui.print(text.as_bytes())
        }
        Some(command) => converse::converse(command, &config()?, environment, ui),
    }
}

fn block_on<T>(work: impl AsyncFnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::io)?;
    let result = runtime.block_on(work());
    // A lookup or a write that still blocks a thread must not keep the program from ending.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

fn completions(shell: clap_complete::Shell, ui: &Ui) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "srvd", &mut script);
    ui.print(&script)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn cli_definition_passes_the_clap_checks() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_error_exits_with_64_and_help_with_0() {
        let check = |line: &str, expect: u8| {
            assert_eq!(usage_code(&parse(line).unwrap_err()), expect, "{line}");
        };
        check("srvd --help", 0);
        check("srvd --version", 0);
        check("srvd login --help", 0);
        check("srvd help key", 0);
        check("srvd login", 64);
        check("srvd no-such-command", 64);
        check("srvd --no-such-flag", 64);
        check("srvd key", 64);
        check("srvd use work --remove", 64);
        check("srvd exec codex", 64);
        check("srvd bundle", 64);
        check("srvd account revoke", 64);
        check("srvd operator login", 64);
        check("srvd shims", 64);
        check("srvd wait --timeout soon", 64);
        check("srvd --print-config --migrate-only", 64);
        check("srvd add-key openai sk-a-key-does-not-belong-here", 64);
    }

    #[test]
    fn serve_flags_are_accepted_before_and_after_the_command() {
        let cli =
            parse("srvd --data-dir /d --listen off --log info serve --log debug --runtime-dir /r").unwrap();
        let Some(Command::Serve(own)) = cli.command else { panic!("{cli:?}") };
        let flags = cli.serve.overlaid(own).flags;
        assert_eq!(flags.data_dir.as_deref(), Some(Path::new("/d")));
        assert_eq!(flags.runtime_dir.as_deref(), Some(Path::new("/r")));
        assert_eq!((flags.listen.as_deref(), flags.log.as_deref()), (Some("off"), Some("debug")));
    }

    #[test]
    fn directories_are_given_to_every_command() {
        let cli = parse("srvd status --json --runtime-dir /r").unwrap();
        assert_eq!(cli.serve.flags.runtime_dir.as_deref(), Some(Path::new("/r")));
    }
}
