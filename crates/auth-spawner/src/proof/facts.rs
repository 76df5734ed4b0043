//! What a credential document says: whether it is a login, whose, and until when.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use serde_json::Value;

use super::Credential;
use super::document::read_member;
use super::files::Root;
use crate::credential::{CredentialFile, Expiry, ExpiryUnit, Place};

/// A login, and a mark that changes with it.
pub(super) struct Facts {
    pub(super) credential: Credential,
    pub(super) mark: u64,
}

/// Reads a document that should be a login; `Err` says what is missing.
pub(super) fn read(file: &CredentialFile, document: &Value, root: &Root<'_>) -> Result<Facts, String> {
    let seen = View { document, member: member(file, document)? };
    if let Some(missing) = file.requires.iter().find(|pointer| seen.text(pointer).is_none()) {
        return Err(format!("{missing} is missing"));
    }
    let expires_at = file.expires.as_ref().map(|expiry| seen.time(expiry)).transpose()?.flatten();
    // A refresh token is opaque to everybody but its issuer: an unreadable end is an unknown end.
    let deadline = file.refresh_expires.as_ref().and_then(|expiry| seen.time(expiry).ok().flatten());
    let credential = Credential {
        email: file.email.as_ref().and_then(|place| seen.text_of(place, root)),
        subject: file.subject.as_ref().and_then(|place| seen.text_of(place, root)),
        expires_at,
        login_deadline_at: deadline,
        refreshable: file.refresh.as_ref().is_some_and(|pointer| seen.text(pointer).is_some()),
    };
    Ok(Facts { mark: seen.mark(file), credential })
}

/// The name of the first member for which all requirements hold; `Ok(None)` where no pointer leaves it open.
fn member(file: &CredentialFile, document: &Value) -> Result<Option<String>, String> {
    let Some(open) =
        file.requires.iter().find_map(|pointer| split(pointer).map(|(above, _)| (pointer, above)))
    else {
        return Ok(None);
    };
    let (pointer, above) = open;
    let mut names: Vec<String> = match document.pointer(above) {
        Some(Value::Object(members)) => members.keys().map(|name| escape(name)).collect(),
        Some(Value::Array(members)) => (0..members.len()).map(|position| position.to_string()).collect(),
        _ => Vec::new(),
    };
    if matches!(document.pointer(above), Some(Value::Object(_))) {
        names.sort();
    }
    let fits = |name: &String| {
        let seen = View { document, member: Some(name.clone()) };
        file.requires.iter().all(|pointer| seen.text(pointer).is_some())
    };
    let found = names.into_iter().find(fits);
    found.map(Some).ok_or_else(|| format!("{pointer} is missing"))
}

/// What stands above and below the segment `*`.
fn split(pointer: &str) -> Option<(&str, &str)> {
    let at = pointer.find("/*/").or_else(|| pointer.ends_with("/*").then(|| pointer.len() - 2))?;
    Some((&pointer[..at], &pointer[at + 2..]))
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A document in which `*` has a meaning.
struct View<'a> {
    document: &'a Value,
    /// The member that `*` stands for, escaped as in a pointer.
    member: Option<String>,
}

impl View<'_> {
    fn at(&self, pointer: &str) -> Option<&Value> {
        match (split(pointer), &self.member) {
            (Some((above, below)), Some(member)) => {
                self.document.pointer(&format!("{above}/{member}{below}"))
            }
            _ => self.document.pointer(pointer),
        }
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        text(self.at(pointer)?)
    }

    fn text_of(&self, place: &Place, root: &Root<'_>) -> Option<String> {
        let other = match &place.file {
            Some(file) => Some(read_member(root, file, &place.pointer)?),
            None => None,
        };
        let found = match &other {
            Some(other) => text(other.pointer(&place.pointer)?)?,
            None => self.text(&place.pointer)?,
        };
        let found = match &place.claim {
            Some(claim) => text(claims(found)?.pointer(claim)?)?.to_owned(),
            None => found.to_owned(),
        };
        // It is shown to people and stored; a CLI's file could hold anything.
        (found.len() <= 320 && !found.chars().any(char::is_control)).then_some(found)
    }

    /// `Ok(None)` when there is no such value, `Err` when there is one that is no time.
    fn time(&self, expiry: &Expiry) -> Result<Option<i64>, String> {
        let value = match self.at(&expiry.pointer) {
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

    /// Changes when one of the values does that make the login.
    fn mark(&self, file: &CredentialFile) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.member.hash(&mut hasher);
        let ends = [&file.expires, &file.refresh_expires].into_iter().flatten().map(|expiry| &expiry.pointer);
        let own = |place: &&Place| place.file.is_none();
        let places = [&file.email, &file.subject].into_iter().flatten().filter(own);
        let pointers = file.requires.iter().chain(&file.refresh).chain(ends);
        for pointer in pointers.chain(places.map(|place| &place.pointer)) {
            self.at(pointer).map(ToString::to_string).hash(&mut hasher);
        }
        hasher.finish()
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
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
