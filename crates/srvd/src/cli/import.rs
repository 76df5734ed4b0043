//! `srvd import`: adds a bundle from an export to the database.
//!
//! It takes the daemon's lock, because a running daemon would not notice what another process writes into its database.

use std::path::{Path, PathBuf};

use identity_store::ImportedBundle;
use secrecy::SecretString;

use super::export::say_left_out;
use super::failure::{Failure, code};
use super::offline::{DatabaseArgs, announce};
use super::passphrase::{self, PassphraseArgs};
use super::portable::{self, Opened};
use super::serve;
use super::ui::{Ui, plain_line};
use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::base::redact::Redactor;
use crate::base::trust;
use crate::config::{Config, key};
use crate::daemon;
use crate::daemon::{BootError, Offline, logging};

/// Arguments of `srvd import`.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// A file that `srvd export` made
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Decrypts the file, and then changes the database.
pub(super) async fn run(
    args: &ImportArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    serve::keep_memory_private()?;
    logging::start(config, &Redactor::default()).map_err(BootError::from)?;
    let config = &args.database.settle(config, ui).await?;
    announce(config, environment, ui)?;
    let sealed = read(&args.file)?;
    // A daemon that is in the way is reported before the passphrase is asked for.
    let offline = Offline::enter(config)?;
    let passphrase = passphrase::given(&args.passphrase, ui).await?;
    let opened = open(&sealed, passphrase)?;
    let registry = daemon::registry(config)?;
    let bundle = portable::with_known_providers(opened.bundle, &registry)?;
    let keyring = key::load(environment, &config.key_sources()).map_err(BootError::from)?.keyring();
    let store = offline.open(keyring).await?;
    let imported = store.acting_as("cli").import_bundle(bundle, now()).await;
    store.close().await;
    let ImportedBundle { bundle, name, accounts } = imported.map_err(BootError::from)?;
    let count = accounts.len();
    ui.result(&format!("imported {count} accounts into the bundle \"{}\" ({bundle})", plain_line(&name)))?;
    say_left_out(&opened.left_out, ui);
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::new(code::IO, format!("cannot read {}: {error}", path.display()));
    match trust::read_regular(path, portable::LONGEST) {
        Ok(content) => Ok(content.to_vec()),
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            Err(Failure::new(code::IO, format!("{} is too large for an export", path.display())))
        }
        Err(error) => Err(unreadable(error)),
    }
}

fn open(sealed: &[u8], passphrase: SecretString) -> Result<Opened, Failure> {
    portable::open(sealed, passphrase).map_err(|error| Failure::new(code::IO, error.to_string()))
}
