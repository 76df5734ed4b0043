//! The provider registry with the operator's entries.

use auth_spawner::{Overlay, Registry};

use super::BootError;
use crate::config::{Config, ConfigError};

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
    let unreadable = |source| BootError::Config(ConfigError::Unreadable { path: dir.clone(), source });
    let mut files = match std::fs::read_dir(&dir) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(unreadable(error)),
    };
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let read = |path: std::path::PathBuf| {
        Ok(Overlay { text: std::fs::read_to_string(&path)?, source: path.display().to_string() })
    };
    files.into_iter().map(read).collect::<Result<Vec<_>, _>>().map_err(unreadable)
}
