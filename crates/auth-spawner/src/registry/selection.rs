//! A CLI's choice among the credentials that its files contain.

use serde::Deserialize;

/// The member that the segment `*` matches, if the CLI's own configuration names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Slot {
    /// Names of the member, preferred first. A name is skipped if one of its texts is missing.
    pub names: Vec<Template>,
    /// The login to use if the configuration names a member that does not exist.
    #[serde(default)]
    pub otherwise: SlotFallback,
}

/// The login to use if the CLI's configuration names a member that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotFallback {
    /// There is no login.
    #[default]
    None,
    /// The first member that is a login, in order of name.
    First,
}

/// A setting that makes the CLI use another credential instead of the login.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mode {
    /// Another file of the CLI's directory, JSON with or without comments; the credential file if absent.
    #[serde(default)]
    pub file: Option<String>,
    /// JSON pointer to the setting.
    pub pointer: String,
    /// Values of the setting with which the CLI uses the login.
    pub accepts: Vec<String>,
    /// True if the CLI uses the login only if the setting is present.
    #[serde(default)]
    pub required: bool,
    /// JSON pointers into the credential file. If the setting is absent or null, the CLI uses one of these values that
    /// is not null. If all are null, it uses the login.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// A text with places in braces, such as `{/user/host}:{/user/name}` or `{settings.json#/provider}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(pub(crate) Vec<Part>);

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// A fixed text.
    Text(String),
    /// The text at a JSON pointer, in the credential file or in another file of the CLI's directory.
    Pointer { file: Option<String>, pointer: String },
}

impl Template {
    /// Returns the places, as (another file, pointer).
    pub(crate) fn pointers(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Pointer { file, pointer } => Some((file.as_deref(), pointer.as_str())),
        })
    }

    /// Returns the complete text; `None` if one of the places has no text.
    pub(crate) fn fill(&self, text: impl Fn(Option<&str>, &str) -> Option<String>) -> Option<String> {
        let part = |part: &Part| match part {
            Part::Text(own) => Some(own.clone()),
            Part::Pointer { file, pointer } => text(file.as_deref(), pointer),
        };
        self.0.iter().map(part).collect()
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => formatter.write_str(text),
            Part::Pointer { file: Some(file), pointer } => write!(formatter, "{{{file}#{pointer}}}"),
            Part::Pointer { file: None, pointer } => write!(formatter, "{{{pointer}}}"),
        })
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (place, behind) = after.split_once('}').ok_or("a brace is not closed")?;
            let (file, pointer) = match place.split_once('#') {
                Some((file, pointer)) => (Some(file.to_owned()), pointer),
                None => (None, place),
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Pointer { file, pointer: pointer.to_owned() });
            rest = behind;
        }
        if parts.is_empty() {
            return Err("it has no JSON pointer in braces".to_owned());
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<Template, String> {
        Template::try_from(text.to_owned())
    }

    #[test]
    fn template_is_filled_when_every_place_has_a_text() {
        let text = |file: Option<&str>, pointer: &str| match (file, pointer) {
            (None, "/user/host") => Some("https://a.test".to_owned()),
            (None, "/user/name") => Some("ada".to_owned()),
            (Some("settings.json"), "/provider") => Some("openai".to_owned()),
            _ => None,
        };
        for (written, expected) in [
            ("{/user/host}:{/user/name}:github", Some("https://a.test:ada:github")),
            ("{settings.json#/provider}", Some("openai")),
            ("{/user/host}:{/user/absent}", None),
            ("{other.json#/provider}", None),
        ] {
            let template = template(written).unwrap();
            assert_eq!(template.fill(text).as_deref(), expected, "{written}");
            assert_eq!(template.to_string(), written);
        }
    }

    #[test]
    fn template_is_rejected_when_it_names_no_place() {
        for text in ["", "plain", "{/open", "a}b"] {
            assert!(template(text).is_err(), "{text}");
        }
    }
}
