//! The commands that talk to a daemon.

use super::client::Connection;
use super::failure::{Failure, code};
use super::interrupt::Interrupt;
use super::login::Person;
use super::login::browser::Opener;
use super::ui::Ui;
use super::{
    Command, account, block_on, bundle, console, cswap, git_credential, here, key_add, launch, list, login,
    operator, pair, profiles, providers, quota, refresh, share, status, wait,
};
use crate::base::environment::Environment;
use crate::config::Config;

/// Runs a command that talks to a daemon.
pub(super) fn converse(
    command: Command,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    block_on(async || {
        let mut interrupt = Interrupt::listen()?;
        // These two commands cancel their session in the daemon when they are interrupted, so they handle signals
        // themselves.
        let opener = || Opener::of(environment, ui.seat);
        let unused_proxy = config.network.left_aside.first().copied();
        if let Command::Login(args) = command {
            let person = Person { ui, opener: opener(), interrupt: &mut interrupt, unused_proxy };
            let surroundings = login::own::Surroundings { environment, data: &config.data_dir };
            return login::run(args, &Connection::open(config).await?, surroundings, person).await;
        }
        if let Command::Operator(operator::OperatorCommand::Login(args)) = command {
            let person = Person { ui, opener: opener(), interrupt: &mut interrupt, unused_proxy };
            return operator::login(args, &Connection::open(config).await?, person).await;
        }
        tokio::select! {
            result = talk(command, config, environment, ui) => result,
            code = interrupt.next() => Err(Failure::silent(code)),
        }
    })
}

async fn talk(command: Command, config: &Config, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let command = match command {
        Command::Wait(args) => return wait::run(&args, config).await,
        Command::Status(args) => return status::run(&args, config, ui).await,
        Command::GitCredential(args) => return git_credential::run(args, config, environment, ui).await,
        other => other,
    };
    let daemon = Connection::open(config).await?;
    let opener = || Opener::of(environment, ui.seat);
    match command {
        Command::AddKey(args) => key_add::run(args, &daemon, ui).await,
        Command::Env(args) => launch::env(args, &daemon, config, environment, ui).await,
        Command::Use(args) => match args.bundle {
            Some(bundle) => here::bind(&bundle, &daemon, config, ui).await,
            None => here::which(&here::WhichArgs::default(), &daemon, environment, config, ui).await,
        },
        Command::Which(args) => here::which(&args, &daemon, environment, config, ui).await,
        Command::Bundle(command) => bundle::run(command, &daemon, ui).await,
        Command::Share(args) => share::run(&args, &daemon, environment, config, ui).await,
        Command::Logout(args) => account::logout(&args, &daemon, ui).await,
        Command::Account(command) => account::run(command, &daemon, ui).await,
        Command::Refresh(args) => refresh::run(&args, &daemon, ui).await,
        Command::Quota(args) => quota::run(&args, &daemon, ui).await,
        Command::Best(args) => quota::best(&args, &daemon, ui).await,
        Command::Cswap(args) => cswap::run(&args, &daemon, ui).await,
        Command::Operator(command) => operator::run(command, &daemon, ui).await,
        Command::Pair(args) => pair::pair(args, &daemon, opener(), ui).await,
        Command::Console(args) => console::console(args, &daemon, opener(), ui).await,
        Command::Tokens(args) => pair::tokens(args, &daemon, ui).await,
        Command::Bundles(args) => list::bundles(&args, &daemon, ui).await,
        Command::Accounts(args) => list::accounts(args, &daemon, ui).await,
        Command::Profiles(args) => profiles::run(args, &daemon, ui).await,
        Command::Providers(args) => providers::list(args.format(), &daemon, ui).await,
        other => Err(Failure::new(code::BUG, format!("{other:?} is not a client command"))),
    }
}
