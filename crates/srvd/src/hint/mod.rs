//! The next steps that the program can print: hints of errors, next steps of accounts, and remedies of the doctor.
//!
//! Every one is a row of the table in `table`, with named arguments, and is rendered here only. A [`Hint`] has no
//! constructor from a text: it is made from a row, or it is a row that the daemon rendered earlier, in an answer or in
//! a stored session. `tests/it/hints` types the command of each row in the situation that prints it.
//!
//! It uses no other room. It must not decide when a step is shown.

mod table;

use std::borrow::Cow;
use std::fmt;

use auth_spawner::{Advice, Failure};
use serde::{Deserialize, Serialize};

pub(crate) use table::Step;
pub use table::{ROWS, Row};

/// A next step as it is shown. It is made from a [`Step`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hint(String);

impl Hint {
    /// Returns the step that was stored with the end of a login.
    pub(crate) fn stored(session: &identity_store::LoginSession) -> Option<Self> {
        session.hint.clone().map(Self)
    }

    /// Returns the step after a login that did not succeed.
    pub(crate) fn failed(failure: &Failure) -> Option<Self> {
        Some(match failure.advice.clone()? {
            Advice::CheckInstalled => Step::CheckInstalled.into(),
            Advice::StartAgain => Step::StartAgain.into(),
            Advice::CheckTerminals => Step::CheckTerminals.into(),
            Advice::Unproven => Step::Unproven.into(),
            Advice::FinishInBrowser => Step::FinishInBrowser.into(),
            Advice::Approve => Step::Approve.into(),
            Advice::ApproveInTime => Step::ApproveInTime.into(),
            Advice::CheckNetwork => Step::CheckNetwork.into(),
            Advice::CheckHung => Step::CheckHung.into(),
            Advice::FreePort => Step::StopPortsProgram.into(),
            Advice::StoredElsewhere => Step::StoredElsewhere.into(),
            Advice::Reinstall(command) => Step::Reinstall { command }.into(),
            Advice::OfEntry(advice) => Step::OfEntry { advice }.into(),
            // It is made from a step.
            Advice::OfCaller(text) => Self(text),
        })
    }

    /// Returns the step in the data of a daemon's error.
    pub(crate) fn answered(error: &rpc_engine::RpcError) -> Option<Self> {
        let text = error.data.as_ref()?.get("hint")?.as_str()?;
        Some(Self(text.to_owned()))
    }

    /// Returns two steps as one text.
    #[must_use]
    pub(crate) fn and(self, other: impl Into<Self>) -> Self {
        Self(format!("{self}. {}", other.into()))
    }

    /// Names a bundle by its name, where the step names it by its id.
    #[must_use]
    pub(crate) fn naming(self, id: &str, name: &str) -> Self {
        let name = Word::from(name).to_string();
        let mut before = "";
        let named = self.0.split(' ').map(|word| {
            let of_bundle = std::mem::replace(&mut before, word) == "--bundle";
            if of_bundle && word == id { name.as_str() } else { word }
        });
        Self(named.collect::<Vec<_>>().join(" "))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Step> for Hint {
    fn from(step: Step) -> Self {
        Self(step.to_string())
    }
}

impl From<Hint> for serde_json::Value {
    fn from(hint: Hint) -> Self {
        Self::String(hint.0)
    }
}

/// On the wire, a step is a text.
impl schemars::JsonSchema for Hint {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

/// An argument of a command, which is shown as it is typed in a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word(String);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@/:+,=%".contains(&byte);
        if !self.0.is_empty() && self.0.bytes().all(plain) {
            return f.write_str(&self.0);
        }
        f.write_str(&shell_words::quote(&self.0))
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&String> for Word {
    fn from(text: &String) -> Self {
        Self(text.clone())
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&std::path::Path> for Word {
    fn from(path: &std::path::Path) -> Self {
        Self(path.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_quotes_its_arguments_for_a_shell() {
        for (name, typed) in [
            ("work", "work"),
            ("ada@example.test", "ada@example.test"),
            ("Codex (ada's)", r"'Codex (ada'\''s)'"),
        ] {
            let step = Step::LogIn { provider: "codex".into(), bundle: name.into() };
            assert_eq!(step.to_string(), format!("srvd login codex --bundle {typed}"));
        }
    }

    #[test]
    fn hint_names_the_bundle_by_its_name() {
        let hint = Hint::from(Step::LogIn { provider: "codex".into(), bundle: "0194-id".into() });
        assert_eq!(hint.naming("0194-id", "my box").as_str(), "srvd login codex --bundle 'my box'");
    }

    #[test]
    fn table_has_one_row_for_each_name_and_says_why_a_row_cannot_be_typed() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(ROWS[at + 1..].iter().all(|other| other.name != row.name), "{} occurs twice", row.name);
            assert_ne!(row.command.is_some(), row.why.is_some(), "{} needs a command or a reason", row.name);
        }
    }
}
