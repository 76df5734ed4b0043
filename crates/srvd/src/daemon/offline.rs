//! Access to the store for commands that run while no daemon does.

use std::sync::Arc;

use identity_store::{Change, Keyring, KnownDatabase, Store, StoreOptions};

use super::database::{self, Absence};
use super::{BootError, DatabaseRecord, Lock};
use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::base::private;
use crate::base::trust::TrustError;
use crate::config::{Config, ConfigError, key};

/// The data directory of a daemon that is not running. No daemon can start until this is dropped.
#[derive(Debug)]
pub(crate) struct Offline<'a> {
    config: &'a Config,
    _lock: Lock,
}

impl<'a> Offline<'a> {
    /// Ensures that the directories exist and takes the daemon's lock.
    pub(crate) fn enter(config: &'a Config) -> Result<Self, BootError> {
        directories(config)?;
        Ok(Self { config, _lock: Lock::acquire(&config.data_dir)? })
    }

    /// Opens the store and migrates its schema as a start would, but creates no database.
    pub(crate) async fn open(&self, keyring: Keyring) -> Result<Store, BootError> {
        database::open(self.config, keyring, Arc::new(|_: &[Change]| {}), Absence::Refuse).await
    }

    /// Keeps the record of a database that has just been put into place.
    pub(crate) fn keep_record(
        &self,
        known: &KnownDatabase,
        schema: i64,
        keyring: &Keyring,
    ) -> Result<(), BootError> {
        let place = self.config.database.to_string();
        DatabaseRecord::keep(&self.config.data_dir, place, known, schema, keyring)
    }
}

/// Opens the store of a daemon that may be running. Nothing is created, and no schema is changed.
pub(crate) async fn beside(config: &Config, environment: &Environment) -> Result<Store, BootError> {
    let keyring = key::load(environment, &config.key_sources())?.keyring();
    let announce = Arc::new(|_: &[Change]| {});
    let mut options = StoreOptions::new(config.database.clone(), announce, now()).rooted(config.roots());
    let place = config.database.to_string();
    let record = DatabaseRecord::read(&config.data_dir)?.filter(|record| record.database == place);
    options.known = record.map(|record| record.known(&keyring));
    Ok(Store::attach(options, keyring).await?)
}

/// Checks that only root and this user can change the configuration, and what lies above the daemon's own directories,
/// and makes these directories.
pub(super) fn directories(config: &Config) -> Result<(), BootError> {
    let trust = &config.trust;
    match trust.directory(&config.config_dir) {
        Ok(_) | Err(TrustError::Missing(_)) => {}
        Err(error) => return Err(ConfigError::Untrusted(error).into()),
    }
    for dir in [&config.data_dir, &config.runtime_dir] {
        trust.above(dir).map_err(ConfigError::Untrusted)?;
        private::directory(dir)?;
    }
    // The stand-in for the home of a user without `HOME`.
    if config.home.starts_with(&config.data_dir) {
        private::directory(&config.home)?;
    }
    Ok(())
}
