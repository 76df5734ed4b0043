//! `srvd export`: writes a bundle into a file that is encrypted with a passphrase.
//!
//! It reads the database directly, because no method of the daemon returns secrets. It writes only a row of the audit
//! log, so a daemon may be running.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use identity_store::{BundleId, LeftOut, Store};

use super::failure::{Failure, code};
use super::offline::{DatabaseArgs, announce};
use super::passphrase::{self, PassphraseArgs};
use super::portable;
use super::ui::{Ui, plain_line};
use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::base::private;
use crate::config::Config;
use crate::daemon;
use crate::daemon::BootError;
use crate::hint::Step;

/// Arguments of `srvd export`.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The bundle, by name or id
    #[arg(long, value_name = "BUNDLE")]
    bundle: String,
    /// The file to create; an existing file is never overwritten [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Asks for the passphrase before it opens the database.
pub(super) async fn run(
    args: &ExportArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    super::serve::keep_memory_private()?;
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::new(code::USAGE, "the export is binary, so it is not written to a terminal")
            .hint(Step::NameExportFile { bundle: (&args.bundle).into() }));
    }
    if let Some(file) = args.output.as_ref().filter(|file| file.symlink_metadata().is_ok()) {
        return Err(exists(file));
    }
    let config = &args.database.settle(config, ui).await?;
    announce(config, environment, ui)?;
    let passphrase = passphrase::chosen(&args.passphrase, ui).await?;
    let store = daemon::beside(config, environment).await?;
    let exported = export(&store.acting_as("cli"), &args.bundle).await;
    store.close().await;
    let (bundle, left_out) = exported?;
    let sealed = portable::seal(&bundle, &left_out, passphrase)
        .map_err(|error| Failure::new(code::BUG, format!("the export cannot be encrypted: {error}")))?;
    match &args.output {
        None => ui.print(&sealed)?,
        Some(file) => {
            write_new(file, &sealed)?;
            ui.result(&file.display().to_string())?;
        }
    }
    let count = bundle.accounts.len();
    ui.note(&format!("{count} accounts of the bundle \"{}\" were exported.", plain_line(&bundle.name)));
    say_left_out(&left_out, ui);
    Ok(())
}

async fn export(
    store: &Store,
    wanted: &str,
) -> Result<(identity_store::PortableBundle, Vec<LeftOut>), Failure> {
    let bundles = store.bundles().await.map_err(BootError::from)?;
    let by_id = bundles.iter().find(|bundle| bundle.id.as_str() == wanted);
    let by_name = || bundles.iter().find(|bundle| bundle.name.to_lowercase() == wanted.to_lowercase());
    let found = by_id.or_else(by_name).filter(|bundle| bundle.id != BundleId::blank());
    let found = found.ok_or_else(|| {
        Failure::new(code::FAILED, format!("no bundle has the id or the name \"{}\"", plain_line(wanted)))
            .hint(Step::ListBundles)
    })?;
    Ok(store.export_bundle(&found.id, now()).await.map_err(BootError::from)?)
}

/// Prints the accounts that are not in the export. A login that is renewed by use cannot exist in two places, and a
/// reference to a resource of this machine has no meaning elsewhere.
pub(super) fn say_left_out(left_out: &[LeftOut], ui: &Ui) {
    for account in left_out {
        let whose = account.email.as_deref().unwrap_or(&account.name);
        let next = if account.is_login { "log in again" } else { "set it up again" };
        ui.note(&format!(
            "Not in the export: {} ({}); {next} on the other machine.",
            account.provider,
            plain_line(whose)
        ));
    }
}

fn exists(file: &Path) -> Failure {
    Failure::new(code::CANNOT_CREATE, format!("{} already exists and is not overwritten", file.display()))
}

fn write_new(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = private::new_file(path, 0o600).and_then(|mut file| {
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written.inspect_err(|_| {
            // Only the first error is reported. An incomplete file is of no use.
            let _ = std::fs::remove_file(path);
        })
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::new(code::CANNOT_CREATE, format!("cannot write {}: {error}", path.display())),
    })
}
