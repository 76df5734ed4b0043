//! The provider registry with the operator's entries.

use auth_spawner::{Overlay, Registry};

use super::BootError;
use crate::base::trust::TrustError;
use crate::config::{Config, ConfigError, LONGEST_FILE};

/// The directory of the operator's entries, below the configuration.
pub(crate) const OVERLAYS: &str = "providers.d";

/// Loads the provider registry with the operator's entries.
///
/// # Errors
/// [`BootError`], which names the file that cannot be used.
pub(crate) fn registry(config: &Config) -> Result<Registry, BootError> {
    Ok(Registry::with_overlays(&overlays(config)?)?)
}

/// Reads the files of the operator's entries, in the order in which they are laid over.
///
/// # Errors
/// [`BootError`] if the directory or a file cannot be read.
pub(crate) fn overlays(config: &Config) -> Result<Vec<Overlay>, BootError> {
    let dir = config.config_dir.join(OVERLAYS);
    let untrusted = |error| BootError::Config(ConfigError::Untrusted(error));
    match config.trust.directory(&dir) {
        Ok(_) => {}
        Err(TrustError::Missing(_)) => return Ok(Vec::new()),
        Err(error) => return Err(untrusted(error)),
    }
    let unreadable = |source| BootError::Config(ConfigError::Unreadable { path: dir.clone(), source });
    let entries = std::fs::read_dir(&dir).map_err(unreadable)?;
    let files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut files = files.map_err(unreadable)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut overlays = Vec::with_capacity(files.len());
    for path in files {
        // A file that was removed since the directory was listed is no entry.
        if let Some(text) = config.trust.read_text(&path, LONGEST_FILE).map_err(untrusted)? {
            overlays.push(Overlay { text, source: path.display().to_string() });
        }
    }
    Ok(overlays)
}
