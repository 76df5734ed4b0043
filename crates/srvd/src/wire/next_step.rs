//! The next step for a user, for programs and for people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words;
use crate::hint::{Hint, Step};

words! {
    /// The kind of a next step.
    Action {
        /// Log in again, with `auth.start`.
        Login = "login",
        /// Log in again with `auth.start` and `force`, because the directory holds another person's login.
        ForcedLogin = "login_force",
        /// Store another API key, with `auth.submitapikey`.
        AddKey = "add_key",
        /// Do what `command` says; no method of the daemon does it.
        Manual = "manual",
    }
}

/// The next step for a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NextStep {
    /// The kind of step.
    pub action: Action,
    /// The provider to log in to, or whose key is to be stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The bundle to log in to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The same step as a command line, or as an instruction if no command does it.
    pub command: Hint,
}

impl From<Hint> for NextStep {
    fn from(hint: Hint) -> Self {
        let words = shell_words::split(hint.as_str()).unwrap_or_default();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (action, provider, bundle) = match words[..] {
            ["srvd", "login", provider, "--bundle", bundle] => (Action::Login, provider, bundle),
            ["srvd", "login", provider, "--bundle", bundle, "--replace-person"] => {
                (Action::ForcedLogin, provider, bundle)
            }
            ["srvd", "add-key", provider, "--bundle", bundle] => (Action::AddKey, provider, bundle),
            _ => return Self { action: Action::Manual, provider_id: None, bundle_id: None, command: hint },
        };
        let (provider_id, bundle_id) = (Some(provider.to_owned()), Some(bundle.to_owned()));
        Self { action, provider_id, bundle_id, command: hint }
    }
}

impl From<Step> for NextStep {
    fn from(step: Step) -> Self {
        Hint::from(step).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn next_step_names_the_method_and_its_parameters_when_there_is_one() {
        let (provider, bundle) = ("codex", "b1");
        for (step, action) in [
            (Step::LogIn { provider: provider.into(), bundle: bundle.into() }, "login"),
            (Step::LogInAnew { provider: provider.into(), bundle: bundle.into() }, "login_force"),
            (Step::AddKey { provider: provider.into(), bundle: bundle.into() }, "add_key"),
        ] {
            let command = step.to_string();
            let shown = serde_json::to_value(NextStep::from(step)).unwrap();
            let expected =
                json!({"action": action, "providerId": provider, "bundleId": bundle, "command": command});
            assert_eq!(shown, expected);
        }
        let other = serde_json::to_value(NextStep::from(Step::ListBundles)).unwrap();
        assert_eq!(other, json!({"action": "manual", "command": Step::ListBundles.to_string()}));
    }
}
