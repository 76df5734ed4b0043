//! Checks of the texts that people and providers write into fields, before they are stored.

use secrecy::{ExposeSecret as _, SecretString};

use crate::error::StoreError;
use crate::spelling;

/// The maximum length of a name, in characters.
pub(crate) const MAX_NAME: usize = 100;

/// The maximum length of a description, reason or other free text, in characters.
const MAX_TEXT: usize = 2000;

/// The maximum length of a secret, in bytes.
const MAX_SECRET: usize = 64 * 1024;

/// The minimum length of a key, in characters, whose last four characters may be shown.
const MASKABLE: usize = 16;

/// Checks a name and returns it as it will be stored: trimmed, 1 to 100 characters, without control characters. For
/// callers that refuse a bad name before any other work.
///
/// # Errors
/// [`StoreError::InvalidName`] with the field that was given.
pub fn name(field: &'static str, text: &str) -> Result<String, StoreError> {
    let text = text.trim();
    let reason = if text.is_empty() {
        "it is empty"
    } else if text.chars().count() > MAX_NAME {
        "it is longer than 100 characters"
    } else if text.chars().any(char::is_control) {
        "it has a control character"
    } else {
        return Ok(text.to_owned());
    };
    Err(StoreError::InvalidName { field, reason })
}

/// Checks a name that a person gives to something new, as [`name`] does, and returns it in its composed form. It must not
/// look like another name.
///
/// # Errors
/// [`StoreError::InvalidName`] with the field that was given.
pub fn new_name(field: &'static str, text: &str) -> Result<String, StoreError> {
    let name = spelling::composed(&name(field, text)?);
    match spelling::flaw(&name) {
        Some(reason) => Err(StoreError::InvalidName { field, reason }),
        None => Ok(name),
    }
}

/// Checks a free text: trimmed, possibly empty, at most 2000 characters, no control character but line feed and tab.
pub(crate) fn text(field: &'static str, text: &str) -> Result<String, StoreError> {
    let text = text.trim();
    let reason = if text.chars().count() > MAX_TEXT {
        "it is longer than 2000 characters"
    } else if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        "it has a control character"
    } else {
        return Ok(text.to_owned());
    };
    Err(StoreError::InvalidName { field, reason })
}

/// Checks an optional free text. An empty one counts as none.
pub(crate) fn optional(field: &'static str, given: Option<&str>) -> Result<Option<String>, StoreError> {
    given.map(|given| text(field, given)).transpose().map(|text| text.filter(|text| !text.is_empty()))
}

/// Checks a secret: not empty, at most 64 KiB, one line.
pub(crate) fn secret(field: &'static str, secret: &SecretString) -> Result<(), StoreError> {
    let secret = secret.expose_secret();
    let reason = if secret.is_empty() {
        "it is empty"
    } else if secret.len() > MAX_SECRET {
        "it is longer than 64 KiB"
    } else if secret.chars().any(char::is_control) {
        "it has a control character"
    } else {
        return Ok(());
    };
    Err(StoreError::InvalidName { field, reason })
}

/// Returns the last four characters of a secret that is long enough to stay secret without them.
pub(crate) fn masked_tail(secret: &SecretString) -> Option<String> {
    let secret = secret.expose_secret();
    let count = secret.chars().count();
    (count >= MASKABLE).then(|| secret.chars().skip(count - 4).collect())
}

/// Returns the key by which bundle names are compared.
pub fn name_key(name: &str) -> String {
    spelling::composed(&name.to_lowercase())
}

/// Returns the key of names that were stored before names were composed.
pub(crate) fn earlier_name_key(name: &str) -> String {
    name.to_lowercase()
}

/// Returns the name for an account or a bundle of this person at this provider.
pub(crate) fn of_person(provider_name: &str, person: Option<&str>) -> String {
    match person {
        // The person is what a CLI reports. A line feed or a tab is allowed in a text but not in a name.
        Some(person) => {
            format!("{provider_name} ({})", spelling::shown(&person.replace(char::is_control, " ")))
        }
        None => provider_name.to_owned(),
    }
}

/// Returns the name for the `number`th bundle with the base name `base`, within the maximum length of a name.
pub(crate) fn numbered(base: &str, number: usize) -> String {
    let suffix = if number < 2 { String::new() } else { format!(" {number}") };
    let room = MAX_NAME - suffix.chars().count();
    let cut: String = base.chars().take(room).collect();
    format!("{}{suffix}", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: Result<String, StoreError>, expected: Result<&str, &str>) {
        let found = found.map_err(|error| match error {
            StoreError::InvalidName { reason, .. } => reason,
            other => panic!("{other:?}"),
        });
        assert_eq!(found.as_deref().map_err(|reason| *reason), expected);
    }

    #[test]
    fn name_is_trimmed_and_rejected_when_empty_too_long_or_with_control_characters() {
        let (long, longer) = ("é".repeat(100), "é".repeat(101));
        check(name("name", "  Team  "), Ok("Team"));
        check(name("name", &long), Ok(&long));
        check(name("name", &longer), Err("it is longer than 100 characters"));
        check(name("name", " \t "), Err("it is empty"));
        check(name("name", "a\nb"), Err("it has a control character"));
        check(name("name", "a\0b"), Err("it has a control character"));
    }

    #[test]
    fn new_name_is_composed_and_a_stored_one_is_accepted_as_it_is() {
        check(new_name("name", " e\u{301}cole "), Ok("\u{e9}cole"));
        let mixed = "it mixes letters of several scripts, or has letters that look like others";
        check(new_name("name", "p\u{430}ypal"), Err(mixed));
        check(name("name", "p\u{430}ypal"), Ok("p\u{430}ypal"));
        check(new_name("name", "a\nb"), Err("it has a control character"));
        assert_eq!(name_key("E\u{301}COLE"), name_key("\u{e9}cole"));
    }

    #[test]
    fn text_keeps_line_breaks_and_rejects_control_characters_and_excess_length() {
        check(text("description", " one\n\ttwo "), Ok("one\n\ttwo"));
        check(text("description", ""), Ok(""));
        check(text("description", "a\u{1b}[2J"), Err("it has a control character"));
        check(text("description", &"x".repeat(2001)), Err("it is longer than 2000 characters"));
        assert!(matches!(optional("email", Some("  ")), Ok(None)));
    }

    #[test]
    fn secret_is_bounded_and_masked_tail_needs_sixteen_characters() {
        assert!(secret("api_key", &"sk-1".into()).is_ok());
        for bad in ["", "a\nb", &"x".repeat(64 * 1024 + 1)] {
            assert!(secret("api_key", &bad.into()).is_err());
        }
        assert_eq!(masked_tail(&"sk-0123456789abcd".into()).as_deref(), Some("abcd"));
        assert_eq!(masked_tail(&"0123456789abcde".into()), None);
    }

    #[test]
    fn account_name_includes_the_person_beside_the_provider() {
        assert_eq!(of_person("Codex", Some("a@b.c")), "Codex (a@b.c)");
        assert_eq!(of_person("GitHub", Some("octo\ncat")), "GitHub (octo cat)");
        assert_eq!(of_person("Amp", None), "Amp");
        assert_eq!(of_person("Amp", Some("p\u{430}y")), "Amp (p\\u{430}y)");
    }

    #[test]
    fn numbered_name_is_truncated_to_the_length_limit() {
        let long = "x".repeat(200);
        for (base, number, expected) in [
            ("Codex", 1, "Codex".to_owned()),
            ("Codex", 2, "Codex 2".to_owned()),
            (&long, 1, "x".repeat(100)),
            (&long, 12, format!("{} 12", "x".repeat(97))),
        ] {
            assert_eq!(numbered(base, number), expected);
        }
    }
}
