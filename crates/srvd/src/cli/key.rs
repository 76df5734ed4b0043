//! `srvd key`: creates the encryption key, and replaces it.

use clap::Subcommand;

use super::failure::Failure;
use super::ui::Ui;
use super::{key_generate, rotate};
use crate::base::environment::Environment;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Create a new encryption key, in a file that only you can read or in the OS keychain
    ///
    /// The key encrypts every API key and token in the database. An existing key is never overwritten.
    Generate(key_generate::GenerateArgs),
    /// Replace the encryption key with a new one, and re-encrypt every secret
    ///
    /// The daemon must not be running. If a run is interrupted, run the command again to finish it.
    Rotate(rotate::RotateArgs),
}

/// Runs `srvd key`.
pub(super) fn run(
    command: &KeyCommand,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    match command {
        KeyCommand::Generate(args) => key_generate::run(args, config, environment, ui),
        KeyCommand::Rotate(args) => rotate::run(args, config, environment, ui),
    }
}
