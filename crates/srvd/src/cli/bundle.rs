//! `srvd bundle`: creates, renames and deletes bundles.

use super::client::Connection;
use super::failure::Failure;
use super::list::{self, BundlesArgs, who};
use super::ui::{Ui, plain_line};
use super::{launch, prompt, removal, resolve};
use crate::wire::account::Account;
use crate::wire::{account, bundle};

/// Subcommands of `srvd bundle`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum BundleCommand {
    /// List the bundles, as srvd bundles does
    List(BundlesArgs),
    /// Create an empty bundle
    Create {
        /// The name of the bundle
        name: String,
        /// The purpose of the bundle
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
    },
    /// Rename a bundle
    ///
    /// A directory that is bound to the old name (see: srvd use) must be bound again.
    Rename {
        /// The bundle, by name or id
        bundle: String,
        /// The new name
        name: String,
    },
    /// Decide what happens to the providers that a bundle has no account for
    ///
    /// By default, agents are logged out in the launches of a bundle, and your own tools, such as gh, keep your own
    /// logins. --own and --seal decide a provider by name; --by-rule undoes that.
    Set(SetArgs),
    /// Delete a bundle and the accounts that are in no other bundle
    ///
    /// The logins are removed from this machine and stay valid at their providers; to end one there as well, run srvd
    /// account revoke first. The CLIs' conversations are kept unless --delete-history is given.
    Delete(DeleteArgs),
}

/// Arguments of `srvd bundle set`.
#[derive(Debug, clap::Args)]
pub(super) struct SetArgs {
    /// The bundle, by name or id
    bundle: String,
    /// The rule: all sealed, only agents sealed, or all your own
    #[arg(long, value_name = "RULE", value_parser = ["sealed", "tools", "own"])]
    unbound: Option<String>,
    /// A provider that uses your own login
    #[arg(long, value_name = "PROVIDER")]
    own: Vec<String>,
    /// A provider that is logged out
    #[arg(long, value_name = "PROVIDER")]
    seal: Vec<String>,
    /// A provider that the rule decides again
    #[arg(long, value_name = "PROVIDER")]
    by_rule: Vec<String>,
}

/// Arguments of `srvd bundle delete`.
#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    /// The bundle, by name or id
    bundle: String,
    /// Also delete the conversations that the CLIs keep in their directories
    #[arg(long)]
    delete_history: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
}

/// Runs a command about bundles.
pub(super) async fn run(command: BundleCommand, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    match command {
        BundleCommand::List(args) => list::bundles(&args, daemon, ui).await,
        BundleCommand::Create { name, description } => {
            let description = Some(description).filter(|text| !text.is_empty());
            let made = daemon.call(&bundle::Create { name, description }).await?;
            ui.result(&format!("Created the bundle \"{}\" ({})", plain_line(&made.name), made.id))
        }
        BundleCommand::Rename { bundle, name } => {
            let known = resolve::bundle(daemon, &bundle).await?;
            let update =
                bundle::Update { bundle_id: known.id, name: Some(name), ..bundle::Update::default() };
            let renamed = daemon.call(&update).await?;
            ui.result(&format!(
                "Renamed the bundle \"{}\" to \"{}\"",
                plain_line(&known.name),
                plain_line(&renamed.name)
            ))
        }
        BundleCommand::Set(args) => {
            let known = resolve::bundle(daemon, &args.bundle).await?;
            let update = bundle::Update {
                bundle_id: known.id,
                unbound: args.unbound.as_deref().map(bundle::UnboundRule::from),
                own: args.own,
                seal: args.seal,
                by_rule: args.by_rule,
                ..bundle::Update::default()
            };
            let set = daemon.call(&update).await?;
            let policy = launch::policy(&set.unbound.rule, &set.unbound.own, &set.unbound.sealed);
            ui.result(&format!("{}: {policy}", plain_line(&set.name)))
        }
        BundleCommand::Delete(args) => delete(&args, daemon, ui).await,
    }
}

async fn delete(args: &DeleteArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let known = resolve::bundle(daemon, &args.bundle).await?;
    let filter = account::List { bundle_id: Some(known.id.clone()), ..account::List::default() };
    let accounts = daemon.call(&filter).await?.accounts;
    prompt::confirm(ui, &question(&known, &accounts, args.delete_history), args.yes).await?;
    let delete = bundle::Delete { bundle_id: known.id, keep_history: Some(!args.delete_history) };
    let done = daemon.call(&delete).await?;
    let many = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let instances = match done.instances_affected {
        0 => String::new(),
        count => format!("; {} lost their identity", many(count, "agent instance")),
    };
    ui.result(&format!(
        "Deleted the bundle \"{}\" with {}{instances}",
        plain_line(&known.name),
        many(done.accounts_deleted, "account")
    ))?;
    removal::report(&done.cleanup, ui)
}

fn question(bundle: &bundle::Bundle, accounts: &[Account], history: bool) -> String {
    let only = |account: &&Account| account.bound_to.len() <= 1;
    let gone: Vec<String> = accounts
        .iter()
        .filter(only)
        .map(|account| format!("{} {}", account.provider_id, plain_line(&who(account))))
        .collect();
    let with = if gone.is_empty() { String::new() } else { format!(" with {}", gone.join(", ")) };
    let history = if history { ", and every conversation that the CLIs kept there" } else { "" };
    format!("Delete the bundle \"{}\"{with}{history}?", plain_line(&bundle.name))
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::{account, bundle};
    use super::*;
    use crate::wire::Status;

    #[test]
    fn bundle_deletion_question_names_accounts_and_history_to_be_deleted() {
        let work = bundle("Work", "codex", Status::Valid);
        let mine = Account { bound_to: vec!["b1".into()], ..account("codex", Some("a@b.c"), Status::Valid) };
        let shared = account("claude", Some("a@b.c"), Status::Valid);
        let check = |accounts: &[Account], history: bool, expected: &str| {
            assert_eq!(question(&work, accounts, history), expected);
        };
        check(&[], false, "Delete the bundle \"Work\"?");
        check(&[mine.clone(), shared], false, "Delete the bundle \"Work\" with codex a@b.c?");
        check(
            &[mine],
            true,
            "Delete the bundle \"Work\" with codex a@b.c, and every conversation that the CLIs kept there?",
        );
    }
}
