//! The change of single members in a file that belongs to the CLI. The new file is written first; under the CLI's own
//! lock the old one is compared with what was read, and replaced.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use super::document;
use super::ledger::ABSENT;
use super::lock::FileLock;
use super::origin;
use super::place::{self, beside};
use super::plan::MOST_STATE;
use crate::base::private;

/// The longest wait for the CLI's lock. A CLI holds it for a moment only.
const PATIENCE: Duration = Duration::from_millis(300);
/// The number of attempts, when the CLI changes the file in between.
const ATTEMPTS: usize = 5;

/// The change of one member.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    /// The JSON pointer of the member.
    pub(super) place: String,
    /// The new value; `None` removes the member.
    pub(super) value: Option<Value>,
    /// The state in which the member is changed. In any other state it is not srvd's.
    pub(super) replaces: String,
    /// The state after the change.
    pub(super) digest: String,
}

impl Change {
    /// Returns the JSON pointer of a member.
    pub(super) fn place(pointer: &str, name: &str) -> String {
        format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
    }

    /// Returns a pointer for people.
    pub(super) fn shown(place: &str) -> String {
        let names = place.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~"));
        names.collect::<Vec<_>>().join(".")
    }

    /// Returns the state of a member.
    pub(super) fn state(document: &Value, place: &str) -> String {
        document.pointer(place).map_or_else(|| ABSENT.to_owned(), document::digest)
    }

    /// Changes the member in a document. Returns whether it did.
    fn apply(&self, document: &mut Value) -> bool {
        if Self::state(document, &self.place) != self.replaces {
            return false;
        }
        let Some((folder, name)) = self.place.rsplit_once('/') else { return false };
        let name = name.replace("~1", "/").replace("~0", "~");
        let mut members = document.as_object_mut();
        for part in folder.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            members = members.and_then(|members| {
                members.entry(part).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
            });
        }
        let Some(members) = members else { return false };
        match &self.value {
            Some(value) => members.insert(name, value.clone()),
            None => members.remove(&name),
        };
        true
    }
}

/// Reads a file of the CLI's in a home; `Ok(None)` if there is none. Blocking.
///
/// # Errors
/// The reason, for people.
pub(super) fn read(home: &Path, path: &str) -> Result<Option<(Vec<u8>, Value)>, String> {
    if !place::folders(home, path, false)? {
        return Ok(None);
    }
    let Some(bytes) = origin::read(&home.join(path), MOST_STATE)? else { return Ok(None) };
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|_| "the file in this identity is not JSON".to_owned())?;
    if !value.is_object() {
        return Err("the file in this identity is not an object".to_owned());
    }
    Ok(Some((bytes, value)))
}

/// Changes members of a file. Returns the changes that were made; the others were not srvd's any more. Blocking.
///
/// # Errors
/// The reason, for people. The file is then unchanged.
pub(super) fn merge(
    home: &Path,
    path: &str,
    lock: Option<&str>,
    changes: &[Change],
) -> Result<Vec<Change>, String> {
    let place = home.join(path);
    for _ in 0..ATTEMPTS {
        let Some((before, mut document)) = read(home, path)? else {
            return Err("its CLI has not made the file yet".to_owned());
        };
        let made: Vec<Change> =
            changes.iter().filter(|change| change.apply(&mut document)).cloned().collect();
        if made.is_empty() {
            return Ok(made);
        }
        let fresh = beside(&place);
        let replaced = write(&fresh, &document).and_then(|()| {
            let _held = match lock {
                Some(name) => Some(FileLock::take(&place.with_file_name(name), PATIENCE)?),
                None => None,
            };
            if origin::read(&place, MOST_STATE)?.as_deref() != Some(&before) {
                return Ok(false);
            }
            std::fs::rename(&fresh, &place).map(|()| true).map_err(|error| cannot(&error))
        });
        if !matches!(replaced, Ok(true)) {
            // The first error is the one to report. The file is useless.
            let _ = std::fs::remove_file(&fresh);
        }
        if replaced? {
            return Ok(made);
        }
    }
    Err("its CLI is changing it; the next launch tries again".to_owned())
}

fn write(path: &Path, document: &Value) -> Result<(), String> {
    let mut file = private::new_file(path, 0o600).map_err(|error| cannot(&error))?;
    let written = file.write_all(format!("{document:#}").as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| cannot(&error))
}

fn cannot(error: &std::io::Error) -> String {
    format!("it could not be written: {error}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put(name: &str, value: Value, before: &Value) -> Change {
        let place = Change::place("/mcpServers", name);
        let (replaces, digest) = (Change::state(before, &place), document::digest(&value));
        Change { place, value: Some(value), replaces, digest }
    }

    #[test]
    fn members_are_changed_and_everything_else_stays() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".claude.json");
        let before = json!({"oauthAccount": {"emailAddress": "a@x"}, "mcpServers": {"own": {"command": "o"}, "old": 1}});
        std::fs::write(&file, before.to_string()).unwrap();
        let remove = Change {
            place: "/mcpServers/old".to_owned(),
            value: None,
            replaces: document::digest(&json!(1)),
            digest: ABSENT.to_owned(),
        };
        let stale = Change { replaces: "x".to_owned(), ..put("own", json!({"command": "mine"}), &before) };
        let new = put("a/b~c", json!({"command": "n"}), &before);
        let made = merge(
            home.path(),
            ".claude.json",
            Some(".claude.json.lock"),
            &[remove.clone(), stale, new.clone()],
        );
        assert_eq!(made.unwrap(), [remove, new]);
        let after: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let servers = json!({"own": {"command": "o"}, "a/b~c": {"command": "n"}});
        assert_eq!(after, json!({"oauthAccount": {"emailAddress": "a@x"}, "mcpServers": servers}));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "neither a lock nor a draft is left");
    }

    #[test]
    fn file_is_unchanged_when_its_cli_holds_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".claude.json");
        std::fs::write(&file, "{}").unwrap();
        let _held = FileLock::take(&home.path().join(".claude.json.lock"), Duration::ZERO).unwrap();
        let change = put("a", json!({}), &json!({}));
        let error = merge(home.path(), ".claude.json", Some(".claude.json.lock"), &[change]).unwrap_err();
        assert!(error.contains("next launch"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn file_is_left_alone_when_it_is_no_object_or_a_link() {
        let home = tempfile::tempdir().unwrap();
        let change = || put("a", json!({}), &json!({}));
        assert!(merge(home.path(), "f.json", None, &[change()]).is_err());
        for text in ["[]", "{", ""] {
            std::fs::write(home.path().join("f.json"), text).unwrap();
            assert!(merge(home.path(), "f.json", None, &[change()]).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(home.path().join("f.json")).unwrap(), text);
        }
        std::os::unix::fs::symlink("f.json", home.path().join("link.json")).unwrap();
        assert!(merge(home.path(), "link.json", None, &[change()]).is_err());
    }
}
