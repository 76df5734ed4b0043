//! The names of environment variables that choose a credential or a destination. Settings that set one of them are not
//! shared.

use std::collections::BTreeSet;

use auth_spawner::{KeyService, Registry};

use super::secret::is_credential_name;

/// Beginnings of the names that agents themselves read.
const AGENTS: &[&str] = &[
    "ANTHROPIC_",
    "CLAUDE_",
    "CODEX_",
    "COPILOT_",
    "GEMINI_",
    "KIMI_",
    "OPENCODE_",
    "QWEN_",
    "AMP_",
    "OPENAI_",
];
/// Words of those names that say that the value chooses a login or a destination.
const WORDS: &[&str] = &[
    "AUTH",
    "OAUTH",
    "URL",
    "URI",
    "HOST",
    "ENDPOINT",
    "SOCKET",
    "PROVIDER",
    "IDENTITY",
    "DIR",
    "HOME",
    "HELPER",
    "COMMAND",
    "HEADERS",
    "PROFILE",
    "KEY",
    "TOKEN",
    "SECRET",
    "CREDENTIALS",
    "GATEWAY",
];
/// Other names that choose an account.
const OTHERS: &[&str] = &[
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "KUBECONFIG",
];

/// The variables through which a program of any provider would use another credential, directory or server.
#[derive(Debug, Clone, Default)]
pub(super) struct ListedVariables(BTreeSet<String>);

impl ListedVariables {
    /// Collects the variables of all providers.
    pub(super) fn new(registry: &Registry) -> Self {
        let mut names: BTreeSet<String> = OTHERS.iter().map(|name| (*name).to_owned()).collect();
        for provider in registry.iter() {
            if let Some(cli) = &provider.cli {
                let dirs = std::iter::once(&cli.config_dir.var).chain(cli.config_dir.extra_vars.keys());
                let token = cli
                    .token
                    .iter()
                    .map(|token| &token.var)
                    .chain(&cli.access_token_var)
                    .chain(&cli.credential_var);
                names.extend(cli.key_vars.iter().chain(&cli.scrub).chain(dirs).chain(token).cloned());
            }
            names.extend(provider.key.iter().flat_map(KeyService::shadowing).map(str::to_owned));
        }
        Self(names)
    }

    /// Returns whether a variable chooses a credential or a destination.
    pub(super) fn chooses(&self, name: &str) -> bool {
        let agents = AGENTS.iter().any(|prefix| name.starts_with(prefix));
        self.0.contains(name)
            || is_credential_name(name)
            || (agents && name.split('_').any(|word| WORDS.contains(&word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_is_not_shared_when_it_chooses_a_credential_or_a_destination() {
        let listed = ListedVariables::new(&Registry::builtin().unwrap());
        for name in [
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "ANTHROPIC_BASE_URL",
            "CLAUDE_CODE_USE_BEDROCK",
            "FOO_TOKEN",
            "CLAUDE_CODE_NEW_ENDPOINT",
            "AWS_PROFILE",
            "CODEX_HOME",
            "GH_TOKEN",
            "HTTP_AUTHORIZATION",
        ] {
            assert!(listed.chooses(name), "{name}");
        }
        for name in [
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
            "MAX_THINKING_TOKENS",
            "AWS_REGION",
            "HTTPS_PROXY",
            "NODE_EXTRA_CA_CERTS",
            "DISABLE_TELEMETRY",
            "BASH_DEFAULT_TIMEOUT_MS",
            "ANTHROPIC_MODEL",
            "EDITOR",
        ] {
            assert!(!listed.chooses(name), "{name}");
        }
    }
}
