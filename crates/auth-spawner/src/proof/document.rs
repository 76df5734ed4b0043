//! A credential file as a document, whatever its format.

use std::fmt;
use std::io::{BufReader, Read as _};
use std::path::PathBuf;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::files::{self, MAX_BYTES, Root};
use super::{jsonc, sqlite};
use crate::credential::{CredentialFile, Format};

/// Largest file of settings in which a name is looked for.
const MAX_SETTINGS: u64 = 64 * 1024 * 1024;

/// A credential file that is there.
pub(super) struct Found<V> {
    pub(super) path: PathBuf,
    /// What it says, before it is understood; of a database only the one value.
    pub(super) bytes: Vec<u8>,
    pub(super) value: V,
}

/// Reads the document; `Ok(None)` when there is none, `Err` when it cannot be told what it says.
pub(super) fn read(file: &CredentialFile, root: &Root<'_>) -> Result<Option<Found<Value>>, String> {
    let Some((path, bytes)) = bytes(file, root)? else { return Ok(None) };
    let value = parse(file.format, &bytes)?;
    Ok(Some(Found { path, bytes, value }))
}

/// The same, where bytes that are no document count as well.
pub(super) fn read_any(
    file: &CredentialFile,
    root: &Root<'_>,
) -> Result<Option<Found<Option<Value>>>, String> {
    let Some((path, bytes)) = bytes(file, root)? else { return Ok(None) };
    let value = parse(file.format, &bytes).ok();
    Ok(Some(Found { path, bytes, value }))
}

/// Another file of the directory, always JSON: an object with the one member that the pointer goes into. The file may be
/// large, because CLIs keep their settings in it; it is read as it comes and the rest of it is passed over.
pub(super) fn read_member(root: &Root<'_>, below: &str, pointer: &str) -> Option<Value> {
    let name = pointer.strip_prefix('/')?.split('/').next()?.replace("~1", "/").replace("~0", "~");
    let file = files::open(&root.find(below)?).ok()??;
    if file.metadata().ok()?.len() > MAX_SETTINGS {
        return None;
    }
    let reader = BufReader::new(file.take(MAX_SETTINGS));
    let value = Member(&name).deserialize(&mut serde_json::Deserializer::from_reader(reader)).ok()??;
    Some(Value::Object(Map::from_iter([(name, value)])))
}

/// Takes one member of an object and passes over the others.
struct Member<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<String>()? {
            if name == self.0 {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

fn bytes(file: &CredentialFile, root: &Root<'_>) -> Result<Option<(PathBuf, Vec<u8>)>, String> {
    let Some(path) = root.find(&file.path) else { return Ok(None) };
    let bytes = match &file.sqlite {
        Some(cell) => sqlite::read(&path, cell)?,
        None => files::read(&path, MAX_BYTES)?,
    };
    Ok(bytes.map(|bytes| (path, bytes)))
}

/// The parsers' own words could quote the file, so they are not passed on.
pub(crate) fn parse(format: Format, bytes: &[u8]) -> Result<Value, String> {
    let json = |bytes: &[u8], what: &str| {
        serde_json::from_slice(bytes).map_err(|error| format!("not {what} at line {}", error.line()))
    };
    match format {
        Format::Json => json(bytes, "JSON"),
        Format::Jsonc => json(&jsonc::to_json(bytes), "JSON with comments"),
        Format::Sqlite => json(bytes, "JSON in its value"),
        Format::Toml => {
            let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
            toml::from_str(text).map_err(|_| "not TOML".to_owned())
        }
        Format::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
            serde_saphyr::from_str(text).map_err(|error| match error.location() {
                Some(location) => format!("not YAML at line {}", location.line()),
                None => "not YAML".to_owned(),
            })
        }
    }
}
