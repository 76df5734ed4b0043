//! Computes the contents of a login's files after it has been moved. Files are only read.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use super::TransferError;
use super::files::read;
use crate::proof;
use crate::registry::{Cli, CredentialFile, Format};

/// A file listed in the registry, and the parts of it that belong to the login.
struct LoginFile {
    path: String,
    format: Format,
    /// The top-level members to which the registry points.
    members: BTreeSet<String>,
    /// True if only those members belong to the login, because the CLI stores its settings in the same file.
    settings: bool,
}

impl LoginFile {
    fn new<'a>(path: &str, format: Format, pointers: impl IntoIterator<Item = &'a str>) -> Self {
        let members = pointers.into_iter().filter_map(first).collect();
        Self { path: path.to_owned(), format, members, settings: false }
    }
}

/// Returns the files that change, with their paths below the CLI's own directory and their new contents.
pub(super) fn contents(cli: &Cli, from: &Path, to: &Path) -> Result<Vec<(String, Vec<u8>)>, TransferError> {
    let mut found = Vec::new();
    for file in files(cli) {
        let source = proof::find(from, &file.path);
        let Some(bytes) = read_at(source.as_deref().unwrap_or(&from.join(&file.path)))? else {
            if let Some(rest) = without(&file, to)? {
                found.push((file.path, rest));
            }
            continue;
        };
        if file.path.contains('*') {
            // The name identifies the service, so the file contains no other data.
            let name = source.as_deref().and_then(|path| path.strip_prefix(from).ok()).and_then(Path::to_str);
            found.extend(name.map(|name| (name.to_owned(), bytes)));
            continue;
        }
        let made = parse(&file, from, &bytes)?;
        let former = former(&file, to)?;
        let shall = former.as_ref().map(|former| merge(&file, former.clone(), &made));
        match shall {
            Some(shall) if Some(&shall) == former.as_ref() => {}
            Some(shall) if shall != made => found.push((file.path, text(shall))),
            _ => found.push((file.path, bytes)),
        }
    }
    let settings = cli.credential.iter().find_map(|file| chosen(file, to));
    found.extend(settings.filter(|(path, _)| !found.iter().any(|(other, _)| other == path)));
    Ok(found)
}

/// Returns the settings file that makes the CLI use another credential, modified so that the CLI uses the login.
fn chosen(file: &CredentialFile, to: &Path) -> Option<(String, Vec<u8>)> {
    let mode = file.mode.as_ref()?;
    let path = mode.file.as_ref()?;
    let mut settings = match read_at(&to.join(path)).ok()? {
        Some(bytes) => proof::parse(Format::Jsonc, &bytes).ok()?,
        None => Value::Object(Map::new()),
    };
    match settings.pointer(&mode.pointer).filter(|value| !value.is_null()) {
        None if !mode.required => return None,
        Some(Value::String(value)) if mode.accepts.contains(value) => return None,
        _ => {}
    }
    set(&mut settings, &mode.pointer, mode.accepts.first()?)?;
    Some((path.clone(), format!("{settings:#}\n").into_bytes()))
}

/// Sets a text at a pointer, and makes the objects on the way to it. `None` if something else is in the way.
fn set(document: &mut Value, pointer: &str, text: &str) -> Option<()> {
    let mut place = document;
    for segment in pointer.split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        place = place.as_object_mut()?.entry(name).or_insert_with(|| Value::Object(Map::new()));
    }
    *place = Value::String(text.to_owned());
    Some(())
}

/// Returns the rest of a file that the new login does not have; `None` if nothing in it belongs to the old login.
fn without(file: &LoginFile, to: &Path) -> Result<Option<Vec<u8>>, TransferError> {
    if file.path.contains('*') {
        return Ok(None);
    }
    let Some(former) = former(file, to)? else { return Ok(None) };
    let shall = merge(file, former.clone(), &Map::new());
    Ok((shall != former).then(|| text(shall)))
}

/// Merges the members of a file. The login's members come only from the new login. Other existing members stay. Other
/// members of the new login's file are added if the file contains no settings.
fn merge(file: &LoginFile, former: Map<String, Value>, made: &Map<String, Value>) -> Map<String, Value> {
    let mut shall = former;
    for member in &file.members {
        shall.remove(member);
    }
    let taken = made.iter().filter(|(name, _)| !file.settings || file.members.contains(*name));
    shall.extend(taken.map(|(name, value)| (name.clone(), value.clone())));
    shall
}

/// Returns the registry's files, each only once.
fn files(cli: &Cli) -> Vec<LoginFile> {
    let mut files: Vec<LoginFile> = Vec::new();
    for credential in &cli.credential {
        let CredentialFile { path, format, .. } = credential;
        let file = LoginFile::new(path, *format, own_pointers(credential));
        add(&mut files, file);
        for place in [&credential.email, &credential.subject].into_iter().flatten() {
            if let Some(other) = &place.file {
                let file = LoginFile::new(other, Format::Json, [place.pointer.as_str()]);
                add(&mut files, LoginFile { settings: true, ..file });
            }
        }
    }
    files
}

fn own_pointers(file: &CredentialFile) -> Vec<&str> {
    let ends = [&file.expires, &file.refresh_expires].into_iter().flatten().map(|end| end.pointer.as_str());
    let own = [&file.email, &file.subject].into_iter().flatten().filter(|place| place.file.is_none());
    let requires = file.requires.iter().chain(&file.refresh).map(String::as_str);
    let mode = file.mode.iter().filter(|mode| mode.file.is_none());
    let choices = mode.flat_map(|mode| mode.keys.iter().chain([&mode.pointer])).map(String::as_str);
    requires.chain(ends).chain(own.map(|place| place.pointer.as_str())).chain(choices).collect()
}

/// Adds a file, or adds its parts to an existing entry with the same path.
fn add(files: &mut Vec<LoginFile>, file: LoginFile) {
    match files.iter_mut().find(|known| known.path == file.path) {
        Some(known) => {
            known.members.extend(file.members);
            known.settings |= file.settings;
        }
        None => files.push(file),
    }
}

/// Returns the top-level member to which a pointer leads; `None` if it is `*`.
fn first(pointer: &str) -> Option<String> {
    let segment = pointer.strip_prefix('/')?.split('/').next()?;
    (segment != "*").then(|| segment.replace("~1", "/").replace("~0", "~"))
}

/// Returns the current content, if it can be merged. A file that is not a valid document, or not the CLI's own, is
/// replaced.
fn former(file: &LoginFile, to: &Path) -> Result<Option<Map<String, Value>>, TransferError> {
    let path = to.join(&file.path);
    match std::fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => {}
        _ => return Ok(None),
    }
    let bytes = read_at(&path)?.unwrap_or_default();
    Ok(parse(file, to, &bytes).ok())
}

fn parse(file: &LoginFile, dir: &Path, bytes: &[u8]) -> Result<Map<String, Value>, TransferError> {
    let unusable = |reason| TransferError::Unusable { path: dir.join(&file.path), reason };
    match proof::parse(file.format, bytes).map_err(unusable)? {
        Value::Object(members) => Ok(members),
        _ => Err(unusable("it is not an object".to_owned())),
    }
}

fn read_at(path: &Path) -> Result<Option<Vec<u8>>, TransferError> {
    read(path).map_err(|reason| TransferError::Unusable { path: path.to_owned(), reason })
}

/// Writes JSON, which is also valid JSON with comments and valid YAML.
fn text(members: Map<String, Value>) -> Vec<u8> {
    format!("{:#}\n", Value::Object(members)).into_bytes()
}
