//! The provider registry with the operator's entries.

use auth_spawner::{Overlay, Registry};

use super::BootError;
use crate::config::{Config, ConfigError};

/// Loads the provider registry with the operator's entries.
///
/// # Errors
/// [`BootError`], which names the file that cannot be used.
pub(crate) fn registry(config: &Config) -> Result<Registry, BootError> {
    let dir = config.config_dir.join("providers.d");
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
    let overlays = files
        .into_iter()
        .map(|path| Ok(Overlay { text: std::fs::read_to_string(&path)?, source: path.display().to_string() }))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    Ok(Registry::with_overlays(&overlays)?)
}
