//! The command with which a CLI reports the login that it would use.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::recipe::{Pattern, one_or_many};

/// A command of the CLI that names the credential that the CLI would use, and the reading of its output.
///
/// An output that fits none of these rules is unclear. It never counts as a login.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WhoAmI {
    /// Arguments of the CLI.
    pub args: Vec<String>,
    /// JSON pointer to the email address, for a command that prints JSON.
    #[serde(default)]
    pub email: Option<String>,
    /// JSON pointer to the provider's own id of the account, for a command that prints JSON.
    #[serde(default)]
    pub subject: Option<String>,
    /// JSON pointers with the texts that each must contain if the CLI uses its login.
    #[serde(default)]
    pub expects: BTreeMap<String, Vec<String>>,
    /// JSON pointers with the texts that each may contain if the CLI uses its login. A missing member is accepted.
    #[serde(default)]
    pub accepts: BTreeMap<String, Vec<String>>,
    /// As `expects`, in place of it, for a login that the CLI takes in a variable.
    #[serde(default)]
    pub token_expects: BTreeMap<String, Vec<String>>,
    /// A line that reports that the CLI uses its login; optional groups `email` and `subject`.
    #[serde(default, deserialize_with = "one_or_many")]
    pub logged_in: Vec<Pattern>,
    /// A line that reports that the CLI uses another credential than its login.
    #[serde(default, deserialize_with = "one_or_many")]
    pub other: Vec<Pattern>,
    /// A line that reports that the CLI has no login.
    #[serde(deserialize_with = "one_or_many")]
    pub logged_out: Vec<Pattern>,
}

impl WhoAmI {
    /// Returns whether the command prints JSON.
    pub(crate) fn prints_json(&self) -> bool {
        self.email.is_some() || self.subject.is_some() || !self.expects.is_empty()
    }

    /// Returns the question for a login that the CLI takes in a variable.
    #[must_use]
    pub fn about_token(&self) -> Self {
        Self { expects: self.token_expects.clone(), ..self.clone() }
    }

    /// Returns all JSON pointers.
    pub(super) fn pointers(&self) -> impl Iterator<Item = &String> {
        let rules = self.expects.keys().chain(self.accepts.keys()).chain(self.token_expects.keys());
        self.email.iter().chain(&self.subject).chain(rules)
    }

    /// Returns all patterns.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.logged_in.iter().chain(&self.other).chain(&self.logged_out)
    }
}
