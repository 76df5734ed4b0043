//! The variables that a client may set for a login.

use std::collections::BTreeMap;

use auth_spawner::Cli;

use super::NotUsed;
use crate::base::environment::is_variable_name;
use crate::config::SpawnPolicy;
use crate::wire::error::{ApiError, Kind};

/// The maximum length of a value, in bytes.
const LONGEST: usize = 4096;

/// The variables of a request, sorted into those that are set and those that are not.
#[derive(Debug, Default)]
pub(super) struct ClientVariables {
    /// Variables to set, with their values.
    pub(super) set: Vec<(String, String)>,
    /// Variables that are not set, with the reasons.
    pub(super) not_used: Vec<NotUsed>,
}

/// Sorts the variables that a client sends. Under `registered`, only the allow-list is set and everything else is left
/// out. Under `checked`, everything is set except the deny-list, which is refused.
///
/// # Errors
/// `not_allowed` under `checked`. The value may be a secret, so the error contains only the name.
pub(super) fn sort(
    policy: SpawnPolicy,
    cli: &Cli,
    asked: Option<&BTreeMap<String, String>>,
) -> Result<ClientVariables, ApiError> {
    let mut sorted = ClientVariables::default();
    for (name, value) in asked.into_iter().flatten() {
        let field = format!("authEnv.{name}");
        let sound = is_variable_name(name) && value.len() <= LONGEST && !value.contains('\0');
        if is_directory(cli, name) {
            let reason = "the CLI gets the bundle's own directory".to_owned();
            sorted.not_used.push(NotUsed { field, reason });
        } else if policy == SpawnPolicy::Registered && sound && is_allowed(name)
            || policy == SpawnPolicy::Checked && sound && !is_denied(name)
        {
            sorted.set.push((name.clone(), value.clone()));
        } else if policy == SpawnPolicy::Checked {
            let message = format!("{field} is not a variable that a client may set");
            return Err(ApiError::new(Kind::NotAllowed, message).with("field", field));
        } else {
            let reason =
                "the daemon decides the variables of a login; this one is not on its list".to_owned();
            sorted.not_used.push(NotUsed { field, reason });
        }
    }
    Ok(sorted)
}

/// Returns whether a variable leads the CLI to its directory. The bundle's directory is set last and overrides it.
fn is_directory(cli: &Cli, name: &str) -> bool {
    name == cli.config_dir.var || cli.config_dir.extra_vars.contains_key(name)
}

/// The allow-list: variables for the language and the look of the CLI's output.
const ALLOWED: &[&str] = &["LANG", "LANGUAGE", "LC_*", "NO_COLOR", "TZ"];

/// Names of variables that make a program load code, trust other certificates, connect to other hosts, or see the
/// daemon's own secrets. `*` matches any text.
#[rustfmt::skip] // one compact list
const DENIED: &[&str] = &[
    "LD_*", "DYLD_*", "GLIBC_TUNABLES", "GCONV_PATH", "NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS",
    "NODE_TLS_REJECT_UNAUTHORIZED", "NODE_V8_COVERAGE", "ELECTRON_*", "BUN_*", "DENO_*", "PYTHON*", "PERL5*",
    "PERLLIB", "RUBY*", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "BASH_ENV", "ENV", "SHELLOPTS",
    "BASHOPTS", "PS4", "PROMPT_COMMAND", "IFS", "CDPATH", "PATH", "HOME", "SHELL", "EDITOR", "VISUAL", "PAGER",
    "BROWSER", "GIT_*", "SSH_ASKPASS", "SSH_AUTH_SOCK", "SSL_CERT_*", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
    "*_PROXY", "*_BASE_URL", "*_API_URL", "OAUTH_ENCRYPTION_KEY*", "SRVD_*", "NOTIFY_SOCKET", "LISTEN_*",
    "CREDENTIALS_DIRECTORY", "DBUS_SESSION_BUS_ADDRESS", "TMPDIR", "MALLOC_*", "BASH_FUNC_*", "TERM",
];

fn is_allowed(name: &str) -> bool {
    ALLOWED.iter().any(|pattern| matches(pattern, name))
}

pub(super) fn is_denied(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    DENIED.iter().any(|pattern| matches(pattern, &name))
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => name == pattern,
    }
}
