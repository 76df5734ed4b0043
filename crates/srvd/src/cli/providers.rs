//! `srvd providers`: the known providers, their installed CLIs, and a check of these CLIs.

mod add;
mod check;
mod help;
mod propose;
mod report;

use super::client::Connection;
use super::failure::Failure;
use super::list::Format;
use super::table;
use super::ui::Ui;
use crate::wire::provider;

pub(super) use add::run as add;
pub(super) use check::run as check;

/// Arguments of `srvd providers`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ProvidersArgs {
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    #[command(flatten)]
    format: Format,
}

/// Subcommands of `srvd providers`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List the providers, and which of their CLIs are installed (the default)
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Check that the installed CLIs still behave as srvd expects; needs no daemon
    ///
    /// Each login of each installed CLI is started in an empty directory, watched until it shows its address or its
    /// code, and cancelled. No login is completed, and your own logins are not changed. Run it after updating a CLI.
    #[command(after_help = "\
Exit codes:
   0  everything that could be checked matches
   1  something no longer matches
  64  there is no such provider, or it has no CLI
  69  the named CLI is not installed")]
    Check(CheckArgs),
    /// Check a file with provider entries, and put it into providers.d
    ///
    /// The file must be yours and closed to the writes of others, and the whole registry must be valid with it. Each
    /// recording beside it, in the directory FILE.recordings (without `.toml`), must be understood by it as its list says.
    #[command(after_help = "\
Exit codes:
   0  the file is in providers.d; restart the daemon to use it
   1  the file or one of its recordings is refused, and nothing has changed
  64  there is no such file")]
    Add(AddArgs),
    /// Print the manual of all known providers in Markdown
    Doc,
}

/// Arguments of `srvd providers check`.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Only this provider, by id or alias
    #[arg(value_name = "ID")]
    pub(super) provider: Option<String>,
    /// Longest time that a login may take to show its address or its code
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(super) wait: u64,
    /// Look through all installed programs for environment names that their entries do not know
    ///
    /// This is always done for one provider. It reads the whole program.
    #[arg(long)]
    pub(super) names: bool,
    /// Print a file for providers.d with what has changed, for you to look at; implies --names
    #[arg(long, conflicts_with = "json")]
    pub(super) propose: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `srvd providers add`.
#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    /// The file with the entries, whose name ends in .toml
    #[arg(value_name = "FILE")]
    pub(super) file: std::path::PathBuf,
    /// Replace the file of the same name
    #[arg(long)]
    pub(super) replace: bool,
}

impl ProvidersArgs {
    /// Returns the format of the list.
    pub(super) fn format(&self) -> &Format {
        match &self.action {
            Some(Action::List { format }) => format,
            _ => &self.format,
        }
    }
}

/// Lists the providers as the daemon knows them.
pub(super) async fn list(format: &Format, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let providers = daemon.call(&provider::List::default()).await?;
    if format.json {
        return ui.json(&providers);
    }
    let rows = providers.providers.into_iter().map(row);
    ui.result(&table::draw(ui, &["PROVIDER", "INSTALLED", "VERSION", "PATH OR INSTALLATION", "LOGIN"], rows))
}

fn row(provider: provider::Provider) -> Vec<String> {
    let (installed, version, place) = match provider.cli {
        cli if cli.found && cli.untested => (
            "yes",
            Some(format!("{} (untested)", cli.version.unwrap_or_default()).trim().to_owned()),
            cli.path,
        ),
        cli if cli.found => ("yes", cli.version, cli.path),
        cli if cli.install.is_some() => ("no", None, cli.install),
        _ => ("-", None, None),
    };
    vec![
        provider.id,
        installed.to_owned(),
        version.unwrap_or_default(),
        place.unwrap_or_default(),
        provider.login_kinds.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::ui;
    use super::*;
    use crate::wire::CredentialKind;

    #[test]
    fn providers_table_shows_install_command_when_cli_is_not_found() {
        let cli = |found: bool, install: Option<&str>| provider::Cli {
            tested: None,
            untested: false,
            found,
            path: found.then(|| "/bin/codex".to_owned()),
            version: found.then(|| "1.2".to_owned()),
            install: install.map(str::to_owned),
        };
        let provider = |id: &str, cli: provider::Cli| provider::Provider {
            id: id.to_owned(),
            aliases: Vec::new(),
            display_name: id.to_owned(),
            class: CredentialKind::OAuth,
            cli,
            requires_tty: false,
            login_kinds: vec!["browser".to_owned(), "api_key".to_owned()],
            logins: Vec::new(),
            icon: id.to_owned(),
            key_prefix: None,
            key_url: None,
        };
        let npm = Some("npm install -g codex");
        let rows =
            [provider("a", cli(true, npm)), provider("b", cli(false, npm)), provider("c", cli(false, None))];
        let untested = provider("d", provider::Cli { untested: true, ..cli(true, npm) });
        assert_eq!(row(untested)[2], "1.2 (untested)");
        let silent = provider("e", provider::Cli { untested: true, version: None, ..cli(true, npm) });
        assert_eq!(row(silent)[2], "(untested)");
        assert_eq!(
            table::draw(&ui(None), &["P", "I", "V", "WHERE", "L"], rows.map(row)),
            "P  I    V    WHERE                 L\n\
             a  yes  1.2  /bin/codex            browser, api_key\n\
             b  no        npm install -g codex  browser, api_key\n\
             c  -                               browser, api_key"
        );
    }
}
