//! Reads a credential file of any format as a document.

use std::fmt;
use std::io::{BufReader, Read as _};
use std::path::PathBuf;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::files::{MAX_BYTES, Root, Trouble};
use super::{files, jsonc, sqlite};
use crate::registry::{CredentialFile, Format, ShareFormat};

/// The maximum size of a settings file in which a name is looked up, in bytes.
const MAX_SETTINGS: u64 = 64 * 1024 * 1024;

/// An existing credential file.
pub(super) struct Found<V> {
    pub(super) path: PathBuf,
    /// The file name, for display.
    pub(super) name: String,
    /// The unparsed content. For a database, this is only the one value.
    pub(super) bytes: Vec<u8>,
    pub(super) value: V,
}

/// Reads the document; `Ok(None)` if the file does not exist.
pub(super) fn read(file: &CredentialFile, root: &Root<'_>) -> Result<Option<Found<Value>>, Trouble> {
    let Some(Found { path, name, bytes, value }) = read_any(file, root)? else { return Ok(None) };
    let value = value.map_err(|reason| cannot_be_read(&name, &reason))?;
    Ok(Some(Found { path, name, bytes, value }))
}

/// Like [`read`], but also accepts bytes that are not a valid document. The value is then the problem with them.
pub(super) fn read_any(
    file: &CredentialFile,
    root: &Root<'_>,
) -> Result<Option<Found<Result<Value, String>>>, Trouble> {
    let Some(path) = root.find(&file.path)? else { return Ok(None) };
    let name = root.shown(&file.path, &path);
    let bytes = match &file.sqlite {
        Some(cell) => sqlite::read(&path, cell, root.trust),
        None => files::read_trusted(&path, MAX_BYTES, root.trust),
    };
    let bytes = bytes.map_err(|reason| {
        if files::is_link(&path) { files::linked(&name) } else { cannot_be_read(&name, &reason) }
    })?;
    Ok(bytes.map(|bytes| Found { value: parse(file.format, &bytes), path, name, bytes }))
}

fn cannot_be_read(name: &str, reason: &str) -> Trouble {
    Trouble::Unreadable(format!("{name} cannot be read: {reason}"))
}

/// Reads another file of the directory, which is JSON with or without comments; `None` if it cannot be read.
pub(super) fn read_other(root: &Root<'_>, below: &str) -> Option<Value> {
    let path = root.find(below).ok()??;
    let bytes = files::read_trusted(&path, MAX_BYTES, root.trust).ok()??;
    parse(Format::Jsonc, &bytes).ok()
}

/// Reads one member of another file of the directory, which is always JSON: an object with the member into which the
/// pointer points. The file may be large, because CLIs store their settings in it. It is read as a stream, and its
/// other members are skipped.
pub(super) fn read_member(root: &Root<'_>, below: &str, pointer: &str) -> Option<Value> {
    let name = pointer.strip_prefix('/')?.split('/').next()?.replace("~1", "/").replace("~0", "~");
    let file = files::open(&root.find(below).ok()??, root.trust).ok()??;
    if file.metadata().ok()?.len() > MAX_SETTINGS {
        return None;
    }
    let reader = BufReader::new(file.take(MAX_SETTINGS));
    let value = Member(&name).deserialize(&mut serde_json::Deserializer::from_reader(reader)).ok()??;
    Some(Value::Object(Map::from_iter([(name, value)])))
}

/// Returns an object with the members of these names, if the bytes are JSON without comments. The other members are
/// skipped. A document that is no object has no members.
pub(super) fn members(bytes: &[u8], names: &[String]) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Members(names).deserialize(&mut reader).ok()?;
    reader.end().ok().map(|()| Value::Object(value))
}

/// A visitor that takes some members of an object and skips the others.
struct Members<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if self.0.contains(&name) {
                found.insert(name, members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A visitor that takes one member of an object and skips the others.
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

/// Parses a document. The parsers' own messages could quote the file, so they are not passed on.
pub(crate) fn parse(format: Format, bytes: &[u8]) -> Result<Value, String> {
    let json = |bytes: &[u8], what: &str| {
        serde_json::from_slice(bytes).map_err(|error| format!("not {what} at line {}", error.line()))
    };
    match format {
        Format::Json => json(bytes, "JSON"),
        Format::Jsonc => json(&jsonc::to_json(bytes), "JSON with comments"),
        Format::Sqlite => json(bytes, "JSON in its value"),
        Format::Text => {
            let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
            Ok(serde_json::json!({ "text": text.trim() }))
        }
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

/// Reads a document of a person's setup. A text without a structure becomes a string.
///
/// # Errors
/// The reason, without any of the text.
pub fn read_document(format: ShareFormat, bytes: &[u8]) -> Result<Value, String> {
    let format = match format {
        ShareFormat::Json => Format::Json,
        ShareFormat::Jsonc => Format::Jsonc,
        ShareFormat::Yaml => Format::Yaml,
        ShareFormat::Toml => Format::Toml,
        ShareFormat::Text => {
            let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
            return Ok(Value::String(text.to_owned()));
        }
    };
    parse(format, bytes)
}
