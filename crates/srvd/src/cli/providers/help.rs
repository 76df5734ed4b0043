//! The help texts of an installed CLI, compared with those of the tested version.

use std::collections::BTreeSet;

use auth_spawner::{HelpText, VersionQuestion};

/// The difference between two help texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The command.
    pub(super) args: Vec<String>,
    /// The options that the program names now; `None` if it printed no help.
    pub(super) now: Option<Vec<String>>,
    /// Options that are new.
    pub(super) added: Vec<String>,
    /// Options that are gone.
    pub(super) removed: Vec<String>,
}

impl Change {
    /// Returns the change as a sentence.
    pub(super) fn sentence(&self) -> String {
        let command = self.args.join(" ");
        if self.now.is_none() {
            return format!("`{command}` prints no help");
        }
        let part = |word: &str, options: &[String]| {
            (!options.is_empty()).then(|| format!("{word} {}", options.join(" ")))
        };
        let parts: Vec<String> = [part("now has", &self.added), part("no longer has", &self.removed)]
            .into_iter()
            .flatten()
            .collect();
        format!("`{command}` {}", parts.join(" and "))
    }
}

/// Asks the program for one of its help texts. `None` if it is the same as in the entry.
pub(super) async fn compare(question: &VersionQuestion<'_>, known: &HelpText) -> Option<Change> {
    let output = question.output(&known.args).await;
    changed(known, output.as_deref())
}

fn changed(known: &HelpText, output: Option<&str>) -> Option<Change> {
    let now: BTreeSet<String> = output.map(options).unwrap_or_default();
    let before: BTreeSet<String> = known.options.iter().cloned().collect();
    let change = Change {
        args: known.args.clone(),
        added: now.difference(&before).cloned().collect(),
        removed: before.difference(&now).cloned().collect(),
        now: output.map(|_| now.into_iter().collect()),
    };
    (change.now.is_none() || !change.added.is_empty() || !change.removed.is_empty()).then_some(change)
}

/// Returns the long options that a text names.
fn options(text: &str) -> BTreeSet<String> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let words = text.split(|c: char| !letter(c) && !c.is_ascii_uppercase() && c != '_');
    let long = |word: &&str| {
        let name = word.strip_prefix("--").unwrap_or_default();
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(letter) && !name.ends_with('-')
    };
    words.filter(long).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_the_long_ones_of_a_text() {
        let text = "  -k, --api-key <KEY>  the key [--json]\n  --device-auth (alias --device-code) --FOO ---x a--b --";
        let found: Vec<String> = options(text).into_iter().collect();
        assert_eq!(found, ["--api-key", "--device-auth", "--device-code", "--json"]);
    }

    #[test]
    fn change_names_options_that_came_and_went() {
        let known = HelpText {
            args: vec!["login".into(), "--help".into()],
            options: vec!["--oauth".into(), "--pkce".into()],
        };
        let sentence = |output: Option<&str>| changed(&known, output).map(|change| change.sentence());
        assert_eq!(sentence(Some("--pkce --oauth")), None);
        let expected = "`login --help` now has --device and no longer has --pkce";
        assert_eq!(sentence(Some("--oauth, --device")).as_deref(), Some(expected));
        assert_eq!(sentence(Some("none")).as_deref(), Some("`login --help` no longer has --oauth --pkce"));
        assert_eq!(sentence(None).as_deref(), Some("`login --help` prints no help"));
    }
}
