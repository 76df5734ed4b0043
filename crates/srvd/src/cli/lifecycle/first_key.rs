//! The encryption key of a new installation. A second key could decrypt nothing, so none is made if there may be one.

use std::path::Path;

use super::service;
use crate::base::environment::Environment;
use crate::cli::failure::{Failure, code};
use crate::cli::key_generate;
use crate::cli::ui::Ui;
use crate::config::Config;
use crate::config::key::{self, KeySourceError};
use crate::daemon::record::DatabaseRecord;
use crate::hint::Step;

/// Creates the key if the installation has none anywhere.
///
/// # Errors
/// `CONFIG` if the installation has a key that this process cannot see, with its place; the errors of the creation.
pub(in crate::cli) fn ensure(config: &Config, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let place = match key::load(environment, &config.key_sources()) {
        Err(KeySourceError::Missing(_)) => elsewhere(config, environment),
        Err(KeySourceError::Keychain(error)) => {
            Some(format!("srvd.toml says that the keychain has it ({error})"))
        }
        // A key that cannot be used is reported by the start.
        Ok(_) | Err(_) => return Ok(()),
    };
    if let Some(place) = place {
        let text = format!("the key of this installation is not in this shell: {place}");
        return Err(Failure::new(code::CONFIG, text).hint(Step::StartAsInstalled));
    }
    let path = key_generate::generate(None, &config.config_dir)?;
    ui.note(&format!(
        "Created the encryption key {}. Keep a copy: without it, stored secrets are lost.",
        path.display()
    ));
    Ok(())
}

/// Returns the reason to believe that the key is in another place.
fn elsewhere(config: &Config, environment: &Environment) -> Option<String> {
    if let Some(unit) = service::unit_files(environment).into_iter().find(|unit| gives_a_key(unit)) {
        return Some(format!("{} has it", unit.display()));
    }
    let database = [config.data_dir.join("srvd.db"), DatabaseRecord::path(&config.data_dir)];
    database
        .iter()
        .any(|path| path.exists())
        .then(|| format!("{} has a database, so there is a key somewhere else", config.data_dir.display()))
}

/// Returns whether a file of the service manager gives the daemon its key.
fn gives_a_key(unit: &Path) -> bool {
    let text = std::fs::read_to_string(unit).unwrap_or_default();
    unit.starts_with("/etc/srvd") || text.lines().any(line_gives_a_key)
}

fn line_gives_a_key(line: &str) -> bool {
    let line = line.trim_start();
    let credential = line.split_once("Credential").is_some_and(|(verb, rest)| {
        let named = rest.strip_prefix("Encrypted").unwrap_or(rest);
        matches!(verb, "Load" | "Set") && named.starts_with("=oauth_encryption_key")
    });
    credential || (!line.starts_with('#') && line.contains("OAUTH_ENCRYPTION_KEY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_a_unit_gives_a_key_unless_it_is_a_comment() {
        for (line, expected) in [
            ("LoadCredential=oauth_encryption_key:/etc/srvd/a.key", true),
            ("  LoadCredentialEncrypted=oauth_encryption_key:%E/srvd/key.cred", true),
            ("SetCredentialEncrypted=oauth_encryption_key: abc", true),
            ("Environment=OAUTH_ENCRYPTION_KEY_FILE=/k", true),
            ("#LoadCredentialEncrypted=oauth_encryption_key:x", false),
            ("# Environment=OAUTH_ENCRYPTION_KEY_FILE=/k", false),
            ("LoadCredential=other:/x", false),
            ("Environment=HTTPS_PROXY=http://proxy", false),
        ] {
            assert_eq!(line_gives_a_key(line), expected, "{line}");
        }
    }
}
