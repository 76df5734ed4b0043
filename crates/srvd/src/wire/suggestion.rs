//! The command that a hint or next step suggests for a bundle.

use std::fmt;

/// A command that renews a bundle's credential. On the wire it is a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suggestion {
    /// The command.
    pub command: SuggestedCommand,
    /// The provider of the credential.
    pub provider: String,
    /// The bundle, as typed in a shell.
    pub bundle: String,
}

/// The command suggested by a [`Suggestion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SuggestedCommand {
    /// `srvd login`.
    Login,
    /// `srvd login --force`, which replaces another user's login.
    ForcedLogin,
    /// `srvd add-key`.
    AddKey,
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, provider, bundle } = self;
        match command {
            SuggestedCommand::Login => write!(f, "srvd login {provider} --bundle {bundle}"),
            SuggestedCommand::ForcedLogin => write!(f, "srvd login {provider} --bundle {bundle} --force"),
            SuggestedCommand::AddKey => write!(f, "srvd add-key {provider} --bundle {bundle}"),
        }
    }
}

impl Suggestion {
    /// Parses the command line of a suggestion from the wire, in which the bundle is an id. Returns `None` for any
    /// other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let (command, provider, bundle) = match words[..] {
            ["srvd", "login", provider, "--bundle", bundle] => (SuggestedCommand::Login, provider, bundle),
            ["srvd", "login", provider, "--bundle", bundle, "--force"] => {
                (SuggestedCommand::ForcedLogin, provider, bundle)
            }
            ["srvd", "add-key", provider, "--bundle", bundle] => (SuggestedCommand::AddKey, provider, bundle),
            _ => return None,
        };
        Some(Self { command, provider: provider.to_owned(), bundle: bundle.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestion_is_parsed_from_its_command_line() {
        for (command, text) in [
            (SuggestedCommand::Login, "srvd login codex --bundle b-1"),
            (SuggestedCommand::ForcedLogin, "srvd login codex --bundle b-1 --force"),
            (SuggestedCommand::AddKey, "srvd add-key codex --bundle b-1"),
        ] {
            let suggestion = Suggestion { command, provider: "codex".to_owned(), bundle: "b-1".to_owned() };
            assert_eq!(suggestion.to_string(), text);
            assert_eq!(Suggestion::parse(text), Some(suggestion));
        }
        for other in ["", "wait", "srvd login codex", "run srvd login codex --bundle b-1"] {
            assert_eq!(Suggestion::parse(other), None, "{other:?}");
        }
    }
}
