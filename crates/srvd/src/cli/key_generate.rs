//! `srvd key generate`: makes the encryption key.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use identity_store::Key;
use secrecy::{ExposeSecret as _, SecretString};

use super::failure::{Failure, code};
use super::lifecycle;
use super::ui::Ui;
use crate::base::environment::Environment;
use crate::base::private;
use crate::config::keychain::KeychainError;
use crate::config::{Config, key, keychain};
use crate::hint::Step;

/// Arguments of `srvd key generate`.
#[derive(Debug, clap::Args)]
pub(super) struct GenerateArgs {
    /// The file to create [default: encryption.key in the configuration directory]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Store the key in the OS keychain instead; this needs an srvd that was built with keychain support
    #[arg(long, conflicts_with = "output")]
    keychain: bool,
    /// Create it only if the installation has no key; fail if the key is in a place that this shell cannot see
    #[arg(long, conflicts_with_all = ["output", "keychain"])]
    if_missing: bool,
}

/// Makes the key and prints its location. The key itself is never printed.
pub(super) fn run(
    args: &GenerateArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    if args.if_missing {
        return lifecycle::ensure_key(config, environment, ui);
    }
    if args.keychain {
        return into_keychain(config, ui);
    }
    let path = generate(args.output.as_deref(), &config.config_dir)?;
    ui.result(&path.display().to_string())?;
    ui.note("Keep a copy of this file in a safe place: without it, the stored API keys are lost.");
    Ok(())
}

fn into_keychain(config: &Config, ui: &Ui) -> Result<(), Failure> {
    keychain::put(&new_key()?).map_err(|error| match error {
        KeychainError::Taken => Failure::new(code::CANNOT_CREATE, error.to_string()).hint(Step::KeyIsNeeded),
        _ => Failure::new(code::CONFIG, error.to_string()),
    })?;
    ui.result(keychain::PLACE)?;
    if !config.keychain {
        ui.note(&format!(
            "The daemon uses the keychain only if {} sets: [key] keychain = true",
            config.config_dir.join("srvd.toml").display()
        ));
    }
    ui.note("Keep a copy of the keychain in a safe place: without the key, the stored API keys are lost.");
    Ok(())
}

fn new_key() -> Result<SecretString, Failure> {
    Key::generate().map(|(_, text)| text).map_err(|error| Failure::new(code::IO, error.to_string()))
}

/// Creates the key in a file, and returns its path.
pub(super) fn generate(output: Option<&Path>, config_dir: &Path) -> Result<PathBuf, Failure> {
    let path = output.map_or_else(|| key::default_file(config_dir), Path::to_owned);
    if output.is_none() && !config_dir.exists() {
        private::directory(config_dir)
            .map_err(|error| Failure::new(code::CANNOT_CREATE, error.to_string()))?;
    }
    let text = new_key()?;
    write_new(&path, &text).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(
            code::CANNOT_CREATE,
            format!("{} already exists and is not overwritten", path.display()),
        )
        .hint(Step::KeyIsNeeded),
        _ => Failure::new(code::CANNOT_CREATE, format!("cannot create {}: {error}", path.display())),
    })?;
    Ok(path)
}

fn write_new(path: &Path, text: &SecretString) -> io::Result<()> {
    let mut file = private::new_file(path, 0o600)?;
    let written = file
        .write_all(text.expose_secret().as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all());
    written.inspect_err(|_| {
        // Only the first error is reported. An incomplete key must not stay.
        let _ = std::fs::remove_file(path);
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn key_is_generated_once_and_is_readable() {
        let root = tempfile::tempdir().unwrap();
        let config = root.path().join("config");
        let path = generate(None, &config).unwrap();
        assert_eq!(path, config.join("encryption.key"));
        assert_eq!((mode(&path), mode(&config)), (0o600, 0o700));
        let first = std::fs::read(&path).unwrap();
        Key::parse_file_bytes(&first).unwrap();
        let refused = generate(None, &config).unwrap_err();
        assert_eq!(refused.code(), 73);
        assert!(!refused.render().contains("base64:"), "{}", refused.render());
        assert_eq!(std::fs::read(&path).unwrap(), first);
    }

    #[test]
    fn key_is_written_to_the_given_path_without_creating_directories() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        assert_eq!(generate(Some(&path), &root.path().join("config")).unwrap(), path);
        assert_eq!(mode(&path), 0o600);
        assert!(!root.path().join("config").exists());
        assert_eq!(generate(Some(&root.path().join("a/b")), root.path()).unwrap_err().code(), 73);
    }
}
