//! Whether a CLI's own files prove a login. They are only ever read, never written.

use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use rustix::fs::{Mode, OFlags};
use serde_json::Value;

use crate::provider::{Cli, Expiry, ExpiryUnit, Place};

/// Largest credential file that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// What a config directory's files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The least that the registry asks of a login is there.
    LoggedIn(Credential),
    /// There is no credential file.
    Absent,
    /// There is one, but it is no login.
    Incomplete {
        /// What is missing.
        reason: String,
    },
    /// It cannot be told: not a regular file, too large, no permission, not JSON.
    Unreadable {
        /// Why not.
        reason: String,
    },
}

impl Proof {
    /// The proof as it counts at a moment (unix milliseconds): an access token that has ended and cannot be
    /// refreshed, or whose refresh token has ended too, is no login any more.
    #[must_use]
    pub fn at(self, now: i64) -> Self {
        let past = |end: Option<i64>| end.is_some_and(|end| end <= now);
        match self {
            Self::LoggedIn(credential)
                if past(credential.expires_at)
                    && (!credential.refreshable || past(credential.login_deadline_at)) =>
            {
                Self::Incomplete { reason: "expired".to_owned() }
            }
            proof => proof,
        }
    }
}

/// What a credential file says, without any of its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credential {
    /// Email address of the account.
    pub email: Option<String>,
    /// The provider's own id of the account.
    pub subject: Option<String>,
    /// End of the access token, unix milliseconds.
    pub expires_at: Option<i64>,
    /// End of the refresh token, unix milliseconds: after it only a person can renew the login.
    pub login_deadline_at: Option<i64>,
    /// Whether the CLI can renew the access token by itself.
    pub refreshable: bool,
}

/// Reads what the directory's files say. Blocking, but bounded: regular files of at most 1 MiB, opened without
/// following a symbolic link. Does not judge end times; see [`Proof::at`].
pub fn prove(cli: &Cli, dir: &Path) -> Proof {
    let Some(path) = credential_path(cli, dir) else { return Proof::Absent };
    let json = match read_json(&path) {
        Ok(Some(json)) => json,
        Ok(None) => return Proof::Absent,
        Err(reason) => return Proof::Unreadable { reason },
    };
    for pointer in &cli.credential.requires {
        if text_at(&json, pointer).is_none() {
            return Proof::Incomplete { reason: format!("{pointer} is missing") };
        }
    }
    let file = &cli.credential;
    let expires_at = match file.expires.as_ref().map(|expiry| time_at(&json, expiry)).transpose() {
        Ok(expires_at) => expires_at.flatten(),
        Err(reason) => return Proof::Incomplete { reason },
    };
    // A refresh token is opaque to everybody but its issuer: an unreadable end is an unknown end.
    let deadline = file.refresh_expires.as_ref().and_then(|expiry| time_at(&json, expiry).ok().flatten());
    Proof::LoggedIn(Credential {
        email: file.email.as_ref().and_then(|place| text_of(place, &json, dir)),
        subject: file.subject.as_ref().and_then(|place| text_of(place, &json, dir)),
        expires_at,
        login_deadline_at: deadline,
        refreshable: file.refresh.as_ref().is_some_and(|pointer| text_at(&json, pointer).is_some()),
    })
}

/// What a credential file was at one moment. Two are equal when nothing of it changed, so a login that was
/// there before never confirms a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint(Option<(PathBuf, u64, u64)>);

/// Takes the credential file's fingerprint: its name, size and contents.
pub fn fingerprint(cli: &Cli, dir: &Path) -> Fingerprint {
    let read = || {
        let path = credential_path(cli, dir)?;
        let bytes = read_bounded(&path).ok()??;
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        Some((path, bytes.len() as u64, hasher.finish()))
    };
    Fingerprint(read())
}

/// The credential file: the path itself, or the newest match of its one `*`.
fn credential_path(cli: &Cli, dir: &Path) -> Option<PathBuf> {
    let (folder, name) = match cli.credential.path.rsplit_once('/') {
        Some((folder, name)) => (dir.join(folder), name),
        None => (dir.to_owned(), cli.credential.path.as_str()),
    };
    // The folders below the config directory belong to the CLI; one that leads elsewhere is not followed.
    let below = folder.strip_prefix(dir).ok()?;
    let mut step = dir.to_owned();
    for part in below {
        step.push(part);
        let meta = std::fs::symlink_metadata(&step).ok()?;
        if !meta.is_dir() {
            return None;
        }
    }
    let Some((head, tail)) = name.split_once('*') else { return Some(folder.join(name)) };
    let mut newest: Option<((i64, i64), PathBuf)> = None;
    for entry in std::fs::read_dir(&folder).ok()?.take(1000).flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let fits = name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail);
        let Some(meta) = fits.then(|| entry.metadata().ok()).flatten() else { continue };
        let age = (meta.mtime(), meta.mtime_nsec());
        if newest.as_ref().is_none_or(|(newer, _)| age > *newer) {
            newest = Some((age, entry.path()));
        }
    }
    newest.map(|(_, path)| path)
}

/// `Ok(None)` when there is no such file.
fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, String> {
    // NONBLOCK so that a FIFO in this place cannot hold the reader.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => std::fs::File::from(descriptor),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err("it is a symbolic link".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("it is larger than 1 MiB".to_owned());
    }
    Ok(Some(bytes))
}

fn read_json(path: &Path) -> Result<Option<Value>, String> {
    let Some(bytes) = read_bounded(path)? else { return Ok(None) };
    // serde's own words could quote the file, so they are not passed on.
    serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("not JSON at line {}", error.line()))
}

fn text_at<'a>(json: &'a Value, pointer: &str) -> Option<&'a str> {
    json.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

fn text_of(place: &Place, json: &Value, dir: &Path) -> Option<String> {
    let other = match &place.file {
        Some(file) => Some(read_json(&dir.join(file)).ok()??),
        None => None,
    };
    let text = text_at(other.as_ref().unwrap_or(json), &place.pointer)?;
    let found = match &place.claim {
        Some(claim) => text_at(&claims(text)?, claim)?.to_owned(),
        None => text.to_owned(),
    };
    // It is shown to people and stored; a CLI's file could hold anything.
    (found.len() <= 320 && !found.chars().any(char::is_control)).then_some(found)
}

/// `Ok(None)` when there is no such value, `Err` when there is one that is no time.
fn time_at(json: &Value, expiry: &Expiry) -> Result<Option<i64>, String> {
    let value = match json.pointer(&expiry.pointer) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let time = match expiry.unit {
        ExpiryUnit::Ms => value.as_i64(),
        ExpiryUnit::S => value.as_i64().and_then(|seconds| seconds.checked_mul(1000)),
        ExpiryUnit::FloatS => value.as_f64().and_then(milliseconds),
        ExpiryUnit::JwtExp => match value.as_str().and_then(claims) {
            Some(claims) if claims.get("exp").is_none() => return Ok(None),
            Some(claims) => claims.get("exp").and_then(Value::as_f64).and_then(milliseconds),
            None => None,
        },
    };
    // Several CLIs write zero for "never".
    match time {
        Some(0) => Ok(None),
        Some(time) => Ok(Some(time)),
        None => Err(format!("{} is not a time", expiry.pointer)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked in front of the cast")]
fn milliseconds(seconds: f64) -> Option<i64> {
    let range = 0.0..9e12;
    range.contains(&seconds).then(|| (seconds * 1000.0).round() as i64)
}

/// Claims of a JSON Web Token. Its signature is the provider's business.
fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}
