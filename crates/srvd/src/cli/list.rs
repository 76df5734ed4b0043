//! `srvd bundles` and `srvd accounts`: the lists of the daemon's bundles and accounts.

use super::client::Connection;
use super::failure::Failure;
use super::ui::{Ui, plain_line};
use super::{resolve, table, vocabulary};
use crate::base::clock::now;
use crate::wire::{CredentialKind, account, bundle};

/// The arguments of every command that prints a list.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Format {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `srvd bundles`.
#[derive(Debug, clap::Args)]
pub(super) struct BundlesArgs {
    #[command(flatten)]
    format: Format,
}

/// Arguments of `srvd accounts`.
#[derive(Debug, clap::Args)]
pub(super) struct AccountsArgs {
    /// Only the accounts of this bundle, by name or id
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<String>,
    /// Only the accounts of this provider
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// Lists the bundles.
pub(super) async fn bundles(args: &BundlesArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let bundles = daemon.call(&bundle::List {}).await?;
    if args.format.json {
        return ui.json(&bundles);
    }
    let accounts = daemon.call(&account::List::default()).await?.accounts;
    let rows = bundles.bundles.into_iter().map(|bundle| bundle_row(bundle, &accounts, ui));
    ui.result(&table::draw(ui, &["NAME", "ACCOUNTS", "DESCRIPTION", "ID"], rows))
}

fn bundle_row(bundle: bundle::Bundle, accounts: &[account::Account], ui: &Ui) -> Vec<String> {
    let mark = |binding: &bundle::Binding| {
        let account = accounts.iter().find(|account| account.id == binding.account_id);
        let state = vocabulary::credential(&binding.status, account.map(|account| &account.kind));
        format!("{} {}", binding.provider_id, state.symbol.text(ui))
    };
    let accounts = match bundle.bindings.is_empty() {
        true if bundle.is_blank => "always none".to_owned(),
        true => "none".to_owned(),
        false => bundle.bindings.iter().map(mark).collect::<Vec<_>>().join(", "),
    };
    vec![bundle.name, accounts, bundle.description, bundle.id]
}

/// Lists the accounts.
pub(super) async fn accounts(args: AccountsArgs, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let bundle_id = match &args.bundle {
        Some(wanted) => Some(resolve::existing(daemon, wanted).await?),
        None => None,
    };
    let accounts = daemon
        .call(&account::List { provider_id: args.provider, bundle_id, ..account::List::default() })
        .await?;
    if args.format.json {
        return ui.json(&accounts);
    }
    report_corrupt(&accounts.corrupt, ui);
    if accounts.accounts.is_empty() {
        ui.note("No accounts. Log in with: srvd login PROVIDER   or add a key with: srvd add-key PROVIDER");
        return Ok(());
    }
    let bundles = daemon.call(&bundle::List {}).await?.bundles;
    let rows = accounts.accounts.iter().map(|account| account_row(account, &bundles, ui, now()));
    ui.result(&table::draw(ui, &["PROVIDER", "ACCOUNT", "KIND", "STATUS", "EXPIRES", "BUNDLES", "ID"], rows))
}

fn account_row(account: &account::Account, bundles: &[bundle::Bundle], ui: &Ui, now: i64) -> Vec<String> {
    let name = |id: &String| {
        bundles.iter().find(|bundle| bundle.id == *id).map_or(id, |bundle| &bundle.name).clone()
    };
    vec![
        account.provider_id.clone(),
        who(account),
        kind(&account.kind),
        vocabulary::credential(&account.status, Some(&account.kind)).draw(ui),
        table::when(account.expires_at, now),
        account.bound_to.iter().map(name).collect::<Vec<_>>().join(", "),
        account.id.clone(),
    ]
}

/// Returns the words for the kind of a credential.
pub(super) fn kind(kind: &CredentialKind) -> String {
    match kind {
        CredentialKind::ApiKey => "API key".to_owned(),
        CredentialKind::OAuth => "login".to_owned(),
        CredentialKind::Other(word) => word.clone(),
    }
}

/// Returns the name by which a user knows an account: the display name, else the email address, else the subject, which
/// is the login name at some providers, else the account's own name. The end of an API key is added.
pub(super) fn who(account: &account::Account) -> String {
    let known = [&account.display_name, &account.email, &account.subject];
    // A CLI or a forge reported the name.
    let name = identity_store::shown(known.into_iter().flatten().next().unwrap_or(&account.name));
    match &account.masked_tail {
        Some(tail) => format!("{name} ({tail})"),
        None => name.into_owned(),
    }
}

/// Prints the rows that cannot be read, in addition to the list of the others.
pub(super) fn report_corrupt(corrupt: &[account::Corrupt], ui: &Ui) {
    for row in corrupt {
        ui.note(&format!("account {} cannot be read: {}", plain_line(&row.id), plain_line(&row.reason)));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::table::tests::ui;
    use super::*;
    use crate::wire::bundle::UnboundPolicy;
    use crate::wire::{Evidence, Status};

    /// Returns an account with an address and a status.
    pub(crate) fn account(provider: &str, email: Option<&str>, status: Status) -> account::Account {
        account::Account {
            id: "a1".to_owned(),
            provider_id: provider.to_owned(),
            kind: CredentialKind::OAuth,
            owner: account::Owner::Bundle,
            name: "Name".to_owned(),
            display_name: None,
            email: email.map(str::to_owned),
            subject: None,
            secret_ref: account::SecretRef {
                backend: account::Backend::ConfigDir,
                dir: None,
                var: None,
                adopted: None,
            },
            base_url: None,
            masked_tail: None,
            status,
            status_reason: None,
            evidence: Evidence::File,
            checked_at: None,
            expires_at: Some(3_600_000),
            login_deadline_at: None,
            next_step: None,
            bound_to: vec!["b1".to_owned(), "gone".to_owned()],
            created_at: 0,
            updated_at: 0,
        }
    }

    /// Returns a bundle that binds one account.
    pub(crate) fn bundle(name: &str, provider: &str, status: Status) -> bundle::Bundle {
        let binding =
            bundle::Binding { provider_id: provider.to_owned(), account_id: "a1".to_owned(), status };
        bundle::Bundle {
            id: "b1".to_owned(),
            name: name.to_owned(),
            description: String::new(),
            is_blank: false,
            created_at: 0,
            updated_at: 0,
            bindings: vec![binding],
            unbound: UnboundPolicy::default(),
        }
    }

    #[test]
    fn account_is_listed_by_display_name_email_subject_or_name() {
        let mut one = account("codex", Some("a@b.c"), Status::Valid);
        assert_eq!(who(&one), "a@b.c");
        one.display_name = Some("Mine".to_owned());
        assert_eq!(who(&one), "Mine");
        (one.display_name, one.email) = (None, None);
        one.subject = Some("octocat".to_owned());
        assert_eq!(who(&one), "octocat");
        one.subject = None;
        assert_eq!(who(&one), "Name");
        one.masked_tail = Some("…1234".to_owned());
        assert_eq!(who(&one), "Name (…1234)");
    }

    #[test]
    fn rows_show_status_expiry_and_bundles() {
        let one = bundle("work", "codex", Status::NeedsReauth);
        let login = account("codex", Some("a@b.c"), Status::NeedsReauth);
        let row = account_row(&login, std::slice::from_ref(&one), &ui(None), 0);
        assert_eq!(row, ["codex", "a@b.c", "login", "! needs you to log in", "in 1 h", "work, gone", "a1"]);
        assert_eq!(bundle_row(one, &[login], &ui(None)), ["work", "codex !", "", "b1"]);
    }

    #[test]
    fn expired_credential_has_the_same_symbol_in_the_lists_of_accounts_and_bundles() {
        for (kind, symbol) in [(CredentialKind::OAuth, '↻'), (CredentialKind::ApiKey, '✗')] {
            let one = account::Account { kind, ..account("codex", None, Status::Expired) };
            let row = account_row(&one, &[], &ui(None), 0);
            assert!(row[3].starts_with(symbol), "{row:?}");
            let row = bundle_row(bundle("work", "codex", Status::Expired), &[one], &ui(None));
            assert_eq!(row[1], format!("codex {symbol}"));
        }
    }
}
