//! Reads the facts of a credential document: whether it contains a login, its account, and its expiry.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use serde_json::Value;

use super::document::{read_member, read_other};
use super::files::Root;
use super::mark::TokenMark;
use super::time::{End, claims};
use super::{Credential, files, time};
use crate::registry::{CredentialFile, Expiry, Mode, SlotFallback, Template, TextLocation};

/// The time for which a login is assumed to last after the last change of its file, in milliseconds, if the file gives no
/// end that can be read. The end does not depend on when the file is read, and a change of the file moves it.
const ASSUMED_LIFE: i64 = 60 * 60 * 1000;

/// A login, and a hash that changes with it.
pub(super) struct Facts {
    pub(super) credential: Credential,
    pub(super) mark: u64,
    /// The member that contains the login, if the file can contain several.
    pub(super) member: Option<String>,
}

/// A document that may contain a login, and the data needed to judge it.
pub(super) struct Source<'a> {
    pub(super) file: &'a CredentialFile,
    /// The file name, for display.
    pub(super) name: &'a str,
    /// The file itself.
    pub(super) path: &'a Path,
    pub(super) document: &'a Value,
    pub(super) root: &'a Root<'a>,
}

impl Source<'_> {
    /// Reads the login; `Err` contains the reason why there is none.
    pub(super) fn read(&self) -> Result<Facts, String> {
        let Self { file, root, .. } = *self;
        if let Some(mode) = &file.mode {
            self.uses_the_login(mode)?;
        }
        let seen = View { document: self.document, member: self.member()? };
        if let Some(missing) = seen.missing(file) {
            return Err(self.incomplete(missing));
        }
        let end = file.expires.as_ref().map(|expiry| seen.time(expiry));
        let assumed = end == Some(End::Odd);
        let expires_at = match end {
            Some(End::At(end)) => Some(end),
            Some(End::Odd) => files::changed(self.path).map(|changed| changed.saturating_add(ASSUMED_LIFE)),
            Some(End::Never) | None => None,
        };
        let at = |expiry: &Option<Expiry>| match seen.time(expiry.as_ref()?) {
            End::At(time) => Some(time),
            End::Never | End::Odd => None,
        };
        let credential = Credential {
            email: file.email.as_ref().and_then(|place| seen.text_of(place, root)),
            subject: file.subject.as_ref().and_then(|place| seen.text_of(place, root)),
            expires_at,
            assumed_end: assumed,
            login_deadline_at: at(&file.refresh_expires),
            refreshable: file.refresh.as_ref().is_some_and(|pointer| seen.text(pointer).is_some()),
            issued_at: at(&file.issued),
            refresh_mark: file.refresh.as_ref().and_then(|pointer| seen.text(pointer)).map(TokenMark::of),
        };
        Ok(Facts { mark: seen.mark(file), credential, member: seen.member })
    }

    /// Checks that the CLI uses the login rather than another credential; `Err` names the other one.
    fn uses_the_login(&self, mode: &Mode) -> Result<(), String> {
        let Self { name, document, .. } = self;
        let other = mode.file.as_deref().map(|file| read_other(self.root, file));
        let document_of_mode = other.as_ref().map_or(Some(*document), Option::as_ref);
        let place = mode.file.as_deref().unwrap_or(name);
        let pointer = &mode.pointer;
        match document_of_mode.and_then(|found| found.pointer(pointer)) {
            None | Some(Value::Null) if mode.required => {
                Err(format!("{place} selects no login, so the CLI would not use this login"))
            }
            None | Some(Value::Null) => {
                let held = |key: &&String| document.pointer(key).is_some_and(|value| !value.is_null());
                mode.keys.iter().find(held).map_or(Ok(()), |_| {
                    Err(format!("the CLI would use the key in {name} and not this login"))
                })
            }
            Some(Value::String(value)) if mode.accepts.contains(value) => Ok(()),
            Some(value) => {
                let value = value.as_str().and_then(printable).unwrap_or("another credential");
                Err(format!("{place} selects {value}, so the CLI would not use this login"))
            }
        }
    }

    /// Returns the name of the member that `*` matches, escaped as in a pointer; `Ok(None)` if no pointer contains `*`.
    fn member(&self) -> Result<Option<String>, String> {
        let Self { file, document, .. } = *self;
        let open = file.requires.iter().find_map(|pointer| Some((pointer, split(pointer)?.0)));
        let Some((pointer, above)) = open else { return Ok(None) };
        let fits = |name: &String| View { document, member: Some(name.clone()) }.missing(file).is_none();
        let named: Vec<String> = match &file.slot {
            Some(slot) => slot.names.iter().filter_map(|name| self.fill(name)).collect(),
            None => Vec::new(),
        };
        if let Some(found) = named.iter().map(|name| escape(name)).find(fits) {
            return Ok(Some(found));
        }
        let falls_back = file.slot.as_ref().is_some_and(|slot| slot.otherwise == SlotFallback::First);
        if let Some(selected) = named.last().filter(|_| !falls_back) {
            let selected = printable(selected).unwrap_or("another login");
            return Err(format!("{} selects {selected} but contains no login with that name", self.name));
        }
        names(document.pointer(above))
            .into_iter()
            .find(fits)
            .map(Some)
            .ok_or_else(|| self.incomplete(pointer))
    }

    /// Returns a member name according to the CLI's configuration.
    fn fill(&self, name: &Template) -> Option<String> {
        name.fill(|file, pointer| match file {
            None => self.document.pointer(pointer).and_then(text).map(str::to_owned),
            Some(file) => read_other(self.root, file)?.pointer(pointer).and_then(text).map(str::to_owned),
        })
    }

    fn incomplete(&self, pointer: &str) -> String {
        format!("{} holds no login: the file has no {}", self.name, meaning(pointer))
    }
}

/// Returns a description of the text at a pointer, based on the last member that the pointer names.
fn meaning(pointer: &str) -> &'static str {
    let member = pointer.rsplit('/').find(|segment| *segment != "*").unwrap_or_default();
    // Amp appends a URL to the member name: `apiKey@https:~1~1ampcode.com~1`.
    let member = member.split('@').next().unwrap_or_default();
    let letters: String = member.chars().filter(char::is_ascii_alphanumeric).collect();
    match letters.to_ascii_lowercase().as_str() {
        "access" | "accesstoken" => "access token",
        "idtoken" => "ID token",
        "refresh" | "refreshtoken" => "refresh token",
        "token" | "oauthtoken" => "token",
        "key" | "apikey" | "primaryapikey" => "API key",
        "" => "credential",
        _ => "required value",
    }
}

/// Returns the member names in order, escaped as in a pointer.
fn names(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Object(members)) => {
            let mut names: Vec<String> = members.keys().map(|name| escape(name)).collect();
            names.sort();
            names
        }
        Some(Value::Array(members)) => (0..members.len()).map(|position| position.to_string()).collect(),
        _ => Vec::new(),
    }
}

/// Returns the parts of a pointer before and after its `*` segment.
fn split(pointer: &str) -> Option<(&str, &str)> {
    let at = pointer.find("/*/").or_else(|| pointer.ends_with("/*").then(|| pointer.len() - 2))?;
    Some((&pointer[..at], &pointer[at + 2..]))
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Returns the text if it is safe to display, because a CLI's file could contain any text.
fn printable(text: &str) -> Option<&str> {
    (text.len() <= 100 && !text.chars().any(char::is_control)).then_some(text)
}

/// A document with a fixed member in place of `*`.
struct View<'a> {
    document: &'a Value,
    /// The member that `*` matches, escaped as in a pointer.
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

    /// Returns the first required text that is missing.
    fn missing<'b>(&self, file: &'b CredentialFile) -> Option<&'b String> {
        file.requires.iter().find(|pointer| self.text(pointer).is_none())
    }

    fn text_of(&self, place: &TextLocation, root: &Root<'_>) -> Option<String> {
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
        // The text is displayed and stored, and a CLI's file could contain any text.
        (found.len() <= 320 && !found.chars().any(char::is_control)).then_some(found)
    }

    /// Returns the end at this place. One that is not there is odd, as the CLI writes one.
    fn time(&self, expiry: &Expiry) -> End {
        self.at(&expiry.pointer).map_or(End::Odd, |value| time::read(value, expiry.unit))
    }

    /// Returns a hash that changes whenever one of the login's values changes.
    fn mark(&self, file: &CredentialFile) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.member.hash(&mut hasher);
        let ends = [&file.expires, &file.refresh_expires].into_iter().flatten().map(|expiry| &expiry.pointer);
        let own = |place: &&TextLocation| place.file.is_none();
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
