//! Merges the settings that a CLI needs for an API key into the files of its directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::OFlags;

use super::directory::private_directory;
use crate::registry::{Cli, KEY_BASE, KEY_TAIL, KeyFile, KeyHome, MergeFormat};

/// Largest settings file that is read.
const LARGEST: u64 = 16 * 1024 * 1024;
/// Longest wait for a lock that a running CLI holds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Age from which a lock is a leftover of a CLI that was killed. The CLIs renew theirs more often.
const STALE: Duration = Duration::from_secs(10);

/// Held while a file is merged, so that launches at once do not write over each other.
static MERGING: Mutex<()> = Mutex::new(());

/// The values for the placeholders of a [`KeyHome`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyValues {
    /// The address of the service.
    pub base_url: String,
    /// The end of the key.
    pub tail: String,
}

/// Merges the settings for a key into the files below `dir`, the directory that the CLI's variable names. A file that has
/// them already is not written. Blocks.
///
/// # Errors
/// Returns an I/O error if a file cannot be read or written, is too large, is no regular file or has another format.
pub fn prepare_key(cli: &Cli, home: &KeyHome, dir: &Path, values: &KeyValues) -> io::Result<()> {
    let dir = cli.config_dir.inside(dir);
    private_directory(&dir)?;
    home.files.iter().try_for_each(|file| merge_file(file, &dir.join(&file.path), values))
}

fn merge_file(file: &KeyFile, path: &Path, values: &KeyValues) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        private_directory(folder)?;
    }
    let wanted = file.text.replace(KEY_BASE, &values.base_url).replace(KEY_TAIL, &values.tail);
    let merged = |text: &str| match file.format {
        MergeFormat::Json => merged_json(text, &wanted),
        MergeFormat::Toml => merged_toml(text, &wanted),
    };
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if merged(&read(path).map_err(named)?).map_err(named)?.is_none() {
        return Ok(());
    }
    let _alone = MERGING.lock().unwrap_or_else(PoisonError::into_inner);
    let _lock = if file.locked { Some(Lock::take(path).map_err(named)?) } else { None };
    // The CLI may have written the file before the lock was free.
    match merged(&read(path).map_err(named)?).map_err(named)? {
        Some(text) => replace(path, text.as_bytes()).map_err(named),
        None => Ok(()),
    }
}

/// Reads a file; a missing one counts as empty. A link is not followed, and a FIFO does not block.
fn read(path: &Path) -> io::Result<String> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if found.len() > LARGEST {
        return Err(io::Error::other("it is too large"));
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes the file through a new one and a rename.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let open = || -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)
    };
    open()
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&fresh, path))
        .inspect_err(|_| {
            // The first error is the one to report.
            let _ = std::fs::remove_file(&fresh);
        })
}

/// Returns the merged text, or `None` if the settings are already there.
fn merged_json(text: &str, wanted: &str) -> io::Result<Option<String>> {
    let wanted: serde_json::Value = serde_json::from_str(wanted)?;
    let before: serde_json::Value = match text.trim() {
        "" => serde_json::json!({}),
        text => serde_json::from_str(text)?,
    };
    let mut after = before.clone();
    merge_json(&mut after, wanted);
    if after == before && !text.trim().is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string_pretty(&after)?))
}

fn merge_json(under: &mut serde_json::Value, over: serde_json::Value) {
    use serde_json::Value;
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                match under.get_mut(&key) {
                    Some(below) => merge_json(below, value),
                    None => {
                        under.insert(key, value);
                    }
                }
            }
        }
        (Value::Array(under), Value::Array(over)) => {
            for value in over {
                if !under.contains(&value) {
                    under.push(value);
                }
            }
        }
        (under, over) => *under = over,
    }
}

/// Returns the merged text, or `None` if the settings are already there.
fn merged_toml(text: &str, wanted: &str) -> io::Result<Option<String>> {
    let parse = |text: &str| -> io::Result<toml::Table> { text.parse().map_err(io::Error::other) };
    let before = parse(text)?;
    let mut after = before.clone();
    merge_toml(&mut after, parse(wanted)?);
    if after == before {
        return Ok(None);
    }
    toml::to_string(&after).map(Some).map_err(io::Error::other)
}

fn merge_toml(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge_toml(below, above),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// The lock that a CLI takes while it writes a file: a directory beside the file.
struct Lock(PathBuf);

impl Lock {
    fn take(file: &Path) -> io::Result<Self> {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let path = file.with_file_name(name);
        let began = Instant::now();
        loop {
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let age = std::fs::symlink_metadata(&path)
                .and_then(|found| found.modified())
                .ok()
                .and_then(|modified| SystemTime::now().duration_since(modified).ok());
            if age.is_some_and(|age| age > STALE) {
                // Another process may remove it first.
                let _ = std::fs::remove_dir(&path);
            } else if began.elapsed() > PATIENCE {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "its CLI holds the lock of the file"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A lock that stays counts as a leftover after a while.
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    fn values(tail: &str) -> KeyValues {
        KeyValues { base_url: "https://gateway.test".to_owned(), tail: tail.to_owned() }
    }

    #[test]
    fn settings_are_merged_once_and_other_settings_stay() {
        let root = tempfile::tempdir().unwrap();
        let registry = Registry::builtin().unwrap();
        let claude = registry.provider("claude").unwrap().cli.as_ref().unwrap();
        let path = root.path().join(".claude.json");
        std::fs::write(&path, r#"{"theme":"dark","customApiKeyResponses":{"approved":["old"]}}"#).unwrap();
        let home = &claude.keys["anthropic"];
        prepare_key(claude, home, root.path(), &values("new")).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["customApiKeyResponses"]["approved"], serde_json::json!(["old", "new"]));
        assert_eq!((&value["theme"], &value["hasCompletedOnboarding"]), (&"dark".into(), &true.into()));
        std::fs::create_dir(root.path().join(".claude.json.lock")).unwrap();
        // Nothing is to be written, so the lock of a running CLI does not matter.
        prepare_key(claude, home, root.path(), &values("new")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        let codex = registry.provider("codex").unwrap().cli.as_ref().unwrap();
        std::fs::write(root.path().join("config.toml"), "model = 'x'\n").unwrap();
        prepare_key(codex, &codex.keys["openai"], root.path(), &values("")).unwrap();
        let config: toml::Table =
            std::fs::read_to_string(root.path().join("config.toml")).unwrap().parse().unwrap();
        assert_eq!(config["model"].as_str(), Some("x"));
        let provider = config["model_provider"].as_str().unwrap();
        let base = config["model_providers"][provider]["base_url"].as_str();
        assert_eq!(base, Some("https://gateway.test/v1"));
    }

    #[test]
    fn settings_are_complete_when_many_merge_them_at_once() {
        let root = tempfile::tempdir().unwrap();
        let registry = Registry::builtin().unwrap();
        let claude = registry.provider("claude").unwrap().cli.as_ref().unwrap();
        let root = &root;
        let tails: Vec<String> = (0..16).map(|number| format!("tail-{number}")).collect();
        std::thread::scope(|scope| {
            for tail in &tails {
                let home = &claude.keys["anthropic"];
                scope.spawn(move || prepare_key(claude, home, root.path(), &values(tail)).unwrap());
            }
        });
        let text = std::fs::read_to_string(root.path().join(".claude.json")).unwrap();
        assert!(tails.iter().all(|tail| text.contains(&format!("\"{tail}\""))), "{text}");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn settings_file_is_refused_when_it_is_a_link_or_has_another_format() {
        let root = tempfile::tempdir().unwrap();
        let registry = Registry::builtin().unwrap();
        let claude = registry.provider("claude").unwrap().cli.as_ref().unwrap();
        let path = root.path().join(".claude.json");
        let prepare = || prepare_key(claude, &claude.keys["anthropic"], root.path(), &values("new"));
        std::fs::write(&path, "not json").unwrap();
        assert!(prepare().is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "not json");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(prepare().is_err());
        assert!(path.is_symlink());
    }
}
