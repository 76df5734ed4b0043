//! A credential file as a document, whatever its format.

use std::path::PathBuf;

use serde_json::Value;

use super::files::{self, MAX_BYTES, Root};
use super::{jsonc, sqlite};
use crate::credential::{CredentialFile, Format};

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

/// Another file of the directory, always JSON.
pub(super) fn read_json(root: &Root<'_>, below: &str) -> Option<Value> {
    let bytes = files::read(&root.find(below)?, MAX_BYTES).ok()??;
    parse(Format::Json, &bytes).ok()
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
        Format::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
            serde_saphyr::from_str(text).map_err(|error| match error.location() {
                Some(location) => format!("not YAML at line {}", location.line()),
                None => "not YAML".to_owned(),
            })
        }
    }
}
