//! `srvd account`: removes an account from this machine, or ends its login everywhere.

use super::client::Connection;
use super::failure::{self, Failure, code};
use super::list::{self, AccountsArgs, who};
use super::ui::{Ui, plain_line};
use super::{prompt, refresh, removal, resolve};
use crate::base::clock::now;
use crate::hint::Step;
use crate::wire::account::{Account, Delete, Outcome, Revoke, Revoked};
use crate::wire::keeping::{KeepAlive, KeepSwitch};
use crate::wire::stray::{DiscardStray, KeepStray};

/// Subcommands of `srvd account`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum AccountCommand {
    /// List the accounts, as srvd accounts does
    List(AccountsArgs),
    /// Forget an account on this machine; its login or key stays valid at the provider
    ///
    /// The account is removed from every bundle, and its credential from this machine. The conversations of the CLI are
    /// kept. A login that was taken over from your own CLI is only forgotten: your own directory is not changed.
    Forget(AccountArgs),
    /// End a login everywhere with its CLI's own logout, and forget the account
    ///
    /// Most CLIs tell their provider when they log out, so that every copy of the login becomes invalid, on other
    /// machines as well. If the logout fails, the account is not changed. An API key must be revoked at its provider.
    Revoke(AccountArgs),
    /// Make an account of a login that appeared in a bundle without one
    ///
    /// Such a login comes from a CLI that was started logged out and in which a person then logged in. No launch uses it
    /// until it is kept.
    Keep(StrayArgs),
    /// Remove a login that appeared in a bundle without an account; it stays valid at the provider
    Discard(StrayArgs),
    /// Switch on or off that the CLI of an account renews its login before it ends
    ///
    /// `default` restores the rule: on, unless srvd.toml says otherwise, and off for a login that was taken over from your
    /// own CLI.
    Keepalive(KeepaliveArgs),
}

/// Arguments of `srvd account keepalive`.
#[derive(Debug, clap::Args)]
pub(super) struct KeepaliveArgs {
    /// The account, by id, or by a unique address or name
    account: String,
    /// The new state
    switch: Switch,
}

/// The states of the switch.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Switch {
    On,
    Off,
    Default,
}

/// Arguments of `srvd account keep` and `srvd account discard`.
#[derive(Debug, clap::Args)]
pub(super) struct StrayArgs {
    /// The provider
    provider: String,
    /// The bundle, by name or id
    #[arg(long, short)]
    bundle: String,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
}

/// Arguments of `srvd account forget` and `srvd account revoke`.
#[derive(Debug, clap::Args)]
pub(super) struct AccountArgs {
    /// The account, by id, or by a unique address or name
    account: String,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
}

/// Runs a command about accounts.
pub(super) async fn run(command: AccountCommand, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    match command {
        AccountCommand::List(args) => list::accounts(args, daemon, ui).await,
        AccountCommand::Forget(args) => forget(&args, daemon, ui).await,
        AccountCommand::Revoke(args) => revoke(&args, daemon, ui).await,
        AccountCommand::Keep(args) => keep(args, daemon, ui).await,
        AccountCommand::Discard(args) => discard(args, daemon, ui).await,
        AccountCommand::Keepalive(args) => keepalive(&args, daemon, ui).await,
    }
}

/// Runs `srvd logout`.
pub(super) async fn logout(args: &AccountArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    revoke(args, daemon, ui).await
}

async fn keepalive(args: &KeepaliveArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let account = resolve::account(daemon, &args.account).await?;
    let switch = match args.switch {
        Switch::On => KeepSwitch::On,
        Switch::Off => KeepSwitch::Off,
        Switch::Default => KeepSwitch::Default,
    };
    let params = KeepAlive { account_id: Some(account.id.clone()), switch: Some(switch), renew: None };
    let kept = daemon.call(&params).await?;
    let Some(login) = kept.logins.first() else { return Ok(()) };
    let [_, next] = refresh::times(login, now());
    ui.result(&format!("{}: next renewal: {next}", title(&account)))
}

async fn keep(args: StrayArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let bundle = resolve::bundle(daemon, &args.bundle).await?;
    let kept = daemon.call(&KeepStray { bundle_id: bundle.id, provider_id: args.provider }).await?;
    ui.result(&format!("{} is now an account of the bundle \"{}\"", title(&kept), plain_line(&bundle.name)))
}

async fn discard(args: StrayArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let bundle = resolve::bundle(daemon, &args.bundle).await?;
    let question = format!(
        "Remove the login of {} that is in the bundle \"{}\" without an account? It stays valid at the provider.",
        plain_line(&args.provider),
        plain_line(&bundle.name)
    );
    prompt::confirm(ui, &question, args.yes).await?;
    let params = DiscardStray { bundle_id: bundle.id, provider_id: args.provider };
    let done = daemon.call(&params).await?;
    ui.result("Removed the login; it stays valid at the provider")?;
    removal::report(&done.cleanup, ui)
}

async fn forget(args: &AccountArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let account = resolve::account(daemon, &args.account).await?;
    let name = title(&account);
    let question = format!("Forget {name} on this machine? It stays valid at the provider.");
    prompt::confirm(ui, &question, args.yes).await?;
    let done = daemon.call(&Delete { account_id: account.id.clone() }).await?;
    ui.result(&format!("Forgot {name}; it stays valid at the provider"))?;
    removal::report(&done.cleanup, ui)
}

async fn revoke(args: &AccountArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let account = resolve::account(daemon, &args.account).await?;
    prompt::confirm(ui, &revoke_question(&account), args.yes).await?;
    let done = daemon.client.call(&Revoke { account_id: account.id.clone() }).await.map_err(|error| {
        let forget = || Step::ForgetHere { account: (&account.id).into() }.into();
        failure::of_call(&error, |error| {
            let other_way =
                matches!(error.kind(), Some("invalid_input" | "no_credential" | "secret_unavailable"));
            other_way.then(forget)
        })
    })?;
    ui.result(&outcome(&account, &done)?)?;
    removal::report(&done.cleanup, ui)
}

/// Returns the provider's id and the name by which a user knows the account.
fn title(account: &Account) -> String {
    format!("{} {}", account.provider_id, plain_line(&who(account)))
}

fn is_adopted(account: &Account) -> bool {
    account.secret_ref.adopted == Some(true)
}

fn revoke_question(account: &Account) -> String {
    let name = title(account);
    let whose = if is_adopted(account) {
        let dir = account.secret_ref.dir.as_deref().map(plain_line).unwrap_or_default();
        format!(
            "{name} is YOUR OWN login, taken over from {dir}: your own CLI will also be logged out, outside srvd as well. \
             The login ends everywhere it is used, on other machines as well. "
        )
    } else {
        format!("The login {name} ends everywhere it is used, on other machines as well. ")
    };
    format!("{whose}Log out?")
}

/// Returns the message for the user. A login that is not known to have ended is a failure.
fn outcome(account: &Account, done: &Revoked) -> Result<String, Failure> {
    let name = title(account);
    let failed = |reason: String| {
        Err(Failure::new(
            code::FAILED,
            format!("{name} was not revoked: {reason}; the account was not changed"),
        )
        .hint(Step::ShowAccountStatus)
        .hint(Step::ForgetHere { account: (&account.id).into() }))
    };
    match &done.outcome {
        Outcome::Revoked => {
            Ok(format!("Revoked {name}: its CLI has logged out, which ends the login at the provider"))
        }
        Outcome::LoggedOut => Ok(format!(
            "Logged out {name} with its CLI; srvd does not know whether that CLI tells the provider"
        )),
        Outcome::CliFailed => failed(match done.exit_code {
            Some(exit) => format!("its CLI's logout failed with exit code {exit}"),
            None => "its CLI's logout could not be run, or took too long".to_owned(),
        }),
        Outcome::StillLoggedIn => failed("its CLI reported a logout, but the login still exists".to_owned()),
        Outcome::Unknown => {
            failed("its CLI reported a logout, but the remaining files cannot be read".to_owned())
        }
        Outcome::Other(_) if done.revoked => Ok(format!("Logged out {name} with its CLI")),
        Outcome::Other(word) => failed(plain_line(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::account;
    use super::*;
    use crate::wire::Status;

    fn codex() -> Account {
        account("codex", Some("a@b.c"), Status::Valid)
    }

    #[test]
    fn revoke_question_warns_when_the_login_is_the_users_own() {
        assert_eq!(
            revoke_question(&codex()),
            "The login codex a@b.c ends everywhere it is used, on other machines as well. Log out?"
        );
        let mut own = codex();
        own.secret_ref.adopted = Some(true);
        own.secret_ref.dir = Some("/h/.codex".to_owned());
        let said = revoke_question(&own);
        assert!(said.starts_with("codex a@b.c is YOUR OWN login, taken over from /h/.codex: "), "{said}");
    }

    #[test]
    fn revocation_succeeds_only_when_the_login_ended() {
        let check = |outcome_word: Outcome, exit_code: Option<i32>, expected: Result<&str, &str>| {
            let revoked = matches!(outcome_word, Outcome::Revoked | Outcome::LoggedOut);
            let done = Revoked { revoked, outcome: outcome_word, exit_code, cleanup: Vec::new() };
            let said = outcome(&codex(), &done).map_err(|failure| (failure.code(), failure.render()));
            match (said, expected) {
                (Ok(said), Ok(expected)) => assert_eq!(said, expected),
                (Err((code, said)), Err(expected)) => {
                    assert_eq!(code, 1);
                    let first = format!(
                        "srvd: codex a@b.c was not revoked: {expected}; the account was not changed\n"
                    );
                    assert!(said.starts_with(&first), "{said}");
                }
                (said, _) => panic!("{said:?}"),
            }
        };
        check(
            Outcome::Revoked,
            None,
            Ok("Revoked codex a@b.c: its CLI has logged out, which ends the login at the provider"),
        );
        check(
            Outcome::LoggedOut,
            None,
            Ok("Logged out codex a@b.c with its CLI; srvd does not know whether that CLI tells the provider"),
        );
        check(Outcome::CliFailed, Some(3), Err("its CLI's logout failed with exit code 3"));
        check(Outcome::CliFailed, None, Err("its CLI's logout could not be run, or took too long"));
        check(Outcome::StillLoggedIn, None, Err("its CLI reported a logout, but the login still exists"));
        check(
            Outcome::Unknown,
            None,
            Err("its CLI reported a logout, but the remaining files cannot be read"),
        );
    }
}
