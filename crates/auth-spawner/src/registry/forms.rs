//! The forms of texts in the registry: ids, names of variables, relative paths, JSON pointers.

use super::credential_file::TextLocation;

pub(super) fn is_id(id: &str) -> bool {
    let body = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    matches!(id.len(), 1..=64) && id.bytes().all(body) && !id.starts_with(['-', '_'])
}

/// Returns whether a variable decides which code a program loads. An entry names programs by its own fields only.
pub(super) fn loads_code(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["PATH", "NODE_OPTIONS", "BASH_ENV", "ENV"].contains(&name.as_str())
        || name.starts_with("LD_")
        || name.starts_with("DYLD_")
}

pub(super) fn is_var(name: &str) -> bool {
    let body = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    matches!(name.len(), 1..=64) && name.bytes().all(body) && !name.starts_with(|c: char| c.is_ascii_digit())
}

pub(super) fn is_relative(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

pub(super) fn is_pointer(pointer: &str) -> bool {
    pointer.starts_with('/') && pointer.split('/').filter(|segment| *segment == "*").count() <= 1
}

pub(super) fn has_star(pointer: &str) -> bool {
    pointer.split('/').any(|segment| segment == "*")
}

pub(super) fn is_plain(pointer: &str) -> bool {
    pointer.starts_with('/') && !has_star(pointer)
}

pub(super) fn is_sql_name(name: &str) -> bool {
    matches!(name.len(), 1..=64) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

pub(super) fn is_version(version: &str) -> bool {
    matches!(version.len(), 1..=64) && version.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn is_place(place: &TextLocation) -> bool {
    is_pointer(&place.pointer)
        && place.claim.as_deref().is_none_or(|claim| is_pointer(claim) && !has_star(claim))
        && place.file.as_deref().is_none_or(is_relative)
}
