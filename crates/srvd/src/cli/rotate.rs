//! `srvd key rotate`: makes a new encryption key and seals every secret again with it.
//!
//! The database can be opened at every moment of a rotation. The old key is written to the file of old keys before the
//! new key replaces it, and it is put away only when no secret needs it any more. A run that was interrupted is
//! finished by running the command again.

use std::io;
use std::path::{Path, PathBuf};

use identity_store::{Key, Rotation};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::failure::{Failure, code};
use super::offline::{DatabaseArgs, announce};
use super::serve;
use super::ui::Ui;
use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::base::private;
use crate::config::key::Keys;
use crate::config::{Config, key, keychain};
use crate::daemon::{BootError, Offline};
use crate::hint::Step as HintStep;
use crate::wire::error::with_causes;

/// The longest key file that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Arguments of `srvd key rotate`.
#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// Use the key in this file instead of generating one
    #[arg(long, value_name = "PATH")]
    new_key: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// The first step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Replace the current key with a new one.
    Begin(Own),
    /// Finish a rotation that was interrupted, for which there are old keys.
    Finish,
}

/// A place of the key that srvd can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// `<config>/encryption.key`.
    File,
    /// The OS keychain.
    Keychain,
}

/// Rotates the key while it holds the daemon's lock, so that no daemon seals with the old key meanwhile.
pub(super) fn run(
    args: &RotateArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    serve::in_its_place(config, async || rotate(args, config, environment, ui).await)?
}

async fn rotate(
    args: &RotateArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    let config = &args.database.settle(config, ui).await?;
    let load = || key::load(environment, &config.key_sources()).map_err(BootError::from);
    let mut keys = load()?;
    let step = first_step(&keys, args.new_key.is_some(), &config.config_dir)?;
    announce(config, environment, ui)?;
    let offline = Offline::enter(config)?;
    if let Step::Begin(own) = step {
        // A key that does not belong to the database must not be put away as its old one.
        offline.open(keys.keyring()).await?.close().await;
        begin(&keys, own, args.new_key.as_deref(), &config.config_dir)?;
        keys = load()?;
    }
    let store = offline.open(keys.keyring()).await?;
    let rotated = store.rotate(now(), |done| tracing::info!(done, "re-encrypting the secrets")).await;
    let rotation = rotated.map_err(BootError::from)?;
    if let Err(error) = store.compact().await {
        ui.note(&format!(
            "The database could not be compacted, so old secrets may remain in its file: {}",
            with_causes(&error)
        ));
    }
    store.close().await;
    report(&rotation, &keys, config, ui)
}

/// Returns the first step. Only a key that srvd made can be replaced, and only if it is in one place. A key from
/// another source has to be changed there.
fn first_step(keys: &Keys, new_key: bool, config_dir: &Path) -> Result<Step, Failure> {
    if !keys.old.is_empty() {
        if new_key {
            return Err(Failure::new(
                code::CONFIG,
                "there are already old keys, so a rotation is in progress",
            )
            .hint(HintStep::FinishRotation));
        }
        return Ok(Step::Finish);
    }
    let file = key::default_file(config_dir).display().to_string();
    let own = keys.places.iter().map(|place| match place {
        place if *place == file => Ok(Own::File),
        place if place == keychain::PLACE => Ok(Own::Keychain),
        place => Err(Failure::new(
            code::CONFIG,
            format!("the encryption key comes from {place}, which srvd does not change"),
        )
        .hint(HintStep::ChangeKeyThere)),
    });
    match own.collect::<Result<Vec<Own>, Failure>>()?.as_slice() {
        [own] => Ok(Step::Begin(*own)),
        // Two places cannot be changed in one step. If they differed, the daemon would not start.
        _ => Err(Failure::new(
            code::CONFIG,
            format!("the encryption key is in {}", keys.places.join(" and in ")),
        )
        .hint(HintStep::OneKeyPlace)),
    }
}

/// Writes the old key into the file of old keys, and then the new one into its place.
fn begin(keys: &Keys, own: Own, new_key: Option<&Path>, config_dir: &Path) -> Result<(), Failure> {
    let new = match new_key {
        Some(path) => read_key(path)?,
        None => Key::generate().map_err(|error| Failure::new(code::IO, error.to_string()))?.0,
    };
    if new.id() == keys.key.id() {
        return Err(Failure::new(code::CONFIG, "the new key is the one already in use"));
    }
    replace(&key::old_file(config_dir), &keys.key)?;
    match own {
        Own::File => replace(&key::default_file(config_dir), &new),
        Own::Keychain => {
            keychain::replace(&new.text()).map_err(|error| Failure::new(code::CONFIG, error.to_string()))
        }
    }
}

fn read_key(path: &Path) -> Result<Key, Failure> {
    let unusable = |reason: &dyn std::fmt::Display| {
        Failure::new(code::CONFIG, format!("the new key in {} cannot be used: {reason}", path.display()))
    };
    let bytes = private::read_file(path, LONGEST).map(Zeroizing::new).map_err(|error| unusable(&error))?;
    Key::parse_file_bytes(&bytes).map_err(|error| unusable(&error))
}

fn replace(path: &Path, key: &Key) -> Result<(), Failure> {
    let text = Zeroizing::new(format!("{}\n", key.text().expose_secret()));
    private::replace_file(path, text.as_bytes()).and_then(|()| private::sync_directory(path)).map_err(
        |error| Failure::new(code::CANNOT_CREATE, format!("cannot write {}: {error}", path.display())),
    )
}

fn report(rotation: &Rotation, keys: &Keys, config: &Config, ui: &Ui) -> Result<(), Failure> {
    ui.result(&format!("{} secrets were re-encrypted with the key {}", rotation.resealed, keys.key.id()))?;
    for secret in &rotation.unopened {
        ui.note(&format!("{} {} was not re-encrypted: {}", secret.table, secret.row, secret.reason));
    }
    for row in &rotation.unfit {
        ui.note(&format!("{row}. It is not used. Delete it, or restore a backup."));
    }
    for id in &rotation.retired {
        ui.note(&format!("The key {id} is retired: no secret in the database needs it."));
    }
    if !rotation.needed.is_empty() {
        let ids: Vec<String> = rotation.needed.iter().map(ToString::to_string).collect();
        return Err(Failure::new(
            code::FAILED,
            format!("these old keys are still needed: {}", ids.join(", ")),
        )
        .hint(HintStep::DeleteAndRotate));
    }
    put_away(keys, &config.config_dir, ui)?;
    match rotation.unopened.len() {
        0 => Ok(()),
        count => Err(Failure::new(code::FAILED, format!("{count} secrets cannot be decrypted with any key"))
            .hint(HintStep::DeleteUnopened)),
    }
}

/// Renames the file of old keys, so that the daemon does not read it any more. The file is kept, because older backups
/// need it.
fn put_away(keys: &Keys, config_dir: &Path, ui: &Ui) -> Result<(), Failure> {
    let old = key::old_file(config_dir);
    let aside = config_dir.join(format!("encryption.keys.retired-by-{}", keys.key.id()));
    match std::fs::rename(&old, &aside).and_then(|()| private::sync_directory(&aside)) {
        Ok(()) => ui.note(&format!(
            "The old key is in {}. Only earlier backups need it: delete it when you have deleted them.",
            aside.display()
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ui.note("Remove the old key from OAUTH_ENCRYPTION_KEYS_OLD. Only earlier backups need it.");
        }
        Err(error) => {
            return Err(Failure::new(code::IO, format!("cannot rename {}: {error}", old.display())));
        }
    }
    ui.note("Make a copy of the new key, and a new backup: srvd backup FILE");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_first_step_depends_on_key_places_and_old_keys() {
        let key = |name: &str| Key::parse(format!("{name:-<40}").as_bytes()).unwrap();
        let check = |places: &[&str], old: &[&str], new_key: bool, expect: Result<Step, &str>| {
            let keys = Keys {
                key: key("new"),
                places: places.iter().map(|place| (*place).to_owned()).collect(),
                old: old.iter().map(|name| key(name)).collect(),
            };
            let got = first_step(&keys, new_key, Path::new("/c"));
            match (got, expect) {
                (Ok(got), Ok(expect)) => assert_eq!(got, expect),
                (Err(got), Err(part)) => assert!(got.render().contains(part), "{}", got.render()),
                (got, expect) => panic!("{got:?}, not {expect:?}"),
            }
        };
        let own = "/c/encryption.key";
        check(&[own], &[], false, Ok(Step::Begin(Own::File)));
        check(&[own], &[], true, Ok(Step::Begin(Own::File)));
        check(&[keychain::PLACE], &[], false, Ok(Step::Begin(Own::Keychain)));
        check(&[own, keychain::PLACE], &[], false, Err("is in /c/encryption.key and in the OS keychain"));
        check(&[own], &["old"], false, Ok(Step::Finish));
        check(&["OAUTH_ENCRYPTION_KEY"], &["old"], false, Ok(Step::Finish));
        check(&[own], &["old"], true, Err("a rotation is in progress"));
        check(&["OAUTH_ENCRYPTION_KEY"], &[], false, Err("comes from OAUTH_ENCRYPTION_KEY,"));
        check(&["/other", own], &[], false, Err("comes from /other,"));
    }

    #[test]
    fn rotation_keeps_the_old_key_when_it_installs_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| private::replace_file(&dir.path().join(name), text.as_bytes());
        write("encryption.key", "a-first-key-of-more-than-32-bytes-------\n").unwrap();
        let sources = key::Sources {
            config_dir: dir.path().to_owned(),
            keychain: false,
            trust: crate::base::trust::Trust::of_process(None),
        };
        let load = || key::load(&Environment::default(), &sources).unwrap();
        let first = load();
        begin(&first, Own::File, None, dir.path()).unwrap();
        let second = load();
        assert_ne!(second.key.id(), first.key.id());
        assert_eq!(second.old.iter().map(Key::id).collect::<Vec<_>>(), [first.key.id()]);

        write("given", "a-given-key-of-more-than-32-bytes-------\n").unwrap();
        begin(&second, Own::File, Some(&dir.path().join("given")), dir.path()).unwrap();
        assert_eq!(load().key.id(), read_key(&dir.path().join("given")).unwrap().id());
        let same = begin(&load(), Own::File, Some(&dir.path().join("given")), dir.path()).unwrap_err();
        assert_eq!(same.code(), 78);
    }
}
